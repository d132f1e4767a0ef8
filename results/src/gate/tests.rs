//! Verdicts on whole runs: what passes, what fails, what is refused.

use super::*;
use crate::compare::Side;
use crate::document::Detail;
use crate::metrics::CONNECT;
use crate::record::{CellRecord, Clock, Distribution, Labels, Outcome};
use crate::store::Run;
use crate::{fixture, print};

fn text(gate: &Gate, detail: Detail) -> String {
    print::terminal(&document(gate, detail), None)
}

fn options(across: Option<Across>, thresholds: &[&str]) -> Options {
    let mut all = Thresholds::default();
    for text in thresholds {
        all.set(text).unwrap();
    }
    Options { across, thresholds: all, seed: 1 }
}

fn judged(base: &[Run], new: &[Run], options: &Options) -> Result<Gate, GateError> {
    let (base, new) = Side::two(base, Some(new), None, None)?;
    judge(&base, &new, options)
}

fn gate(base: &Run, new: &Run) -> Gate {
    let one = std::slice::from_ref::<Run>;
    judged(one(base), one(new), &options(None, &[])).unwrap()
}

/// A run whose values of `metric` are changed by `change`, in the cells that `wanted` picks.
fn altered(metric: &str, wanted: impl Fn(&Labels) -> bool, change: impl Fn(u64) -> u64) -> Run {
    let mut run = fixture::stored();
    for cell in run.cells.iter_mut().filter(|cell| wanted(&cell.labels)) {
        for one in cell.metrics.iter_mut().filter(|one| one.name == metric) {
            let samples = one.data.samples().unwrap();
            let value = change(samples.percentile(0.5).unwrap());
            one.data = Distribution::Values { values: vec![value; 3] };
        }
    }
    run
}

/// Alike but for its `change`: both sides store the same form of values.
fn pair(metric: &str, wanted: impl Fn(&Labels) -> bool + Copy, percent: u64) -> (Run, Run) {
    (altered(metric, wanted, |value| value), altered(metric, wanted, |v| v * (100 + percent) / 100))
}

fn is(proxy: &'static str, services: u64, seed: u64) -> impl Fn(&Labels) -> bool + Copy {
    move |labels| (labels.proxy.as_str(), labels.services, labels.seed) == (proxy, services, seed)
}

/// Nanoseconds of an invented timing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "invented, small and positive"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// Replicates on the wall clock: `none` takes 15,000 and `iptables-nft` 35,000 ns with some noise,
/// times what `factor` says of proxy and seed.
fn wall(seeds: std::ops::RangeInclusive<u64>, factor: impl Fn(&str, u64) -> f64) -> Run {
    let mut run = fixture::wall();
    let pattern = run.cells[0].labels.clone();
    run.cells.clear();
    for seed in seeds {
        for (proxy, cost) in [("none", 15_000.0), ("iptables-nft", 35_000.0)] {
            let noise = 1.0 + ((seed * 7919 + whole(cost)) % 41) as f64 / 1000.0;
            let labels = Labels { seed, proxy: proxy.into(), ..pattern.clone() };
            let mut cell = CellRecord::new(labels, Outcome::Measured);
            let value = whole(cost * noise * factor(proxy, seed));
            cell.metrics = vec![CONNECT.of("last", Clock::Wall, vec![value; 3])];
            run.cells.push(cell);
        }
    }
    run.record.cells = run.cells.iter().map(|cell| cell.id.clone()).collect();
    run
}

fn same(_: &str, _: u64) -> f64 {
    1.0
}

#[test]
fn the_same_run_passes_with_every_line_equal_to_the_digit() {
    let run = fixture::stored();
    let gate = gate(&run, &run);
    assert_eq!(gate.verdict, Verdict::Pass);
    assert!(gate.lines.len() > 100 && gate.lines.iter().all(Line::is_equal));
    assert!(gate.controls.iter().all(|line| line.reason == "exactly equal"));
    assert_eq!(gate.unmatched.len(), 2, "cells without numbers on both sides are named");
    assert!(gate.lost.is_empty() && gate.problems.is_empty());
}

#[test]
fn the_worst_seed_decides_and_every_seed_is_told() {
    let (base, new) = pair("connect", is("ipvs", 1000, 2), 1);
    let gate = gate(&base, &new);
    assert_eq!((gate.verdict, gate.verdict.exit_code()), (Verdict::Regression, 2));
    let worst = &gate.lines[0];
    assert!(worst.name().starts_with("ipvs connect "), "{}", worst.name());
    assert_eq!(worst.seeds.len(), 2);
    assert!((worst.effect.unwrap() - 0.01).abs() < 1e-4 && worst.seeds[0].effect == Some(0.0));
    assert!(worst.effect_in_words().contains("seeds 0% to +1.0%"), "{}", worst.effect_in_words());
}

#[test]
fn a_threshold_of_its_own_lets_a_metric_grow() {
    let (base, new) = pair("connect", is("ipvs", 1000, 2), 1);
    let one = std::slice::from_ref::<Run>;
    let gate = judged(one(&base), one(&new), &options(None, &["connect=2%"])).unwrap();
    assert_eq!(gate.verdict, Verdict::Pass);
    let exact = judged(one(&base), one(&new), &options(None, &["connect=0"])).unwrap();
    assert_eq!(exact.verdict, Verdict::Regression);
}

#[test]
fn an_improvement_passes_and_is_named() {
    let all_seeds = |labels: &Labels| labels.proxy == "ipvs" && labels.services == 1000;
    let (new, base) = pair("connect", all_seeds, 3);
    let gate = gate(&base, &new);
    assert_eq!(gate.verdict, Verdict::Pass);
    assert!(gate.lines.iter().any(|line| line.improvement && line.subject.proxy == "ipvs"));
    assert!(text(&gate, Detail::Top).contains("got better; most: ipvs connect"));
}

#[test]
fn one_rule_more_is_a_regression() {
    let rules = altered("rules", is("iptables-legacy", 100, 1), |value| value + 1);
    let base = altered("rules", is("iptables-legacy", 100, 1), |value| value);
    let gate = gate(&base, &rules);
    assert_eq!(gate.verdict, Verdict::Regression);
    assert_eq!((gate.lines[0].subject.metric.as_str(), gate.lines[0].threshold), ("rules", 0.0));
}

#[test]
fn a_control_that_moves_takes_the_verdicts_of_its_size_with_it() {
    let (base, new) = pair("connect", is("none", 1000, 1), 1);
    let gate = gate(&base, &new);
    assert_eq!(gate.verdict, Verdict::Invalid);
    for line in &gate.lines {
        let expected = if line.subject.services == 1000 { Verdict::Invalid } else { Verdict::Pass };
        assert_eq!(line.verdict, expected, "{}", line.name());
    }
    assert!(gate.lines[0].reason.contains("the control moved: none connect"));
}

#[test]
fn a_run_without_a_control_has_no_valid_connection() {
    let mut run = fixture::stored();
    run.cells.retain(|cell| cell.labels.proxy != "none");
    let gate = gate(&run, &run);
    assert_eq!(gate.verdict, Verdict::Invalid);
    let verdict = |metric: &str| {
        gate.lines.iter().find(|line| line.subject.metric == metric).map(|line| line.verdict)
    };
    assert_eq!(verdict("connect"), Some(Verdict::Invalid));
    assert_eq!(verdict("sync.full"), Some(Verdict::Pass), "a sync has no floor");
}

#[test]
fn runs_that_were_not_recorded_alike_are_refused_with_what_differs() {
    let base = fixture::stored();
    let mut new = fixture::stored();
    new.record.environment.facts.insert("tool.qemu-system-x86_64".into(), "10.0".into());
    new.record.tool_version = "0.2.0".into();
    let one = std::slice::from_ref::<Run>;
    let both = judged(one(&base), one(&new), &options(Some(Across::Tool), &[])).unwrap();
    assert_eq!((both.verdict, both.lines.len()), (Verdict::Invalid, 0));
    let facts: Vec<&str> = both.unlike.iter().map(|one| one.fact.as_str()).collect();
    assert_eq!(facts, ["tool.qemu-system-x86_64"], "the build of vipbench is what was meant");
    new.record.environment = base.record.environment.clone();
    let tool = judged(one(&base), one(&new), &options(Some(Across::Tool), &[])).unwrap();
    assert_eq!(tool.verdict, Verdict::Pass);
    assert_eq!(gate(&base, &new).verdict, Verdict::Invalid);
}

#[test]
fn across_kernels_lines_are_judged_net_of_a_floor_that_is_shown() {
    let run = fixture::kernels();
    let one = std::slice::from_ref(&run);
    let (base, new) = Side::two(one, Some(one), Some("6.1"), Some("6.12")).unwrap();
    let refused = judge(&base, &new, &options(None, &[])).unwrap();
    assert_eq!((refused.verdict, refused.unlike[0].fact.as_str()), (Verdict::Invalid, "kernel"));
    let gate = judge(&base, &new, &options(Some(Across::Kernel), &[])).unwrap();
    let find = |proxy: &str| {
        let wanted = |line: &&Line| {
            (line.subject.proxy.as_str(), line.subject.metric.as_str()) == (proxy, "connect")
        };
        gate.lines.iter().find(wanted).unwrap()
    };
    let (nft, legacy) = (find("iptables-nft"), find("iptables-legacy"));
    assert_eq!((nft.verdict, nft.judged), (Verdict::Regression, Judged::Net));
    assert!(nft.effect.unwrap() < 0.27, "the floor's own share is taken off: {:?}", nft.effect);
    assert!(legacy.effect.unwrap() < 0.0, "only the floor grew: {:?}", legacy.effect);
    assert!(gate.controls.iter().any(|line| line.reason.contains("none differs by +1.0%")));
    assert!(gate.lines.iter().all(|line| line.subject.statistic != crate::compare::Statistic::P99));
}

#[test]
fn a_floor_that_is_not_flat_makes_a_comparison_of_kernels_invalid() {
    let mut run = fixture::kernels();
    for cell in &mut run.cells {
        if cell.labels.proxy == "none" && cell.labels.services == 100 {
            for metric in cell.metrics.iter_mut().filter(|metric| metric.name == "connect") {
                metric.data = Distribution::Values { values: vec![60_000; 3] };
            }
        }
    }
    let one = std::slice::from_ref(&run);
    let (base, new) = Side::two(one, Some(one), Some("6.1"), Some("6.12")).unwrap();
    let gate = judge(&base, &new, &options(Some(Across::Kernel), &[])).unwrap();
    assert_eq!(gate.verdict, Verdict::Invalid);
    assert!(gate.problems[0].contains("not flat"), "{:?}", gate.problems);
}

#[test]
fn cells_that_the_new_side_lost_decide_by_how_they_were_lost() {
    let base = fixture::stored();
    let with = |outcome: Outcome| {
        let mut new = fixture::stored();
        let at = new.cells.iter().position(|cell| cell.labels.proxy == "ipvs").unwrap();
        new.cells[at] = CellRecord::new(new.cells[at].labels.clone(), outcome);
        gate(&base, &new)
    };
    let reason = || "x".to_owned();
    for (outcome, verdict) in [
        (Outcome::Censored { limit_s: 600, clock: Clock::Wall }, Verdict::Regression),
        (Outcome::Skipped { reason: reason() }, Verdict::Regression),
        (Outcome::Failed { reason: reason() }, Verdict::Invalid),
        (Outcome::Invalid { reason: reason() }, Verdict::Invalid),
        (Outcome::Unsupported { reason: reason() }, Verdict::Invalid),
    ] {
        let gate = with(outcome);
        assert_eq!((gate.verdict, gate.lost.len()), (verdict, 1));
        assert!(text(&gate, Detail::Top).contains("that the new side lost"));
    }
    let mut new = fixture::stored();
    let gone = new.cells.remove(0);
    assert_eq!(gate(&base, &new).lost[0].verdict, Verdict::Invalid, "planned and not finished");
    new.record.cells.retain(|id| *id != gone.id);
    let fewer = gate(&base, &new);
    assert!(fewer.lost.is_empty() && fewer.unmatched.iter().any(|one| one.cell == gone.id));
}

#[test]
fn a_measured_cell_without_its_values_is_no_pass() {
    let base = fixture::stored();
    let without = |empty: bool| {
        let mut new = fixture::stored();
        let wanted =
            |cell: &&mut CellRecord| cell.labels.cell_id().contains(".ipvs.100.s1.connect");
        let cell = new.cells.iter_mut().find(wanted).unwrap();
        let judged = cell.metrics.iter().position(|one| one.name == "connect").unwrap();
        if empty {
            cell.metrics[judged].data = Distribution::Values { values: Vec::new() };
        } else {
            cell.metrics.remove(judged);
        }
        new
    };
    for new in [without(true), without(false)] {
        let one = gate(&base, &new);
        assert_eq!((one.verdict, one.lost.len()), (Verdict::Invalid, 1));
        assert!(text(&one, Detail::Top).contains("measured, but without a value of connect"));
        let new = std::slice::from_ref(&new);
        let other_build = options(Some(Across::Tool), &[]);
        let one = judged(std::slice::from_ref(&base), new, &other_build).unwrap();
        assert_eq!((one.verdict, one.lost.len()), (Verdict::Pass, 0), "it may measure others");
    }
}

#[test]
fn a_seed_that_stays_at_0_hides_no_other() {
    let base = altered("messages", is("ipvs", 1000, 1), |_| 0);
    assert_eq!(gate(&base, &base).verdict, Verdict::Pass);
    let mut new = base.clone();
    for cell in new.cells.iter_mut().filter(|cell| is("ipvs", 1000, 2)(&cell.labels)) {
        for one in cell.metrics.iter_mut().filter(|one| one.name == "messages") {
            one.data = Distribution::Values { values: vec![1 << 40] };
        }
    }
    assert_eq!(gate(&base, &new).verdict, Verdict::Regression);
}

#[test]
fn too_few_replicates_are_inconclusive_and_say_how_many_are_missing() {
    let gate = gate(&wall(1..=3, same), &wall(1..=3, same));
    assert_eq!((gate.verdict, gate.verdict.exit_code()), (Verdict::Inconclusive, 3));
    assert!(
        matches!(gate.lines[0].evidence, Evidence::TooFew { replicates: 3, further: 3 }),
        "{:?}",
        gate.lines[0].evidence
    );
}

#[test]
fn a_slowdown_on_the_wall_clock_is_found_and_none_is_not_invented() {
    let base = wall(1..=20, same);
    let other = |seed: u64| 1.0 + ((seed * 31) % 17) as f64 / 1500.0;
    let noisy = |_: &str, seed| other(seed);
    let quiet = gate(&base, &wall(1..=20, noisy));
    assert_eq!(quiet.verdict, Verdict::Pass, "{}", text(&quiet, Detail::All));
    let Evidence::Replicates { detectable: Some(detectable), further: 0, .. } =
        quiet.lines[0].evidence
    else {
        panic!("{:?}", quiet.lines[0].evidence)
    };
    assert!(detectable > 0.0 && detectable < 0.05);
    let slower = |proxy: &str, seed| if proxy == "none" { other(seed) } else { 1.08 * other(seed) };
    let slow = gate(&base, &wall(1..=20, slower));
    assert_eq!(slow.verdict, Verdict::Regression);
    let line = &slow.lines[0];
    assert!((line.effect.unwrap() - 0.08).abs() < 0.01 && line.judged == Judged::Relative);
    assert_eq!(slow, gate(&base, &wall(1..=20, slower)), "the same numbers, the same verdict");
}

#[test]
fn a_machine_that_got_slower_as_a_whole_is_invalid() {
    let gate = gate(&wall(1..=20, same), &wall(1..=20, |_, _| 1.3));
    assert_eq!(gate.verdict, Verdict::Invalid);
    assert!(gate.lines[0].reason.starts_with("the control moved"), "{}", gate.lines[0].reason);
}

#[test]
fn a_base_that_differs_from_itself_is_invalid() {
    let uneven = |proxy: &str, seed| if proxy == "none" || seed % 2 == 0 { 1.0 } else { 1.2 };
    let halves = gate(&wall(1..=20, uneven), &wall(1..=20, uneven));
    assert_eq!(halves.verdict, Verdict::Invalid);
    assert!(halves.problems[0].contains("every second replicate"), "{:?}", halves.problems);
    let drift = |proxy: &str, seed| if proxy == "none" || seed <= 10 { 1.0 } else { 1.2 };
    let base = [wall(1..=10, drift), wall(11..=20, drift)];
    let folders = judged(&base, &base, &options(None, &[])).unwrap();
    assert!(folders.problems[0].contains("first folder"), "{:?}", folders.problems);
    assert!(folders.itself.iter().any(|check| check.split == "halves"));
}

#[test]
fn wrong_input_is_an_error_with_the_remedy() {
    let run = fixture::stored();
    let twice = [wall(1..=3, same), wall(3..=5, same)];
    let one = std::slice::from_ref(&run);
    let cases = [
        (judged(&twice, &twice, &options(None, &[])), "--seeds"),
        (judged(one, one, &options(Some(Across::Kernel), &[])), "--base-kernel"),
        (judged(one, one, &options(None, &["conect=1%"])), "there are bytes, close, connect"),
    ];
    for (result, wanted) in cases {
        let said = result.unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn nothing_to_judge_is_not_a_pass() {
    let mut run = fixture::stored();
    run.cells.retain(|cell| cell.labels.measure == "http");
    let gate = gate(&run, &run);
    assert_eq!(gate.verdict, Verdict::Invalid);
    assert!(gate.problems[0].contains("nothing to judge"), "{:?}", gate.problems);
}

fn regression() -> Gate {
    let (base, new) = pair("connect", is("ipvs", 1000, 2), 1);
    gate(&base, &new)
}

#[test]
fn a_line_of_several_kernels_names_its_own() {
    let base = fixture::kernels();
    let mut new = fixture::kernels();
    let slower = |cell: &&mut CellRecord| {
        cell.labels.kernel.starts_with("6.12") && cell.labels.proxy == "ipvs"
    };
    for cell in new.cells.iter_mut().filter(slower) {
        for one in cell.metrics.iter_mut().filter(|one| one.name == "sync.full") {
            one.data = Distribution::Values { values: vec![u64::MAX >> 20] };
        }
    }
    let gate = gate(&base, &new);
    for written in [text(&gate, Detail::Top), annotations(&gate)] {
        assert!(written.lines().next().unwrap().contains(", kernel 6.12.9"), "{written}");
    }
}

#[test]
fn a_regression_reads_as_expected() {
    insta::assert_snapshot!(text(&regression(), Detail::Top));
}

#[test]
fn a_comment_shows_what_matters_and_folds_the_rest() {
    let written = print::markdown(&comment(&regression()));
    insta::assert_snapshot!(written.lines().take(12).collect::<Vec<_>>().join("\n"));
    let (open, close) =
        (written.matches("<details>").count(), written.matches("</details>").count());
    assert!(open >= 3 && open == close && written.len() < 60_000, "{open} {close}");
}

#[test]
fn annotations_are_one_escaped_command_a_line() {
    let mut gate = regression();
    gate.lines[0].reason = "50% more,\nreally".into();
    let written = annotations(&gate);
    assert!(written.lines().all(|line| line.starts_with("::")), "{written}");
    assert!(written.contains("::error title=regression%3A ipvs connect"), "{written}");
    assert!(written.contains("50%25 more,%0Areally"), "{written}");
}

#[test]
fn a_test_report_counts_and_escapes() {
    let mut gate = regression();
    gate.lines[0].reason = "<\"more\" & more>".into();
    let written = junit(&gate).unwrap();
    let failures = gate.lines.iter().filter(|line| line.verdict == Verdict::Regression).count();
    assert!(written.contains(&format!("failures=\"{failures}\" errors=\"0\" skipped=\"0\"")));
    assert_eq!(written.matches("<testcase ").count(), gate.lines.len());
    assert_eq!(written.matches("<failure ").count(), failures);
    assert!(!written.contains("<\"more\"") && written.contains("&#60;"), "{written}");
}

//! Tests with recorded runs: repetitions without a change, and the same with slowdowns put in.

use std::path::{Path, PathBuf};

use super::data::{Evidence, Series, Trend, TrendError};
use super::{Recorded, document, trend};
use crate::store::Run;
use crate::{fixture, print};

fn read(name: &str) -> Run {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(name);
    Run::read(&folder).unwrap()
}

/// The runs as if they had been recorded one a day, in this order.
fn daily(mut runs: Vec<Run>) -> Vec<Run> {
    for (day, run) in runs.iter_mut().enumerate() {
        run.record.started = format!("2026-{:02}-{:02}T03:00:00Z", day / 28 + 1, day % 28 + 1);
        run.dir =
            PathBuf::from(format!("runs/{}-{day:02}", run.dir.file_name().unwrap().display()));
    }
    runs
}

fn of(runs: &[Run]) -> Result<Trend, TrendError> {
    trend(runs.iter().map(|run| Recorded::of(run).unwrap()).collect())
}

fn instructions(names: &[String]) -> Vec<Run> {
    let read = |name: &String| read(&format!("gate-instructions-6.1/{name}"));
    daily(names.iter().map(read).collect())
}

/// Twelve repetitions.
fn repeated() -> Vec<String> {
    (1..=12).map(|at| format!("same-{at}")).collect()
}

fn with_steps(trend: &Trend) -> Vec<&Series> {
    trend.series.iter().filter(|series| !series.steps.is_empty()).collect()
}

#[test]
fn repetitions_on_the_instructions_clock_have_no_step() {
    let trend = of(&instructions(&repeated())).unwrap();
    assert_eq!((trend.runs.len(), trend.series.len()), (12, 50));
    assert!(with_steps(&trend).is_empty() && trend.worse_now().is_empty());
    let text = print::terminal(&document(&trend).unwrap(), None);
    assert!(text.contains("50 of 50 numbers never changed by a digit"), "{text}");
}

#[test]
fn a_slowdown_put_in_is_found_at_its_run_with_what_changed() {
    let mut names = repeated();
    names.push("rules-5".to_owned());
    let trend = of(&instructions(&names)).unwrap();
    let found = with_steps(&trend);
    // New connections and requests through both proxies at three positions; nothing else.
    assert_eq!(found.len(), 2 * 2 * 3, "{found:?}");
    for series in &found {
        let [step] = series.steps.as_slice() else { panic!("{series:?}") };
        assert_eq!((step.from, step.to, step.evidence), (11, 12, Evidence::Exact));
        assert!(step.stands && step.control == Some(0.0), "{step:?}");
    }
    let [around] = trend.around.as_slice() else { panic!("{:?}", trend.around) };
    let facts: Vec<&str> = around.differences.iter().map(|one| one.fact.as_str()).collect();
    assert_eq!(facts, ["scenario.inject.answer_delay_ns", "scenario.inject.rules_per_chain"]);
    let (worst, _) = trend.worse_now()[0];
    assert_eq!(worst.subject.name(), "iptables-nft connect first, 100 Services");
}

#[test]
fn a_step_that_was_undone_does_not_stand() {
    let mut names = repeated();
    names.insert(5, "rules-10".to_owned());
    let trend = of(&instructions(&names)).unwrap();
    assert!(trend.worse_now().is_empty());
    for series in with_steps(&trend) {
        let [worse, better] = series.steps.as_slice() else { panic!("{series:?}") };
        assert!(worse.worse && !better.worse && (worse.to, better.to) == (5, 6));
    }
}

#[test]
fn steps_too_small_one_by_one_add_up() {
    // One rule more a chain is 0.4% of a connection, two are 0.8%: each is a step of its own here,
    // and back to one rule is half-way undone.
    let names = ["same-1", "rules-1", "rules-2", "rules-1"].map(str::to_owned);
    let trend = of(&instructions(&names)).unwrap();
    let last = |one: &&Series| one.subject.name() == "iptables-legacy connect last, 100 Services";
    let series = trend.series.iter().find(last).unwrap();
    let stands: Vec<bool> = series.steps.iter().map(|step| step.stands).collect();
    assert_eq!(stands, [true, false, false], "{series:?}");
}

/// Sixteen runs of ten replicates each, recorded without a change in between.
fn alike_on_the_wall_clock() -> Vec<Run> {
    let all = read("gate-wall-6.18/same");
    let part = |at: u64| {
        let mut run = all.clone();
        run.cells.retain(|cell| (cell.labels.seed - 1) / 10 == at);
        run
    };
    daily((0..16).map(part).collect())
}

fn delayed(delay: u32) -> Vec<Run> {
    let round = |round| read(&format!("gate-wall-6.18/delay-{delay}-round-{round}"));
    (0..6).map(round).collect()
}

#[test]
fn replicates_on_the_wall_clock_have_no_step() {
    let trend = of(&alike_on_the_wall_clock()).unwrap();
    assert_eq!(trend.runs.len(), 16);
    assert!(with_steps(&trend).is_empty(), "{:?}", with_steps(&trend));
}

#[test]
fn a_delay_put_in_on_the_wall_clock_is_found_where_it_begins() {
    let runs = daily([delayed(0), delayed(3200)].concat());
    let trend = of(&runs).unwrap();
    let found = with_steps(&trend);
    assert!(!found.is_empty());
    for series in found {
        assert!(!series.subject.is_control() && series.relative, "{:?}", series.subject);
        let [step] = series.steps.as_slice() else { panic!("{series:?}") };
        assert!(step.to == 6 && step.stands && step.share.unwrap() > 0.05, "{step:?}");
    }
    let text = print::terminal(&document(&trend).unwrap(), None);
    let fact = "scenario.inject.answer_delay_ns (not recorded before, 3200 after)";
    assert!(text.contains(fact), "{text}");
    let undone = daily([delayed(0), delayed(3200), delayed(320)].concat());
    assert!(of(&undone).unwrap().worse_now().is_empty());
}

#[test]
fn too_few_runs_on_the_wall_clock_are_said_to_be_too_few() {
    let mut runs = delayed(0);
    runs.truncate(2);
    let trend = of(&daily([runs, delayed(3200)[..2].to_vec()].concat())).unwrap();
    assert!(trend.worse_now().is_empty());
    let text = print::terminal(&document(&trend).unwrap(), None);
    assert!(text.contains("There are 4 runs, and a step needs 6"), "{text}");
}

#[test]
fn clocks_never_share_a_series() {
    let runs = daily(vec![fixture::stored(), fixture::wall(), fixture::stored(), fixture::wall()]);
    let trend = of(&runs).unwrap();
    for series in &trend.series {
        let runs: Vec<usize> = series.points.iter().map(|point| point.run % 2).collect();
        assert!(runs.iter().all(|one| *one == runs[0]), "{:?}", series.subject);
    }
}

#[test]
fn a_newer_release_goes_on_with_the_series_of_its_branch() {
    let mut newer = fixture::kernels();
    for cell in &mut newer.cells {
        cell.labels.kernel = cell.labels.kernel.replace("6.1.0", "6.1.1");
    }
    let trend = of(&daily(vec![fixture::kernels(), newer])).unwrap();
    let kernels: Vec<&str> =
        trend.series.iter().map(|series| series.subject.kernel.as_str()).collect();
    assert!(kernels.contains(&"6.1") && !kernels.contains(&""), "{kernels:?}");
}

#[test]
fn runs_without_anything_to_set_behind_each_other_are_refused() {
    let run = fixture::stored();
    assert!(matches!(of(&[]), Err(TrendError::TooFew(_))));
    assert!(matches!(of(std::slice::from_ref(&run)), Err(TrendError::TooFew(_))));
    assert!(matches!(of(&[run.clone(), run.clone()]), Err(TrendError::Twice(_))));
    let mut other = run.clone();
    other.cells.iter_mut().for_each(|cell| cell.labels.seed += 100);
    let error = of(&daily(vec![run, other])).unwrap_err().to_string();
    assert!(error.contains("no seed is in all runs: run with the same --seeds"), "{error}");
}

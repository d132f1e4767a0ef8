//! The largest changes between kernels in words, each with the command that explains it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Family;
use crate::compare::words::{NO_RATIO, control_change, in_percent, in_words};
use crate::compare::{Comparison, Effect, Statistic};
use crate::format::{list, shell};
use crate::metrics::{self, TOTAL, Use};
use crate::record::Clock;

/// Most findings about proxies; those about the control come before and are not counted.
const MOST: usize = 25;
/// A change below this share is no finding.
const LEAST_SHARE: f64 = 0.01;
/// Most findings that carry the command which explains them.
const COMMANDS_MAX: usize = 12;
/// Kinds of files that it leaves in the run's folder `explain`.
const KINDS: [&str; 4] = ["html", "svg", "md", "json"];

/// One line of the table of findings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KernelFinding {
    /// `+27%`.
    pub change: String,
    /// The same net of `none`; empty where that means nothing.
    pub net: String,
    /// `from 6.1 to 6.12 iptables-nft connect at 1,000 Services, last: +27%, net of none +35%
    /// (...)`.
    pub words: String,
    /// What tells which kernel functions it comes from.
    pub command: Option<String>,
    /// Files that the command has left: name and path, relative to the run's folder.
    pub explained: Vec<(&'static str, String)>,
    /// The run's folder.
    pub run: PathBuf,
}

/// The findings of a family.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KernelFindings {
    /// What the control says of the steps between neighbours, as sentences.
    pub controls: Vec<String>,
    /// The control first, then the largest change first.
    pub lines: Vec<KernelFinding>,
    /// How many changes are not shown.
    pub left_out: usize,
}

/// One change: of one metric of one proxy between two kernels, at the size and label where it is
/// largest.
struct Candidate<'f> {
    from: &'f str,
    to: &'f str,
    effect: &'f Effect,
    magnitude: f64,
}

/// Between neighbours and against the reference.
pub(crate) fn of_family(family: &Family<'_>) -> KernelFindings {
    let mut candidates = Vec::new();
    for (from, to, comparison) in comparisons(family) {
        candidates.extend(largest(from, to, comparison));
    }
    let rank = |candidate: &Candidate<'_>| !candidate.effect.is_control();
    candidates
        .sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| b.magnitude.total_cmp(&a.magnitude)));
    let floor = candidates.iter().filter(|candidate| candidate.effect.is_control()).count();
    let left_out = candidates.len().saturating_sub(floor + MOST);
    candidates.truncate(floor + MOST);
    let lines = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| line(candidate, at < floor + COMMANDS_MAX))
        .collect();
    KernelFindings { controls: controls(family), lines, left_out }
}

/// What the control says of the steps between neighbours: where the floor moved, where it did not,
/// where that is unknown.
fn controls(family: &Family<'_>) -> Vec<String> {
    let (mut moved, mut still, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (from, to, comparison) in comparisons(family).into_iter().take(family.steps.len()) {
        let step = format!("from {from} to {to}");
        match control_change(&comparison.effects) {
            Some((change, false)) => moved.push(format!("{change} {step}")),
            Some((change, true)) => still.push(format!("{step} ({change})")),
            None => unknown.push(step),
        }
    }
    let what = "Control, a new connection without a proxy (none), over all sizes and positions";
    let sentences = [
        (moved, "it moves by", "; there judge a proxy by its change net of none"),
        (still, "it is still", "; there an effect is the proxy's own"),
        (unknown, "it is not on both sides", "; what changed below the proxies there is unknown"),
    ];
    sentences
        .into_iter()
        .filter(|(steps, ..)| !steps.is_empty())
        .map(|(steps, verb, verdict)| format!("{what}: {verb} {}{verdict}.", list(&steps)))
        .collect()
}

/// Names of two kernels and what changed from one to the other, each pair once.
fn comparisons<'f>(family: &'f Family<'_>) -> Vec<(&'f str, &'f str, &'f Comparison)> {
    let name = |at: usize| family.kernels.get(at).map_or("", |kernel| kernel.name.as_str());
    let mut all = Vec::new();
    for (at, step) in family.steps.iter().enumerate() {
        all.push((name(at), name(at + 1), step));
    }
    for (at, kernel) in family.kernels.iter().enumerate() {
        let is_step = at.abs_diff(family.reference) == 1;
        if let Some(comparison) = kernel.against_reference.as_ref().filter(|_| !is_step) {
            all.push((name(family.reference), name(at), comparison));
        }
    }
    all
}

/// The largest change of each metric of each proxy; of the control that of `connect` alone.
fn largest<'f>(from: &'f str, to: &'f str, comparison: &'f Comparison) -> Vec<Candidate<'f>> {
    let mut best: BTreeMap<(&str, &str), Candidate<'f>> = BTreeMap::new();
    for effect in comparison.effects.iter().filter(|effect| is_candidate(effect)) {
        let Some(magnitude) = effect.magnitude() else { continue };
        let is_small = effect.gross.share().is_some_and(|share| share.abs() < LEAST_SHARE);
        if effect.gross.is_equal() || is_small && !effect.is_control() {
            continue;
        }
        let key = (effect.subject.proxy.as_str(), effect.subject.metric.as_str());
        if best.get(&key).is_none_or(|known| magnitude > known.magnitude) {
            best.insert(key, Candidate { from, to, effect, magnitude });
        }
    }
    best.into_values().collect()
}

fn is_candidate(effect: &Effect) -> bool {
    let (metric, label) = (effect.subject.metric.as_str(), effect.subject.label.as_str());
    let whole = !metrics::is_sync(metric) || [TOTAL, "submit"].contains(&label);
    let of_control = !effect.is_control() || metric == metrics::CONNECT.name;
    effect.is_timing() && effect.statistic != Statistic::P99 && whole && of_control
}

fn line(candidate: &Candidate<'_>, with_command: bool) -> KernelFinding {
    let Candidate { from, to, effect, .. } = candidate;
    let net = effect.net.as_ref().map_or(String::new(), in_percent);
    KernelFinding {
        change: in_percent(&effect.gross),
        net: if net == NO_RATIO { String::new() } else { net },
        words: in_words(effect, from, to),
        command: if with_command { command(effect) } else { None },
        explained: explained(effect),
        run: PathBuf::from(&effect.new_cell.run),
    }
}

/// `vipbench explain RUN --cell ID --against ID`: only on the instructions clock, for cells of one
/// run.
fn command(effect: &Effect) -> Option<String> {
    let subject = &effect.subject;
    let (new, base) = (&effect.new_cell, &effect.base_cell);
    let (metric, label) = (subject.metric.as_str(), subject.label.as_str());
    let known = metrics::kind(metric).is_some_and(|kind| kind.uses.contains(&Use::Explain));
    if subject.clock != Clock::Instructions || new.run != base.run || !known {
        return None;
    }
    let mut words = vec!["vipbench", "explain", &new.run, "--cell", &new.id, "--against", &base.id];
    if !metrics::is_explained_first(metric, label) {
        words.extend(["--metric", metric, "--label", label]);
    }
    Some(shell(&words.into_iter().map(str::to_owned).collect::<Vec<_>>()))
}

/// What `vipbench explain` has left for these two cells, whichever was set against the other.
fn explained(effect: &Effect) -> Vec<(&'static str, String)> {
    let (new, base) = (&effect.new_cell, &effect.base_cell);
    let pairs = [(&new.id, &base.id), (&base.id, &new.id)];
    let mut found = Vec::new();
    for kind in KINDS {
        let paths = pairs.map(|(cell, against)| format!("explain/{cell}--{against}.{kind}"));
        let there = |path: &String| PathBuf::from(&new.run).join(path).is_file();
        found.extend(paths.into_iter().find(there).map(|path| (kind, path)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::kernels::families;
    use crate::store::Run;
    use crate::view::View;

    fn findings(runs: &[Run], reference: Option<&str>) -> KernelFindings {
        of_family(&families(&View::new(runs).unwrap(), reference).unwrap()[0])
    }

    #[test]
    fn the_control_comes_first_and_the_largest_change_after_it() {
        let all = findings(&[fixture::kernels()], None);
        let words: Vec<&str> = all.lines.iter().map(|line| line.words.as_str()).collect();
        let floor = words.iter().take_while(|words| words.contains(" none connect ")).count();
        assert_eq!(floor, 3, "one step, and two against the reference, moved it: {words:#?}");
        assert!(words[floor].contains("iptables-nft connect at "), "{words:#?}");
        assert!(words[floor].contains("+27%, net of none +"), "{words:#?}");
        assert!(words.iter().any(|words| words.starts_with("from 6.1 to 6.12 iptables-nft")));
        assert!(words.iter().any(|words| words.starts_with("from 5.10 to 7.2 iptables-nft")));
        assert_eq!(
            all.controls,
            [
                "Control, a new connection without a proxy (none), over all sizes and positions: it is still \
              from 5.10 to 6.1 (0%), from 6.1 to 6.12 (+1.0%) and from 6.12 to 7.2 (0%); there an effect is the proxy's own."
            ]
        );
    }

    #[test]
    fn two_kernels_are_compared_once() {
        let mut run = fixture::kernels();
        run.cells.retain(|cell| cell.labels.kernel.starts_with("6."));
        let all = findings(&[run], None);
        let connect = |line: &&KernelFinding| line.words.contains("iptables-nft connect");
        assert_eq!(all.lines.iter().filter(connect).count(), 1, "{all:#?}");
    }

    #[test]
    fn a_floor_that_moved_or_is_missing_is_said() {
        let mut run = fixture::kernels();
        for cell in run.cells.iter_mut().filter(|cell| cell.labels.proxy == "none") {
            if cell.labels.kernel.starts_with("5.10") {
                cell.metrics.clear();
            } else if cell.labels.kernel.starts_with("7.2") {
                let data = crate::record::Distribution::Values { values: vec![90_000; 300] };
                cell.metrics.iter_mut().for_each(|metric| metric.data = data.clone());
            }
        }
        let said = findings(&[run], None).controls.join(" ");
        assert!(said.contains("moves by +76% from 6.12 to 7.2; there judge a proxy by"), "{said}");
        assert!(said.contains("not on both sides from 5.10 to 6.1;"), "{said}");
    }

    #[test]
    fn the_command_names_both_cells_and_what_it_left_is_found() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut run = fixture::kernels();
        run.dir = dir.path().join("a run");
        let cells = ["6.12.9-cloud-amd64", "6.1.0-56-cloud-amd64"]
            .map(|kernel| format!("{kernel}.guest.instructions.iptables-nft.1000.s1.connect"));
        std::fs::create_dir_all(run.dir.join("explain")).unwrap();
        let [new, base] = &cells;
        let name = format!("explain/{new}--{base}.svg");
        std::fs::write(run.dir.join(&name), "<svg/>").unwrap();
        run.cells
            .retain(|cell| cell.labels.kernel.starts_with("6.") && cell.labels.services == 1000);
        let shown = run.dir.display().to_string();
        let all = findings(&[run], None);
        let line =
            all.lines.iter().find(|line| line.words.contains("iptables-nft connect")).unwrap();
        let command = line.command.as_ref().unwrap();
        assert!(
            command
                .starts_with(&format!("vipbench explain '{shown}' --cell {new} --against {base}")),
            "{command}"
        );
        assert_eq!(line.explained, [("svg", name)]);
    }

    #[test]
    fn cells_of_two_runs_have_no_command() {
        let mut other = fixture::other_kernel();
        other.dir = "runs/other".into();
        let all = findings(&[fixture::stored(), other], None);
        assert!(all.lines.iter().all(|line| line.command.is_none()));
    }
}

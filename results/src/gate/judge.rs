//! From two sides to a verdict: what is compared at all, which lines, in what order they are
//! judged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::statistics::Effort;
use super::{
    Across, GATE_SCHEMA, Gate, GateError, Judged, Line, Lost, Options, Verdict, control,
    environment, exact, wall,
};
use crate::compare::{Comparison, MissingIn, Side, UNFINISHED, Unmatched, compare};
use crate::format::{list, thousands};
use crate::record::{Clock, Outcome};

/// Resamples of an interval, and permutations of a test that cannot try all.
const RESAMPLES: usize = 2_000;
const PERMUTATIONS: usize = 10_000;
/// Facts that are named in a sentence; the table has all.
const FACTS_NAMED: usize = 5;

/// Holds `new` against `base`.
///
/// # Errors
/// [`GateError`] when the input is wrong. Runs that are right and unlike have a verdict:
/// [`Verdict::Invalid`].
pub fn judge(base: &Side, new: &Side, options: &Options) -> Result<Gate, GateError> {
    let mut comparison = compare(base, new)?;
    check_input(base, new, options)?;
    let effort = Effort { seed: options.seed, resamples: RESAMPLES, permutations: PERMUTATIONS };
    let mut gate = Gate {
        schema: GATE_SCHEMA.to_owned(),
        verdict: Verdict::Invalid,
        unlike: environment::unlike(&comparison, options.across),
        base: comparison.base.clone(),
        new: comparison.new.clone(),
        across: options.across,
        problems: Vec::new(),
        lines: Vec::new(),
        controls: Vec::new(),
        itself: Vec::new(),
        lost: Vec::new(),
        unmatched: Vec::new(),
        matched_cells: comparison.matched_cells,
        seed: options.seed,
    };
    if !gate.unlike.is_empty() {
        gate.problems.push(unlike_in_words(&gate, options.across));
        gate.unmatched = comparison.unmatched;
        return Ok(gate);
    }
    gate.controls = control::controls(&comparison, options, effort);
    gate.lines = lines(&comparison, options);
    let tested_from = exact_first(&mut gate.lines);
    let (exactly, tested) = gate.lines.split_at_mut(tested_from);
    exactly.iter_mut().for_each(exact::judge);
    wall::judge(tested, effort);
    gate.itself = control::against_itself(tested, base, effort);
    gate.problems = control::unlike_itself(&gate.itself);
    if options.across.is_some_and(Across::moves_floor) {
        gate.problems.extend(control::uneven(&comparison));
    }
    control::apply(&mut gate.lines, &gate.controls);
    gate.lines.sort_by(|a, b| {
        let size = |line: &Line| line.effect.map_or(0.0, f64::abs);
        b.verdict.cmp(&a.verdict).then_with(|| size(b).total_cmp(&size(a)))
    });
    sort_unmatched(&mut gate, std::mem::take(&mut comparison.unmatched), new);
    if gate.lines.is_empty() && gate.lost.is_empty() {
        gate.problems.push(nothing_in_words(&comparison));
    }
    gate.verdict = overall(&gate);
    Ok(gate)
}

/// The worst of everything. A control alone decides nothing: the lines that it speaks for do.
fn overall(gate: &Gate) -> Verdict {
    let problem = if gate.problems.is_empty() { Verdict::Pass } else { Verdict::Invalid };
    let lines = gate.lines.iter().map(|line| line.verdict);
    let lost = gate.lost.iter().map(|lost| lost.verdict);
    lines.chain(lost).chain([problem]).max().unwrap_or(Verdict::Invalid)
}

fn check_input(base: &Side, new: &Side, options: &Options) -> Result<(), GateError> {
    let kernels = base.kernels();
    if options.across == Some(Across::Kernel) && kernels == new.kernels() {
        return Err(GateError::SameKernel { kernel: kernels.join(", ") });
    }
    for side in [base, new] {
        seeds_once(side)?;
    }
    let there: BTreeSet<&str> = base.metrics().into_iter().chain(new.metrics()).collect();
    for named in options.thresholds.named() {
        if !there.contains(named.strip_suffix(".p99").unwrap_or(named)) {
            return Err(GateError::UnknownMetric {
                metric: crate::format::plain(named),
                there: list(&there.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()),
            });
        }
    }
    Ok(())
}

/// Replicates are told apart by their seeds: each folder of a side must have its own.
fn seeds_once(side: &Side) -> Result<(), GateError> {
    let mut owners: BTreeMap<u64, usize> = BTreeMap::new();
    for (folder, labels) in side.labels() {
        let owner = *owners.entry(labels.seed).or_insert(folder);
        if owner != folder {
            let name = |at: usize| side.folders().nth(at).unwrap_or_default().to_owned();
            return Err(GateError::SeedTwice {
                seed: labels.seed,
                first: name(owner),
                second: name(folder),
            });
        }
    }
    Ok(())
}

/// The lines that have a threshold, not judged yet.
fn lines(comparison: &Comparison, options: &Options) -> Vec<Line> {
    let moves = options.across.is_some_and(Across::moves_floor);
    let effects = comparison.effects.iter().filter(|effect| !effect.is_control());
    effects
        .filter_map(|effect| {
            let threshold = options.thresholds.of(effect, options.across.is_none())?;
            let floor = control::has_floor(&effect.subject.metric);
            let judged = match effect.subject.clock {
                _ if !floor || effect.net.is_none() => Judged::Gross,
                _ if moves => Judged::Net,
                Clock::Wall => Judged::Relative,
                Clock::Instructions => Judged::Gross,
            };
            Some(Line::of(effect, judged, threshold))
        })
        .collect()
}

/// Puts lines that are compared exactly first; gives where the others begin. A count is the same in
/// every repetition on either clock.
fn exact_first(lines: &mut [Line]) -> usize {
    let tested = |line: &Line| {
        line.subject.clock == Clock::Wall && line.subject.unit == line.subject.clock.unit()
    };
    lines.sort_by_key(tested);
    lines.iter().take_while(|line| !tested(line)).count()
}

/// Cells that decide, and those that are only named.
fn sort_unmatched(gate: &mut Gate, unmatched: Vec<Unmatched>, new: &Side) {
    for cell in unmatched {
        match lost_verdict(&cell, new) {
            Some(verdict) => gate.lost.push(Lost { verdict, cell }),
            None => gate.unmatched.push(cell),
        }
    }
    gate.lost.sort_by_key(|lost| Reverse(lost.verdict));
}

/// What it means that the new side has no numbers where the base has; nothing when it was not
/// planned there.
fn lost_verdict(cell: &Unmatched, new: &Side) -> Option<Verdict> {
    if cell.missing_in != MissingIn::New || cell.metric.is_some() {
        return None;
    }
    if cell.reason == UNFINISHED {
        return Some(Verdict::Invalid);
    }
    match new.outcome_of(&cell.cell)? {
        // A cell is skipped because a smaller one of its series was over its budget.
        Outcome::Censored { .. } | Outcome::Skipped { .. } => Some(Verdict::Regression),
        Outcome::Unsupported { .. } | Outcome::Invalid { .. } | Outcome::Failed { .. } => {
            Some(Verdict::Invalid)
        }
        Outcome::Measured => None,
    }
}

fn unlike_in_words(gate: &Gate, across: Option<Across>) -> String {
    let count = gate.unlike.len();
    let named = gate.unlike.iter().take(FACTS_NAMED);
    let mut facts: Vec<String> = named.map(|difference| difference.fact.clone()).collect();
    if count > facts.len() {
        facts.push(format!("{} more", count - facts.len()));
    }
    let meant = match across {
        Some(across) => format!("beside what --across {} allows", across.as_str()),
        None => "and nothing was meant to (--across names one thing)".to_owned(),
    };
    format!(
        "the two were not recorded alike: {} facts differ, {meant}: {}",
        thousands(count as u64),
        list(&facts)
    )
}

fn nothing_in_words(comparison: &Comparison) -> String {
    format!(
        "there is nothing to judge: {} pairs of cells have no metric with a threshold; run the same scenario on both sides",
        thousands(comparison.matched_cells)
    )
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::gate::thresholds::{Thresholds, is_count};

    #[test]
    fn counts_are_exact_on_the_wall_clock_too() {
        let run = crate::fixture::wall();
        let (base, new) = Side::two(&run, Some(&run), None, None).unwrap();
        let comparison = compare(&base, &new).unwrap();
        let all = comparison.effects.iter().filter(|effect| is_count(effect));
        let options = Options { across: None, thresholds: Thresholds::default(), seed: 1 };
        let mut lines = lines(&comparison, &options);
        let from = exact_first(&mut lines);
        assert!(from > 0 && from < lines.len() && all.count() >= from);
        assert!(lines[from..].iter().all(|line| line.subject.unit == crate::record::Unit::Ns));
    }
}

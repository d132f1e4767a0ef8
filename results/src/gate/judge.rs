//! From two sides to a verdict: what is compared at all, in what order it is judged, and what of it
//! decides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::result::{GATE_SCHEMA, Gate, GateError, Lost, Options};
use super::verdict::{Across, Verdict};
use super::{control, environment, lines};
use crate::compare::{MissingIn, Side, UNFINISHED, Unmatched, compare};
use crate::format::{list, plain, thousands};
use crate::metrics;
use crate::record::Outcome;

/// Facts that are named in a sentence; the table has all.
const FACTS_NAMED: usize = 5;

/// Holds `new` against `base`.
///
/// # Errors
/// [`GateError`] when the input is wrong. Runs that are right and unlike have a verdict:
/// [`Verdict::Invalid`].
pub fn judge(base: &Side, new: &Side, options: &Options) -> Result<Gate, GateError> {
    let comparison = compare(base, new)?;
    check_input(base, new, options)?;
    let mut gate = Gate {
        schema: GATE_SCHEMA.to_owned(),
        unlike: environment::unlike(&comparison, options.across),
        base: comparison.base.clone(),
        new: comparison.new.clone(),
        across: options.across,
        matched_cells: comparison.matched_cells,
        seed: options.seed,
        ..Gate::default()
    };
    if !gate.unlike.is_empty() {
        gate.problems.push(unlike_in_words(&gate));
        gate.unmatched = comparison.unmatched;
        return Ok(gate);
    }
    gate.controls = control::controls(&comparison, options);
    gate.lines = lines::judged(&comparison, options, false);
    gate.itself = control::against_itself(&gate.lines, base, options.seed);
    gate.problems = control::unlike_itself(&gate.itself);
    if options.across.is_some_and(Across::moves_floor) {
        gate.problems.extend(control::uneven(&comparison));
    }
    control::apply(&mut gate.lines, &gate.controls);
    gate.lines
        .sort_by(|a, b| b.verdict.cmp(&a.verdict).then_with(|| b.size().total_cmp(&a.size())));
    sort_unmatched(&mut gate, comparison.unmatched, new);
    if gate.lines.is_empty() && gate.lost.is_empty() {
        gate.problems.push(format!(
            "there is nothing to judge: {} pairs of cells have no metric with a threshold; run the same scenario on both sides",
            thousands(gate.matched_cells)
        ));
    }
    gate.verdict = overall(&gate);
    Ok(gate)
}

/// The worst of everything. A control alone decides nothing: the lines that it speaks for do.
fn overall(gate: &Gate) -> Verdict {
    if !gate.problems.is_empty() {
        return Verdict::Invalid;
    }
    let lines = gate.lines.iter().map(|line| line.verdict);
    lines.chain(gate.lost.iter().map(|lost| lost.verdict)).max().unwrap_or(Verdict::Pass)
}

fn check_input(base: &Side, new: &Side, options: &Options) -> Result<(), GateError> {
    let kernels = base.kernels();
    if options.across == Some(Across::Kernel) && kernels == new.kernels() {
        return Err(GateError::SameKernel(kernels.join(", ")));
    }
    for side in [base, new] {
        seeds_once(side)?;
    }
    let metrics = base.cells.iter().chain(&new.cells).flat_map(|cell| cell.metrics.keys());
    let there: BTreeSet<&str> = metrics.map(|key| key.name.as_str()).collect();
    for named in options.thresholds.named.keys() {
        if !there.contains(named.strip_suffix(".p99").unwrap_or(named)) {
            let there = list(&there.into_iter().collect::<Vec<_>>());
            return Err(GateError::UnknownMetric { metric: plain(named), there });
        }
    }
    Ok(())
}

/// Replicates are told apart by their seeds: each folder of a side must have its own.
fn seeds_once(side: &Side) -> Result<(), GateError> {
    let mut owners: BTreeMap<u64, usize> = BTreeMap::new();
    for cell in &side.cells {
        let (seed, folder) = (cell.labels.seed, cell.source);
        let owner = *owners.entry(seed).or_insert(folder);
        if owner != folder {
            let [first, second] = [owner, folder].map(|at| side.sources[at].dir.clone());
            return Err(GateError::SeedTwice { seed, first, second });
        }
    }
    Ok(())
}

/// Cells that decide, and those that are only named.
fn sort_unmatched(gate: &mut Gate, unmatched: Vec<Unmatched>, new: &Side) {
    for cell in unmatched {
        match lost_verdict(&cell, new, gate.across) {
            Some(verdict) => gate.lost.push(Lost { verdict, cell }),
            None => gate.unmatched.push(cell),
        }
    }
    gate.lost.sort_by_key(|lost| Reverse(lost.verdict));
}

/// What it means that the new side has no numbers where the base has; nothing when it was not
/// planned there, and for metrics that are never judged. Another build may measure other things.
fn lost_verdict(cell: &Unmatched, new: &Side, across: Option<Across>) -> Option<Verdict> {
    if cell.missing_in != MissingIn::New {
        return None;
    }
    if let Some(metric) = &cell.metric {
        let is_judged = metric.split_whitespace().next().and_then(metrics::kind)?.allowed.is_some();
        return (is_judged && across != Some(Across::Tool)).then_some(Verdict::Invalid);
    }
    if cell.reason == UNFINISHED {
        return Some(Verdict::Invalid);
    }
    match &new.cells.iter().find(|other| other.id == cell.cell)?.outcome {
        // A cell is skipped because a smaller one of its series was over its budget.
        Outcome::Censored { .. } | Outcome::Skipped { .. } => Some(Verdict::Regression),
        Outcome::Unsupported { .. } | Outcome::Invalid { .. } | Outcome::Failed { .. } => {
            Some(Verdict::Invalid)
        }
        Outcome::Measured => None,
    }
}

fn unlike_in_words(gate: &Gate) -> String {
    let count = gate.unlike.len();
    let named = gate.unlike.iter().take(FACTS_NAMED);
    let mut facts: Vec<String> = named.map(|difference| difference.fact.clone()).collect();
    if count > facts.len() {
        facts.push(format!("{} more", count - facts.len()));
    }
    let meant = match gate.across {
        Some(across) => format!("beside what --across {across} allows"),
        None => "and nothing was meant to (--across names one thing)".to_owned(),
    };
    format!(
        "the two were not recorded alike: {} facts differ, {meant}: {}",
        thousands(count as u64),
        list(&facts)
    )
}

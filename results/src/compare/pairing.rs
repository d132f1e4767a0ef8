//! Which cell belongs to which: equal in everything but the thing that is meant to differ. A cell
//! without a partner is kept with the reason; none disappears.

use std::collections::BTreeMap;

use super::comparison::{CompareError, MissingIn, Unmatched};
use super::side::{Cell, Side, in_words};
use crate::format::plain;
use crate::path::Path;
use crate::record::{Clock, Labels, Outcome, Place};

/// Reason of a cell that is only in the plan.
pub(crate) const UNFINISHED: &str = "planned but not finished; continue the run with --resume";

/// Pairs of measured cells (base, new), and what has no partner.
pub(super) struct Matched<'a> {
    pub cells: Vec<(&'a Cell, &'a Cell)>,
    pub unmatched: Vec<Unmatched>,
}

/// Everything in which partners agree.
type Key<'a> = (Place, Clock, &'a str, u64, u64, &'a str, &'a str, u64, &'a Path);

/// The kernel is empty when it is what differs.
fn key(labels: &Labels, across_kernels: bool) -> Key<'_> {
    let Labels { kernel, place, clock, proxy, services, endpoints, seed, measure, path } = labels;
    let kernel = if across_kernels { "" } else { kernel };
    (*place, *clock, proxy, *services, *endpoints, measure, kernel, *seed, path)
}

/// Pairs the cells of two sides.
pub(super) fn pair<'a>(base: &'a Side, new: &'a Side) -> Result<Matched<'a>, CompareError> {
    let across_kernels = comparable(base, new)?;
    let mut partners: BTreeMap<Key<'a>, [Option<&'a Cell>; 2]> = BTreeMap::new();
    for (at, side) in [base, new].into_iter().enumerate() {
        for cell in &side.cells {
            partners.entry(key(&cell.labels, across_kernels)).or_default()[at] = Some(cell);
        }
    }
    let mut matched = Matched { cells: Vec::new(), unmatched: Vec::new() };
    for pair in partners.into_values() {
        let (cell, missing_in, lacking) = match pair {
            [Some(base), Some(new)] => {
                both(&mut matched, base, new);
                continue;
            }
            [Some(cell), None] => (cell, MissingIn::New, new),
            [None, Some(cell)] => (cell, MissingIn::Base, base),
            [None, None] => continue,
        };
        let reason = absent(cell, lacking, across_kernels);
        matched.unmatched.push(unmatched(cell, missing_in, None, reason));
    }
    Ok(matched)
}

/// Whether the kernel is what differs; an error when the sides have nothing to compare.
fn comparable(base: &Side, new: &Side) -> Result<bool, CompareError> {
    if let Some(empty) = [base, new].into_iter().find(|side| side.cells.is_empty()) {
        return Err(CompareError::Empty(empty.names()));
    }
    if base.clocks().is_disjoint(&new.clocks()) {
        return Err(CompareError::Clocks {
            base: base.names(),
            base_clock: base.cells[0].labels.clock,
            new: new.names(),
            new_clock: new.cells[0].labels.clock,
        });
    }
    let (bases, news) = (base.kernels(), new.kernels());
    let across_kernels = bases.len() == 1 && news.len() == 1;
    if !across_kernels && !bases.iter().any(|kernel| news.contains(kernel)) {
        return Err(CompareError::NoCommonKernel { base: in_words(&bases), new: in_words(&news) });
    }
    Ok(across_kernels)
}

/// Two cells that belong together: a pair if both were measured, and the metrics that only one of
/// them has.
fn both<'a>(matched: &mut Matched<'a>, base: &'a Cell, new: &'a Cell) {
    let (cell, missing_in, reason) = match (without_numbers(base), without_numbers(new)) {
        (None, None) => {
            matched.cells.push((base, new));
            return lonely_metrics(matched, base, new);
        }
        (Some(a), Some(b)) if a == b => (new, MissingIn::Both, a),
        (Some(a), Some(b)) => (new, MissingIn::Both, format!("base {a}; new {b}")),
        (Some(reason), None) => (base, MissingIn::Base, reason),
        (None, Some(reason)) => (new, MissingIn::New, reason),
    };
    matched.unmatched.push(unmatched(cell, missing_in, None, reason));
}

fn lonely_metrics(matched: &mut Matched<'_>, base: &Cell, new: &Cell) {
    for (missing_in, one, other) in [(MissingIn::New, base, new), (MissingIn::Base, new, base)] {
        for key in one.metrics.keys().filter(|key| !other.metrics.contains_key(key)) {
            let metric = format!("{} {} ({})", key.name, key.label, key.unit);
            let reason = "this side's cell does not have the metric".to_owned();
            matched.unmatched.push(unmatched(other, missing_in, Some(metric), reason));
        }
    }
}

/// Why `cell` has no partner among the cells of `side`.
fn absent(cell: &Cell, side: &Side, across_kernels: bool) -> String {
    let mut labels = cell.labels.clone();
    if across_kernels {
        side.kernels()[0].clone_into(&mut labels.kernel);
    }
    let id = labels.cell_id();
    if side.cells.iter().any(|other| other.id == id) {
        return "its cell has another number of Endpoints".to_owned();
    }
    if side.sources.iter().any(|source| source.planned.contains(&id)) {
        return UNFINISHED.to_owned();
    }
    "not planned there".to_owned()
}

/// `unsupported: no ip_tables`; nothing for a cell that was measured.
fn without_numbers(cell: &Cell) -> Option<String> {
    let reason = plain(&cell.outcome.reason().unwrap_or_default());
    (cell.outcome != Outcome::Measured).then(|| format!("{}: {reason}", cell.outcome.kind()))
}

fn unmatched(
    cell: &Cell,
    missing_in: MissingIn,
    metric: Option<String>,
    reason: String,
) -> Unmatched {
    let Labels { kernel, proxy, services, seed, measure, path, .. } = cell.labels.clone();
    let cell = cell.id.clone();
    Unmatched { proxy, measure, path, services, seed, missing_in, kernel, cell, metric, reason }
}

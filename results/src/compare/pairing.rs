//! Which cell belongs to which: equal in everything but the thing that is meant to differ. A cell
//! without a partner is kept with the reason; none disappears.

use std::collections::{BTreeMap, BTreeSet};

use super::side::{Cell, Side, in_words};
use super::{CompareError, MissingIn, Unmatched};
use crate::format::plain;
use crate::record::{Clock, Labels, Outcome, Place};

/// Reason of a cell that is only in the plan.
pub(crate) const UNFINISHED: &str = "planned but not finished; continue the run with --resume";

/// Pairs of measured cells (base, new), and what has no partner.
pub(super) struct Matched<'a> {
    pub cells: Vec<(&'a Cell, &'a Cell)>,
    pub unmatched: Vec<Unmatched>,
}

/// Everything in which partners agree. The kernel is empty when it is what differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    place: Place,
    clock: Clock,
    proxy: &'a str,
    services: u64,
    endpoints: u64,
    measure: &'a str,
    kernel: &'a str,
    seed: u64,
}

impl<'a> Key<'a> {
    fn of(labels: &'a Labels, across_kernels: bool) -> Self {
        let Labels { kernel, place, clock, proxy, services, endpoints, seed, measure } = labels;
        Self {
            place: *place,
            clock: *clock,
            proxy,
            services: *services,
            endpoints: *endpoints,
            measure,
            kernel: if across_kernels { "" } else { kernel },
            seed: *seed,
        }
    }
}

/// Pairs the cells of two sides.
pub(super) fn pair<'a>(base: &'a Side, new: &'a Side) -> Result<Matched<'a>, CompareError> {
    let across_kernels = comparable(base, new)?;
    let index = |side: &'a Side| -> BTreeMap<Key<'a>, &'a Cell> {
        side.cells.iter().map(|cell| (Key::of(&cell.labels, across_kernels), cell)).collect()
    };
    let (bases, news) = (index(base), index(new));
    let keys: BTreeSet<&Key<'_>> = bases.keys().chain(news.keys()).collect();
    let mut matched = Matched { cells: Vec::new(), unmatched: Vec::new() };
    for key in keys {
        match (bases.get(key), news.get(key)) {
            (Some(a), Some(b)) => both(&mut matched, a, b),
            (Some(cell), None) => {
                let reason = absent(cell, new, across_kernels);
                matched.unmatched.push(unmatched(cell, MissingIn::New, None, reason));
            }
            (None, Some(cell)) => {
                let reason = absent(cell, base, across_kernels);
                matched.unmatched.push(unmatched(cell, MissingIn::Base, None, reason));
            }
            (None, None) => {}
        }
    }
    Ok(matched)
}

/// Whether the kernel is what differs; an error when the sides have nothing to compare.
fn comparable(base: &Side, new: &Side) -> Result<bool, CompareError> {
    for side in [base, new] {
        if side.cells.is_empty() {
            return Err(CompareError::Empty { run: side.names() });
        }
    }
    let (base_clocks, new_clocks) = (base.clocks(), new.clocks());
    if let (Some(&base_clock), Some(&new_clock)) = (base_clocks.first(), new_clocks.first())
        && !base_clocks.iter().any(|clock| new_clocks.contains(clock))
    {
        let (base, new) = (base.names(), new.names());
        return Err(CompareError::Clocks { base, base_clock, new, new_clock });
    }
    let (bases, news) = (base.kernels(), new.kernels());
    if bases.len() == 1 && news.len() == 1 {
        return Ok(true);
    }
    if bases.iter().any(|kernel| news.contains(kernel)) {
        return Ok(false);
    }
    Err(CompareError::NoCommonKernel { base: in_words(&bases), new: in_words(&news) })
}

/// Two cells that belong together: a pair if both were measured, and the metrics that only one of
/// them has.
fn both<'a>(matched: &mut Matched<'a>, base: &'a Cell, new: &'a Cell) {
    let lacks = |cell: &Cell| cell.outcome != Outcome::Measured;
    match (lacks(base), lacks(new)) {
        (false, false) => {}
        (true, true) => {
            let (a, b) = (outcome(base), outcome(new));
            let reason = if a == b { a } else { format!("base {a}; new {b}") };
            return matched.unmatched.push(unmatched(new, MissingIn::Both, None, reason));
        }
        (true, false) => {
            return matched.unmatched.push(unmatched(base, MissingIn::Base, None, outcome(base)));
        }
        (false, true) => {
            return matched.unmatched.push(unmatched(new, MissingIn::New, None, outcome(new)));
        }
    }
    for (missing_in, one, other) in [(MissingIn::New, base, new), (MissingIn::Base, new, base)] {
        for key in one.metrics.keys().filter(|key| !other.metrics.contains_key(key)) {
            let metric = format!("{} {} ({})", key.name, key.label, key.unit);
            let reason = "this side's cell does not have the metric".to_owned();
            matched.unmatched.push(unmatched(other, missing_in, Some(metric), reason));
        }
    }
    matched.cells.push((base, new));
}

/// Why `cell` has no partner among the cells of `side`.
fn absent(cell: &Cell, side: &Side, across_kernels: bool) -> String {
    let mut labels = cell.labels.clone();
    if across_kernels && let Some(kernel) = side.kernels().first() {
        (*kernel).clone_into(&mut labels.kernel);
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

/// `unsupported: no ip_tables`.
fn outcome(cell: &Cell) -> String {
    let reason = plain(&cell.outcome.reason().unwrap_or_default());
    format!("{}: {reason}", cell.outcome.kind())
}

fn unmatched(
    cell: &Cell,
    missing_in: MissingIn,
    metric: Option<String>,
    reason: String,
) -> Unmatched {
    let Labels { kernel, proxy, services, seed, measure, .. } = cell.labels.clone();
    Unmatched {
        proxy,
        measure,
        services,
        seed,
        missing_in,
        kernel,
        cell: cell.id.clone(),
        metric,
        reason,
    }
}

//! What stored runs say of one condition: its values by size and seed, and the cells that have
//! none.
//!
//! Nothing is fitted or judged here.

use std::collections::BTreeSet;

use super::cost::Point;
use super::slo::{Condition, Limit, Statistic};
use super::{Gap, ValueUnit};
use crate::format::plain;
use crate::record::{CellRecord, Outcome, Unit};
use crate::view::{Group, Replicate, View};

/// The control, which a limit may be relative to.
pub(super) use crate::proxies::CONTROL;

/// Position, part or detail that a condition means in this group.
pub(super) fn label(group: &Group<'_>, condition: &Condition) -> Option<String> {
    let given = condition.label.as_deref();
    given.or_else(|| group.worst_position(&condition.metric)).map(str::to_owned)
}

/// Unit of a condition's values in this group; `None` when nothing was measured.
pub(super) fn unit(group: &Group<'_>, condition: &Condition, label: &str) -> Option<Unit> {
    group.amounts(&condition.metric, label).first().map(|(unit, ..)| *unit)
}

/// Values as they are compared with the limit: as measured, or over those of `none`. The reason
/// when there are none that can be used.
pub(super) fn points(
    group: &Group<'_>,
    condition: &Condition,
    label: &str,
    proxy: &str,
) -> Result<(ValueUnit, Vec<Point>), String> {
    let unit = unit(group, condition, label).ok_or_else(|| not_measured(condition, label))?;
    let Limit::TimesNone(_) = condition.limit else {
        return Ok((ValueUnit::Stored(unit), values(group, condition, label, proxy)?));
    };
    let mut points = Vec::new();
    for size in sizes(group, condition, label, proxy) {
        let read = |proxy: &str| {
            numbers(group.replicates(&condition.metric, label, proxy, size), condition)
        };
        let (ours, floor) = (read(proxy)?, read(CONTROL)?);
        let ratios: Vec<f64> = ours
            .iter()
            .filter_map(|(seed, value)| {
                let (_, floor) = floor.iter().find(|(other, _)| other == seed)?;
                Some(value / floor)
            })
            .collect();
        if !ratios.is_empty() {
            points.push(Point { size, values: ratios });
        }
    }
    if points.is_empty() {
        return Err(format!(
            "no size and seed has both {proxy} and none, which the limit is relative to; run them together"
        ));
    }
    Ok((ValueUnit::TimesNone, points))
}

/// Values as measured, ascending in size.
pub(super) fn values(
    group: &Group<'_>,
    condition: &Condition,
    label: &str,
    proxy: &str,
) -> Result<Vec<Point>, String> {
    let unit = unit(group, condition, label).ok_or_else(|| not_measured(condition, label))?;
    let mut points = Vec::new();
    for size in sizes(group, condition, label, proxy) {
        let replicates = group.replicates_in(unit, &condition.metric, label, proxy, size);
        let values: Vec<f64> =
            numbers(replicates, condition)?.into_iter().map(|(_, value)| value).collect();
        if !values.is_empty() {
            points.push(Point { size, values });
        }
    }
    if points.is_empty() { Err(not_measured(condition, label)) } else { Ok(points) }
}

fn not_measured(condition: &Condition, label: &str) -> String {
    format!("{} was not measured", condition.subject(label))
}

fn sizes(group: &Group<'_>, condition: &Condition, label: &str, proxy: &str) -> BTreeSet<u64> {
    let amounts = group.amounts(&condition.metric, label).into_iter();
    amounts.filter(|(_, name, size)| *name == proxy && *size > 0).map(|(_, _, size)| size).collect()
}

/// The statistic of each seed.
fn numbers(replicates: &[Replicate], condition: &Condition) -> Result<Vec<(u64, f64)>, String> {
    let statistic = condition.statistic;
    let mut numbers = Vec::new();
    for Replicate { seed, samples } in replicates.iter().filter(|one| one.samples.count() > 0) {
        if samples.count() < statistic.needs() {
            return Err(format!(
                "{} of {} values is just the largest: measure at least {} connections a cell, or limit another statistic",
                statistic.name(),
                samples.count(),
                statistic.needs()
            ));
        }
        let value = match statistic {
            Statistic::Percentile(share) => samples.percentile(share).map(|value| value as f64),
            Statistic::Mean => samples.mean(),
            Statistic::Max => samples.max().map(|value| value as f64),
        };
        match value {
            Some(value) if value > 0.0 => numbers.push((*seed, value)),
            _ => {
                return Err(format!(
                    "{} is 0 in a cell, which a fit by relative error cannot use",
                    condition.metric
                ));
            }
        }
    }
    Ok(numbers)
}

/// Groups of metrics whose cells hold this metric, in any group of the runs.
pub(super) fn measures<'a>(
    view: &View<'a>,
    condition: &Condition,
    label: &str,
) -> BTreeSet<&'a str> {
    let holds = |cell: &&CellRecord| {
        cell.metrics.iter().any(|metric| metric.name == condition.metric && metric.label == label)
    };
    view.cells().filter(holds).map(|cell| cell.labels.measure.as_str()).collect()
}

/// Cells of a proxy that should hold one of `measures` and hold no numbers, ascending in size.
pub(super) fn gaps(group: &Group<'_>, proxy: &str, measures: &BTreeSet<&str>) -> Vec<Gap> {
    let wanted = |cell: &&CellRecord| {
        cell.labels.proxy == proxy && measures.contains(cell.labels.measure.as_str())
    };
    let mut gaps: Vec<Gap> = group.gaps().filter(wanted).map(gap).collect();
    gaps.sort();
    gaps
}

fn gap(cell: &CellRecord) -> Gap {
    let why = cell.outcome.reason().map_or(String::new(), |reason| format!(": {}", plain(&reason)));
    let kind = match &cell.outcome {
        Outcome::Censored { .. } => "over the time that a cell may take",
        other => other.kind(),
    };
    Gap {
        services: cell.labels.services,
        seed: cell.labels.seed,
        measure: cell.labels.measure.clone(),
        reason: format!("{kind}{why}"),
    }
}

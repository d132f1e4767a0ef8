//! What stored runs say of one condition: its values by size and seed, and the cells that have
//! none.
//!
//! Nothing is fitted or judged here.

use std::collections::BTreeSet;

use super::cost::MeasuredPoint;
use super::plan::{Gap, ValueUnit};
use super::slo::{Condition, Limit};
use crate::format::{plain, thousands};
use crate::proxies::CONTROL;
use crate::record::{CellRecord, Outcome, Unit};
use crate::view::{Group, Replicate, View};

/// One condition in one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub group: &'a Group<'a>,
    pub condition: &'a Condition,
    /// Position, part or detail that is meant here.
    pub label: &'a str,
}

impl<'a> Subject<'a> {
    pub fn of(group: &'a Group<'a>, condition: &'a Condition) -> Self {
        let given = condition.label.as_deref();
        let label = given.or_else(|| group.worst_position(&condition.metric)).unwrap_or("last");
        Self { group, condition, label }
    }

    /// For example `connect p99, last Service`.
    pub fn name(&self) -> String {
        self.condition.subject(self.label)
    }

    /// Unit of its values; `None` when nothing was measured.
    pub fn unit(&self) -> Option<Unit> {
        self.amounts().first().map(|(unit, ..)| *unit)
    }

    /// Units, proxies and sizes that were measured.
    fn amounts(&self) -> Vec<(Unit, &'a str, u64)> {
        self.group.amounts(&self.condition.metric, self.label)
    }

    /// Values as they are compared with the limit, ascending in size: as measured, or over those of
    /// `none`. The reason when there are none that can be used.
    pub fn points(&self, proxy: &str) -> Result<(ValueUnit, Vec<MeasuredPoint>), String> {
        let not_measured = || format!("{} was not measured", self.name());
        let unit = self.unit().ok_or_else(not_measured)?;
        let is_relative = matches!(self.condition.limit, Limit::TimesNone(_));
        let here = self.amounts().into_iter().filter(|(_, name, size)| *name == proxy && *size > 0);
        let sizes: BTreeSet<u64> = here.map(|(_, _, size)| size).collect();
        let mut points = Vec::new();
        for size in sizes {
            let read = |proxy: &str| self.numbers(unit, proxy, size);
            let ours = read(proxy)?.into_iter();
            let values = if is_relative {
                let floor = read(CONTROL)?;
                let of_seed = |seed| Some(floor.iter().find(|(other, _)| *other == seed)?.1);
                ours.filter_map(|(seed, value)| Some(value / of_seed(seed)?)).collect()
            } else {
                ours.map(|(_, value)| value).collect()
            };
            points.extend(MeasuredPoint::of(size, values));
        }
        match (points.is_empty(), is_relative) {
            (false, true) => Ok((ValueUnit::TimesNone, points)),
            (false, false) => Ok((ValueUnit::Stored(unit), points)),
            (true, true) => Err(format!(
                "no size and seed has both {proxy} and none, which the limit is relative to; run them together"
            )),
            (true, false) => Err(not_measured()),
        }
    }

    /// The statistic of each seed.
    fn numbers(&self, unit: Unit, proxy: &str, size: u64) -> Result<Vec<(u64, f64)>, String> {
        let Condition { metric, statistic, .. } = self.condition;
        let (name, needs) = (statistic.name(), statistic.values_needed());
        let replicates = self.group.replicates_in(unit, metric, self.label, proxy, size);
        let number = |Replicate { seed, samples }: &Replicate| {
            if samples.count() < needs {
                return Err(format!(
                    "{name} of {} values is a matter of chance: measure at least {} connections a cell (`connections` of the scenario), or limit another statistic, such as p50 or max",
                    thousands(samples.count()),
                    thousands(needs)
                ));
            }
            statistic
                .of(samples)
                .filter(|value| *value > 0.0)
                .map(|value| (*seed, value))
                .ok_or_else(|| {
                    format!("{metric} is 0 in a cell, which a fit by relative error cannot use")
                })
        };
        replicates.iter().filter(|one| one.samples.count() > 0).map(number).collect()
    }

    /// Cells of a proxy that should hold this, as some cell of the runs does, and hold no numbers;
    /// ascending in size.
    pub fn gaps(&self, view: &View<'_>, proxy: &str) -> Vec<Gap> {
        let holds = |cell: &&CellRecord| {
            let mut metrics = cell.metrics.iter();
            metrics.any(|one| one.name == self.condition.metric && one.label == self.label)
        };
        let measures: BTreeSet<&str> =
            view.cells().filter(holds).map(|cell| cell.labels.measure.as_str()).collect();
        let wanted = |cell: &&CellRecord| {
            cell.labels.proxy == proxy && measures.contains(cell.labels.measure.as_str())
        };
        let mut gaps: Vec<Gap> = self.group.gaps().filter(wanted).map(gap).collect();
        gaps.sort();
        gaps
    }
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

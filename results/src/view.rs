//! Stored runs arranged for reading: grouped by what may be compared, indexed by proxy, metric,
//! label and size.
//!
//! Two numbers of one [`Group`] share kernel, place and clock, so they may stand in one table or on
//! one axis. Nothing is said about them here; that is for `findings`, `tables` and `plots`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use crate::distribution::{DistributionError, Samples};
use crate::kernel::compare_versions;
use crate::proxies::Proxies;
use crate::record::{CellRecord, Clock, Labels, Outcome, Place, Unit};
use crate::stats::Spread;
use crate::store::Run;

/// Positions of the dialled Service, in the order of the rules.
const POSITION_ORDER: [&str; 6] = ["first", "p25", "p50", "p75", "last", "random"];

/// What the numbers of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupKey {
    pub kernel: String,
    pub place: Place,
    pub clock: Clock,
}

/// Values of one metric of one cell.
#[derive(Debug, Clone)]
pub(crate) struct Replicate {
    pub seed: u64,
    pub samples: Samples,
}

/// All cells that may be compared with each other, and their metrics.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub key: GroupKey,
    pub cells: Vec<&'a CellRecord>,
    /// What the runs tell of their proxies.
    pub known: Proxies,
    points: BTreeMap<PointKey, Vec<Replicate>>,
}

/// Everything a report is made from.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub runs: &'a [Run],
    pub groups: Vec<Group<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PointKey {
    metric: String,
    label: String,
    unit: Unit,
    proxy: ProxyName,
    services: u64,
}

/// A proxy's name, ordered as the runs tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ProxyName {
    rank: u32,
    name: String,
}

impl GroupKey {
    /// For headings: `kernel 6.1.0, guest, instructions clock`.
    pub fn title(&self) -> String {
        format!("kernel {}, {}, {} clock", self.kernel, self.place, self.clock)
    }

    /// For file names: `6.1.0.guest.instructions`.
    pub fn slug(&self) -> String {
        format!("{}.{}.{}", self.kernel, self.place, self.clock)
    }
}

/// Why runs cannot be looked at together.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Nothing to report on.
    #[error("there is no run to report on; name at least one results folder")]
    NoRuns,
    /// Two runs hold the same cell.
    #[error("cell {id} is in both {} and {}; report the runs apart, or set them side by side with `vipbench compare`", .first.display(), .second.display())]
    DuplicateCell {
        /// The cell.
        id: String,
        /// A run that holds it.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// A metric's values cannot be trusted.
    #[error("cell {cell}, metric {metric}: {source}")]
    Values {
        /// The cell.
        cell: String,
        /// Name and label.
        metric: String,
        /// What is wrong.
        source: DistributionError,
    },
}

impl<'a> View<'a> {
    /// Groups and decodes. Two runs may hold the same cell only to be compared, which a report does
    /// not do.
    pub fn new(runs: &'a [Run]) -> Result<Self, ViewError> {
        if runs.is_empty() {
            return Err(ViewError::NoRuns);
        }
        let known = Proxies::of(runs.iter().map(|run| &run.record));
        let mut owners: HashMap<&str, &Run> = HashMap::new();
        let mut groups: Vec<Group<'a>> = Vec::new();
        for run in runs {
            for cell in &run.cells {
                if let Some(first) = owners.insert(&cell.id, run) {
                    return Err(ViewError::DuplicateCell {
                        id: cell.id.clone(),
                        first: first.dir.clone(),
                        second: run.dir.clone(),
                    });
                }
                group_of(&mut groups, &known, cell).add(cell)?;
            }
        }
        groups.sort_by(|a, b| {
            let by_kernel = || compare_versions(&a.key.kernel, &b.key.kernel);
            (a.key.clock, a.key.place).cmp(&(b.key.clock, b.key.place)).then_with(by_kernel)
        });
        Ok(Self { runs, groups })
    }

    /// Every cell of every group.
    pub fn cells(&self) -> impl Iterator<Item = &'a CellRecord> {
        self.groups.iter().flat_map(|group| group.cells.iter().copied())
    }
}

fn group_of<'g, 'a>(
    groups: &'g mut Vec<Group<'a>>,
    known: &Proxies,
    cell: &CellRecord,
) -> &'g mut Group<'a> {
    let labels = &cell.labels;
    let key = GroupKey { kernel: labels.kernel.clone(), place: labels.place, clock: labels.clock };
    let at = groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
        let known = known.clone();
        groups.push(Group { key, cells: Vec::new(), known, points: BTreeMap::new() });
        groups.len() - 1
    });
    &mut groups[at]
}

impl<'a> Group<'a> {
    fn add(&mut self, cell: &'a CellRecord) -> Result<(), ViewError> {
        for metric in &cell.metrics {
            let samples = metric.data.samples().map_err(|source| ViewError::Values {
                cell: cell.id.clone(),
                metric: format!("{} {}", metric.name, metric.label),
                source,
            })?;
            let replicate = Replicate { seed: cell.labels.seed, samples };
            let Labels { proxy, services, .. } = &cell.labels;
            let key = self.point_key(metric.unit, &metric.name, &metric.label, proxy, *services);
            self.points.entry(key).or_default().push(replicate);
        }
        self.cells.push(cell);
        Ok(())
    }

    fn point_key(
        &self,
        unit: Unit,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
    ) -> PointKey {
        let proxy = ProxyName { rank: self.known.rank(proxy), name: proxy.to_owned() };
        PointKey { metric: metric.to_owned(), label: label.to_owned(), unit, proxy, services }
    }

    /// Unit of the timings here.
    pub fn unit(&self) -> Unit {
        self.key.clock.unit()
    }

    /// Proxies that have this timing at any size, in the fixed order.
    pub fn proxies(&self, metric: &str, label: &str) -> Vec<&str> {
        let names: BTreeSet<&ProxyName> = self
            .points
            .keys()
            .filter(|key| key.is(metric, label, self.unit()))
            .map(|key| &key.proxy)
            .collect();
        names.into_iter().map(|name| name.name.as_str()).collect()
    }

    /// All proxies, in the fixed order.
    pub fn all_proxies(&self) -> Vec<&str> {
        let names: BTreeSet<&ProxyName> = self.points.keys().map(|key| &key.proxy).collect();
        names.into_iter().map(|name| name.name.as_str()).collect()
    }

    /// Sizes at which any proxy has this timing, ascending.
    pub fn sizes(&self, metric: &str, label: &str) -> Vec<u64> {
        let sizes: BTreeSet<u64> = self
            .points
            .keys()
            .filter(|key| key.is(metric, label, self.unit()))
            .map(|key| key.services)
            .collect();
        sizes.into_iter().collect()
    }

    /// Names of all metrics, in order.
    pub fn metrics(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.points.keys().map(|key| key.metric.as_str()).collect();
        names.dedup();
        names
    }

    /// Labels of a metric in any unit: positions in the order of the rules, others by name.
    pub fn labels(&self, metric: &str) -> Vec<&str> {
        let mut labels: Vec<&str> = self
            .points
            .keys()
            .filter(|key| key.metric == metric)
            .map(|key| key.label.as_str())
            .collect();
        let rank = |label: &str| POSITION_ORDER.iter().position(|name| *name == label);
        labels.sort_by_key(|label| (rank(label).unwrap_or(POSITION_ORDER.len()), *label));
        labels.dedup();
        labels
    }

    /// Units, proxies and sizes of a metric and label that may be counted in any unit.
    pub fn amounts(&self, metric: &str, label: &str) -> Vec<(Unit, &str, u64)> {
        self.points
            .keys()
            .filter(|key| key.metric == metric && key.label == label)
            .map(|key| (key.unit, key.proxy.name.as_str(), key.services))
            .collect()
    }

    /// The position that stands for the worst case: `last`, or else the last one there is.
    pub fn worst_position(&self, metric: &str) -> Option<&str> {
        let labels = self.labels(metric);
        labels.iter().find(|label| **label == "last").or(labels.last()).copied()
    }

    /// Values of one timing, one replicate a cell.
    pub fn replicates(
        &self,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
    ) -> &[Replicate] {
        self.replicates_in(self.unit(), metric, label, proxy, services)
    }

    /// The same of an amount in `unit`.
    pub fn replicates_in(
        &self,
        unit: Unit,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
    ) -> &[Replicate] {
        let key = self.point_key(unit, metric, label, proxy, services);
        self.points.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Values of one timing of all seeds together.
    pub fn pooled(&self, metric: &str, label: &str, proxy: &str, services: u64) -> Samples {
        self.pooled_in(self.unit(), metric, label, proxy, services)
    }

    /// The same of an amount in `unit`.
    pub fn pooled_in(
        &self,
        unit: Unit,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
    ) -> Samples {
        let replicates = self.replicates_in(unit, metric, label, proxy, services);
        Samples::pooled(replicates.iter().map(|replicate| &replicate.samples))
    }

    /// A percentile of one timing: over the seeds, the median and the ends of each seed's
    /// percentile.
    pub fn stat(
        &self,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
        quantile: f64,
    ) -> Option<Spread> {
        spread(self.replicates(metric, label, proxy, services), quantile)
    }

    /// The median of an amount in `unit`, over the seeds.
    pub fn amount(
        &self,
        unit: Unit,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
    ) -> Option<Spread> {
        spread(self.replicates_in(unit, metric, label, proxy, services), 0.5)
    }

    /// Medians of one timing over all proxies, sizes and seeds, for what none of them should
    /// change.
    pub fn over_all(&self, metric: &str, label: &str) -> Option<Spread> {
        let replicates = self
            .points
            .iter()
            .filter(|(key, _)| key.is(metric, label, self.unit()))
            .flat_map(|(_, replicates)| replicates);
        Spread::of(
            replicates.filter_map(|replicate| Some(replicate.samples.percentile(0.5)? as f64)),
        )
    }

    /// A percentile of one timing at every size it was measured at, ascending.
    pub fn series(
        &self,
        metric: &str,
        label: &str,
        proxy: &str,
        quantile: f64,
    ) -> Vec<(u64, Spread)> {
        self.sizes(metric, label)
            .into_iter()
            .filter_map(|services| {
                Some((services, self.stat(metric, label, proxy, services, quantile)?))
            })
            .collect()
    }

    /// Seeds that have any number, ascending.
    pub fn seeds(&self) -> Vec<u64> {
        let seeds: BTreeSet<u64> =
            self.points.values().flatten().map(|replicate| replicate.seed).collect();
        seeds.into_iter().collect()
    }

    /// Cells without numbers.
    pub fn gaps(&self) -> impl Iterator<Item = &'a CellRecord> {
        self.cells.iter().copied().filter(|cell| cell.outcome != Outcome::Measured)
    }
}

impl PointKey {
    fn is(&self, metric: &str, label: &str, unit: Unit) -> bool {
        self.metric == metric && self.label == label && self.unit == unit
    }
}

fn spread(replicates: &[Replicate], quantile: f64) -> Option<Spread> {
    let values = replicates.iter().filter_map(|replicate| replicate.samples.percentile(quantile));
    Spread::of(values.map(|value| value as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn clocks_and_kernels_never_share_a_group() {
        let runs = [fixture::wall(), fixture::stored(), fixture::other_kernel()];
        let view = View::new(&runs).unwrap();
        let titles: Vec<String> = view.groups.iter().map(|group| group.key.title()).collect();
        assert_eq!(
            titles,
            [
                "kernel 6.18.44, host, wall clock",
                "kernel 5.10.0-32-cloud-amd64, guest, instructions clock",
                "kernel 6.1.0-56-cloud-amd64, guest, instructions clock",
            ]
        );
    }

    #[test]
    fn the_same_cell_in_two_runs_is_refused() {
        let runs = [fixture::stored(), fixture::stored()];
        assert!(matches!(View::new(&runs), Err(ViewError::DuplicateCell { .. })));
        assert!(matches!(View::new(&[]), Err(ViewError::NoRuns)));
    }

    #[test]
    fn proxies_positions_and_sizes_have_a_fixed_order() {
        let runs = [fixture::stored()];
        let view = View::new(&runs).unwrap();
        let group = &view.groups[0];
        assert_eq!(
            group.proxies("connect", "last"),
            ["none", "iptables-legacy", "iptables-nft", "ipvs"]
        );
        assert_eq!(group.labels("connect"), ["first", "p50", "last"]);
        assert_eq!(group.sizes("connect", "last"), [10, 100, 1000, 10_000]);
        assert_eq!(group.seeds(), [1, 2]);
        assert_eq!(group.gaps().count(), 2);
    }

    #[test]
    fn a_statistic_is_the_median_over_seeds() {
        let runs = [fixture::stored()];
        let view = View::new(&runs).unwrap();
        let stat = view.groups[0].stat("sync.full", "total", "ipvs", 10_000, 0.5).unwrap();
        let (min, max) = (611_900_000.0, 613_939_666.0);
        assert_eq!(stat, Spread { median: f64::midpoint(min, max), min, max, count: 2 });
    }
}

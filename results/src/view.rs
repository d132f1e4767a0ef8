//! Stored runs arranged for reading: grouped by what may be compared, indexed by proxy, metric,
//! label and size.
//!
//! Two numbers of one [`Group`] share kernel, place, clock and path, so they may stand in one table
//! or on one axis. Nothing is said about them here; that is for `findings`, `tables` and `plots`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use crate::distribution::Samples;
use crate::kernel::compare_versions;
use crate::path::Path;
use crate::proxies::{CONTROL, Proxies};
use crate::record::{CellRecord, Clock, Labels, Outcome, Place, Unit};
use crate::shape::Shape;
use crate::stats::Spread;
use crate::store::Run;
use crate::values::{ValuesError, decoded};

/// Positions of the dialled Service, in the order of the rules.
const POSITION_ORDER: [&str; 6] = ["first", "p25", "p50", "p75", "last", "random"];

/// What the numbers of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupKey {
    pub kernel: String,
    pub place: Place,
    pub clock: Clock,
    pub path: Path,
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
    /// Its place in the view.
    index: usize,
    pub cells: Vec<&'a CellRecord>,
    /// What the runs tell of their proxies.
    pub known: Proxies,
    /// What their Services look like.
    pub shape: Shape,
    /// By metric, label and unit.
    points: BTreeMap<(String, String, Unit), Points>,
}

/// Replicates by proxy (its place among them, and its name) and size.
type Points = BTreeMap<((u32, String), u64), Vec<Replicate>>;

/// Everything a report is made from.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub runs: &'a [Run],
    pub groups: Vec<Group<'a>>,
}

/// One timing of a group, p50: over the seeds, the median and the ends of theirs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing<'g> {
    group: &'g Group<'g>,
    metric: &'g str,
    pub label: &'g str,
}

impl GroupKey {
    /// Of a cell.
    pub fn of(labels: &Labels) -> Self {
        let Labels { kernel, place, clock, path, .. } = labels;
        Self { kernel: kernel.clone(), place: *place, clock: *clock, path: path.clone() }
    }

    /// For headings: `kernel 6.1.0, guest, instructions clock`.
    pub fn title(&self) -> String {
        format!("kernel {}, {}", self.kernel, self.place_and_clock())
    }

    /// The same without the kernel: `guest, instructions clock`, and the path that is not usual.
    pub fn place_and_clock(&self) -> String {
        format!("{}, {} clock{}", self.place, self.clock, self.path.in_title())
    }

    /// For file names: `6.1.0.guest.instructions`.
    pub fn slug(&self) -> String {
        format!("{}.{}.{}{}", self.kernel, self.place, self.clock, self.path.suffix())
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
    #[error(transparent)]
    Values(#[from] ValuesError),
}

/// What groups are sorted by before their kernels.
fn by_kind(labels: &Labels) -> (Clock, Place, ([usize; 5], &Path)) {
    (labels.clock, labels.place, labels.path.order_key())
}

impl<'a> View<'a> {
    /// Groups and decodes. Two runs may hold the same cell only to be compared, which a report does
    /// not do.
    pub fn new(runs: &'a [Run]) -> Result<Self, ViewError> {
        if runs.is_empty() {
            return Err(ViewError::NoRuns);
        }
        let mut owners: HashMap<&str, &Run> = HashMap::new();
        for run in runs {
            for cell in &run.cells {
                if let Some(first) = owners.insert(&cell.id, run) {
                    let (first, second) = (first.dir.clone(), run.dir.clone());
                    return Err(ViewError::DuplicateCell { id: cell.id.clone(), first, second });
                }
            }
        }
        let known = Proxies::of(runs.iter().map(|run| &run.record));
        let mut cells: Vec<&CellRecord> = runs.iter().flat_map(|run| &run.cells).collect();
        cells.sort_by(|a, b| {
            let by_kernel = || compare_versions(&a.labels.kernel, &b.labels.kernel);
            by_kind(&a.labels).cmp(&by_kind(&b.labels)).then_with(by_kernel)
        });
        let groups = cells.chunk_by(|a, b| GroupKey::of(&a.labels) == GroupKey::of(&b.labels));
        let group = |(index, cells)| Group::of(index, cells, &known, Shape::of(runs, cells));
        let groups = groups.enumerate().map(group).collect::<Result<_, _>>()?;
        Ok(Self { runs, groups })
    }

    /// The groups that share place, clock and path, their kernels in version order.
    pub fn families(&self) -> impl Iterator<Item = &[Group<'a>]> {
        let kind = |group: &Group<'a>| {
            let GroupKey { place, clock, path, kernel: _ } = group.key.clone();
            (clock, place, path)
        };
        self.groups.chunk_by(move |a, b| kind(a) == kind(b))
    }

    /// Every cell of every group.
    pub fn cells(&self) -> impl Iterator<Item = &'a CellRecord> {
        self.groups.iter().flat_map(|group| group.cells.iter().copied())
    }
}

impl<'a> Group<'a> {
    /// Of cells that have one key.
    fn of(
        index: usize,
        cells: &[&'a CellRecord],
        known: &Proxies,
        shape: Shape,
    ) -> Result<Self, ValuesError> {
        let mut points: BTreeMap<_, Points> = BTreeMap::new();
        for cell in cells {
            let Labels { proxy, services, seed, .. } = &cell.labels;
            for metric in &cell.metrics {
                let replicate = Replicate { seed: *seed, samples: decoded(cell, metric)? };
                let key = (metric.name.clone(), metric.label.clone(), metric.unit);
                let point = ((known.rank(proxy), proxy.clone()), *services);
                points.entry(key).or_default().entry(point).or_default().push(replicate);
            }
        }
        let (key, known) = (GroupKey::of(&cells[0].labels), known.clone());
        Ok(Self { key, index, cells: cells.to_vec(), known, shape, points })
    }

    /// Where a page has the cells of one proxy, size and measure, a line a seed.
    pub fn anchor(&self, labels: &Labels) -> String {
        let Labels { proxy, services, measure, .. } = labels;
        format!("cells-{}-{proxy}-{services}-{measure}", self.index)
    }

    /// The same of the cells that have a metric; empty without one.
    pub fn anchor_of(&self, metric: &str, proxy: &str, services: u64) -> String {
        let mut cells = self
            .cells
            .iter()
            .filter(|cell| cell.labels.services == services && cell.labels.proxy == proxy);
        let cell = cells.find(|cell| cell.metrics.iter().any(|one| one.name == metric));
        cell.map_or(String::new(), |cell| self.anchor(&cell.labels))
    }

    /// Unit of the timings here.
    pub fn unit(&self) -> Unit {
        self.key.clock.unit()
    }

    /// One timing of all proxies and sizes.
    pub fn timing<'g>(&'g self, metric: &'g str, label: &'g str) -> Timing<'g> {
        Timing { group: self, metric, label }
    }

    /// The same at the worst position.
    pub fn worst_timing<'g>(&'g self, metric: &'g str) -> Option<Timing<'g>> {
        Some(self.timing(metric, self.worst_position(metric)?))
    }

    fn of_unit(&self, unit: Unit, metric: &str, label: &str) -> Option<&Points> {
        self.points.get(&(metric.to_owned(), label.to_owned(), unit))
    }

    fn of_timing(&self, metric: &str, label: &str) -> impl Iterator<Item = (&str, u64)> {
        let points = self.of_unit(self.unit(), metric, label).into_iter().flatten();
        points.map(|(((_, proxy), size), _)| (proxy.as_str(), *size))
    }

    /// Proxies that have this timing at any size, in the fixed order.
    pub fn proxies(&self, metric: &str, label: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self.of_timing(metric, label).map(|(proxy, _)| proxy).collect();
        names.dedup();
        names
    }

    /// All proxies, in the fixed order.
    pub fn all_proxies(&self) -> Vec<&str> {
        let names: BTreeSet<&(u32, String)> =
            self.points.values().flat_map(|points| points.keys().map(|(proxy, _)| proxy)).collect();
        names.into_iter().map(|(_, name)| name.as_str()).collect()
    }

    /// Sizes at which any proxy has this timing, ascending.
    pub fn sizes(&self, metric: &str, label: &str) -> Vec<u64> {
        let sizes: BTreeSet<u64> = self.of_timing(metric, label).map(|(_, size)| size).collect();
        sizes.into_iter().collect()
    }

    /// Names of all metrics, in order.
    pub fn metrics(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.points.keys().map(|(name, ..)| name.as_str()).collect();
        names.dedup();
        names
    }

    /// Labels of a metric in any unit: positions in the order of the rules, others by name.
    pub fn labels(&self, metric: &str) -> Vec<&str> {
        let mine = self.points.keys().filter(|(name, ..)| name == metric);
        let mut labels: Vec<&str> = mine.map(|(_, label, _)| label.as_str()).collect();
        let rank = |label: &str| POSITION_ORDER.iter().position(|name| *name == label);
        labels.sort_by_key(|label| (rank(label).unwrap_or(POSITION_ORDER.len()), *label));
        labels.dedup();
        labels
    }

    /// Units, proxies and sizes of a metric and label that may be counted in any unit.
    pub fn amounts(&self, metric: &str, label: &str) -> Vec<(Unit, &str, u64)> {
        let mine =
            self.points.iter().filter(|((name, of, _), _)| (&**name, &**of) == (metric, label));
        let amounts = mine.flat_map(|((.., unit), points)| {
            points.keys().map(|((_, proxy), size)| (*unit, proxy.as_str(), *size))
        });
        amounts.collect()
    }

    /// The position that stands for the worst case: `last`, or else the last one there is.
    pub fn worst_position(&self, metric: &str) -> Option<&str> {
        let labels = self.labels(metric);
        labels.iter().find(|label| **label == "last").or(labels.last()).copied()
    }

    /// Values of an amount or timing in `unit`, one replicate a cell.
    pub fn replicates_in(
        &self,
        unit: Unit,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
    ) -> &[Replicate] {
        let key = ((self.known.rank(proxy), proxy.to_owned()), services);
        let points = self.of_unit(unit, metric, label);
        points.and_then(|points| points.get(&key)).map_or(&[], Vec::as_slice)
    }

    /// The same of all seeds together.
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

    /// Where a percentile lies, by rank, 95 times of 100: the ends of the seeds' intervals. The
    /// median over the seeds is always between them, which it need not be where seeds are pooled.
    pub fn percentile_interval(
        &self,
        metric: &str,
        label: &str,
        proxy: &str,
        services: u64,
        quantile: f64,
    ) -> Option<(u64, u64)> {
        let replicates = self.replicates_in(self.unit(), metric, label, proxy, services);
        let of_seeds =
            replicates.iter().filter_map(|one| one.samples.percentile_interval(quantile));
        of_seeds.reduce(|(low, high), (other_low, other_high)| {
            (low.min(other_low), high.max(other_high))
        })
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
        spread(self.replicates_in(self.unit(), metric, label, proxy, services), quantile)
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
        spread(self.of_unit(self.unit(), metric, label)?.values().flatten(), 0.5)
    }

    /// A percentile of one timing at every size it was measured at, ascending.
    pub fn series(
        &self,
        metric: &str,
        label: &str,
        proxy: &str,
        quantile: f64,
    ) -> Vec<(u64, Spread)> {
        let at = |size| Some((size, self.stat(metric, label, proxy, size, quantile)?));
        self.sizes(metric, label).into_iter().filter_map(at).collect()
    }

    /// Seeds that have any number, ascending.
    pub fn seeds(&self) -> Vec<u64> {
        let replicates = self.points.values().flat_map(BTreeMap::values).flatten();
        let seeds: BTreeSet<u64> = replicates.map(|replicate| replicate.seed).collect();
        seeds.into_iter().collect()
    }

    /// Cells without numbers.
    pub fn gaps(&self) -> impl Iterator<Item = &'a CellRecord> {
        self.cells.iter().copied().filter(|cell| cell.outcome != Outcome::Measured)
    }
}

impl<'g> Timing<'g> {
    /// Sizes at which any proxy has it, ascending.
    pub fn sizes(&self) -> Vec<u64> {
        self.group.sizes(self.metric, self.label)
    }

    /// Proxies that have it, in the fixed order.
    pub fn proxies(&self) -> Vec<&'g str> {
        self.group.proxies(self.metric, self.label)
    }

    /// The same without the control.
    pub fn rivals(&self) -> Vec<&'g str> {
        self.proxies().into_iter().filter(|proxy| *proxy != CONTROL).collect()
    }

    /// Of one proxy at one size.
    pub fn at(&self, proxy: &str, services: u64) -> Option<Spread> {
        self.group.stat(self.metric, self.label, proxy, services, 0.5)
    }

    /// Of each rival at one size.
    pub fn of_rivals(&self, services: u64) -> Vec<(&'g str, Spread)> {
        let rivals = self.rivals().into_iter();
        rivals.filter_map(|proxy| Some((proxy, self.at(proxy, services)?))).collect()
    }

    /// Of one proxy at every size that it has, ascending.
    pub fn series(&self, proxy: &str) -> Vec<(u64, Spread)> {
        self.group.series(self.metric, self.label, proxy, 0.5)
    }

    /// Medians of that, to be fitted.
    pub fn points(&self, proxy: &str) -> Vec<(f64, f64)> {
        self.series(proxy).iter().map(|(size, spread)| (*size as f64, spread.median)).collect()
    }
}

fn spread<'r>(
    replicates: impl IntoIterator<Item = &'r Replicate>,
    quantile: f64,
) -> Option<Spread> {
    let values = replicates.into_iter().filter_map(|one| one.samples.percentile(quantile));
    Spread::of(values.map(|value| value as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::{Distribution, Labels};

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

    #[test]
    fn the_median_over_seeds_lies_in_the_interval_of_its_percentile() {
        let mut run = fixture::stored();
        let is_mine = |labels: &Labels| labels.proxy == "ipvs" && labels.services == 100;
        for cell in run.cells.iter_mut().filter(|cell| is_mine(&cell.labels)) {
            // A hundredth of the connections of one seed takes ten times as long.
            let slow = if cell.labels.seed == 1 { 0 } else { 20 };
            let values: Vec<u64> = (0..1000).map(|at| if at < slow { 1000 } else { 100 }).collect();
            for metric in cell.metrics.iter_mut().filter(|one| one.name == "connect") {
                metric.data = Distribution::Values { values: values.clone() };
            }
        }
        let runs = [run];
        let view = View::new(&runs).unwrap();
        let group = &view.groups[0];
        let value = group.stat("connect", "last", "ipvs", 100, 0.99).unwrap().median;
        let interval = group.percentile_interval("connect", "last", "ipvs", 100, 0.99);
        assert_eq!((value, interval), (550.0, Some((100, 1000))));
    }
}

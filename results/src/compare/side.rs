//! One side of a comparison: cells of one or more runs, decoded once, and the choice among them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{CompareError, Described};
use crate::format::{list, plain};
use crate::kernel::{choose, compare_versions};
use crate::record::{CellRecord, Clock, Labels, Outcome, Place, Unit};
use crate::store::Run;

/// Cells to compare, with the runs they come from.
#[derive(Debug, Clone)]
pub struct Side {
    pub(super) sources: Vec<Source>,
    pub(super) cells: Vec<Cell>,
}

/// What is known of a run beside its cells.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Its folder.
    pub dir: String,
    /// Environment facts by dotted key, the tool's version among them.
    pub facts: BTreeMap<String, String>,
    /// The scenario as expanded.
    pub scenario: serde_json::Value,
    /// Ids of all planned cells.
    pub planned: HashSet<String>,
}

/// A cell whose values are decoded.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// Index of its run.
    pub source: usize,
    pub id: String,
    pub labels: Labels,
    pub outcome: Outcome,
    pub metrics: BTreeMap<MetricKey, Numbers>,
}

/// Name, label and unit of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MetricKey {
    pub name: String,
    pub label: String,
    pub unit: Unit,
}

/// What is compared of a metric's values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
}

impl Side {
    /// All cells of `runs`.
    ///
    /// # Errors
    /// [`CompareError::Values`] when a distribution cannot be decoded.
    pub fn of(runs: &[Run]) -> Result<Self, CompareError> {
        let mut side = Self { sources: Vec::new(), cells: Vec::new() };
        for (source, run) in runs.iter().enumerate() {
            let mut facts = run.record.environment.facts.clone();
            facts.insert("vipbench.version".to_owned(), run.record.tool_version.clone());
            side.sources.push(Source {
                dir: plain(&run.dir.display().to_string()),
                facts,
                scenario: run.record.scenario.clone(),
                planned: run.record.cells.iter().cloned().collect(),
            });
            for cell in &run.cells {
                side.cells.push(Cell::of(source, cell)?);
            }
        }
        Ok(side)
    }

    /// The two sides of a comparison as they are named on a command line: two runs, or one of them
    /// with two kernels. A kernel is named by the beginning of its release. One run that holds
    /// exactly two kernels needs no names: the older is the base.
    ///
    /// # Errors
    /// [`CompareError`] when kernels cannot be chosen.
    pub fn two(
        base: &Run,
        new: Option<&Run>,
        base_kernel: Option<&str>,
        new_kernel: Option<&str>,
    ) -> Result<(Self, Self), CompareError> {
        let one = std::slice::from_ref::<Run>;
        Self::several((one(base), base_kernel), new.map(one), new_kernel)
    }

    /// The same of sides that are recorded in several folders each.
    ///
    /// # Errors
    /// [`CompareError`] when kernels cannot be chosen.
    pub fn several(
        (base, base_kernel): (&[Run], Option<&str>),
        new: Option<&[Run]>,
        new_kernel: Option<&str>,
    ) -> Result<(Self, Self), CompareError> {
        let base_side = Self::of(base)?;
        let new_side = new.map(Self::of).transpose()?;
        let alone = new_side.is_none();
        let new_side = new_side.unwrap_or_else(|| base_side.clone());
        let (mut base_kernel, mut new_kernel) = (base_kernel, new_kernel);
        let kernels = base_side.kernels();
        if alone
            && (base_kernel, new_kernel) == (None, None)
            && let [older, newer] = kernels.as_slice()
        {
            (base_kernel, new_kernel) = (Some(*older), Some(*newer));
        }
        if alone && (base_kernel.is_none() || new_kernel.is_none()) {
            return Err(CompareError::WhichKernels {
                run: base_side.names(),
                kernels: in_words(&kernels),
            });
        }
        let chosen = |side: &Self, option, wanted: Option<&str>| {
            wanted.map_or(Ok(side.clone()), |wanted| side.on_kernel(option, wanted))
        };
        let sides = (
            chosen(&base_side, "--base-kernel", base_kernel)?,
            chosen(&new_side, "--new-kernel", new_kernel)?,
        );
        if alone && sides.0.kernels() == sides.1.kernels() {
            let kernel = sides.0.kernels().join(", ");
            return Err(CompareError::SameCells { run: base_side.names(), kernel });
        }
        Ok(sides)
    }

    /// Releases of the cells, oldest first.
    pub fn kernels(&self) -> Vec<&str> {
        let mut kernels: Vec<&str> =
            self.cells.iter().map(|cell| cell.labels.kernel.as_str()).collect();
        kernels.sort_by(|a, b| compare_versions(a, b).then_with(|| a.cmp(b)));
        kernels.dedup();
        kernels
    }

    /// The cells of the one kernel whose release begins with `wanted`.
    fn on_kernel(&self, option: &'static str, wanted: &str) -> Result<Self, CompareError> {
        let chosen = choose(&self.kernels(), wanted).map_err(|source| CompareError::Kernel {
            option,
            runs: self.sources.iter().map(|source| source.dir.clone()).collect(),
            source,
        })?;
        Ok(self.restricted(|labels| labels.kernel == chosen))
    }

    /// The cells of one kernel at one place on one clock.
    pub(crate) fn of_group(&self, kernel: &str, place: Place, clock: Clock) -> Self {
        self.restricted(|labels| {
            (labels.kernel.as_str(), labels.place, labels.clock) == (kernel, place, clock)
        })
    }

    /// The cells that `keep` wants; runs stay, so that what they planned is still known.
    fn restricted(&self, keep: impl Fn(&Labels) -> bool) -> Self {
        let cells = self.cells.iter().filter(|cell| keep(&cell.labels)).cloned().collect();
        Self { sources: self.sources.clone(), cells }
    }

    /// How a cell ended.
    pub(crate) fn outcome_of(&self, id: &str) -> Option<&Outcome> {
        self.cells.iter().find(|cell| cell.id == id).map(|cell| &cell.outcome)
    }

    /// The labels of every cell, with the index of the folder that it comes from.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (usize, &Labels)> {
        self.cells.iter().map(|cell| (cell.source, &cell.labels))
    }

    /// Names of the metrics, each once.
    pub(crate) fn metrics(&self) -> BTreeSet<&str> {
        let keys = self.cells.iter().flat_map(|cell| cell.metrics.keys());
        keys.map(|key| key.name.as_str()).collect()
    }

    /// Folders in the order they were named.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| source.dir.as_str())
    }

    /// Clocks of the cells, ascending.
    pub(super) fn clocks(&self) -> Vec<Clock> {
        let mut clocks: Vec<Clock> = self.cells.iter().map(|cell| cell.labels.clock).collect();
        clocks.sort();
        clocks.dedup();
        clocks
    }

    /// The runs that the cells come from.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        let used: HashSet<usize> = self.cells.iter().map(|cell| cell.source).collect();
        let sources = self.sources.iter().enumerate();
        sources.filter(move |(at, _)| used.contains(at)).map(|(_, source)| source)
    }

    /// The folder of a cell's run.
    pub(super) fn dir_of(&self, cell: &Cell) -> String {
        self.sources.get(cell.source).map_or_else(String::new, |source| source.dir.clone())
    }

    /// Folders, for messages.
    pub(super) fn names(&self) -> String {
        list(&self.sources.iter().map(|source| source.dir.clone()).collect::<Vec<_>>())
    }

    pub(super) fn described(&self) -> Described {
        Described {
            runs: self.sources().map(|source| source.dir.clone()).collect(),
            kernels: self.kernels().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// `one kernel, 6.1`, `3 kernels, 5.10, 6.1 and 6.12`.
pub(super) fn in_words(kernels: &[&str]) -> String {
    let names = list(&kernels.iter().map(|kernel| (*kernel).to_owned()).collect::<Vec<_>>());
    match kernels.len() {
        0 => "no kernel".to_owned(),
        1 => format!("one kernel, {names}"),
        count => format!("{count} kernels, {names}"),
    }
}

impl Cell {
    fn of(source: usize, cell: &CellRecord) -> Result<Self, CompareError> {
        let mut metrics = BTreeMap::new();
        for metric in &cell.metrics {
            let samples = metric.data.samples().map_err(|source| CompareError::Values {
                cell: cell.id.clone(),
                metric: format!("{} {}", metric.name, metric.label),
                source,
            })?;
            let (Some(p50), Some(p99)) = (samples.percentile(0.5), samples.percentile(0.99)) else {
                continue;
            };
            let key = MetricKey {
                name: metric.name.clone(),
                label: metric.label.clone(),
                unit: metric.unit,
            };
            let numbers = Numbers { count: samples.count(), p50: p50 as f64, p99: p99 as f64 };
            metrics.insert(key, numbers);
        }
        Ok(Self {
            source,
            id: cell.id.clone(),
            labels: cell.labels.clone(),
            outcome: cell.outcome.clone(),
            metrics,
        })
    }
}

//! One side of a comparison: cells of one or more runs, decoded once, and the choice among them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::comparison::{CellRef, CompareError, Described};
use crate::format::{list, plain};
use crate::kernel::{choose, compare_versions};
use crate::record::{CellRecord, Clock, Labels, Outcome, Unit};
use crate::store::Run;
use crate::values::{ValuesError, decoded};
use crate::view::GroupKey;

/// Cells to compare, with the runs they come from.
#[derive(Debug, Clone)]
pub struct Side {
    pub(crate) sources: Vec<Source>,
    pub(crate) cells: Vec<Cell>,
}

/// What is known of a run beside its cells.
#[derive(Debug, Clone)]
pub(crate) struct Source {
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
pub(crate) struct Cell {
    /// Index of its run.
    pub source: usize,
    pub id: String,
    pub labels: Labels,
    pub outcome: Outcome,
    pub metrics: BTreeMap<MetricKey, Numbers>,
}

/// Name, label and unit of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MetricKey {
    pub name: String,
    pub label: String,
    pub unit: Unit,
}

/// What is compared of a metric's values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub count: u64,
    pub p50: f64,
    /// Where there are values enough for one.
    pub p99: Option<f64>,
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

    /// The two sides of a comparison as they are named on a command line: two, each recorded in one
    /// or more folders, or two kernels of one. A kernel is named by the beginning of its release.
    /// Runs that hold exactly two kernels need no names: the older is the base.
    ///
    /// # Errors
    /// [`CompareError`] when kernels cannot be chosen.
    pub fn two(
        base: &[Run],
        new: Option<&[Run]>,
        base_kernel: Option<&str>,
        new_kernel: Option<&str>,
    ) -> Result<(Self, Self), CompareError> {
        let all = Self::of(base)?;
        let other = new.map(Self::of).transpose()?;
        let kernels = all.kernels();
        let (base_kernel, new_kernel) = match (base_kernel, new_kernel, kernels.as_slice()) {
            (None, None, [older, newer]) if new.is_none() => (Some(*older), Some(*newer)),
            (None, ..) | (_, None, _) if new.is_none() => {
                let (run, kernels) = (all.names(), in_words(&kernels));
                return Err(CompareError::WhichKernels { run, kernels });
            }
            named => (named.0, named.1),
        };
        let base = all.on_kernel("--base-kernel", base_kernel)?;
        let new_side = other.as_ref().unwrap_or(&all).on_kernel("--new-kernel", new_kernel)?;
        if new.is_none() && base.kernels() == new_side.kernels() {
            let (run, kernel) = (all.names(), base.kernels().join(", "));
            return Err(CompareError::SameCells { run, kernel });
        }
        Ok((base, new_side))
    }

    /// Releases of the cells, oldest first.
    pub fn kernels(&self) -> Vec<&str> {
        let mut kernels: Vec<&str> =
            self.cells.iter().map(|cell| cell.labels.kernel.as_str()).collect();
        kernels.sort_by(|a, b| compare_versions(a, b));
        kernels.dedup();
        kernels
    }

    /// The cells of the one kernel whose release begins with `wanted`; without a wish, all.
    fn on_kernel(&self, option: &'static str, wanted: Option<&str>) -> Result<Self, CompareError> {
        let Some(wanted) = wanted else { return Ok(self.clone()) };
        let chosen = choose(&self.kernels(), wanted).map_err(|source| CompareError::Kernel {
            option,
            runs: self.sources.iter().map(|source| source.dir.clone()).collect(),
            source,
        })?;
        Ok(self.restricted(|labels| labels.kernel == chosen))
    }

    /// The cells of one kernel at one place on one clock.
    pub(crate) fn of_group(&self, key: &GroupKey) -> Self {
        self.restricted(|labels| GroupKey::of(labels) == *key)
    }

    /// The cells that `keep` wants; runs stay, so that what they planned is still known.
    fn restricted(&self, keep: impl Fn(&Labels) -> bool) -> Self {
        let cells = self.cells.iter().filter(|cell| keep(&cell.labels)).cloned().collect();
        Self { sources: self.sources.clone(), cells }
    }

    /// Clocks of the cells.
    pub(super) fn clocks(&self) -> BTreeSet<Clock> {
        self.cells.iter().map(|cell| cell.labels.clock).collect()
    }

    /// The runs that the cells come from.
    pub(super) fn used_sources(&self) -> impl Iterator<Item = &Source> {
        let used: BTreeSet<usize> = self.cells.iter().map(|cell| cell.source).collect();
        used.into_iter().map(|at| &self.sources[at])
    }

    /// A cell of this side, for readers.
    pub(super) fn reference(&self, cell: &Cell) -> CellRef {
        CellRef { run: self.sources[cell.source].dir.clone(), id: cell.id.clone() }
    }

    /// Folders, for messages.
    pub(super) fn names(&self) -> String {
        list(&self.sources.iter().map(|source| source.dir.as_str()).collect::<Vec<_>>())
    }

    pub(super) fn described(&self) -> Described {
        Described {
            runs: self.used_sources().map(|source| source.dir.clone()).collect(),
            kernels: self.kernels().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// `one kernel, 6.1`, `3 kernels, 5.10, 6.1 and 6.12`.
pub(super) fn in_words(kernels: &[&str]) -> String {
    match kernels.len() {
        0 => "no kernel".to_owned(),
        1 => format!("one kernel, {}", list(kernels)),
        count => format!("{count} kernels, {}", list(kernels)),
    }
}

impl Cell {
    fn of(source: usize, cell: &CellRecord) -> Result<Self, ValuesError> {
        let mut metrics = BTreeMap::new();
        for metric in &cell.metrics {
            let samples = decoded(cell, metric)?;
            if let Some(p50) = samples.percentile(0.5) {
                let (name, label) = (metric.name.clone(), metric.label.clone());
                let p99 = samples.percentile(0.99).map(|value| value as f64);
                let numbers = Numbers { count: samples.count(), p50: p50 as f64, p99 };
                metrics.insert(MetricKey { name, label, unit: metric.unit }, numbers);
            }
        }
        let (id, labels, outcome) = (cell.id.clone(), cell.labels.clone(), cell.outcome.clone());
        Ok(Self { source, id, labels, outcome, metrics })
    }
}

//! What a comparison is made of, in the form that is printed as JSON, and why there is none.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::change::Change;
use crate::format::{list, plain};
use crate::kernel::KernelError;
use crate::metrics::{self, Counts};
use crate::path::Path;
use crate::proxies::CONTROL;
use crate::record::{Clock, Place, Unit, shown_as_stored};
use crate::values::ValuesError;

/// Schema name of a [`Comparison`] as JSON.
pub const COMPARE_SCHEMA: &str = "vipbench.compare/1";

/// Everything that is found by setting `new` against `base`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// Always `vipbench.compare/1`.
    pub schema: String,
    /// What is compared with.
    pub base: Described,
    /// What is compared.
    pub new: Described,
    /// What differs beside that, and may be the cause of an effect.
    pub surroundings: Vec<Difference>,
    /// Pairs of measured cells.
    pub matched_cells: u64,
    /// One a metric, label and statistic: those of the control `none` first, then the largest ratio
    /// first.
    pub effects: Vec<Effect>,
    /// Cells and metrics that have numbers on one side at most.
    pub unmatched: Vec<Unmatched>,
}

/// One side, as it is named to a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Described {
    /// Results folders.
    pub runs: Vec<String>,
    /// Kernel releases, oldest first.
    pub kernels: Vec<String>,
}

/// What of a comparison a reader wants to see; an empty list is everything.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Proxies, by name. The control stays in any case.
    pub proxies: Vec<String>,
    /// Metrics, by name.
    pub metrics: Vec<String>,
    /// Smallest change of the median, a share.
    pub least: f64,
}

/// A fact that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Its dotted key, for example `tool.qemu-system-x86_64` or `scenario.load.connections`.
    pub fact: String,
    /// The base's value, `not recorded` without one.
    pub base: String,
    /// The new side's.
    pub new: String,
}

/// What an effect is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub struct Subject {
    /// Kernel release of the base.
    pub base_kernel: String,
    /// Kernel release of the new side.
    pub new_kernel: String,
    /// Where the cells ran.
    pub place: Place,
    /// What their timings count.
    pub clock: Clock,
    /// Proxy.
    pub proxy: String,
    /// Number of Services.
    pub services: u64,
    /// Endpoints in all Services together.
    pub endpoints: u64,
    /// Group of metrics measured in one lab.
    pub measure: String,
    /// How connections get to a Service, where that is not the usual way.
    #[serde(default, skip_serializing_if = "Path::is_usual")]
    pub path: Path,
    /// Metric.
    pub metric: String,
    /// Its label.
    pub label: String,
    /// Unit of `base`, `new` and `difference`.
    pub unit: Unit,
    /// Which number.
    pub statistic: Statistic,
}

/// Which number of a metric's values is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// The only value of each cell.
    Value,
    /// Median, nearest rank.
    P50,
    /// 99th percentile, nearest rank; only of 1,000 values or more, ten of which lie beyond it.
    P99,
}

/// How one number changed from `base` to `new`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Effect {
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// As measured.
    pub gross: Change,
    /// What the proxy adds to dialling the endpoint itself (`none`, same metric, size and seed);
    /// only for metrics of one connection.
    pub net: Option<Change>,
    /// The base cell of the first seed.
    pub base_cell: CellRef,
    /// The new cell of the first seed.
    pub new_cell: CellRef,
}

/// A cell of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CellRef {
    /// Results folder.
    pub run: String,
    /// Cell id.
    pub id: String,
}

/// The side that has no numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingIn {
    /// Only the new side has numbers.
    Base,
    /// Only the base has numbers.
    New,
    /// Neither side has.
    Both,
}

/// A cell, or a metric of a cell, that could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Unmatched {
    /// Proxy.
    pub proxy: String,
    /// Group of metrics.
    pub measure: String,
    /// How connections get to a Service, where that is not the usual way.
    #[serde(default, skip_serializing_if = "Path::is_usual")]
    pub path: Path,
    /// Number of Services.
    pub services: u64,
    /// Seed.
    pub seed: u64,
    /// The side that has no numbers.
    pub missing_in: MissingIn,
    /// Kernel of the cell that is named here.
    pub kernel: String,
    /// Id of the cell without numbers, or else of its lonely partner.
    pub cell: String,
    /// Metric and label, when the cells have partners and this metric has not.
    pub metric: Option<String>,
    /// Why: the outcome of the cell and its reason, or that it was not planned.
    pub reason: String,
}

/// Why two sides cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A metric's values cannot be trusted.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// No such kernel.
    #[error("{option}, {}: {source}", .runs.join(", "))]
    Kernel {
        /// Which side was to be chosen.
        option: &'static str,
        /// Where it was looked for.
        runs: Vec<String>,
        /// Why not.
        source: KernelError,
    },
    /// One side counts nanoseconds, the other instructions.
    #[error(
        "{base} was measured on the {base_clock} clock and {new} on the {new_clock} clock: nanoseconds and instructions cannot be compared; run both with the same --clock"
    )]
    Clocks {
        /// The base.
        base: String,
        /// Its clock.
        base_clock: Clock,
        /// The other side.
        new: String,
        /// Its clock.
        new_clock: Clock,
    },
    /// One run, and no way to tell which of its kernels is which.
    #[error(
        "{run} holds {kernels}; name two of them with --base-kernel and --new-kernel, or a second run"
    )]
    WhichKernels {
        /// The run.
        run: String,
        /// What it holds, in words.
        kernels: String,
    },
    /// Both sides are the same cells.
    #[error("base and new are both kernel {kernel} of {run}; name two different ones")]
    SameCells {
        /// The run.
        run: String,
        /// The kernel.
        kernel: String,
    },
    /// Several kernels on a side, none of them on both.
    #[error(
        "no kernel is in both: {base} and {new}; choose one a side with --base-kernel and --new-kernel"
    )]
    NoCommonKernel {
        /// The base's kernels.
        base: String,
        /// The new side's.
        new: String,
    },
    /// A name that a reader wants and no number has.
    #[error("{option} {name}: both sides have nothing of it; there are {there}")]
    Unknown {
        /// The option that named it.
        option: &'static str,
        /// The name.
        name: String,
        /// What there is.
        there: String,
    },
    /// A side holds no cell at all.
    #[error("{0} holds no finished cell; continue it with `vipbench run SCENARIO -o {0} --resume`")]
    Empty(String),
}

shown_as_stored!(MissingIn);

impl Comparison {
    /// Only what is wanted.
    ///
    /// # Errors
    /// [`CompareError::Unknown`] for a name that is nowhere.
    pub fn narrowed(mut self, wanted: &Wanted) -> Result<Self, CompareError> {
        let Wanted { proxies, metrics, least } = wanted;
        let subjects = || self.effects.iter().map(|effect| &effect.subject);
        check("--proxy", proxies, subjects().map(|subject| subject.proxy.as_str()))?;
        check("--metric", metrics, subjects().map(|subject| subject.metric.as_str()))?;
        let is_wanted = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        self.effects.retain(|effect| {
            let Subject { proxy, metric, .. } = &effect.subject;
            let is_large =
                *least <= 0.0 || effect.gross.share().is_some_and(|one| one.abs() >= *least);
            let of_proxy = effect.is_control() || is_wanted(proxies, proxy) && is_large;
            of_proxy && is_wanted(metrics, metric)
        });
        self.unmatched.retain(|one| is_wanted(proxies, &one.proxy));
        Ok(self)
    }
}

/// Whether each of `names` is among those that are there.
fn check<'s>(
    option: &'static str,
    names: &[String],
    there: impl Iterator<Item = &'s str>,
) -> Result<(), CompareError> {
    let there: BTreeSet<&str> = there.collect();
    match names.iter().find(|name| !there.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let there = list(&there.into_iter().collect::<Vec<_>>());
            Err(CompareError::Unknown { option, name: plain(name), there })
        }
    }
}

impl Effect {
    /// How large the change is, the same for a doubling and a halving: the logarithm of the ratio
    /// without its sign. `None` where a side is 0.
    pub fn magnitude(&self) -> Option<f64> {
        let ratio = self.gross.ratio?.median;
        (ratio > 0.0).then(|| ratio.ln().abs())
    }

    /// Whether this is about the control without a proxy.
    pub fn is_control(&self) -> bool {
        self.subject.proxy == CONTROL
    }

    /// Whether this is about a timing, not about a count, bytes, processor time or the harness
    /// itself.
    pub fn is_timing(&self) -> bool {
        let Subject { metric, unit, clock, .. } = &self.subject;
        let waited_for = metrics::kind(metric).is_none_or(|kind| kind.counts == Counts::Timing);
        *unit == clock.unit() && waited_for
    }
}

//! A trend as data: the runs, the series with their steps, and what changed around each step.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::Serialize;

use crate::compare::Difference;
use crate::format;
use crate::metrics;
use crate::path::Path;
use crate::proxies::{CONTROL, Proxies};
use crate::record::{Clock, Place, Unit};

/// Schema name of `vipbench trend --json`.
pub const TREND_SCHEMA: &str = "vipbench.trend/1";

/// Runs in the order they were recorded in, and what changed from one to another.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Trend {
    /// Always [`TREND_SCHEMA`].
    pub schema: String,
    /// Oldest first.
    pub runs: Vec<TrendRun>,
    /// What a regression gate judges too: medians of timings, totals of syncs, counts.
    pub series: Vec<Series>,
    /// What changed in the environment, for each pair of runs between which a series has a step.
    pub around: Vec<Around>,
    /// Series that are left out, with the reason.
    pub left_out: Vec<String>,
    /// What the runs tell of their proxies.
    #[serde(skip)]
    pub(super) known: Proxies,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TrendRun {
    /// Results folder.
    pub folder: String,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// Version of vipbench that measured.
    pub tool_version: String,
    /// Kernel releases, oldest first.
    pub kernels: Vec<String>,
}

/// What a series is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Subject {
    /// What timings count.
    pub clock: Clock,
    /// Where the cells ran.
    pub place: Place,
    /// The kernel, as far as runs have several: `6.1`, or a whole release. Empty where each run has
    /// one, whichever that is.
    pub kernel: String,
    /// How connections get to a Service, where that is not the usual way.
    #[serde(default, skip_serializing_if = "Path::is_usual")]
    pub path: Path,
    /// Group of metrics measured in one lab.
    pub measure: String,
    /// Metric.
    pub metric: String,
    /// Its label.
    pub label: String,
    /// Number of Services.
    pub services: u64,
    /// Endpoints in all Services together.
    pub endpoints: u64,
    /// Proxy.
    pub proxy: String,
    /// Unit of the values.
    pub unit: Unit,
}

/// One number over time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Series {
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// One a run that has it, oldest first.
    pub points: Vec<Point>,
    /// Whether steps are looked for in the number divided by that of the control `none` of the same
    /// run and seed, which takes out how fast the machine was just then (wall clock).
    pub relative: bool,
    /// A change smaller than this share is no step.
    pub threshold: f64,
    /// Where it changed, oldest first.
    pub steps: Vec<Step>,
}

/// One run's number.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    /// The run, by its place among [`Trend::runs`], from 0.
    pub run: usize,
    /// Median over the seeds of each cell's median, as measured.
    pub value: f64,
    /// The least of the seeds.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// How many seeds.
    pub seeds: usize,
    /// What steps are looked for in: the value, or its multiple of the control's.
    #[serde(skip)]
    pub(super) judged: f64,
}

/// A change from one level to another.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Step {
    /// The last run of the level before, by its place.
    pub from: usize,
    /// The first run of the new level.
    pub to: usize,
    /// The level before, as measured: its first value where digits are exact, else its median.
    pub before: f64,
    /// The new one.
    pub after: f64,
    /// The change as a share of the level before, 0.02 for 2% more; absent where that is 0. Of a
    /// relative series it is that of the multiple of `none`.
    pub share: Option<f64>,
    /// How the control changed between the same two runs, a share, where that is a floor of this
    /// number; not of a relative series.
    pub control: Option<f64>,
    /// Whether it is a step for the worse: of every number less is better.
    pub worse: bool,
    /// Whether it is for the worse and the newest run is still on a worse level than before it.
    pub stands: bool,
    /// What it rests on.
    pub evidence: Evidence,
}

/// What a step rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Evidence {
    /// The digits differ, and equal inputs give equal digits.
    Exact,
    /// Replicates on the wall clock, by permutation.
    Permuted {
        /// How likely a split as clear is where nothing changed.
        probability: f64,
    },
}

/// What changed in the environment between two runs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Around {
    /// The run before the step.
    pub from: usize,
    /// The run after it.
    pub to: usize,
    /// Facts that differ: versions, kernels, settings, the scenario. Empty: nothing that is
    /// recorded.
    pub differences: Vec<Difference>,
}

/// Why there is no trend.
#[derive(Debug, thiserror::Error)]
pub enum TrendError {
    /// A trend needs two points.
    #[error("a trend needs two runs at least, and there {}: name more results folders", .0)]
    TooFew(String),
    /// A run is named twice.
    #[error("{0} is named twice; name each run once")]
    Twice(String),
    /// Nothing can be set behind each other.
    #[error(
        "the {runs} runs have no number in common: a trend needs the same scenario with the same seeds in each of them{why}"
    )]
    NothingInCommon {
        /// How many runs.
        runs: usize,
        /// Why series were left out.
        why: String,
    },
}

impl Subject {
    /// `iptables-nft connect last, 1,000 Services`.
    pub fn name(&self) -> String {
        format!("{} {}", self.proxy, self.number())
    }

    /// The same without the proxy.
    pub(super) fn number(&self) -> String {
        let Self { metric, label, services, path, kernel, .. } = self;
        let (label, services) = (format::position(label), format::thousands(*services));
        let kernel = if kernel.is_empty() { String::new() } else { format!(", kernel {kernel}") };
        format!("{metric} {label}, {services} Services{}{kernel}", path.in_title())
    }

    /// Whether this is about the control without a proxy.
    pub(super) fn is_control(&self) -> bool {
        self.proxy == CONTROL
    }

    /// The same of the control, where that is a floor.
    pub(super) fn control(&self) -> Option<Self> {
        let has_floor = !self.is_control() && metrics::is_of_a_connection(&self.metric);
        has_floor.then(|| Self { proxy: CONTROL.to_owned(), ..self.clone() })
    }
}

impl Series {
    /// The step for the worse that the newest run is after, the largest of them.
    pub fn standing(&self) -> Option<&Step> {
        let standing = self.steps.iter().filter(|step| step.stands);
        standing.max_by(|a, b| a.urgency(b))
    }
}

impl Step {
    /// How large it is; what grew from nothing is larger than anything.
    pub(super) fn size(&self) -> f64 {
        self.share.map_or(f64::INFINITY, f64::abs)
    }

    /// Which of two steps matters more: one that stands, then the larger.
    pub(super) fn urgency(&self, other: &Self) -> Ordering {
        self.stands.cmp(&other.stands).then_with(|| self.size().total_cmp(&other.size()))
    }
}

impl Trend {
    /// Series in which the newest run is after a step for the worse, the largest first.
    pub fn worse_now(&self) -> Vec<(&Series, &Step)> {
        let standing = self.series.iter().filter_map(|series| Some((series, series.standing()?)));
        let mut all: Vec<(&Series, &Step)> = standing.collect();
        all.sort_by(|a, b| b.1.urgency(a.1));
        all
    }
}

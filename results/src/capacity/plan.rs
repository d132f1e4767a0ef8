//! A plan as data: what the budget allows each proxy on each kernel, and what that rests on.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::cost::{Cost, MeasuredPoint};
use super::limit::{Largest, Size};
use super::models::{Model, spaced};
use crate::format;
use crate::path::Path;
use crate::proxies::Proxies;
use crate::record::{Clock, Place, Unit};

/// Schema name of `vipbench capacity --json`.
pub const CAPACITY_SCHEMA: &str = "vipbench.capacity/1";

/// Points of a drawn fit.
const CURVE_POINTS: u32 = 60;

/// What the budget allows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CapacityPlan {
    /// Always [`CAPACITY_SCHEMA`].
    pub schema: String,
    /// Version of vipbench that measured, of each run.
    pub tool_versions: Vec<String>,
    /// Results folders.
    pub runs: Vec<String>,
    /// The budget as written.
    pub slo: String,
    /// The reader's own size.
    pub asked: Option<Asked>,
    /// How time became instructions; with it every figure is estimated.
    pub calibration: Option<String>,
    /// One for each kernel, place, clock and path.
    pub groups: Vec<GroupPlan>,
}

/// One kernel, place, clock and path.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GroupPlan {
    /// Kernel release.
    pub kernel: String,
    /// Where it ran.
    pub place: Place,
    /// What was counted.
    pub clock: Clock,
    /// How connections get to a Service, where that is not the usual way.
    #[serde(default, skip_serializing_if = "Path::is_usual")]
    pub path: Path,
    /// Endpoints a Service in its cells, least and most.
    pub endpoints_per_service: (f64, f64),
    /// Kinds, layout and endpoints of its Services in words: the answers hold for these.
    pub shape: String,
    /// One a proxy; `none` is none.
    pub proxies: Vec<ProxyPlan>,
    /// What moving to each nftables proxy changes.
    pub moves: Vec<Move>,
    /// What the runs tell of these proxies.
    #[serde(skip)]
    pub(crate) known: Proxies,
}

/// What the budget allows one proxy.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ProxyPlan {
    /// Its name.
    pub proxy: String,
    /// The answer.
    pub verdict: Verdict,
    /// The largest measured size at which every condition held in every seed, if any.
    pub measured_within: Option<u64>,
    /// The smallest measured size above it at which one did not.
    pub measured_over: Option<u64>,
    /// One a condition, in the order of the budget.
    pub conditions: Vec<ConditionPlan>,
    /// Cells without numbers that these conditions needed.
    pub gaps: Vec<Gap>,
    /// At the reader's size and at twice that; without one at the largest size and twice that.
    pub outlook: Vec<Outlook>,
}

/// The answer for one proxy.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Verdict {
    /// How many Services.
    Largest {
        /// With its interval.
        #[serde(flatten)]
        largest: Largest,
        /// What limits it: a condition, or a size that could not be measured. Nothing, when nothing
        /// does within reach.
        binding: Option<String>,
        /// The estimate as a multiple of the largest measured size, when it is beyond it.
        extrapolated: Option<f64>,
    },
    /// The run does not say.
    Unknown {
        /// Why, with the remedy.
        reason: String,
    },
}

/// One condition of the budget for one proxy.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConditionPlan {
    /// For example `connect p99, last Service`.
    pub subject: String,
    /// The metric.
    pub metric: String,
    /// Position, part or detail.
    pub label: String,
    /// Unit of the values.
    pub unit: ValueUnit,
    /// The limit in that unit.
    pub limit: f64,
    /// The range of an estimated limit.
    pub limit_range: Option<(f64, f64)>,
    /// What was measured; empty when nothing was.
    pub points: Vec<MeasuredPoint>,
    /// The fit; nothing when there is none, with the reason.
    pub fit: Option<FitPlan>,
    /// Why there is no fit.
    pub reason: Option<String>,
}

/// A fitted cost.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FitPlan {
    /// The chosen model.
    pub model: Model,
    /// With its parameters: `61,300 + 26.0 n`.
    pub words: String,
    /// What it was chosen by, and how far it may be wrong.
    #[serde(flatten)]
    pub cost: Cost,
    /// Largest size under this condition alone.
    pub largest: Largest,
}

/// A cell without numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Gap {
    /// Number of Services.
    pub services: u64,
    /// Seed.
    pub seed: u64,
    /// Group of metrics.
    pub measure: String,
    /// How it ended, and why.
    pub reason: String,
}

/// What one size costs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Outlook {
    /// Number of Services.
    pub services: u64,
    /// As a multiple of the largest measured size, when it is beyond it.
    pub extrapolated: Option<f64>,
    /// One a condition that has a fit, in the order of the budget.
    pub forecasts: Vec<Forecast>,
    /// The worst of the forecasts.
    pub answer: Answer,
}

/// One condition at one size.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Forecast {
    /// For example `connect p99, last Service`.
    pub subject: String,
    /// Unit of the values.
    pub unit: ValueUnit,
    /// The fitted cost.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval; nothing when no model can be believed and no larger size was
    /// measured.
    pub high: Option<f64>,
    /// Share of the limit that is left; below 0 what is missing.
    pub headroom: f64,
    /// Whether it is within the limit.
    pub answer: Answer,
}

/// Whether a size is within the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The whole interval is.
    Within,
    /// The interval reaches over the limit.
    Unclear,
    /// No part of the interval is, or cells of that size could not be measured.
    Over,
    /// Not every condition has a fit.
    Unknown,
}

/// Unit of a value: a stored one, or a multiple of what a connection without a proxy takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ValueUnit {
    /// Times `none`.
    TimesNone,
    /// A stored unit.
    #[serde(untagged)]
    Stored(Unit),
}

/// One proxy in the place of another.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Move {
    /// The proxy that is left.
    pub from: String,
    /// The proxy that takes its place.
    pub to: String,
    /// The number of Services that `changes` are at.
    pub services: u64,
    /// One a condition that both proxies have a value for.
    pub changes: Vec<MoveChange>,
    /// The largest number of Services within the budget before; nothing when it cannot be said.
    pub largest_before: Option<Size>,
    /// The same after.
    pub largest_after: Option<Size>,
}

/// One condition before and after.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MoveChange {
    /// For example `connect p99, last Service`.
    pub subject: String,
    /// Unit of both values.
    pub unit: ValueUnit,
    /// With the proxy that is left.
    pub before: f64,
    /// With the other.
    pub after: f64,
    /// Whether both values were measured; else at least one is fitted.
    pub measured: bool,
}

/// The size that a reader has, or a Cluster that it was counted in.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Asked {
    /// Number of Services.
    pub services: u64,
    /// Endpoints of all Services together, if they were counted.
    pub endpoints: Option<u64>,
    /// The file that they were counted in.
    pub source: Option<PathBuf>,
}

impl GroupPlan {
    /// `kernel 6.1.0-56-cloud-amd64, guest, instructions clock`.
    pub(super) fn title(&self) -> String {
        let path = self.path.in_title();
        format!("kernel {}, {}, {} clock{path}", self.kernel, self.place, self.clock)
    }
}

impl ConditionPlan {
    /// The fitted cost.
    pub(super) fn cost(&self) -> Option<&Cost> {
        self.fit.as_ref().map(|fit| &fit.cost)
    }

    /// The fit from the smallest measured size to the largest that anything is said about.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        let Some((cost, first)) = self.cost().zip(self.points.first()) else { return Vec::new() };
        let (from, to) = (first.services.max(1) as f64, cost.reach() as f64);
        spaced(from, to, CURVE_POINTS).map(|n| (n, cost.fit.at(n))).collect()
    }
}

impl ValueUnit {
    /// A value for prose: `59,101 instructions`, `23.5 µs`, `1.42 times none`.
    pub(crate) fn quantity(self, value: f64) -> String {
        match self {
            Self::Stored(unit) => format::quantity(unit, value),
            Self::TimesNone => format!("{} times none", format::three_digits(value)),
        }
    }

    /// The same for a narrow cell.
    pub(super) fn short(self, value: f64) -> String {
        match self {
            Self::Stored(unit) => format::short(unit, value),
            Self::TimesNone => format::fixed(value, 2),
        }
    }
}

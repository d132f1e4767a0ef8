//! Advice as data: what each proxy takes of each budget on each kernel, and what follows from it.

use schemars::JsonSchema;
use serde::Serialize;

use super::budget::Budget;
use crate::capacity::{CapacityPlan, Size, ValueUnit};
use crate::path::Path;
use crate::record::{Clock, Place};

/// Schema name of `vipbench advise --json`.
pub const ADVISE_SCHEMA: &str = "vipbench.advise/1";

/// The answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Advice {
    /// Always [`ADVISE_SCHEMA`].
    pub schema: String,
    /// Versions of vipbench that measured.
    pub tool_versions: Vec<String>,
    /// Results folders.
    pub runs: Vec<String>,
    /// Number of Services that is asked about.
    pub services: u64,
    /// What may be spent.
    pub budgets: Vec<Budget>,
    /// How time became instructions; with it every share of a budget in time is an estimate.
    pub calibration: Option<String>,
    /// One for each kernel, place, clock and path.
    pub groups: Vec<GroupAdvice>,
    /// What the answer does not rest on.
    pub not_looked_at: Vec<String>,
    /// What it was read off.
    #[serde(skip)]
    pub(super) plan: CapacityPlan,
}

/// The answer on one kernel.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GroupAdvice {
    /// Kernel release.
    pub kernel: String,
    /// Where it ran.
    pub place: Place,
    /// What was counted.
    pub clock: Clock,
    /// How connections get to a Service, where that is not the usual way.
    #[serde(default, skip_serializing_if = "Path::is_usual")]
    pub path: Path,
    /// Kinds, layout and endpoints of its Services in words: the answer holds for these.
    pub shape: String,
    /// One a proxy, the best first.
    pub choices: Vec<Choice>,
}

/// One proxy.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Choice {
    /// Its name.
    pub proxy: String,
    /// What is advised.
    pub standing: Standing,
    /// What it takes of each budget that something is known of.
    pub usages: Vec<Usage>,
    /// The largest number of Services within every budget; nothing when that cannot be said.
    pub until: Option<Size>,
    /// Why nothing, or not more, is known of it.
    pub reason: Option<String>,
}

/// What is advised of a proxy, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Within every budget, and the one that leaves most of its tightest.
    Use,
    /// Within every budget.
    WouldDo,
    /// What it takes of a budget may be all of it.
    AtLimit,
    /// Not known of every budget.
    Unknown,
    /// Over a budget.
    Avoid,
}

/// What is taken of one budget.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Usage {
    /// The budget's name.
    pub budget: String,
    /// Unit of value and limit.
    pub unit: ValueUnit,
    /// What it takes.
    pub value: f64,
    /// The limit.
    pub limit: f64,
    /// Value over limit: 0.2 is a fifth of the budget.
    pub share: f64,
    /// Where that is likely to lie: over seeds or by the fit, and over the range of an estimated
    /// limit. Nothing when there is no upper end.
    pub share_range: Option<(f64, f64)>,
    /// Whether this size was measured; else it is fitted.
    pub measured: bool,
}

/// A proxy that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub proxy: String,
    /// Why.
    pub reason: String,
}

impl Usage {
    /// The most that it is likely to take of the budget.
    pub(super) fn most(&self) -> f64 {
        self.share_range.map_or(f64::INFINITY, |(_, high)| high)
    }

    /// The least.
    pub(super) fn least(&self) -> f64 {
        self.share_range.map_or(0.0, |(low, _)| low)
    }
}

impl Choice {
    /// The budget that it takes most of.
    pub(super) fn tightest(&self) -> Option<&Usage> {
        self.usages.iter().max_by(|a, b| a.share.total_cmp(&b.share))
    }

    /// What it takes of that.
    pub(super) fn tightest_share(&self) -> f64 {
        self.tightest().map_or(f64::INFINITY, |usage| usage.share)
    }
}

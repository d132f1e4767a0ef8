//! What is known of the gate, as data: which gates were made, and how many found something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::CompareError;
use crate::gate::GateError;
use crate::metrics;
use crate::record::Clock;

/// Schema name of a [`Calibration`] as JSON.
pub const CALIBRATION_SCHEMA: &str = "vipbench.calibration/1";
/// How gates are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalibrationOptions {
    /// Gates of each kind on the wall clock; on the instructions clock every pair of repetitions is
    /// one, up to so many.
    pub gates: usize,
    /// Replicates on each side, wall clock.
    pub replicates: Vec<usize>,
    /// Seed of every draw.
    pub seed: u64,
}

/// What is known of the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Always `vipbench.calibration/1`.
    pub schema: String,
    /// The runs that it is made from.
    pub runs: Vec<String>,
    /// Seed of every draw.
    pub seed: u64,
    /// One a clock, number of replicates and slowdown.
    pub points: Vec<Point>,
}

/// What was put in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Slowdown {
    /// Nothing: the same against the same.
    Same,
    /// Recorded timings of every proxy, multiplied.
    Scaled {
        /// By how much more than 1.
        share: f64,
    },
    /// Rules that match nothing at the head of every chain, really measured.
    Rules {
        /// How many.
        per_chain: u64,
    },
    /// Work of the server before each answer, really measured.
    Delay {
        /// How long, nanoseconds.
        ns: u64,
    },
}

/// Gates of one kind, counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The clock.
    pub clock: Clock,
    /// Kernel release.
    pub kernel: String,
    /// Replicates (seeds) on each side.
    pub replicates: usize,
    /// Whether gates were drawn from recorded replicates, or are whole recorded runs.
    pub resampled: bool,
    /// What was put in.
    pub slowdown: Slowdown,
    /// Proxies that are slowed down, and by how much where that is another: the smallest and the
    /// largest median effect of a line, a share.
    pub effect: Option<(f64, f64)>,
    /// Lines that are judged in a gate.
    pub lines: usize,
    /// Gates.
    pub gates: usize,
    /// Gates in which a line of what was slowed down is a regression; of the same against the same,
    /// any line: a false alarm.
    pub found: usize,
    /// Ends of the 95% interval of their share (Wilson).
    pub found_low: f64,
    /// The same, upper end.
    pub found_high: f64,
    /// Gates by overall verdict: pass, inconclusive, regression, invalid.
    pub verdicts: [usize; 4],
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// A side cannot be made.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// A gate has no verdict.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Not what is needed.
    #[error("{problem}; record what is needed with {remedy}")]
    Unfit {
        /// What is missing.
        problem: String,
        /// What records it.
        remedy: &'static str,
    },
}

impl Calibration {
    /// Points on a clock, in their order.
    pub(super) fn on(&self, clock: Clock) -> Vec<&Point> {
        self.points.iter().filter(|point| point.clock == clock).collect()
    }
}

impl Slowdown {
    /// The metric that it shows in; nothing for all of them.
    pub(super) fn metric(&self) -> Option<&'static str> {
        match self {
            Self::Same | Self::Scaled { .. } => None,
            Self::Rules { .. } => Some(metrics::CONNECT.name),
            Self::Delay { .. } => Some(metrics::REQUEST.name),
        }
    }
}

impl Point {
    /// Share of the gates in which it was found.
    pub fn share(&self) -> f64 {
        self.found as f64 / self.gates.max(1) as f64
    }
}

//! The gate measured: how often it cries wolf over the same thing, and how large a slowdown it
//! finds.
//!
//! Made from runs that were really recorded. On the instructions clock whole repetitions are held
//! against each other. On the wall clock gates are resampled from recorded replicates in the order
//! they were recorded in, and every curve says so. `pools` sorts the runs, `draw` makes gates of
//! them, `render` and `plot` show the outcome.

mod draw;
mod plot;
mod pools;
mod render;
#[cfg(test)]
mod tests;

pub use render::document;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::CompareError;
use crate::gate::statistics::wilson;
use crate::gate::{Gate, GateError, Verdict};
use crate::metrics;
use crate::record::Clock;
use crate::store::Run;

/// Schema name of a [`Calibration`] as JSON.
pub const CALIBRATION_SCHEMA: &str = "vipbench.calibration/1";
/// Slowdowns that are put in by scaling.
const SCALED: [f64; 4] = [0.01, 0.02, 0.05, 0.1];

/// How gates are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
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

/// Calibrates the gate on every clock that `runs` are on.
///
/// # Errors
/// [`CalibrationError`] when runs are too few, or not alike.
pub fn calibrate(runs: &[Run], options: &Options) -> Result<Calibration, CalibrationError> {
    let mut points = Vec::new();
    for pool in pools::of(runs)? {
        points.extend(match pool.clock {
            Clock::Instructions => draw::repetitions(&pool, options)?,
            Clock::Wall => draw::replicates(&pool, options)?,
        });
    }
    Ok(Calibration {
        schema: CALIBRATION_SCHEMA.to_owned(),
        runs: runs.iter().map(|run| crate::format::plain(&run.dir.display().to_string())).collect(),
        seed: options.seed,
        points,
    })
}

impl Slowdown {
    /// The metric that it shows in; nothing for all of them.
    fn metric(&self) -> Option<&'static str> {
        match self {
            Self::Same | Self::Scaled { .. } => None,
            Self::Rules { .. } => Some(metrics::CONNECT.name),
            Self::Delay { .. } => Some(metrics::REQUEST.name),
        }
    }
}

impl Point {
    /// Counts gates.
    fn of(pool: &pools::Pool, replicates: usize, slowdown: Slowdown, gates: &[Gate]) -> Self {
        let metric = slowdown.metric();
        let concerned = |gate: &Gate| {
            let wanted = |line: &&crate::gate::Line| {
                metric.is_none_or(|metric| line.subject.metric == metric)
            };
            gate.lines.iter().filter(wanted).cloned().collect::<Vec<_>>()
        };
        let found = gates
            .iter()
            .filter(|gate| concerned(gate).iter().any(|line| line.verdict == Verdict::Regression))
            .count();
        let (found_low, found_high) = wilson(found, gates.len());
        let of = |verdict| gates.iter().filter(|gate| gate.verdict == verdict).count();
        let verdicts =
            [Verdict::Pass, Verdict::Inconclusive, Verdict::Regression, Verdict::Invalid];
        Self {
            clock: pool.clock,
            kernel: pool.kernel.clone(),
            replicates,
            resampled: pool.clock == Clock::Wall,
            effect: draw::effect_range(gates, concerned),
            slowdown,
            lines: gates.iter().map(|gate| gate.lines.len()).max().unwrap_or(0),
            gates: gates.len(),
            found,
            found_low,
            found_high,
            verdicts: verdicts.map(of),
        }
    }

    /// Share of the gates in which it was found.
    pub fn share(&self) -> f64 {
        self.found as f64 / self.gates.max(1) as f64
    }
}

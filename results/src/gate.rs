//! The verdict on a change: did anything get slower, is it known, and may the two runs be held
//! against each other at all.
//!
//! Numbers, pairs and surroundings are those of [`crate::compare`]. On the instructions clock equal
//! seeds are compared exactly (`exact`), on the wall clock replicates are tested (`wall`,
//! `statistics`). `control` says whether the comparison holds, `environment` whether it is one,
//! `thresholds` what counts. It is shown by `text`, `junit` and `annotations`.

mod annotations;
mod control;
mod environment;
mod exact;
mod judge;
mod junit;
mod line;
pub(crate) mod statistics;
#[cfg(test)]
mod tests;
mod text;
mod thresholds;
mod wall;

use schemars::JsonSchema;
use serde::Serialize;

use crate::compare::{CompareError, Described, Difference, Unmatched};

pub use annotations::annotations;
pub use control::SelfCheck;
pub use judge::judge;
pub use junit::junit;
pub use line::{Evidence, Judged, Line, SeedEffect};
pub use text::{Detail, comment, document};
pub use thresholds::{ThresholdError, Thresholds};

/// Schema name of a [`Gate`] as JSON.
pub const GATE_SCHEMA: &str = "vipbench.gate/1";

/// What is said of a line, and of the whole: the worst of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing that matters got slower.
    Pass,
    /// An effect as large as was declared cannot be told from noise with these replicates.
    Inconclusive,
    /// Something got slower.
    Regression,
    /// The two cannot be held against each other, or the control moved.
    Invalid,
}

/// The one thing that is meant to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Across {
    /// The kernel: its floor differs too, so lines are judged net of `none`.
    Kernel,
    /// The programs of iptables.
    Iptables,
    /// The build of vipbench: its floor may differ too, so lines are judged net of `none`.
    Tool,
    /// A slowdown put in on purpose.
    Injection,
}

/// How the verdict is come to.
#[derive(Debug, Clone)]
pub struct Options {
    /// The one thing that is meant to differ; without it, nothing is.
    pub across: Option<Across>,
    /// What counts as slower.
    pub thresholds: Thresholds,
    /// Seed of every resampling and permutation.
    pub seed: u64,
}

/// A verdict with everything that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Gate {
    /// Always `vipbench.gate/1`.
    pub schema: String,
    /// The worst of its lines and findings.
    pub verdict: Verdict,
    /// What it is held against.
    pub base: Described,
    /// What is judged.
    pub new: Described,
    /// What was meant to differ.
    pub across: Option<Across>,
    /// What differs beside that: with any of these the verdict is `invalid` and no line is judged.
    pub unlike: Vec<Difference>,
    /// What makes the comparison as a whole invalid, in words.
    pub problems: Vec<String>,
    /// Lines that are judged, worst first.
    pub lines: Vec<Line>,
    /// Lines of the control `none`: valid, or the reason why others are not.
    pub controls: Vec<Line>,
    /// On the wall clock, the base against itself.
    pub itself: Vec<SelfCheck>,
    /// Cells of the base without numbers on the new side that decide the verdict.
    pub lost: Vec<Lost>,
    /// Everything else that has numbers on one side at most.
    pub unmatched: Vec<Unmatched>,
    /// Pairs of measured cells.
    pub matched_cells: u64,
    /// Seed of every resampling and permutation.
    pub seed: u64,
}

/// A cell that the base has and the new side lost.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Lost {
    /// What that means.
    pub verdict: Verdict,
    /// The cell.
    #[serde(flatten)]
    pub cell: Unmatched,
}

/// Why there is no verdict at all: the input is wrong.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The sides cannot be paired.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// Two folders of a side hold the same replicate.
    #[error(
        "seed {seed} is in {first} and in {second}, both on the same side: record each folder with seeds of its own (`vipbench run --seeds 11..20`)"
    )]
    SeedTwice {
        /// The seed.
        seed: u64,
        /// One folder.
        first: String,
        /// The other.
        second: String,
    },
    /// `--across kernel` with one kernel.
    #[error(
        "--across kernel, but both sides are kernel {kernel}: name two with --base-kernel and --new-kernel, or leave --across out"
    )]
    SameKernel {
        /// The kernel.
        kernel: String,
    },
    /// A threshold of something that is nowhere.
    #[error("--threshold {metric}: no cell has this metric; there are {there}")]
    UnknownMetric {
        /// As typed.
        metric: String,
        /// What there is.
        there: String,
    },
    /// The verdict cannot be written.
    #[error("cannot write the verdict as {format}: {detail}")]
    Write {
        /// The form.
        format: &'static str,
        /// Why.
        detail: String,
    },
}

impl Verdict {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Regression => "regression",
            Self::Invalid => "invalid",
        }
    }

    /// The exit code of `vipbench gate`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Regression => 2,
            Self::Inconclusive => 3,
            Self::Invalid => 4,
        }
    }
}

impl Across {
    /// As it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Iptables => "iptables",
            Self::Tool => "tool",
            Self::Injection => "injection",
        }
    }

    /// Whether the floor under every proxy is meant to differ too.
    pub(crate) fn moves_floor(self) -> bool {
        matches!(self, Self::Kernel | Self::Tool)
    }
}

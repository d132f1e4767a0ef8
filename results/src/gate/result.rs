//! A verdict with everything that it rests on, what it is made with, and why there is none.

use schemars::JsonSchema;
use serde::Serialize;

use super::line::Line;
use super::thresholds::Thresholds;
use super::verdict::{Across, Verdict};
use crate::compare::{CompareError, Described, Difference, Unmatched};

/// Schema name of a [`Gate`] as JSON.
pub const GATE_SCHEMA: &str = "vipbench.gate/1";

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
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

/// The base against itself, in one line.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SelfCheck {
    /// `halves`: every second replicate against the others. `folders`: the first folder of the base
    /// against its last.
    pub split: String,
    /// Which line.
    pub line: String,
    /// How far the two are apart, a share.
    pub effect: f64,
    /// Probability of that without a difference, corrected for the number of lines (Holm).
    pub corrected: f64,
    /// `pass`, or `invalid` when a difference that matters is proven.
    pub verdict: Verdict,
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
        "--across kernel, but both sides are kernel {0}: name two with --base-kernel and --new-kernel, or leave --across out"
    )]
    SameKernel(String),
    /// A threshold of something that is nowhere.
    #[error("--threshold {metric}: no cell has this metric; there are {there}")]
    UnknownMetric {
        /// As typed.
        metric: String,
        /// What there is.
        there: String,
    },
    /// The verdict cannot be written.
    #[error("cannot write the verdict as JUnit: {0}")]
    Write(#[from] askama::Error),
}

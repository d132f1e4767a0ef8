//! What may be said of a line, and the one thing that may be meant to differ.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::shown_as_stored;

/// What is said of a line, and of the whole: the worst of its lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing that matters got slower.
    Pass,
    /// An effect as large as was declared cannot be told from noise with these replicates.
    Inconclusive,
    /// Something got slower.
    Regression,
    /// The two cannot be held against each other, or the control moved.
    #[default]
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

shown_as_stored!(Verdict, Across);

impl Verdict {
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
    /// Whether the floor under every proxy is meant to differ too.
    pub(crate) fn moves_floor(self) -> bool {
        matches!(self, Self::Kernel | Self::Tool)
    }
}

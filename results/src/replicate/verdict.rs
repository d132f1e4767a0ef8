//! A claim with what became of it.

use serde::Serialize;

use super::claim::Claim;
use crate::record::{Clock, Unit};
use crate::stats::Spread;

/// A claim with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgedClaim {
    /// The claim, with its source.
    pub claim: Claim,
    /// Scenario whose run it was tested by.
    pub scenario: String,
    /// What was measured, one point a kernel and size.
    pub points: Vec<ClaimPoint>,
    /// What follows.
    pub verdict: ClaimVerdict,
}

/// What a claim's test gave on one kernel at one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimPoint {
    /// Kernel release.
    pub kernel: String,
    /// What was counted.
    pub clock: Clock,
    /// Number of Services.
    pub services: u64,
    /// The tested number over the seeds: a ratio, or a value in `unit`.
    pub value: Spread,
    /// Unit of the value; nothing for a ratio.
    pub unit: Option<Unit>,
    /// Whether it is what was claimed; nothing when the seeds disagree.
    pub met: Option<bool>,
}

/// What follows for a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ClaimVerdict {
    /// At every point.
    Holds,
    /// At some points, which are named.
    HoldsOnlyWhen {
        /// The points, in words.
        condition: String,
    },
    /// At no point.
    DoesNotHold,
    /// There is no point to judge by.
    CannotBeTestedHere {
        /// Why.
        reason: String,
    },
}

impl ClaimVerdict {
    /// For a table.
    pub fn in_words(&self) -> String {
        match self {
            Self::Holds => "holds".to_owned(),
            Self::HoldsOnlyWhen { condition } => format!("holds only {condition}"),
            Self::DoesNotHold => "does not hold".to_owned(),
            Self::CannotBeTestedHere { reason } => format!("cannot be tested here: {reason}"),
        }
    }
}

/// The verdict on a claim whose scenario could not be run here.
pub fn untested(claim: Claim, scenario: &str, reason: String) -> JudgedClaim {
    let verdict = ClaimVerdict::CannotBeTestedHere { reason };
    JudgedClaim { claim, scenario: scenario.to_owned(), points: Vec::new(), verdict }
}

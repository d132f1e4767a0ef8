//! A run as far as a trend needs it, and the order of runs.

use crate::compare::side::Side;
use crate::compare::{CompareError, Difference, surroundings};
use crate::facts::SOURCE;
use crate::format::plain;
use crate::record::RunRecord;
use crate::store::Run;

use super::data::TrendRun;

/// A run whose values are decoded: a whole store of them fits into memory.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub(super) side: Side,
    pub(super) record: RunRecord,
    folder: String,
}

impl Recorded {
    /// Of a stored run.
    ///
    /// # Errors
    /// [`CompareError::Values`] when a distribution cannot be decoded.
    pub fn of(run: &Run) -> Result<Self, CompareError> {
        let side = Side::of(std::slice::from_ref(run))?;
        Ok(Self { side, record: run.record.clone(), folder: run.folder() })
    }

    /// What a trend tells of it.
    pub(super) fn described(&self) -> TrendRun {
        TrendRun {
            folder: self.folder.clone(),
            started: plain(&self.record.started),
            tool_version: plain(&self.record.tool_version),
            kernels: self.side.kernels().into_iter().map(plain).collect(),
        }
    }

    /// What comes before another run: the time it was recorded at, then the folder.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.record.started, &self.folder)
    }

    /// What differs from here to a later run: the kernel first. Where a kernel came from is no
    /// difference.
    pub(super) fn differences(&self, later: &Self) -> Vec<Difference> {
        let [base, new] = [self, later].map(|run| run.described().kernels.join(", "));
        let kernel = (base != new).then(|| Difference { fact: "kernel".to_owned(), base, new });
        let others = surroundings::differences(&self.side, &later.side);
        let others = others.into_iter().filter(|one| !one.fact.ends_with(SOURCE));
        kernel.into_iter().chain(others).collect()
    }
}

//! Reports on stored runs. `page` orders the parts; the content comes from `findings`, `kernels`, `tables` and `plots`.

mod page;
mod plots;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::compare::CompareError;
use crate::distribution::DistributionError;
use crate::document::Document;
use crate::kernel::KernelError;
use crate::plots::PlotError;
use crate::store::Run;
use crate::view::View;

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Nothing to report on.
    #[error("there is no run to report on; name at least one results folder")]
    NoRuns,
    /// Two runs hold the same cell.
    #[error("cell {id} is in both {} and {}; report the runs apart, or set them side by side with `vipbench compare`", .first.display(), .second.display())]
    DuplicateCell {
        /// The cell.
        id: String,
        /// A run that holds it.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// A metric's values cannot be trusted.
    #[error("cell {cell}, metric {metric}: {source}")]
    Values {
        /// The cell.
        cell: String,
        /// Name and label.
        metric: String,
        /// What is wrong.
        source: DistributionError,
    },
    /// Kernels cannot be compared.
    #[error("cannot compare kernels: {0}")]
    Compare(#[from] CompareError),
    /// A claim that means nothing.
    #[error(transparent)]
    Claim(#[from] crate::replicate::ClaimError),
    /// The reference kernel is not there.
    #[error("--reference-kernel: {0}")]
    Reference(#[from] KernelError),
    /// A plot cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// What a reader may choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Kernel that others are compared with: its release or the beginning of it. Without one it is the oldest.
    pub reference_kernel: Option<String>,
}

/// The report on `runs`, which will lie in `dir`: links lead to what is there. Several runs are reported together, for example one a
/// kernel; they may not hold the same cell.
///
/// # Errors
/// [`ReportError`].
pub fn document(runs: &[Run], options: &Options, dir: &Path) -> Result<Document, ReportError> {
    page::document(&View::new(runs)?, options, dir)
}

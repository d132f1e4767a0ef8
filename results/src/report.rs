//! Reports on stored runs. `page` orders the parts: the answer (`first`, by the rule of `answer`),
//! and what comes from `findings`, `kernels`, `tables` and `plots`.

mod answer;
mod churn;
mod first;
mod page;
mod plots;
mod tables;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::document::Document;
use crate::kernels::KernelsError;
use crate::plots::PlotError;
use crate::store::Run;
use crate::view::{View, ViewError};

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The runs cannot be looked at together.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Kernels cannot be set side by side.
    #[error(transparent)]
    Kernels(#[from] KernelsError),
    /// A plot cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// The report on `runs`, which will lie in `dir`: links lead to what is there. Several runs are
/// reported together, for example one a kernel; they may not hold the same cell. Kernels are
/// compared with `reference_kernel`, a release or the beginning of one, or else with the oldest.
///
/// # Errors
/// [`ReportError`].
pub fn document(
    runs: &[Run],
    reference_kernel: Option<&str>,
    dir: &Path,
) -> Result<Document, ReportError> {
    page::document(&View::new(runs)?, reference_kernel, dir)
}

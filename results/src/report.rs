//! Reports on stored runs. `page` orders the parts; the content comes from `findings`, `kernels`,
//! `tables` and `plots`.

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

/// What a reader may choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Kernel that others are compared with: its release or the beginning of it. Without one it is
    /// the oldest.
    pub reference_kernel: Option<String>,
}

/// The report on `runs`, which will lie in `dir`: links lead to what is there. Several runs are
/// reported together, for example one a kernel; they may not hold the same cell.
///
/// # Errors
/// [`ReportError`].
pub fn document(runs: &[Run], options: &Options, dir: &Path) -> Result<Document, ReportError> {
    page::document(&View::new(runs)?, options, dir)
}

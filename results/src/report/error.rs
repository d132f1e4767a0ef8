//! Why a report cannot be made.

use crate::kernels::KernelsError;
use crate::plots::PlotError;
use crate::view::ViewError;

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

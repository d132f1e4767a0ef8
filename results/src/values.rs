//! Values of stored cells, decoded, with the cell that an error is about.

use crate::distribution::{DistributionError, Samples};
use crate::record::{CellRecord, Metric};

/// A metric's values cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[error("cell {cell}, metric {metric}: {source}")]
pub struct ValuesError {
    /// The cell.
    pub cell: String,
    /// Name and label.
    pub metric: String,
    /// What is wrong.
    pub source: DistributionError,
}

/// The values of one metric of `cell`.
pub(crate) fn decoded(cell: &CellRecord, metric: &Metric) -> Result<Samples, ValuesError> {
    metric.data.samples().map_err(|source| ValuesError {
        cell: cell.id.clone(),
        metric: format!("{} {}", metric.name, metric.label),
        source,
    })
}

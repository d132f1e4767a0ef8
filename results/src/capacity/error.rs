//! Why there is no plan.

use super::slo::SloError;
use crate::view::ViewError;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// The budget cannot be read.
    #[error(transparent)]
    Slo(#[from] SloError),
    /// The runs cannot be read together.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Time on the instructions clock.
    #[error(
        "--slo: {subject} is limited in time, but {run} counts instructions, which are not time; give the limit in instructions (`150k`), relative to the connection without a proxy (`1.5x none`), or a calibration with --calibrate RUN or --instructions-per-ns X, after which every figure is an estimate"
    )]
    TimeOnInstructions {
        /// The condition.
        subject: String,
        /// The run.
        run: String,
    },
    /// A unit that the metric does not have.
    #[error("--slo: {subject} is measured in {unit} here; {remedy}")]
    Unit {
        /// The condition.
        subject: String,
        /// The unit of its values.
        unit: &'static str,
        /// How to write it.
        remedy: &'static str,
    },
    /// The clock rate says nothing of this.
    #[error("--calibrate {run}: {reason}")]
    ClockRate {
        /// The wall run, or the option.
        run: String,
        /// Why not.
        reason: String,
    },
    /// A factor that is none.
    #[error("--instructions-per-ns {0:?}: write a number above 0, or a range such as 1.2..2.5")]
    Factor(String),
    /// No proxy has any of the conditions.
    #[error(
        "{run} has no values of {wanted}; it measured {measured}. Run a scenario that measures it, or change --slo"
    )]
    NothingMeasured {
        /// The runs.
        run: String,
        /// Their metrics.
        measured: String,
        /// The conditions.
        wanted: String,
    },
}

//! The gate measured: how often it cries wolf over the same thing, and how large a slowdown it
//! finds.
//!
//! Made from runs that were really recorded. On the instructions clock whole repetitions are held
//! against each other. On the wall clock gates are resampled from recorded replicates in the order
//! they were recorded in, and every curve says so. `pools` sorts the runs, `draw` makes gates of
//! them, `render` and `plot` show the outcome.

mod data;
mod draw;
mod plot;
mod pools;
mod render;
#[cfg(test)]
mod tests;

pub use data::{
    CALIBRATION_SCHEMA, Calibration, CalibrationError, CalibrationOptions, Point, Slowdown,
};
pub use render::document;

use crate::record::Clock;
use crate::store::Run;

/// Calibrates the gate on every clock that `runs` are on.
///
/// # Errors
/// [`CalibrationError`] when runs are too few, or not alike.
pub fn calibrate(
    runs: &[Run],
    options: &CalibrationOptions,
) -> Result<Calibration, CalibrationError> {
    let mut points = Vec::new();
    for pool in pools::of(runs)? {
        points.extend(match pool.clock {
            Clock::Instructions => draw::repetitions(&pool, options)?,
            Clock::Wall => draw::replicates(&pool, options)?,
        });
    }
    Ok(Calibration {
        schema: CALIBRATION_SCHEMA.to_owned(),
        runs: runs.iter().map(Run::folder).collect(),
        seed: options.seed,
        points,
    })
}

//! Two sides of stored cells set against each other: the same cells on another kernel, or of
//! another run.
//!
//! Says what changed and by how much, gross and net of the control without a proxy; whether that is
//! good or bad is not decided here. [`Side`] chooses the cells, `pairing` finds their partners,
//! `change` computes, `effects` does so for every number, `surroundings` tells what else differs,
//! `brief` and `sentences` put it into words and [`document`] makes a page. `comparison` is what comes out.

pub(crate) mod brief;
mod change;
mod comparison;
mod effects;
mod pairing;
pub(crate) mod render;
mod resample;
pub(crate) mod sentences;
pub(crate) mod side;
pub(crate) mod surroundings;
#[cfg(test)]
mod tests;

pub use change::{Certainty, Change, Pair, REPLICATES_MIN};
pub use comparison::{
    COMPARE_SCHEMA, CellRef, CompareError, Comparison, Described, Difference, Effect, MissingIn,
    Statistic, Subject, Unmatched, Wanted,
};
pub(crate) use pairing::UNFINISHED;
pub use render::document;
pub(crate) use resample::Pick;
pub use side::Side;

/// Sets `new` against `base`. Cells are paired by everything but the kernel when each side has one
/// kernel, and by everything otherwise.
///
/// # Errors
/// [`CompareError`] when a side is empty, the clocks differ, or several kernels have nothing in
/// common.
pub fn compare(base: &Side, new: &Side) -> Result<Comparison, CompareError> {
    let matched = pairing::pair(base, new)?;
    Ok(Comparison {
        schema: COMPARE_SCHEMA.to_owned(),
        base: base.described(),
        new: new.described(),
        surroundings: surroundings::differences(base, new),
        matched_cells: matched.cells.len() as u64,
        effects: effects::of_pairs(&matched, base, new),
        unmatched: matched.unmatched,
    })
}

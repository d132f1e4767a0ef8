//! Time against instructions: the same cells on both clocks, how well one tells of the other, and
//! where it misleads.
//!
//! Nothing is converted here: a point has both numbers, each on its own axis, and a fit says how
//! far they go together.

mod agreement;
mod plot;
mod render;

pub use agreement::{Agreement, Clocks, ClocksError, Pair, compare};
pub use render::document;

//! Explains a cell of a stored run: which cell and which of its metrics are meant, run again under
//! the profiler, its counts by function.
//!
//! What comes out is `results::explain`; how it is shown is decided there.

mod choose;
mod profile;

pub use choose::{Choice, Target, choose};
pub use profile::Lens;

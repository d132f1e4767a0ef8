//! A results folder: `run.json`, written once, and `cells.jsonl`, one line a cell.
//!
//! Interprets no metric.

mod folder;
mod guests;
mod read;
mod write;

pub use folder::{CELLS_FILE, RUN_FILE, StoreError};
pub use read::Run;
pub use write::RunWriter;
pub(crate) use write::first_difference;

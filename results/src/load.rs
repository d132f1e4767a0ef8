//! What a load came to: latencies from the planned and the actual start, how late the client was,
//! what went wrong, and whether the numbers may be believed.
//!
//! `record` is what is stored, `checks` what a load says about itself, `page` the page.

mod checks;
mod page;
mod plots;
mod record;
#[cfg(test)]
mod tests;

pub use checks::Finding;
pub use page::document;
pub use record::{Asked, Counts, Interval, Kernel, LOAD_SCHEMA, Latency, Load, Start};

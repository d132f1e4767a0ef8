//! Whether proxies conform: what was tried with each, and a matrix of it.
//!
//! `record` is what a check stores, `page` the matrix, `junit` the same for a pipeline. What must
//! happen, and what came, is decided where packets are: here they are words.

mod junit;
mod page;
mod record;
#[cfg(test)]
mod tests;

pub use junit::{junit, write_junit};
pub use page::document;
pub use record::{
    CHECK_SCHEMA, Check, CheckedProxy, Cost, NotCovered, Probe, Programmed, Skipped, Subject,
    Trial, Verdict,
};

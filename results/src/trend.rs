//! Runs over time: one series a metric, and the steps in it.
//!
//! `recorded` is a run as far as this needs it, `series` puts the runs' numbers one behind the
//! other, `steps` finds where they change (on the wall clock by `divisive`), and `data` is what
//! comes out. A page is made of that by `page`, with `sentences`, `tables` and `plot`.

mod data;
mod divisive;
mod page;
mod plot;
mod recorded;
mod sentences;
mod series;
mod steps;
mod tables;
#[cfg(test)]
mod tests;

pub use data::{
    Around, Evidence, Point, Series, Step, Subject, TREND_SCHEMA, Trend, TrendError, TrendRun,
};
pub use page::document;
pub use recorded::Recorded;
pub use series::trend;

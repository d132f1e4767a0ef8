//! What a run means: the record format, statistics, tables, plots and reports.
//!
//! Knows nothing of kernels, labs or proxies, and reads stored runs only: any report can be made
//! again years later.
//!
//! While measuring, [`metrics`] makes each [`Metric`] and a [`RunWriter`] stores one [`CellRecord`]
//! after the other. Afterwards [`Run::read`] gives back what is in a folder, and everything else
//! works on that.

pub mod advise;
pub mod calibration;
pub mod capacity;
pub mod check;
pub mod clocks;
mod compact;
pub mod compare;
mod distribution;
pub mod document;
pub mod explain;
pub mod export;
mod facts;
mod files;
mod findings;
pub mod format;
pub mod gate;
mod kernel;
mod kernels;
pub mod load;
pub mod merge;
pub mod metrics;
mod path;
mod plots;
pub mod print;
mod proxies;
mod record;
pub mod replicate;
pub mod report;
mod shape;
pub mod stats;
mod store;
mod tables;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod trend;
mod validate;
mod values;
mod view;

#[cfg(test)]
use tests::{fixture, schema};

pub use compact::CompactError;
pub use distribution::{DistributionError, Samples};
pub use kernel::KernelError;
pub use kernels::KernelsError;
pub use path::Path;
pub use record::{
    CellRecord, Clock, Distribution, Environment, GuestRecord, Labels, Metric, Outcome, Place,
    ProxyRecord, RUN_SCHEMA, RunRecord, ShardRecord, Unit,
};
pub use store::{CELLS_FILE, RUN_FILE, Run, RunWriter, StoreError};
pub use values::ValuesError;
pub use view::ViewError;

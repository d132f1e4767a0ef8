//! The verdict on a change: did anything get slower, is it known, and may the two runs be held
//! against each other at all.
//!
//! Numbers, pairs and surroundings are those of [`crate::compare`]. `lines` are judged: on the
//! instructions clock equal seeds are compared exactly (`exact`), on the wall clock replicates are
//! tested (`wall`, `statistics`). `control` says whether the comparison holds, `environment`
//! whether it is one, `thresholds` what counts. `result` is what comes out; it is shown by `text`,
//! `junit` and `annotations`.

mod annotations;
mod control;
mod environment;
mod exact;
mod judge;
mod junit;
mod line;
mod lines;
mod result;
pub(crate) mod statistics;
#[cfg(test)]
mod tests;
mod text;
mod thresholds;
mod verdict;
mod wall;

pub use annotations::annotations;
pub use judge::judge;
pub use junit::junit;
pub use line::{Evidence, Judged, Line, SeedEffect};
pub use result::{GATE_SCHEMA, Gate, GateError, Lost, Options, SelfCheck};
pub use text::{comment, document};
pub(crate) use thresholds::WALL;
pub use thresholds::{ThresholdError, Thresholds};
pub use verdict::{Across, Verdict};

//! Where instructions went: profiles of one or two cells by kernel function, their difference, and
//! whether it adds up.
//!
//! Arithmetic on counts that somebody else made (`explanation`); how it is shown is in `tables`,
//! `plot` and `page`.

mod areas;
mod explanation;
mod page;
mod plot;
mod stored;
mod tables;

pub use areas::{USER, WAITING};
pub use explanation::{EXPLAIN_SCHEMA, Explanation, Part, Profiled, SUM_TOLERANCE};
pub use page::{document, write};
pub(crate) use stored::main_part;

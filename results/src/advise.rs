//! Which proxy to use with so many Services: what fits into budgets that a person can read, and why.
//!
//! `budget` is what is asked, `advice` what comes out, as data, from a capacity plan of the same
//! runs; `sentences` and `page` show it.

mod advice;
mod budget;
mod judge;
mod page;
mod sentences;
#[cfg(test)]
mod tests;

pub use advice::{ADVISE_SCHEMA, Advice, Choice, GroupAdvice, LeftOut, Standing, Usage};
pub use budget::{Budget, BudgetError, Budgets};
pub use judge::{AdviseOptions, advise};
pub use page::document;

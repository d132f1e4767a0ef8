//! Capacity: the largest number of Services that a budget allows, for each proxy and kernel of
//! stored runs.
//!
//! The budget is an [`Slo`]; `planner` fits what was measured and inverts the fits, and gives the
//! plan as data (`plan`). Sentences, tables and plots are made of that.

mod budget;
mod clock_rate;
mod cost;
mod error;
mod limit;
mod measured;
mod models;
mod moves;
mod page;
mod plan;
mod planner;
mod plot;
mod sentences;
mod slo;
mod tables;
#[cfg(test)]
mod tests;

pub use clock_rate::ClockRate;
pub use cost::MeasuredPoint;
pub use error::CapacityError;
pub use limit::{Largest, Size};
pub use models::Model;
pub use page::document;
pub(crate) use page::evidence;
pub use plan::{
    Answer, Asked, CAPACITY_SCHEMA, CapacityPlan, ConditionPlan, FitPlan, Forecast, Gap, GroupPlan,
    Move, MoveChange, Outlook, ProxyPlan, ValueUnit, Verdict,
};
pub use planner::{PlanOptions, plan};
pub use slo::{Slo, SloError};

//! A condition's limit in the unit of a group's values. Never takes time for instructions without a
//! clock rate.

use super::clock_rate::ClockRate;
use super::cost::Estimate;
use super::error::CapacityError;
use super::measured::Subject;
use super::plan::ValueUnit::{self, Stored};
use super::slo::Limit;
use crate::record::Unit;

/// The limit for `proxy`, whose values have `unit`.
pub(super) fn limit(
    subject: &Subject<'_>,
    unit: ValueUnit,
    proxy: &str,
    rate: Option<&ClockRate>,
    run: &str,
) -> Result<Estimate, CapacityError> {
    let (unit, remedy) = match (subject.condition.limit, unit) {
        (Limit::TimesNone(value), _)
        | (Limit::Ns(value), Stored(Unit::Ns))
        | (Limit::Instructions(value) | Limit::Plain(value), Stored(Unit::Instructions))
        | (Limit::Plain(value), Stored(Unit::Count))
        | (Limit::Bytes(value), Stored(Unit::Bytes)) => return Ok(Estimate::exactly(value)),
        (Limit::Ns(ns), Stored(Unit::Instructions)) => {
            let refused = || CapacityError::TimeOnInstructions {
                subject: subject.name(),
                run: run.to_owned(),
            };
            return rate.ok_or_else(refused)?.limit(ns, subject, proxy);
        }
        (_, Stored(Unit::Ns)) => (
            "nanoseconds of wall time",
            "give a time, such as 500us, or a multiple of the connection without a proxy (`1.5x none`)",
        ),
        (_, Stored(Unit::Instructions)) => {
            ("instructions", "give a number of instructions, such as 150k, or `1.5x none`")
        }
        (_, Stored(Unit::Bytes)) => ("bytes", "give bytes, such as 100MB"),
        _ => ("pieces", "give a number without a unit, such as 100k"),
    };
    Err(CapacityError::Unit { subject: subject.name(), unit, remedy })
}

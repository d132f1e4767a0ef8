//! A condition's limit in the unit of a group's values. Never takes time for instructions without a
//! calibration.

use super::limit::Ceiling;
use super::slo::{Condition, Limit};
use super::{Calibration, CapacityError};
use crate::record::Unit;
use crate::view::Group;

/// The limit of `condition` for `proxy`, whose values have `unit`.
pub(super) fn ceiling(
    group: &Group<'_>,
    condition: &Condition,
    label: &str,
    unit: Unit,
    proxy: &str,
    calibration: Option<&Calibration>,
    run: &str,
) -> Result<Ceiling, CapacityError> {
    let subject = || condition.subject(label);
    let exactly = |value| Ok(Ceiling { value, low: value, high: value });
    let refused =
        |remedy| Err(CapacityError::Unit { subject: subject(), unit: unit_name(unit), remedy });
    match (condition.limit, unit) {
        (Limit::TimesNone(_), _) if !condition.is_of_a_connection() => {
            Err(CapacityError::NotRelative { subject: subject() })
        }
        (Limit::TimesNone(value), _)
        | (Limit::Ns(value), Unit::Ns)
        | (Limit::Instructions(value) | Limit::Plain(value), Unit::Instructions)
        | (Limit::Plain(value), Unit::Count)
        | (Limit::Bytes(value), Unit::Bytes) => exactly(value),
        (Limit::Ns(ns), Unit::Instructions) => match calibration {
            Some(calibration) => calibration.ceiling(ns, group, condition, label, proxy),
            None => {
                Err(CapacityError::TimeOnInstructions { subject: subject(), run: run.to_owned() })
            }
        },
        (_, Unit::Ns) => refused(
            "give a time, such as 500us, or a multiple of the connection without a proxy (`1.5x none`)",
        ),
        (_, Unit::Instructions) => {
            refused("give a number of instructions, such as 150k, or `1.5x none`")
        }
        (_, Unit::Count) => refused("give a number without a unit, such as 100k"),
        (_, Unit::Bytes) => refused("give bytes, such as 100MB"),
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns => "nanoseconds of wall time",
        Unit::Instructions => "instructions",
        Unit::Count => "pieces",
        Unit::Bytes => "bytes",
    }
}

//! How instructions become time: a factor that somebody states, or one measured by the same cells
//! on both clocks.
//!
//! Every figure that passed through here is an estimate and says so; without a calibration nothing
//! is converted.

use std::path::PathBuf;

use super::CapacityError;
use super::limit::Ceiling;
use super::series;
use super::slo::Condition;
use crate::record::Clock;
use crate::stats::Spread;
use crate::store::Run;
use crate::view::{Group, View};

/// Where the factor comes from.
#[derive(Debug)]
pub enum Calibration {
    /// Instructions a nanosecond, lowest and highest.
    Stated(f64, f64),
    /// A run on the wall clock with some of the same cells.
    Measured(Box<Run>),
}

impl Calibration {
    /// `1.8`, or `1.2..2.5`.
    ///
    /// # Errors
    /// [`CapacityError::Factor`].
    pub fn stated(text: &str) -> Result<Self, CapacityError> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| *x > 0.0 && *x < 1e6);
        match (number(low), number(high)) {
            (Some(low), Some(high)) if low <= high => Ok(Self::Stated(low, high)),
            _ => Err(CapacityError::Factor { given: text.to_owned() }),
        }
    }

    /// For the method: what was done.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Stated(low, high) if low.total_cmp(high).is_eq() => {
                format!("made with {low} instructions a nanosecond, as stated on the command line")
            }
            Self::Stated(low, high) => format!(
                "made with {low} to {high} instructions a nanosecond, as stated on the command line"
            ),
            Self::Measured(run) => format!(
                "made with the cells that {} measured on the wall clock too: each metric and proxy has its own ratio of instructions to time, from the lowest to the highest over sizes",
                folder(run).display()
            ),
        }
    }

    /// Instructions that stand for `ns` nanoseconds of this condition and proxy in `group`.
    pub(super) fn ceiling(
        &self,
        ns: f64,
        group: &Group<'_>,
        condition: &Condition,
        label: &str,
        proxy: &str,
    ) -> Result<Ceiling, CapacityError> {
        let factor = match self {
            Self::Stated(low, high) => {
                Spread { median: f64::midpoint(*low, *high), min: *low, max: *high, count: 1 }
            }
            Self::Measured(run) => measured(run, group, condition, label, proxy)?,
        };
        Ok(Ceiling { value: ns * factor.median, low: ns * factor.min, high: ns * factor.max })
    }
}

fn folder(run: &Run) -> PathBuf {
    PathBuf::from(crate::format::plain(&run.dir.display().to_string()))
}

/// Instructions over nanoseconds at each size that both have: of this proxy, or else of all.
fn measured(
    run: &Run,
    group: &Group<'_>,
    condition: &Condition,
    label: &str,
    proxy: &str,
) -> Result<Spread, CapacityError> {
    let view = View::new(std::slice::from_ref(run))?;
    let walls: Vec<&Group<'_>> =
        view.groups.iter().filter(|group| group.key.clock == Clock::Wall).collect();
    let refused = |reason: String| CapacityError::Calibration {
        run: folder(run).display().to_string(),
        reason,
    };
    if walls.is_empty() {
        return Err(refused("was measured on the instructions clock; name a run on the wall clock (`vipbench run --clock wall`)".to_owned()));
    }
    let ratios = |proxy: &str| -> Vec<f64> {
        let counted = series::values(group, condition, label, proxy).unwrap_or_default();
        let timed =
            |wall: &&Group<'_>| series::values(wall, condition, label, proxy).unwrap_or_default();
        let pairs = walls.iter().flat_map(timed).filter_map(|timed| {
            let counted = counted.iter().find(|counted| counted.size == timed.size)?;
            Some(counted.median() / timed.median())
        });
        pairs.collect()
    };
    let mut found = ratios(proxy);
    if found.is_empty() {
        found = group.all_proxies().into_iter().flat_map(ratios).collect();
    }
    Spread::of(found).ok_or_else(|| {
        refused(format!(
            "holds nothing that {} of {proxy} can be calibrated with; measure the same sizes and proxies on the wall clock",
            condition.subject(label)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stated_factor_is_a_number_or_a_range() {
        assert!(
            matches!(Calibration::stated("1.8"), Ok(Calibration::Stated(low, high)) if low >= high)
        );
        assert!(
            matches!(Calibration::stated("1.2..2.5"), Ok(Calibration::Stated(low, high)) if low < high)
        );
        for wrong in ["", "0", "-1", "2..1", "nan", "fast"] {
            assert!(Calibration::stated(wrong).is_err(), "{wrong}");
        }
    }
}

//! How instructions become time: a clock rate that somebody states, or one measured by the same
//! cells on both clocks.
//!
//! Every figure that passed through here is an estimate and says so; without a rate nothing is
//! converted.

use super::cost::Estimate;
use super::error::CapacityError;
use super::measured::Subject;
use crate::metrics;
use crate::record::Clock;
use crate::stats::Spread;
use crate::store::Run;
use crate::view::{Group, View};

/// Instructions a nanosecond as they were recorded on one machine, the middle, the least and the
/// most: of connections, and of syncs (docs/clock-validation.md; a test holds them to its runs).
const RECORDED_CONNECTIONS: (f64, f64, f64) = (3.1, 3.0, 9.1);
const RECORDED_SYNCS: (f64, f64, f64) = (3.9, 1.1, 6.4);

/// Where the rate comes from.
#[derive(Debug)]
pub enum ClockRate {
    /// What one machine was found to do: better than nothing, and worse than any other.
    Recorded,
    /// Instructions a nanosecond, lowest and highest.
    Stated(f64, f64),
    /// A run on the wall clock with some of the same cells.
    Measured(Box<Run>),
}

impl ClockRate {
    /// `1.8`, or `1.2..2.5`.
    ///
    /// # Errors
    /// [`CapacityError::Factor`].
    pub fn stated(text: &str) -> Result<Self, CapacityError> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| *x > 0.0 && *x < 1e6);
        match (number(low), number(high)) {
            (Some(low), Some(high)) if low <= high => Ok(Self::Stated(low, high)),
            _ => Err(CapacityError::Factor(text.to_owned())),
        }
    }

    /// For the method: what was done.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Recorded => {
                let range = |(_, low, high): (f64, f64, f64)| format!("{low} to {high}");
                format!(
                    "made with {} instructions a nanosecond for connections and {} for syncs, as recorded on one machine (docs/clock-validation.md); your machine may differ",
                    range(RECORDED_CONNECTIONS),
                    range(RECORDED_SYNCS)
                )
            }
            Self::Stated(low, high) => {
                let rate = if low < high { format!("{low} to {high}") } else { low.to_string() };
                format!("made with {rate} instructions a nanosecond, as stated on the command line")
            }
            Self::Measured(run) => format!(
                "made with the cells that {} measured on the wall clock too: each metric and proxy has its own ratio of instructions to time, from the lowest to the highest over sizes",
                run.folder()
            ),
        }
    }

    /// Instructions that stand for `ns` nanoseconds of this condition and proxy.
    pub(super) fn limit(
        &self,
        ns: f64,
        subject: &Subject<'_>,
        proxy: &str,
    ) -> Result<Estimate, CapacityError> {
        let is_sync = metrics::is_sync(&subject.condition.metric);
        let (value, low, high) = match self {
            Self::Recorded if is_sync => RECORDED_SYNCS,
            Self::Recorded => RECORDED_CONNECTIONS,
            Self::Stated(low, high) => (f64::midpoint(*low, *high), *low, *high),
            Self::Measured(run) => {
                let Spread { median, min, max, .. } = measured(run, subject, proxy)?;
                (median, min, max)
            }
        };
        Ok(Estimate { value: ns * value, low: ns * low, high: ns * high })
    }
}

/// Instructions over nanoseconds at each size that both have: of this proxy, or else of all.
fn measured(run: &Run, subject: &Subject<'_>, proxy: &str) -> Result<Spread, CapacityError> {
    let view = View::new(std::slice::from_ref(run))?;
    let walls: Vec<&Group<'_>> = view
        .groups
        .iter()
        .filter(|group| group.key.clock == Clock::Wall && group.key.path == subject.group.key.path)
        .collect();
    let refused = |reason: String| CapacityError::ClockRate { run: run.folder(), reason };
    if walls.is_empty() {
        return Err(refused("was measured on the instructions clock; name a run on the wall clock (`vipbench run --clock wall`)".to_owned()));
    }
    let ratios = |proxy: &str| -> Vec<f64> {
        let points = |subject: Subject<'_>| {
            subject.points(proxy).map(|(_, points)| points).unwrap_or_default()
        };
        let counted = points(*subject);
        let timed = walls.iter().flat_map(|group| points(Subject { group, ..*subject }));
        let pairs = timed.filter_map(|timed| {
            let counted = counted.iter().find(|counted| counted.services == timed.services)?;
            Some(counted.median / timed.median)
        });
        pairs.collect()
    };
    let mut found = ratios(proxy);
    if found.is_empty() {
        found = subject.group.all_proxies().into_iter().flat_map(ratios).collect();
    }
    Spread::of(found).ok_or_else(|| {
        refused(format!(
            "holds nothing that {} of {proxy} can be calibrated with; measure the same sizes and proxies on the wall clock",
            subject.name()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instructions over nanoseconds of what the recorded runs have on both clocks.
    fn recorded(metric: &str) -> Spread {
        let read = |name: &str| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
            Run::read(&folder.join(name)).unwrap()
        };
        let runs = [read("clocks-instructions")];
        let (view, wall) = (View::new(&runs).unwrap(), read("clocks-wall"));
        let slo: crate::capacity::Slo = format!("{metric} < 1s").parse().unwrap();
        let (group, condition) = (&view.groups[0], &slo.conditions[0]);
        let proxies = group.all_proxies().into_iter();
        let rates = proxies.filter_map(|proxy| {
            let rate = measured(&wall, &Subject::of(group, condition), proxy).ok()?;
            Some([rate.min, rate.median, rate.max])
        });
        Spread::of(rates.flatten()).unwrap()
    }

    #[test]
    fn recorded_rates_are_those_of_the_runs_on_both_clocks() {
        let holds = |(_, low, high): (f64, f64, f64), metric: &str| {
            let Spread { min, max, .. } = recorded(metric);
            assert!(low <= min + 0.05 && max <= high + 0.05, "{metric}: {min} to {max}");
        };
        for metric in ["connect.mean", "connect.mean@p50", "connect.mean@first"] {
            holds(RECORDED_CONNECTIONS, metric);
        }
        for metric in ["sync.full.total", "sync.endpoint_change.total", "sync.service_add.total"] {
            holds(RECORDED_SYNCS, metric);
        }
    }

    #[test]
    fn a_stated_factor_is_a_number_or_a_range() {
        assert!(
            matches!(ClockRate::stated("1.8"), Ok(ClockRate::Stated(low, high)) if low >= high)
        );
        assert!(
            matches!(ClockRate::stated("1.2..2.5"), Ok(ClockRate::Stated(low, high)) if low < high)
        );
        for wrong in ["", "0", "-1", "2..1", "nan", "fast"] {
            assert!(ClockRate::stated(wrong).is_err(), "{wrong}");
        }
    }
}

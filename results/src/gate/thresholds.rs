//! What counts as slower: by how much each number may change. Which are judged without being named
//! stands in the table of metrics.

use std::collections::BTreeMap;

use crate::compare::{Effect, Statistic};
use crate::metrics;
use crate::record::{Clock, Unit};

/// What a 99th percentile may grow by on the instructions clock.
const INSTRUCTIONS_TAIL: f64 = 0.005;
/// On the wall clock the smallest effect that is looked for.
pub(crate) const WALL: f64 = 0.05;

/// Shares by which metrics may grow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds {
    pub(super) named: BTreeMap<String, f64>,
}

/// A threshold that is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "threshold {text:?}: {problem}; write METRIC=SHARE, such as connect=0.5%, connect.p99=2% or rules=0"
)]
pub struct ThresholdError {
    /// As written.
    pub text: String,
    /// What is wrong.
    pub problem: &'static str,
}

impl Thresholds {
    /// Sets one, such as `connect=0.5%` or `connect.p99=0.02`; a later one of the same name
    /// replaces it.
    ///
    /// # Errors
    /// [`ThresholdError`] for what is no name with a share from 0 up.
    pub fn set(&mut self, text: &str) -> Result<(), ThresholdError> {
        let wrong = |problem| ThresholdError { text: crate::format::plain(text), problem };
        let (metric, share) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let metric = metric.trim();
        if metric.is_empty() {
            return Err(wrong("there is no metric"));
        }
        let share = share.trim();
        let percent = share.strip_suffix('%');
        let (number, divisor) = match percent {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (share, 1.0),
        };
        let number: f64 = number.parse().map_err(|_| wrong("the share is no number"))?;
        if !number.is_finite() || number < 0.0 {
            return Err(wrong("the share is negative or not finite"));
        }
        if number >= 1.0 && percent.is_none() {
            return Err(wrong("1 and more without `%` would be 100 % and more"));
        }
        self.named.insert(metric.to_owned(), number / divisor);
        Ok(())
    }

    /// The threshold of an effect, or nothing when it is not judged.
    ///
    /// `alike` is a comparison in which nothing around the proxy differs. Only then is a 99th
    /// percentile judged without being named: it is where the kernel happens to refill a cache,
    /// which any other layout of memory moves. On the wall clock it is never judged unnamed, since
    /// a few of the worst connections tell nothing.
    pub(super) fn of(&self, effect: &Effect, alike: bool) -> Option<f64> {
        let metric = effect.subject.metric.as_str();
        let tail = effect.subject.statistic == Statistic::P99;
        let name = if tail { format!("{metric}.p99") } else { metric.to_owned() };
        if let Some(named) = self.named.get(&name) {
            return Some(*named);
        }
        let clock = effect.subject.clock;
        let kind = metrics::kind(metric)?;
        let allowed = kind.allowed?;
        if kind.is_amount() && is_count(effect) {
            return Some(allowed.alike);
        }
        let whole = kind.is_whole(&effect.subject.label);
        if !whole || !effect.is_timing() || tail && (!alike || clock == Clock::Wall) {
            return None;
        }
        Some(match clock {
            Clock::Wall => WALL,
            Clock::Instructions if tail => INSTRUCTIONS_TAIL,
            Clock::Instructions if alike => allowed.alike,
            Clock::Instructions => allowed.unlike,
        })
    }
}

/// Whether it is the same in every repetition, on either clock.
pub(super) fn is_count(effect: &Effect) -> bool {
    matches!(effect.subject.unit, Unit::Count | Unit::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_with_and_without_a_percent_sign() {
        let mut thresholds = Thresholds::default();
        for text in ["connect=0.5%", "rules = 0", "connect.p99=0.02", "connect=1 %"] {
            thresholds.set(text).unwrap();
        }
        let all: Vec<(&str, f64)> =
            thresholds.named.iter().map(|(name, share)| (name.as_str(), *share)).collect();
        assert_eq!(all, [("connect", 0.01), ("connect.p99", 0.02), ("rules", 0.0)]);
    }

    #[test]
    fn what_is_no_threshold_is_refused_with_an_example() {
        for text in [
            "connect",
            "=1%",
            "connect=",
            "connect=-1%",
            "connect=NaN",
            "a=inf",
            "a=1%%",
            "connect=5",
        ] {
            let error = Thresholds::default().set(text).unwrap_err().to_string();
            assert!(error.contains("connect=0.5%"), "{text}: {error}");
        }
    }
}

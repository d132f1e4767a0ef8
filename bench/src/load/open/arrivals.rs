//! When connections are to begin: planned beforehand, whatever becomes of those before.
//!
//! A plan is a function of rate, seed and share alone. It is drawn one moment at a time, so that it
//! takes no memory however long it is, and each worker has one of its own.

use std::fmt;

use generators::SplitMix64;

/// Nanoseconds of a second.
pub(super) const SECOND_NS: f64 = 1e9;
/// The purpose of the draws that make gaps.
const GAPS: u64 = 0x6761_7073;

/// How gaps between connections are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// All alike.
    Constant,
    /// Exponentially, as those of many clients who know nothing of each other.
    Poisson,
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Constant => "constant",
            Self::Poisson => "Poisson",
        })
    }
}

/// One worker's share of the arrivals, as nanoseconds after the start, ascending, without an end.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    arrivals: Arrivals,
    /// Mean of this worker's gaps.
    gap_ns: f64,
    /// The next arrival.
    next_ns: f64,
    draws: SplitMix64,
}

impl Schedule {
    /// The arrivals of worker `worker` of `workers`, which make `rate_per_s` together.
    pub(super) fn new(
        arrivals: Arrivals,
        rate_per_s: f64,
        seed: u64,
        worker: u32,
        workers: u32,
    ) -> Self {
        let common_gap_ns = SECOND_NS / rate_per_s;
        let mut schedule = Self {
            arrivals,
            gap_ns: common_gap_ns * f64::from(workers),
            // Workers take turns where gaps are alike.
            next_ns: common_gap_ns * f64::from(worker),
            draws: SplitMix64::stream(seed, GAPS.wrapping_add(worker.into())),
        };
        if arrivals == Arrivals::Poisson {
            schedule.next_ns = schedule.draw_gap_ns();
        }
        schedule
    }

    /// When the next one is to begin.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of gaps above 0, of centuries at most"
    )]
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// Goes on to the one after it.
    pub(super) fn advance(&mut self) {
        self.next_ns += match self.arrivals {
            Arrivals::Constant => self.gap_ns,
            Arrivals::Poisson => self.draw_gap_ns(),
        };
    }

    /// An exponential draw by inversion, from the 53 bits that a double holds; never of 0.
    fn draw_gap_ns(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        let uniform = ((self.draws.next_u64() >> 11) + 1) as f64 * UNIT;
        -uniform.ln() * self.gap_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(arrivals: Arrivals, count: usize, worker: u32, workers: u32) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, 1_000.0, 1, worker, workers);
        let mut next = || {
            let at = schedule.next_ns();
            schedule.advance();
            at
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn workers_take_turns_where_gaps_are_alike() {
        assert_eq!(first(Arrivals::Constant, 3, 0, 2), [0, 2_000_000, 4_000_000]);
        assert_eq!(first(Arrivals::Constant, 3, 1, 2), [1_000_000, 3_000_000, 5_000_000]);
    }

    #[test]
    fn a_constant_rate_does_not_drift_in_an_hour() {
        let last = first(Arrivals::Constant, 3_600_001, 0, 1).pop().unwrap();
        assert!(last.abs_diff(3_600_000_000_000) < 1_000, "{last}");
    }

    #[test]
    fn random_gaps_have_the_mean_and_the_spread_of_an_exponential_and_repeat() {
        let at = first(Arrivals::Poisson, 100_001, 0, 1);
        assert_eq!(at, first(Arrivals::Poisson, 100_001, 0, 1));
        assert_ne!(at[..10], first(Arrivals::Poisson, 10, 1, 2)[..]);
        let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let spread =
            (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count).sqrt() / mean;
        assert!((mean / 1e6 - 1.0).abs() < 0.01, "mean {mean}");
        assert!((spread - 1.0).abs() < 0.02, "spread {spread}");
    }
}

//! The largest size whose cost stays within a limit, with an interval.
//!
//! Inverts one [`Cost`]; several limits together are put in `plan`.

use schemars::JsonSchema;
use serde::Serialize;

use super::cost::{Cost, Estimate};

/// Steps in which sizes are searched for the first that is too large.
const STEPS: u32 = 400;

/// A number of Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Size {
    /// The number; 0 when not even one Service fits.
    pub services: u64,
    /// Whether it is as far as anything can be said, and more may fit.
    pub or_more: bool,
}

/// The largest size: the best estimate, and the interval in which a measured ladder would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Largest {
    /// By the model.
    pub estimate: Size,
    /// Where the upper end of the cost's interval meets the limit.
    pub low: Size,
    /// Where the lower end of the cost's interval meets the limit.
    pub high: Size,
}

impl Largest {
    /// Of one cost under one limit in its unit; `admits` says whether a value is good under a
    /// limit.
    pub(super) fn of(cost: &Cost, limit: Estimate, admits: &dyn Fn(f64, f64) -> bool) -> Self {
        let reach = cost.reach();
        let search = |good: &dyn Fn(Estimate) -> bool| first_bad(reach, &|n| good(cost.at(n)));
        Self {
            estimate: search(&|cost| admits(cost.value, limit.value)),
            low: search(&|cost| admits(cost.high, limit.low)),
            high: search(&|cost| admits(cost.low, limit.high)),
        }
    }

    /// The smaller of two, end by end: both limits have to hold.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            estimate: self.estimate.min(other.estimate),
            low: self.low.min(other.low),
            high: self.high.min(other.high),
        }
    }

    /// Cut to what is below `size`, of which it is known that it could not be measured.
    pub(super) fn below(self, size: u64) -> Self {
        let below = Size { services: size.saturating_sub(1), or_more: false };
        self.and(Self { estimate: below, low: below, high: below })
    }
}

/// The size before the first that is not good, looked for in steps of one to two per cent and then
/// exactly.
fn first_bad(reach: u64, good: &dyn Fn(u64) -> bool) -> Size {
    if !good(1) {
        return Size { services: 0, or_more: false };
    }
    let mut known = 1;
    for step in 1..=STEPS {
        let next = on_the_way(reach, step);
        if next <= known {
            continue;
        }
        if !good(next) {
            return Size { services: between(known, next, good), or_more: false };
        }
        known = next;
    }
    Size { services: reach, or_more: true }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and reach")]
fn on_the_way(reach: u64, step: u32) -> u64 {
    if step == STEPS {
        return reach;
    }
    (reach as f64).powf(f64::from(step) / f64::from(STEPS)).round() as u64
}

/// The last good size from `low`, which is good, to `high`, which is not.
fn between(mut low: u64, mut high: u64, good: &dyn Fn(u64) -> bool) -> u64 {
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if good(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::cost::tests::points;

    const BELOW: fn(f64, f64) -> bool = |value, limit| value < limit;

    #[test]
    fn the_largest_size_is_exact_to_one_service() {
        let cost = Cost::of(points(&[100, 1_000, 5_000], |n| 1_000.0 + 10.0 * n)).unwrap();
        let largest = Largest::of(&cost, Estimate::exactly(31_000.5), &BELOW);
        assert_eq!(largest.estimate, Size { services: 3_000, or_more: false });
        assert!(largest.low <= largest.estimate && largest.estimate <= largest.high);
    }

    #[test]
    fn nothing_is_claimed_beyond_four_times_the_largest_size() {
        let cost = Cost::of(points(&[100, 1_000, 5_000], |_| 70.0)).unwrap();
        let more = Size { services: 20_000, or_more: true };
        assert_eq!(Largest::of(&cost, Estimate::exactly(100.0), &BELOW).estimate, more);
        assert_eq!(
            Largest::of(&cost, Estimate::exactly(60.0), &BELOW).high,
            Size { services: 0, or_more: false }
        );
    }

    #[test]
    fn an_estimated_limit_widens_the_interval() {
        let cost = Cost::of(points(&[100, 1_000, 5_000], |n| 10.0 * n)).unwrap();
        let largest =
            Largest::of(&cost, Estimate { value: 20_000.5, low: 10_000.5, high: 30_000.5 }, &BELOW);
        assert_eq!(largest.estimate.services, 2_000);
        assert!((950..1_000).contains(&largest.low.services), "{largest:?}");
        assert!((3_000..3_150).contains(&largest.high.services), "{largest:?}");
    }

    #[test]
    fn two_limits_take_the_smaller_and_a_failed_size_cuts() {
        let size = |services, or_more| Size { services, or_more };
        let wide = Largest { estimate: size(80, true), low: size(50, false), high: size(80, true) };
        let other =
            Largest { estimate: size(60, false), low: size(55, false), high: size(70, false) };
        let both = wide.and(other);
        assert_eq!(
            (both.low, both.estimate, both.high),
            (size(50, false), size(60, false), size(70, false))
        );
        assert_eq!(wide.below(40).high, size(39, false));
        assert_eq!(size(39, false).min(size(39, true)), size(39, false));
    }

    #[test]
    fn the_largest_stored_size_neither_panics_nor_hangs() {
        let cost = Cost::of(points(&[1, 1_000, u64::MAX], |n| n)).unwrap();
        assert!(Largest::of(&cost, Estimate::exactly(500.5), &BELOW).estimate.services >= 490);
    }
}

//! Small statistics of few points: medians and spread, straight-line fits, growth exponents,
//! crossings.
//!
//! Works on what it is given; what may be compared with what is decided by the caller.

use std::cmp::Ordering;

use itertools::Itertools as _;
use schemars::JsonSchema;
use serde::Serialize;

/// A control that moves by less than this is called still.
pub(crate) const STILL_BELOW: f64 = 0.02;

/// The middle and the ends of some values, for example one value a seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Spread {
    /// The median: the middle value, or the mean of the two middle ones.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// How many values there are.
    pub count: usize,
}

impl Spread {
    /// Of finite values; others are left out. `None` when nothing is left.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let sorted = finite.sorted_by(f64::total_cmp).collect_vec();
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        Some(Self { median: median(&sorted), min, max, count: sorted.len() })
    }

    /// Width of the spread as a share of the median; `None` for a single value, and when the median
    /// is 0.
    pub fn relative_width(&self) -> Option<f64> {
        (self.count > 1 && self.median != 0.0).then(|| (self.max - self.min) / self.median)
    }

    /// The same, not narrower than `width` around the median.
    #[must_use]
    pub fn at_least(self, width: f64) -> Self {
        let half = width / 2.0;
        let (min, max) = (self.min.min(self.median - half), self.max.max(self.median + half));
        Self { min, max, ..self }
    }

    /// How `self` and `other` compare; `Equal` when their ranges touch, so that no order can be
    /// claimed.
    pub fn clearly(&self, other: &Self) -> Ordering {
        if self.max < other.min {
            Ordering::Less
        } else if self.min > other.max {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

/// The middle of ascending values, of which there must be one.
fn median(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// Share of the resamples that an interval holds.
pub(crate) const LEVEL: f64 = 0.95;

/// Interval that holds the middle [`LEVEL`] of the medians of resamples of `values`: the percentile
/// bootstrap, with a fixed seed, so that the same values give the same interval. `None` without
/// finite values.
pub fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let medians = resampled(values, 2_000, 0x9e37_79b9_7f4a_7c15, |drawn| {
        drawn.sort_by(f64::total_cmp);
        median(drawn)
    });
    Some(middle(&medians))
}

/// The `statistic` of so many resamples of `values`, ascending; `seed` is that of the draws.
pub(crate) fn resampled(
    values: &[f64],
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&mut [f64]) -> f64,
) -> Vec<f64> {
    let mut state = seed;
    let mut drawn = values.to_vec();
    let resample = |_| {
        drawn.fill_with(|| values[draw(&mut state, values.len())]);
        statistic(&mut drawn)
    };
    (0..resamples).map(resample).sorted_by(f64::total_cmp).collect()
}

/// The ends of the middle [`LEVEL`] of ascending values, of which there must be one.
pub(crate) fn middle(sorted: &[f64]) -> (f64, f64) {
    let outside = share_of(sorted.len(), (1.0 - LEVEL) / 2.0);
    (sorted[outside], sorted[sorted.len() - 1 - outside])
}

/// How many of `count` are a share of it, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is not negative and no longer than it"
)]
pub(crate) fn share_of(count: usize, share: f64) -> usize {
    (count as f64 * share.clamp(0.0, 1.0)) as usize
}

/// A whole number from 0 up to, not including, `end`: `SplitMix64`, reduced by multiplication.
pub(crate) fn draw(state: &mut u64, end: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    usize::try_from((u128::from(mixed) * end as u128) >> 64).unwrap_or(0)
}

/// A straight line by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StraightLine {
    /// Change of `y` for one more `x`.
    pub slope: f64,
    /// Share of the variance that the line explains, 0 to 1; `None` for two points, through which
    /// every line goes, and for a `y` that never changes.
    pub r2: Option<f64>,
}

/// Least-squares line through `points`; `None` with fewer than two different `x`, or when a number
/// is not finite.
pub fn fit_line(points: &[(f64, f64)]) -> Option<StraightLine> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        xx += (x - mean_x).powi(2);
        xy += (x - mean_x) * (y - mean_y);
        yy += (y - mean_y).powi(2);
    }
    if xx <= 0.0 || !(xx + xy + yy).is_finite() {
        return None;
    }
    let r2 = (points.len() > 2 && yy > 0.0).then(|| (xy * xy / (xx * yy)).min(1.0));
    Some(StraightLine { slope: xy / xx, r2 })
}

/// Exponent `b` of `y = a * x^b`: the slope of the line through the logarithms. Points that are not
/// positive are left out; `None` when fewer than two different `x` remain.
pub fn growth_exponent(points: &[(f64, f64)]) -> Option<f64> {
    let positive = points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let logs = positive.map(|(x, y)| (x.ln(), y.ln())).collect_vec();
    fit_line(&logs).map(|line| line.slope)
}

/// Where two curves that were measured at the same `x` cross.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Crossing {
    /// Between two neighbouring `x`, both with a clear order: the interpolated `x`.
    At(f64),
    /// Somewhere between these two `x`: at those between them the spreads overlap.
    Between(f64, f64),
}

/// Crossings of `a` and `b`, given as `(x, a, b)` in ascending `x`, inside the measured range only.
/// A crossing needs a clear order (spreads that do not touch) on both of its sides.
pub fn crossings(points: &[(f64, Spread, Spread)]) -> Vec<Crossing> {
    let orders = points.iter().map(|(_, a, b)| a.clearly(b));
    let clear: Vec<(usize, Ordering)> =
        orders.enumerate().filter(|(_, order)| order.is_ne()).collect();
    let changes = clear.windows(2).filter(|pair| pair[0].1 != pair[1].1);
    changes.map(|pair| crossing(points, pair[0].0, pair[1].0)).collect()
}

/// The crossing between two points with opposite orders.
fn crossing(points: &[(f64, Spread, Spread)], before: usize, at: usize) -> Crossing {
    let ((x0, a0, b0), (x, a, b)) = (points[before], points[at]);
    if before + 1 < at {
        return Crossing::Between(x0, x);
    }
    let (gap0, gap1) = (a0.median - b0.median, a.median - b.median);
    Crossing::At(x0 + (x - x0) * gap0 / (gap0 - gap1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exactly(value: f64) -> Spread {
        Spread { median: value, min: value, max: value, count: 1 }
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]),
            Some(Spread { median: 2.0, min: 1.0, max: 3.0, count: 3 })
        );
        assert_eq!(
            Spread::of([4.0, 1.0, 2.0, 3.0]),
            Some(Spread { median: 2.5, min: 1.0, max: 4.0, count: 4 })
        );
        assert_eq!(Spread::of([f64::NAN]), None);
        assert_eq!(Spread::of([90.0, 110.0]).unwrap().relative_width(), Some(0.2));
        assert_eq!(Spread::of([-1.0, 1.0]).unwrap().relative_width(), None);
        assert_eq!(exactly(1.0).relative_width(), None);
    }

    #[test]
    fn overlapping_spreads_have_no_clear_order() {
        let wide = Spread { median: 5.0, min: 1.0, max: 9.0, count: 3 };
        assert_eq!(wide.clearly(&exactly(9.0)), Ordering::Equal);
        assert_eq!(wide.clearly(&exactly(9.5)), Ordering::Less);
        assert_eq!(wide.clearly(&exactly(0.5)), Ordering::Greater);
    }

    #[test]
    fn a_line_is_found_again_with_its_r2() {
        let line = fit_line(&[(10.0, 50_270.0), (100.0, 52_700.0), (1000.0, 77_000.0)]).unwrap();
        assert!((line.slope - 27.0).abs() < 1e-9);
        assert!((line.r2.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn two_points_or_a_flat_line_have_no_r2_and_one_point_no_line() {
        assert_eq!(fit_line(&[(1.0, 2.0), (2.0, 3.0)]).unwrap().r2, None);
        assert_eq!(fit_line(&[(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)]).unwrap().r2, None);
        assert_eq!(fit_line(&[(1.0, 2.0)]), None);
        assert_eq!(fit_line(&[(1.0, 2.0), (1.0, 5.0)]), None);
        assert_eq!(fit_line(&[]), None);
    }

    #[test]
    fn noise_lowers_r2() {
        let line = fit_line(&[(1.0, 1.0), (2.0, 9.0), (3.0, 2.0), (4.0, 8.0)]).unwrap();
        assert!(line.r2.unwrap() < 0.5);
    }

    #[test]
    fn a_growth_exponent_is_the_power() {
        let square: Vec<(f64, f64)> = [1.0, 10.0, 100.0].map(|x| (x, 3.0 * x * x)).to_vec();
        assert!((growth_exponent(&square).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(growth_exponent(&[(0.0, 1.0), (10.0, 2.0)]), None);
    }

    #[test]
    fn curves_cross_where_the_lines_between_their_points_do() {
        let points = [(100.0, exactly(61.0), exactly(59.0)), (10.0, exactly(58.0), exactly(59.0))];
        let mut ascending = points;
        ascending.reverse();
        assert_eq!(crossings(&ascending), [Crossing::At(40.0)]);
    }

    #[test]
    fn a_crossing_is_not_claimed_where_spreads_overlap() {
        let vague = Spread { median: 60.0, min: 50.0, max: 70.0, count: 3 };
        let points = [
            (10.0, exactly(40.0), exactly(59.0)),
            (100.0, exactly(60.0), vague),
            (1000.0, exactly(90.0), exactly(59.0)),
        ];
        assert_eq!(crossings(&points), [Crossing::Between(10.0, 1000.0)]);
        assert_eq!(crossings(&points[..2]), []);
        assert_eq!(crossings(&points[1..]), []);
    }

    #[test]
    fn an_interval_narrows_with_more_values_and_is_repeatable() {
        let values = |count: u32| -> Vec<f64> {
            (0..count).map(|at| 1.0 + f64::from((at * 37) % 100) / 1000.0).collect()
        };
        let width = |count| {
            let (low, high) = median_interval(&values(count)).unwrap();
            high - low
        };
        assert!(width(100) < width(10) / 2.0, "{} {}", width(100), width(10));
        assert_eq!(median_interval(&values(10)), median_interval(&values(10)));
        assert_eq!(median_interval(&[1.5; 5]), Some((1.5, 1.5)));
        assert_eq!(median_interval(&[]), None);
        assert_eq!(median_interval(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn an_interval_covers_the_true_median_about_as_often_as_it_says() {
        // Draws from a skewed distribution with median 1: the square of a uniform number between 0
        // and 2.
        let (mut state, mut covered) = (7_u64, 0);
        for _ in 0..200 {
            let values: Vec<f64> =
                (0..15).map(|_| (draw(&mut state, 2_001) as f64 / 1000.0).powi(2)).collect();
            let (low, high) = median_interval(&values).unwrap();
            covered += u32::from(low <= 1.0 && 1.0 <= high);
        }
        assert!((176..=200).contains(&covered), "{covered} of 200");
    }

    proptest! {
        #[test]
        fn crossings_stay_inside_the_measured_range(values in prop::collection::vec((0.0..1e9_f64, 0.0..1e9_f64), 0..12)) {
            let points: Vec<_> = values.iter().enumerate()
                .map(|(at, (a, b))| ((at + 1) as f64, exactly(*a), exactly(*b))).collect();
            for crossing in crossings(&points) {
                let Crossing::At(x) = crossing else { continue };
                prop_assert!(x >= 1.0 && x <= points.len() as f64);
            }
        }
    }
}

//! What one metric costs at any size, with an interval: the model that predicts unseen sizes best,
//! and how far it may be wrong.
//!
//! Knows sizes and values only; where they come from is in `measured`, what a budget makes of them
//! in `limit`.

use schemars::JsonSchema;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::models::{Fit, Model};
use crate::stats::Spread;

/// How far beyond the largest measured size anything is said.
pub(super) const REACH: u64 = 4;
/// Fewest sizes: with two, nothing is left to test a model on.
pub(super) const SIZES_MIN: usize = 3;
/// Confidence of every interval.
pub(super) const LEVEL: f64 = 0.95;
/// Least relative standard deviation of any model: even counts that repeat to the digit follow no
/// smooth curve exactly.
const DEVIATION_MIN: f64 = 0.002_5;
/// A model whose error on unseen sizes is larger than this share is not believed.
const ERROR_MAX: f64 = 0.4;
/// A simpler model stays unless a richer one's error on unseen sizes is smaller by more than this
/// factor ...
const TIE_FACTOR: f64 = 1.25;
/// ... and by more than this share of the cost.
const TIE_SHARE: f64 = 0.000_5;

/// What was measured at one size, over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MeasuredPoint {
    /// Number of Services.
    pub services: u64,
    /// Median over the seeds.
    pub median: f64,
    /// Smallest of the seeds.
    pub min: f64,
    /// Largest of the seeds.
    pub max: f64,
    /// How many seeds.
    pub seeds: usize,
    /// Median over fitted, less 1.
    pub residual: Option<f64>,
    /// One a seed: at least one, all above 0.
    #[serde(skip)]
    pub(super) values: Vec<f64>,
}

impl MeasuredPoint {
    /// Nothing without values.
    pub(super) fn of(services: u64, values: Vec<f64>) -> Option<Self> {
        let Spread { median, min, max, count } = Spread::of(values.iter().copied())?;
        Some(Self { services, median, min, max, seeds: count, residual: None, values })
    }
}

/// A number with its interval: a cost at some size, or a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// One that is known.
    pub fn exactly(value: f64) -> Self {
        Self { value, low: value, high: value }
    }
}

/// A fitted cost.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Cost {
    #[serde(skip)]
    pub(super) points: Vec<MeasuredPoint>,
    #[serde(skip)]
    pub(super) fit: Fit,
    /// Each model that was tried, with its relative error on sizes that were left out.
    // Simplest first; root of the mean square of the logarithm of predicted over measured.
    pub trials: Vec<(Model, f64)>,
    /// Relative standard deviation of a measurement around the model. Nothing when no model can be
    /// believed: then nothing is said but what lies between two measured sizes.
    // The model's error and the spread over seeds together.
    pub deviation: Option<f64>,
    /// The part of it that is the spread over seeds.
    // 0 with one seed.
    pub seed_deviation: f64,
    /// Student's t for the interval.
    #[serde(skip)]
    t: f64,
}

impl Cost {
    /// Fits points, ascending in size. `None` with fewer than [`SIZES_MIN`] sizes, or when no model
    /// fits.
    pub(super) fn of(points: Vec<MeasuredPoint>) -> Option<Self> {
        if points.len() < SIZES_MIN {
            return None;
        }
        let medians: Vec<(f64, f64)> =
            points.iter().map(|point| (point.services as f64, point.median)).collect();
        let trial = |model| Some((model, error_on_unseen(model, &medians)?));
        let trials: Vec<(Model, f64)> = Model::ALL.into_iter().filter_map(trial).collect();
        let seed_deviation = seed_deviation(&points);
        // One test for each size but the smallest.
        let student = StudentsT::new(0.0, 1.0, (medians.len() - 1) as f64).ok()?;
        let chosen = chosen(&trials).filter(|(_, error)| *error <= ERROR_MAX);
        let fit = Fit::of(chosen.map_or(Model::PiecewiseLinear, |(model, _)| model), &medians)?;
        let deviation = chosen.map(|(_, error)| {
            fit.misfit.unwrap_or(0.0).max(error).max(DEVIATION_MIN).hypot(seed_deviation)
        });
        let t = student.inverse_cdf(f64::midpoint(1.0, LEVEL));
        Some(Self { points, fit, trials, deviation, seed_deviation, t })
    }

    /// The cost of `services`, and the interval in which a measurement is expected.
    pub(super) fn at(&self, services: u64) -> Estimate {
        let n = services as f64;
        let value = self.fit.at(n).max(0.0);
        let Some(deviation) = self.deviation else {
            return self.between_neighbours(services, value);
        };
        let spread = (self.fit.variance_at(n).max(0.0) + value * value).sqrt();
        let width = self.t * deviation * spread;
        Estimate { value, low: (value - width).max(0.0), high: value + width }
    }

    /// All that is known without a model: not less than at the size below, not more than at the
    /// size above.
    fn between_neighbours(&self, services: u64, value: f64) -> Estimate {
        let below = self.points.iter().rfind(|point| point.services <= services);
        let above = self.points.iter().find(|point| point.services >= services);
        let low = below.map_or(0.0, |point| point.min);
        let high = above.map_or(f64::INFINITY, |point| point.max);
        Estimate { value: value.clamp(low, high.max(low)), low, high: high.max(low) }
    }

    /// The largest size that anything is said about.
    pub(super) fn reach(&self) -> u64 {
        self.largest().saturating_mul(if self.deviation.is_some() { REACH } else { 1 })
    }

    /// The largest measured size.
    pub(super) fn largest(&self) -> u64 {
        self.points.last().map_or(0, |point| point.services)
    }
}

/// The simplest model whose error is not clearly larger than the smallest.
fn chosen(trials: &[(Model, f64)]) -> Option<(Model, f64)> {
    let best = trials.iter().map(|(_, error)| *error).min_by(f64::total_cmp)?;
    trials.iter().find(|(_, error)| *error <= best * TIE_FACTOR + TIE_SHARE).copied()
}

/// Leaves out one size after the other and predicts it from the rest. The smallest always stays:
/// nobody plans for less. `None` when that cannot be done, or when the model, fitted to all sizes,
/// falls somewhere.
fn error_on_unseen(model: Model, points: &[(f64, f64)]) -> Option<f64> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    if !Fit::of(model, points)?.is_plausible(first, last * REACH as f64) {
        return None;
    }
    let square = |at: usize| {
        let mut others = points.to_vec();
        let (size, cost) = others.remove(at);
        let predicted = Some(Fit::of(model, &others)?.at(size)).filter(|cost| *cost > 0.0)?;
        Some((predicted / cost).ln().powi(2))
    };
    let squares: f64 = (1..points.len()).map(square).sum::<Option<f64>>()?;
    Some((squares / (points.len() - 1) as f64).sqrt())
}

/// Relative standard deviation of the seeds around the median of their size, all sizes together.
fn seed_deviation(points: &[MeasuredPoint]) -> f64 {
    let square = |point: &MeasuredPoint| -> f64 {
        point.values.iter().map(|value| (value / point.median - 1.0).powi(2)).sum()
    };
    let squares: f64 = points.iter().map(square).sum();
    let freedom: usize = points.iter().map(|point| point.values.len() - 1).sum();
    if freedom == 0 { 0.0 } else { (squares / freedom as f64).sqrt() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One value a size.
    pub(in crate::capacity) fn points(
        sizes: &[u64],
        cost: impl Fn(f64) -> f64,
    ) -> Vec<MeasuredPoint> {
        sizes.iter().filter_map(|&size| MeasuredPoint::of(size, vec![cost(size as f64)])).collect()
    }

    #[test]
    fn a_straight_line_stays_one_however_rich_the_others_are() {
        let sizes = [100, 1_000, 5_000, 10_000, 20_000];
        let cost = Cost::of(points(&sizes, |n| 61_000.0 + 26.0 * n)).unwrap();
        assert_eq!(cost.fit.model, Model::Linear);
        assert!(cost.trials.iter().any(|(model, _)| *model == Model::Quadratic), "was tried too");
        let far = cost.at(80_000);
        assert!((far.value - (61_000.0 + 26.0 * 80_000.0)).abs() < 1.0, "{far:?}");
    }

    #[test]
    fn a_cost_that_does_not_change_is_constant() {
        let cost = Cost::of(points(&[100, 1_000, 5_000], |n| 70_000.0 + (n % 7.0))).unwrap();
        assert_eq!(cost.fit.model, Model::Constant);
    }

    #[test]
    fn a_falling_cost_is_not_believed_to_go_on_falling() {
        let cost = Cost::of(points(&[100, 1_000, 5_000], |n| 70_000.0 - n)).unwrap();
        assert_eq!(cost.fit.model, Model::Constant);
        assert!(cost.at(20_000).value > 60_000.0);
    }

    #[test]
    fn a_jump_is_followed_piece_by_piece() {
        let sizes = [100, 200, 400, 800, 1_600, 3_200, 6_400];
        let cost =
            Cost::of(points(&sizes, |n| if n < 1_000.0 { 50.0 + n / 100.0 } else { 50.0 + n }))
                .unwrap();
        assert_eq!(cost.fit.model, Model::PiecewiseLinear, "{:?}", cost.trials);
    }

    #[test]
    fn seeds_widen_the_interval() {
        let width = |spread: f64| {
            let mut points = points(&[100, 1_000, 5_000, 10_000], |n| 1e5 + 30.0 * n);
            for point in &mut points {
                let (size, value) = (point.services, point.median);
                let values = vec![value * (1.0 - spread), value, value * (1.0 + spread)];
                *point = MeasuredPoint::of(size, values).unwrap();
            }
            let cost = Cost::of(points).unwrap();
            let Estimate { value, low, high } = cost.at(7_000);
            assert!(low <= value && value <= high);
            (high - low) / value
        };
        assert!(width(0.0) < 0.05 && width(0.05) > 0.2, "{} {}", width(0.0), width(0.05));
    }

    #[test]
    fn two_sizes_are_too_few() {
        assert!(Cost::of(points(&[100, 1_000], |n| n)).is_none());
    }
}

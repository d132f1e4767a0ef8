//! Statistics of replicates: a robust mean, its bootstrap interval, permutation tests, Holm's
//! correction, what an experiment of this size can detect.
//!
//! Every random draw comes from a seeded generator: the same numbers give the same verdict.

use std::iter;

use statrs::distribution::{ContinuousCDF as _, Normal};
use statrs::statistics::{Data, OrderStatistics as _, RankTieBreaker};

use crate::stats::{draw, middle, resampled, share_of};

/// Share of the values that is cut off at each end of a mean: one replicate that met another
/// program does not move it.
const TRIMMED: f64 = 0.2;
/// Resamples of an interval, and permutations of a test that cannot try all.
const RESAMPLES: usize = 2_000;
const PERMUTATIONS: usize = 10_000;
/// With so few pairs every assignment of signs is tried.
const ENUMERATED_PAIRS_MAX: usize = 12;
/// Share of experiments in which an effect as large as the minimum detectable one is found.
const POWER: f64 = 0.9;
/// Most pairs that are called needed.
const PAIRS_MAX: usize = 64;

/// Probability of what came out of the observed order of things and in `as_far` of those drawn.
fn probability(seed: u64, mut as_far: impl FnMut(&mut u64) -> bool) -> f64 {
    let mut state = seed;
    let count = (0..PERMUTATIONS).filter(|_| as_far(&mut state)).count();
    (count + 1) as f64 / (PERMUTATIONS + 1) as f64
}

/// The mean of the middle of `values`, which are put into order; not a number without any.
pub(super) fn trimmed_mean(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let cut = share_of(values.len(), TRIMMED);
    mean(&values[cut..values.len() - cut])
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// An estimate with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Standard error.
    pub error: f64,
}

/// The trimmed mean of at least two `values` with the interval that holds the middle 95% of its
/// resamples.
pub(super) fn bootstrap(values: &[f64], seed: u64) -> Estimate {
    let means = resampled(values, RESAMPLES, seed, trimmed_mean);
    let (low, high) = middle(&means);
    let centre = mean(&means);
    let squares: Vec<f64> = means.iter().map(|one| (one - centre).powi(2)).collect();
    let count = values.len() as f64;
    // Resampling sees the spread around the values' own mean, which is smaller than that around the
    // true one.
    let error = mean(&squares).sqrt() * (count / (count - 1.0)).sqrt();
    Estimate { value: trimmed_mean(&mut values.to_vec()), low, high, error }
}

/// Two-sided probability of differences as one-sided as these, if each had come out with either
/// sign equally often: the permutation test of pairs, on Wilcoxon's signed ranks, which one wild
/// pair does not decide.
pub(super) fn sign_flip(differences: &[f64], seed: u64) -> f64 {
    let mut ranks = ranks(differences.iter().map(|difference| difference.abs()).collect());
    for (rank, _) in ranks.iter_mut().zip(differences).filter(|(_, one)| **one == 0.0) {
        *rank = 0.0;
    }
    let observed = signed_sum(&ranks, differences.iter().map(|difference| *difference < 0.0));
    let pairs = differences.len();
    if pairs <= ENUMERATED_PAIRS_MAX {
        let all = 1_usize << pairs;
        let as_far = |signs: &usize| {
            signed_sum(&ranks, (0..pairs).map(|at| signs >> at & 1 == 1)) >= observed
        };
        return (0..all).filter(as_far).count() as f64 / all as f64;
    }
    probability(seed, |state| {
        signed_sum(&ranks, iter::repeat_with(|| draw(state, 2) == 1)) >= observed
    })
}

/// How far from 0 the ranks add up to, some of them negative.
fn signed_sum(ranks: &[f64], negative: impl IntoIterator<Item = bool>) -> f64 {
    let signed = ranks.iter().zip(negative);
    signed.map(|(rank, negative)| if negative { -rank } else { *rank }).sum::<f64>().abs()
}

/// The same for two groups without partners: labels are dealt anew, on Wilcoxon's rank sum. Gives
/// the probability and the difference of the trimmed means.
pub(super) fn relabelled(one: &[f64], other: &[f64], seed: u64) -> (f64, f64) {
    let mut ranks = ranks([one, other].concat());
    let expected = ranks.iter().sum::<f64>() * one.len() as f64 / ranks.len() as f64;
    let apart = |ranks: &[f64]| (ranks[..one.len()].iter().sum::<f64>() - expected).abs();
    let observed = apart(&ranks);
    let probability = probability(seed, |state| {
        for unsettled in (1..ranks.len()).rev() {
            ranks.swap(unsettled, draw(state, unsettled + 1));
        }
        apart(&ranks) >= observed
    });
    (probability, trimmed_mean(&mut other.to_vec()) - trimmed_mean(&mut one.to_vec()))
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(mut values: Vec<f64>) -> Vec<f64> {
    Data::new(values.as_mut_slice()).ranks(RankTieBreaker::Average)
}

/// Holm's step-down correction: probabilities that may be held against the level of the whole
/// family, in the order given.
pub(super) fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let mut corrected = vec![1.0; probabilities.len()];
    let mut largest = 0.0_f64;
    for (rank, at) in order.into_iter().enumerate() {
        let left = (probabilities.len() - rank) as f64;
        largest = largest.max(probabilities[at] * left).min(1.0);
        corrected[at] = largest;
    }
    corrected
}

/// Effect that is found with a probability of [`POWER`] in a family of `family` tests at `level`,
/// in units of the standard error.
pub(super) fn detectable_errors(level: f64, family: usize) -> f64 {
    let outside = level / (2.0 * family.max(1) as f64);
    let normal = Normal::standard();
    normal.inverse_cdf(1.0 - outside) + normal.inverse_cdf(POWER)
}

/// Fewest pairs whose permutation test can come out below `level` in a family of `family` tests:
/// `2^(1-n)` is its smallest value.
pub(super) fn pairs_needed(level: f64, family: usize) -> usize {
    let smallest = |pairs: &usize| 2.0 / (1_u64 << pairs) as f64;
    let enough = |pairs: &usize| smallest(pairs) * family.max(1) as f64 <= level;
    (1..PAIRS_MAX).find(enough).unwrap_or(PAIRS_MAX)
}

/// Half the width of the 95% Wilson interval and its middle: what `hits` of `trials` say of a
/// probability.
pub(crate) fn wilson(hits: usize, trials: usize) -> (f64, f64) {
    const Z: f64 = 1.96;
    let n = trials.max(1) as f64;
    let share = hits as f64 / n;
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: u64 = 7;

    #[test]
    fn a_trimmed_mean_is_not_moved_by_one_outlier() {
        let mean = |values: &[f64]| trimmed_mean(&mut values.to_vec()).to_string();
        assert_eq!(mean(&[1.0, 2.0, 3.0, 2.0, 900.0]), (7.0_f64 / 3.0).to_string());
        assert_eq!(mean(&[4.0]), "4");
        assert_eq!(mean(&[]), "NaN");
    }

    #[test]
    fn the_smallest_probability_of_five_pairs_is_one_in_sixteen() {
        let p = |values: &[f64]| (sign_flip(values, SEED) * 32.0).round() / 32.0;
        assert!((p(&[1.0, 1.1, 1.2, 0.9, 1.3]) - 2.0 / 32.0).abs() < 1e-12);
        assert!((p(&[0.0; 8]) - 1.0).abs() < 1e-12);
        assert_eq!((pairs_needed(0.05, 1), pairs_needed(0.05, 6)), (6, 8));
    }

    #[test]
    fn equal_values_share_their_rank() {
        let ranks = ranks(vec![3.0, 1.0, 3.0, 2.0]);
        let words: Vec<String> = ranks.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["3.5", "1", "3.5", "2"]);
    }

    #[test]
    fn one_wild_pair_proves_nothing() {
        let mut noise: Vec<f64> = (0..20).map(|at| f64::from(at % 5) - 2.0).collect();
        noise.push(1e9);
        assert!(sign_flip(&noise, SEED) > 0.3);
    }

    #[test]
    fn drawn_permutations_find_a_shift_and_nothing_in_symmetric_noise() {
        let noise: Vec<f64> = (0..20).map(|at| f64::from(at % 5) - 2.0).collect();
        assert!(sign_flip(&noise, SEED) > 0.5);
        let shifted: Vec<f64> = noise.iter().map(|value| value + 3.0).collect();
        assert!(sign_flip(&shifted, SEED) < 0.001);
        let (p, apart) = relabelled(&noise, &shifted, SEED);
        assert!(p < 0.001 && (apart - 3.0).abs() < 1e-9, "{p} {apart}");
        assert!(relabelled(&noise, &noise, SEED).0 > 0.5);
    }

    #[test]
    fn holm_multiplies_by_the_tests_that_are_left_and_never_reorders() {
        let corrected = holm(&[0.04, 0.01, 0.03]);
        for (found, wanted) in corrected.iter().zip([0.06, 0.03, 0.06]) {
            assert!((found - wanted).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn what_is_detectable_follows_from_tabulated_quantiles_of_the_normal_distribution() {
        for (family, outside) in [(1, 1.95996), (5, 2.57583), (50, 3.29053)] {
            assert!((detectable_errors(0.05, family) - (outside + 1.28155)).abs() < 1e-4);
        }
    }

    #[test]
    fn no_hit_in_200_trials_still_leaves_a_probability() {
        let (low, high) = wilson(0, 200);
        assert!(low < 1e-9 && (high - 0.0188).abs() < 5e-4, "{low} {high}");
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_estimate_and_is_reproducible(values in prop::collection::vec(-1.0..1.0_f64, 2..40)) {
            let one = bootstrap(&values, SEED);
            prop_assert_eq!(one, bootstrap(&values, SEED));
            prop_assert!(one.low <= one.high && one.error >= 0.0);
        }
    }
}

//! Statistics of replicates: a robust mean, its bootstrap interval, permutation tests, Holm's
//! correction, what an experiment of this size can detect.
//!
//! Every random draw comes from a seeded generator: the same numbers give the same verdict.

use crate::stats::draw;

/// Share of the values that is cut off at each end of a mean: one replicate that met another
/// program does not move it.
const TRIMMED: f64 = 0.2;
/// With so few pairs every assignment of signs is tried; with more, as many as
/// [`Effort::permutations`] are drawn.
const ENUMERATED_PAIRS_MAX: usize = 12;
/// Share of experiments in which an effect as large as the minimum detectable one is found.
pub(super) const POWER: f64 = 0.9;

/// How often is resampled, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effort {
    pub seed: u64,
    pub resamples: usize,
    pub permutations: usize,
}

/// The mean of the middle of `values`, which are put into order; `None` without any.
pub(super) fn trimmed_mean(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let cut = share_of(values.len(), TRIMMED);
    let middle = values.get(cut..values.len() - cut)?;
    (!middle.is_empty()).then(|| middle.iter().sum::<f64>() / middle.len() as f64)
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

/// The trimmed mean of `values` with the interval that holds the middle `level` of its resamples.
/// `None` with fewer than two values.
pub(super) fn bootstrap(values: &[f64], level: f64, effort: Effort) -> Option<Estimate> {
    if values.len() < 2 {
        return None;
    }
    let mut state = effort.seed;
    let mut drawn = vec![0.0; values.len()];
    let mut means = Vec::with_capacity(effort.resamples);
    for _ in 0..effort.resamples {
        for slot in &mut drawn {
            *slot = *values.get(draw(&mut state, values.len()))?;
        }
        means.push(trimmed_mean(&mut drawn)?);
    }
    means.sort_unstable_by(f64::total_cmp);
    let outside = share_of(means.len(), (1.0 - level) / 2.0);
    let (low, high) = (*means.get(outside)?, *means.get(means.len().checked_sub(outside + 1)?)?);
    let count = values.len() as f64;
    // Resampling sees the spread around the values' own mean, which is smaller than that around the
    // true one.
    let error = deviation(&means) * (count / (count - 1.0)).sqrt();
    Some(Estimate { value: trimmed_mean(&mut values.to_vec())?, low, high, error })
}

fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// Two-sided probability of differences as one-sided as these, if each had come out with either
/// sign equally often: the permutation test of pairs, on Wilcoxon's signed ranks, which one wild
/// pair does not decide.
pub(super) fn sign_flip(differences: &[f64], effort: Effort) -> f64 {
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    let ranks: Vec<f64> = ranks(&sizes)
        .into_iter()
        .zip(differences)
        .map(|(rank, difference)| if *difference == 0.0 { 0.0 } else { rank })
        .collect();
    let signed = |negative: &mut dyn FnMut(usize) -> bool| -> f64 {
        let with_sign = |(at, rank): (usize, &f64)| if negative(at) { -rank } else { *rank };
        ranks.iter().enumerate().map(with_sign).sum::<f64>().abs()
    };
    let observed = signed(&mut |at| differences.get(at).is_some_and(|value| *value < 0.0));
    if differences.len() <= ENUMERATED_PAIRS_MAX {
        let all = 1_usize << differences.len();
        let as_far = |signs: &usize| signed(&mut |at| signs >> at & 1 == 1) >= observed;
        return (0..all).filter(as_far).count() as f64 / all as f64;
    }
    let mut state = effort.seed;
    let mut drawn = |_| draw(&mut state, 2) == 1;
    let count = (0..effort.permutations).filter(|_| signed(&mut drawn) >= observed).count();
    (count + 1) as f64 / (effort.permutations + 1) as f64
}

/// The same for two groups without partners: labels are dealt anew, on Wilcoxon's rank sum. Gives
/// the probability and the difference of the trimmed means.
pub(super) fn relabelled(one: &[f64], other: &[f64], effort: Effort) -> Option<(f64, f64)> {
    let mut ranks = ranks(&[one, other].concat());
    let middle = ranks.iter().sum::<f64>() * one.len() as f64 / ranks.len() as f64;
    let apart = |ranks: &[f64]| (ranks.iter().take(one.len()).sum::<f64>() - middle).abs();
    let observed = apart(&ranks);
    let mut state = effort.seed;
    let mut count = 0;
    for _ in 0..effort.permutations {
        for unsettled in (1..ranks.len()).rev() {
            ranks.swap(unsettled, draw(&mut state, unsettled + 1));
        }
        count += usize::from(apart(&ranks) >= observed);
    }
    let difference = trimmed_mean(&mut other.to_vec())? - trimmed_mean(&mut one.to_vec())?;
    Some(((count + 1) as f64 / (effort.permutations + 1) as f64, difference))
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0_usize;
    for equal in order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let shared = before as f64 + f64::midpoint(equal.len() as f64, 1.0);
        for (_, at) in equal {
            if let Some(rank) = ranks.get_mut(*at) {
                *rank = shared;
            }
        }
        before += equal.len();
    }
    ranks
}

/// Holm's step-down correction: probabilities that may be held against the level of the whole
/// family, in the order given.
pub(super) fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    let at = |index: &usize| probabilities.get(*index).copied().unwrap_or(1.0);
    order.sort_by(|a, b| at(a).total_cmp(&at(b)));
    let mut corrected = vec![1.0; probabilities.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in order.iter().enumerate() {
        largest = largest.max(at(index) * (probabilities.len() - rank) as f64).min(1.0);
        if let Some(slot) = corrected.get_mut(*index) {
            *slot = largest;
        }
    }
    corrected
}

/// Effect that is found with a probability of [`POWER`] in a family of `family` tests at `level`,
/// in units of the standard error.
pub(super) fn detectable_errors(level: f64, family: usize) -> f64 {
    normal_quantile(1.0 - level / (2.0 * family.max(1) as f64)) + normal_quantile(POWER)
}

/// Fewest pairs whose permutation test can come out below `level` in a family of `family` tests:
/// `2^(1-n)` is its smallest value.
pub(super) fn pairs_needed(level: f64, family: usize) -> usize {
    (1..=64)
        .find(|pairs| 0.5_f64.powi(pairs - 1) * family.max(1) as f64 <= level)
        .map_or(64, usize_of)
}

fn usize_of(pairs: i32) -> usize {
    usize::try_from(pairs).unwrap_or(usize::MAX)
}

/// The quantile of the standard normal distribution for `probability` in 0.5 to 1, to 0.0005:
/// formula 26.2.23 of Abramowitz and Stegun, Handbook of Mathematical Functions (1964).
fn normal_quantile(probability: f64) -> f64 {
    let t = (-2.0 * (1.0 - probability).max(f64::MIN_POSITIVE).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// How many of `count` are a share of it, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is not negative and no longer than it"
)]
fn share_of(count: usize, share: f64) -> usize {
    (count as f64 * share.clamp(0.0, 1.0)) as usize
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

    const EFFORT: Effort = Effort { seed: 7, resamples: 1000, permutations: 2000 };

    #[test]
    fn a_trimmed_mean_is_not_moved_by_one_outlier() {
        assert_eq!(trimmed_mean(&mut [1.0, 2.0, 3.0, 2.0, 900.0]), Some(7.0 / 3.0));
        assert_eq!(trimmed_mean(&mut [4.0]), Some(4.0));
        assert_eq!(trimmed_mean(&mut []), None);
    }

    #[test]
    fn the_smallest_probability_of_five_pairs_is_one_in_sixteen() {
        let p = |values: &[f64]| (sign_flip(values, EFFORT) * 32.0).round() / 32.0;
        assert!((p(&[1.0, 1.1, 1.2, 0.9, 1.3]) - 2.0 / 32.0).abs() < 1e-12);
        assert!((p(&[0.0; 8]) - 1.0).abs() < 1e-12);
        assert_eq!((pairs_needed(0.05, 1), pairs_needed(0.05, 6)), (6, 8));
    }

    #[test]
    fn equal_values_share_their_rank() {
        let ranks = ranks(&[3.0, 1.0, 3.0, 2.0]);
        let words: Vec<String> = ranks.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["3.5", "1", "3.5", "2"]);
    }

    #[test]
    fn one_wild_pair_proves_nothing() {
        let mut noise: Vec<f64> = (0..20).map(|at| f64::from(at % 5) - 2.0).collect();
        noise.push(1e9);
        assert!(sign_flip(&noise, EFFORT) > 0.3);
    }

    #[test]
    fn drawn_permutations_find_a_shift_and_nothing_in_symmetric_noise() {
        let noise: Vec<f64> = (0..20).map(|at| f64::from(at % 5) - 2.0).collect();
        assert!(sign_flip(&noise, EFFORT) > 0.5);
        let shifted: Vec<f64> = noise.iter().map(|value| value + 3.0).collect();
        assert!(sign_flip(&shifted, EFFORT) < 0.001);
        let (p, apart) = relabelled(&noise, &shifted, EFFORT).unwrap();
        assert!(p < 0.001 && (apart - 3.0).abs() < 1e-9, "{p} {apart}");
        assert!(relabelled(&noise, &noise, EFFORT).unwrap().0 > 0.5);
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
    fn quantiles_of_the_normal_distribution_are_the_tabulated_ones() {
        for (probability, wanted) in [(0.9, 1.2816), (0.975, 1.96), (0.995, 2.5758)] {
            assert!((normal_quantile(probability) - wanted).abs() < 5e-4);
        }
        assert!((detectable_errors(0.05, 1) - 3.2415).abs() < 1e-3);
    }

    #[test]
    fn no_hit_in_200_trials_still_leaves_a_probability() {
        let (low, high) = wilson(0, 200);
        assert!(low < 1e-9 && (high - 0.0188).abs() < 5e-4, "{low} {high}");
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_estimate_and_is_reproducible(values in prop::collection::vec(-1.0..1.0_f64, 2..40)) {
            let one = bootstrap(&values, 0.95, EFFORT).unwrap();
            prop_assert_eq!(Some(one), bootstrap(&values, 0.95, EFFORT));
            prop_assert!(one.low <= one.high && one.error >= 0.0);
        }
    }
}

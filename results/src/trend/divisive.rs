//! Where a noisy series changes: E-divisive, hierarchical splits by energy distance, each proven by
//! permutation.
//!
//! D. S. Matteson and N. A. James, "A Nonparametric Approach for Multiple Change Point Analysis of
//! Multivariate Data", JASA 109 (2014), with exponent 1; as it is used for performance by D. Daly et
//! al., "The Use of Change Point Detection to Identify Software Performance Regressions in a
//! Continuous Integration System", ICPE 2020. It assumes no distribution, and needs no number of
//! changes.

use std::ops::Range;

use crate::stats::draw;

/// Fewest values of a level: of fewer nothing is proven.
pub(super) const LEVEL_MIN: usize = 3;
/// A split counts when one as clear comes out of permuted values no oftener than this.
pub(super) const PROBABILITY_MAX: f64 = 0.01;
/// Permutations of each test.
const PERMUTATIONS: usize = 499;
/// Most splits: more is no series with levels.
const SPLITS_MAX: usize = 64;
/// Seed of the permutations: the same values give the same answer.
const SEED: u64 = 0x5eed_0f7e_57a1_1000;

/// A place where a new level begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// The first value of the new level.
    pub at: usize,
    /// How likely a split as clear is where nothing changed.
    pub probability: f64,
}

/// All splits, in order. Values must be finite.
pub(super) fn splits(values: &[f64]) -> Vec<Split> {
    let mut found: Vec<Split> = Vec::new();
    while found.len() < SPLITS_MAX {
        let levels = levels(values, &found);
        let Some((at, clear)) = clearest(&levels) else { break };
        let Some(probability) = tested(&levels, clear) else { break };
        found.push(Split { at, probability });
        found.sort_by_key(|split| split.at);
    }
    found
}

/// The values between splits, each level with where it begins.
fn levels(values: &[f64], splits: &[Split]) -> Vec<(usize, Vec<f64>)> {
    let starts = std::iter::once(0).chain(splits.iter().map(|split| split.at));
    let ends = splits.iter().map(|split| split.at).chain([values.len()]);
    starts.zip(ends).map(|(start, end)| (start, values[start..end].to_vec())).collect()
}

/// The clearest split of any level, and how clear it is.
fn clearest(levels: &[(usize, Vec<f64>)]) -> Option<(usize, f64)> {
    let all = levels
        .iter()
        .filter_map(|(start, level)| best_split(level).map(|(at, clear)| (start + at, clear)));
    all.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, clear)| *clear > 0.0)
}

/// How likely a split as clear is if the values of each level come in any order; nothing if that is
/// too likely, which is known as soon as it is.
fn tested(levels: &[(usize, Vec<f64>)], clear: f64) -> Option<f64> {
    let mut levels = levels.to_vec();
    let mut state = SEED;
    let mut as_clear = 1;
    for _ in 0..PERMUTATIONS {
        for (_, level) in &mut levels {
            for unsettled in (1..level.len()).rev() {
                level.swap(unsettled, draw(&mut state, unsettled + 1));
            }
        }
        let permuted = clearest(&levels).map_or(0.0, |(_, clear)| clear);
        as_clear += usize::from(permuted >= clear);
        if probability(as_clear) > PROBABILITY_MAX {
            return None;
        }
    }
    Some(probability(as_clear))
}

/// So many of all permutations, the recorded order being one.
fn probability(as_clear: usize) -> f64 {
    as_clear as f64 / (PERMUTATIONS + 1) as f64
}

/// Where the values before differ most from those that follow, by scaled energy distance; nothing
/// for a level that is too short. Those that follow need not go to the end: a level may be left
/// again.
fn best_split(level: &[f64]) -> Option<(usize, f64)> {
    let sums = Sums::of(level);
    let mut best: Option<(usize, f64)> = None;
    for at in LEVEL_MIN..(level.len() + 1).saturating_sub(LEVEL_MIN) {
        for end in at + LEVEL_MIN..=level.len() {
            let within = [sums.between(0..at, 0..at) / 2.0, sums.between(at..end, at..end) / 2.0];
            let between = sums.between(0..at, at..end);
            let clear = scaled(at as f64, (end - at) as f64, within, between);
            if best.is_none_or(|(_, most)| clear > most) {
                best = Some((at, clear));
            }
        }
    }
    best
}

/// Distances of all pairs of values, added up from the first on: those of any two stretches come
/// from four of these.
struct Sums {
    sums: Vec<f64>,
    width: usize,
}

impl Sums {
    fn of(values: &[f64]) -> Self {
        let width = values.len() + 1;
        let mut sums = vec![0.0; width * width];
        for (row, one) in values.iter().enumerate() {
            let mut in_row = 0.0;
            for (column, other) in values.iter().enumerate() {
                in_row += (one - other).abs();
                sums[(row + 1) * width + column + 1] = sums[row * width + column + 1] + in_row;
            }
        }
        Self { sums, width }
    }

    fn between(&self, rows: Range<usize>, columns: Range<usize>) -> f64 {
        let up_to = |row: usize, column: usize| self.sums[row * self.width + column];
        up_to(rows.end, columns.end) + up_to(rows.start, columns.start)
            - up_to(rows.start, columns.end)
            - up_to(rows.end, columns.start)
    }
}

/// Energy distance of two samples of these sizes, times what makes it comparable between splits.
fn scaled(before: f64, after: f64, within: [f64; 2], between: f64) -> f64 {
    let pairs = |count: f64| (count * (count - 1.0) / 2.0).max(1.0);
    let apart = 2.0 * between / (before * after);
    let energy = apart - within[0] / pairs(before) - within[1] / pairs(after);
    before * after / (before + after) * energy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise of some per cent around a level, the same every time.
    fn noisy(level: f64, count: usize, state: &mut u64) -> Vec<f64> {
        (0..count).map(|_| level * (0.98 + draw(state, 4_001) as f64 / 100_000.0)).collect()
    }

    fn places(values: &[f64]) -> Vec<usize> {
        splits(values).iter().map(|split| split.at).collect()
    }

    #[test]
    fn steps_are_found_where_they_are_and_noise_has_none() {
        let mut state = 3;
        let [low, high, back] = [100.0, 110.0, 101.0].map(|level| noisy(level, 9, &mut state));
        assert_eq!(places(&[low.clone(), high.clone()].concat()), [9]);
        assert_eq!(places(&[low.clone(), high, back].concat()), [9, 18]);
        assert!(places(&low).is_empty());
        assert_eq!(splits(&low), splits(&low));
    }

    #[test]
    fn one_wild_value_is_no_level() {
        let mut values = noisy(100.0, 20, &mut 5);
        values[11] = 900.0;
        assert!(places(&values).is_empty());
    }

    #[test]
    fn too_few_values_and_equal_ones_have_no_split() {
        for values in [&[][..], &[1.0], &[1.0, 1.0, 9.0, 9.0], &[5.0; 40]] {
            assert_eq!(splits(values), []);
        }
    }

    #[test]
    fn noise_alone_is_split_about_as_rarely_as_it_says() {
        let mut state = 11;
        let alarms = (0..300).filter(|_| !splits(&noisy(1.0, 16, &mut state)).is_empty()).count();
        assert!(alarms <= 9, "{alarms} of 300");
    }

    #[test]
    fn sums_of_stretches_are_those_of_their_pairs() {
        let level = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let sums = Sums::of(&level);
        for (one, other) in [(0..3, 3..8), (0..5, 0..5), (2..7, 4..5), (0..0, 1..8)] {
            let pairs = level[one.clone()]
                .iter()
                .flat_map(|a| level[other.clone()].iter().map(move |b: &f64| (a - b).abs()));
            let wanted: f64 = pairs.sum();
            assert!((sums.between(one, other) - wanted).abs() < 1e-9);
        }
    }
}

//! Lines on the wall clock: replicates are tested as one family, and a line says what it could have
//! found.
//!
//! A line is a regression when the slowdown is proven (permutation test, Holm over all lines, 5%)
//! and its estimate is at least half of what was declared to matter: less is proven, but does not.
//! It is inconclusive when the declared effect would not have been found in 9 of 10 such
//! experiments.

use super::line::{Evidence, Line, plain_share, share};
use super::statistics::{bootstrap, detectable_errors, holm, pairs_needed, sign_flip};
use super::verdict::Verdict;
use crate::compare::REPLICATES_MIN;

/// Largest probability of any false alarm in all lines together.
const FAMILY_LEVEL: f64 = 0.05;
/// Part of the declared effect below which a proven one does not matter.
const MATTERS_FROM: f64 = 0.5;
/// Most further replicates that are named; more is a wrong method, not too few replicates.
const FURTHER_MAX: f64 = 100_000.0;

/// Judges a family of lines.
pub(super) fn judge(lines: &mut [Line], random_seed: u64) {
    let logs: Vec<Vec<f64>> = lines.iter().map(log_ratios).collect();
    let probabilities: Vec<f64> = logs.iter().map(|logs| sign_flip(logs, random_seed)).collect();
    let corrected = holm(&probabilities);
    let family = lines.len();
    for (at, line) in lines.iter_mut().enumerate() {
        judge_one(line, &logs[at], probabilities[at], corrected[at], family, random_seed);
    }
}

/// Logarithms of the ratios; empty when a seed has none.
fn log_ratios(line: &Line) -> Vec<f64> {
    let effects = line.effects().unwrap_or_default();
    let logs = effects.iter().map(|effect| (*effect > -1.0).then(|| effect.ln_1p()));
    logs.collect::<Option<_>>().unwrap_or_default()
}

fn judge_one(
    line: &mut Line,
    logs: &[f64],
    probability: f64,
    corrected: f64,
    family: usize,
    random_seed: u64,
) {
    let replicates = logs.len();
    let least = pairs_needed(FAMILY_LEVEL, family).max(REPLICATES_MIN);
    if replicates < REPLICATES_MIN {
        let further = least.saturating_sub(replicates).max(1);
        line.evidence = Evidence::TooFew { replicates, further };
        line.effect = line.spread().map(|spread| spread.median);
        let reason = format!(
            "{replicates} replicates tell nothing: record at least {further} more on each side"
        );
        return line.say(Verdict::Inconclusive, reason);
    }
    let estimate = bootstrap(logs, random_seed);
    let resolved = detectable_errors(FAMILY_LEVEL, family) * estimate.error;
    let detectable = (replicates >= least).then(|| resolved.exp_m1());
    let further = further_pairs(replicates, least, resolved / line.threshold.ln_1p());
    let [effect, low, high] = [estimate.value, estimate.low, estimate.high].map(f64::exp_m1);
    line.effect = Some(effect);
    line.evidence =
        Evidence::Replicates { low, high, probability, corrected, detectable, replicates, further };
    decide(line, effect, corrected, detectable, further);
}

fn decide(line: &mut Line, effect: f64, corrected: f64, detectable: Option<f64>, further: usize) {
    let proven = corrected <= FAMILY_LEVEL;
    let matters = effect.abs() >= MATTERS_FROM * line.threshold;
    let declared = plain_share(line.threshold);
    let found = detectable.map_or("nothing".to_owned(), plain_share);
    let effect_in_words = share(effect);
    if proven && matters && effect > 0.0 {
        let reason = format!("{effect_in_words} is proven (p {corrected:.4} after Holm)");
        line.say(Verdict::Regression, reason);
    } else if detectable.is_none_or(|detectable| detectable > line.threshold) {
        let reason = format!(
            "{declared} was declared and {found} can be found: record {further} more replicates on each side"
        );
        line.say(Verdict::Inconclusive, reason);
    } else if proven && matters {
        line.say_better(format!("{effect_in_words} is proven: an improvement"));
    } else if proven {
        let reason =
            format!("{effect_in_words} is proven and less than half of the declared {declared}");
        line.say(Verdict::Pass, reason);
    } else {
        line.say(Verdict::Pass, format!("no slowdown; {found} would have been found"));
    }
}

/// Pairs that are missing for `least`, and until the error is `excess` times smaller.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded, and not negative, just before"
)]
fn further_pairs(replicates: usize, least: usize, excess: f64) -> usize {
    if excess <= 1.0 && replicates >= least {
        return 0;
    }
    let wanted = (replicates as f64 * excess * excess).ceil().clamp(0.0, FURTHER_MAX) as usize;
    wanted.max(least).saturating_sub(replicates).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_replicates_grow_with_the_square_of_what_is_missing() {
        assert_eq!(further_pairs(10, 6, 0.9), 0);
        assert_eq!(further_pairs(10, 6, 2.0), 30);
        assert_eq!(further_pairs(5, 8, 0.5), 3);
        assert_eq!(further_pairs(10, 6, f64::INFINITY), 99_990);
    }
}

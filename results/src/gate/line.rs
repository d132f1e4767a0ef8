//! One judged number: what it is about, how it changed seed by seed, and what is said of it.

use schemars::JsonSchema;
use serde::Serialize;

use super::verdict::Verdict;
use crate::compare::{CellRef, Effect, Pair, Statistic, Subject};
use crate::format::{self, thousands};
use crate::record::Unit;
use crate::stats::Spread;

/// What the effect is a change of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Judged {
    /// The number as measured.
    Gross,
    /// What the proxy adds to the control `none` of the same seed, as a share of the gross base:
    /// for comparisons whose floor differs.
    Net,
    /// The number divided by that of the control `none` of the same seed, recorded beside it: takes
    /// out how fast the machine was just then, on the wall clock.
    Relative,
}

/// One seed of a line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct SeedEffect {
    /// The seed.
    pub seed: u64,
    /// The base's number, gross.
    pub base: f64,
    /// The new one, gross.
    pub new: f64,
    /// The control's numbers of the same seed, base and new, where the effect is relative to it or
    /// net of it.
    pub floor: Option<[f64; 2]>,
    /// Change as a share, 0.02 for 2% slower; absent where the base is 0.
    pub effect: Option<f64>,
}

/// What the verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Evidence {
    /// Equal seeds compared exactly: a repetition gives the same digits.
    Exact,
    /// Replicates on the wall clock.
    Replicates {
        /// Lower end of the effect's 95% interval, a share, by bootstrap over the replicates.
        low: f64,
        /// Upper end.
        high: f64,
        /// Two-sided probability of such an effect without a change: permutation of each pair's
        /// sides.
        probability: f64,
        /// The same, corrected for the number of lines (Holm).
        corrected: f64,
        /// Smallest effect that is found with a probability of 90%, a share; absent when no effect
        /// could be.
        detectable: Option<f64>,
        /// Pairs of replicates.
        replicates: usize,
        /// How many more pairs would find the declared effect; 0 when these do.
        further: usize,
    },
    /// Too few replicates for any test.
    TooFew {
        /// Pairs of replicates.
        replicates: usize,
        /// How many more are needed at least.
        further: usize,
    },
}

/// One judged number.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Line {
    /// What is said of it.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: String,
    /// Whether it got clearly faster or smaller: a pass, and worth naming.
    pub improvement: bool,
    /// The effect that decides, as a share: of the worst seed on the instructions clock, the
    /// trimmed mean of all on the wall clock. Absent where a base is 0.
    pub effect: Option<f64>,
    /// The effect that was declared to matter, a share.
    pub threshold: f64,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// What the effect is a change of.
    pub judged: Judged,
    /// Median over the seeds of the base, gross.
    pub base: f64,
    /// The same of the new side.
    pub new: f64,
    /// Each seed.
    pub seeds: Vec<SeedEffect>,
    /// What the verdict rests on.
    pub evidence: Evidence,
    /// The base cell of the first seed.
    pub base_cell: CellRef,
    /// The new cell of the first seed.
    pub new_cell: CellRef,
}

impl Line {
    /// A line that is not judged yet.
    pub(super) fn of(effect: &Effect, judged: Judged, threshold: f64) -> Self {
        Self {
            verdict: Verdict::Pass,
            reason: String::new(),
            improvement: false,
            effect: None,
            threshold,
            subject: effect.subject.clone(),
            judged,
            base: effect.gross.base.median,
            new: effect.gross.new.median,
            seeds: seeds(effect, judged),
            evidence: Evidence::Exact,
            base_cell: effect.base_cell.clone(),
            new_cell: effect.new_cell.clone(),
        }
    }

    /// Says so, and why.
    pub(super) fn say(&mut self, verdict: Verdict, reason: impl Into<String>) {
        (self.verdict, self.reason, self.improvement) = (verdict, reason.into(), false);
    }

    /// Says that it got better, and why.
    pub(super) fn say_better(&mut self, reason: String) {
        self.say(Verdict::Pass, reason);
        self.improvement = true;
    }

    /// Whether replicates on the wall clock have to be tested; anything else, counts too, is the
    /// same in every repetition.
    pub(super) fn is_tested(&self) -> bool {
        self.subject.unit == Unit::Ns
    }

    /// Effects of all seeds; `None` when one of them has none.
    pub(super) fn effects(&self) -> Option<Vec<f64>> {
        self.seeds.iter().map(|seed| seed.effect).collect()
    }

    /// The ends of the seeds' effects.
    pub fn spread(&self) -> Option<Spread> {
        Spread::of(self.effects()?)
    }

    /// How large the effect is.
    pub(super) fn size(&self) -> f64 {
        self.effect.map_or(0.0, f64::abs)
    }

    /// Whether no seed's number changed.
    pub fn is_equal(&self) -> bool {
        self.seeds.iter().all(|seed| seed.base.total_cmp(&seed.new).is_eq())
    }

    /// `iptables-nft connect last p99, 1,000 Services`.
    pub fn name(&self) -> String {
        let Subject { proxy, metric, label, services, statistic, path, .. } = &self.subject;
        let (label, services) = (format::position(label), thousands(*services));
        let path = path.in_title();
        let tail = if *statistic == Statistic::P99 { " p99" } else { "" };
        format!("{proxy} {metric} {label}{tail}, {services} Services{path}")
    }

    /// `+1.2%`, for several seeds `+1.2% (+1.1% to +1.2%)`, on the wall clock with the interval.
    pub fn effect_in_words(&self) -> String {
        let Some(effect) = self.effect else {
            return if self.is_equal() { "0%".into() } else { "from 0".into() };
        };
        let middle = share(effect);
        match (self.evidence, self.spread()) {
            (Evidence::Replicates { low, high, .. }, _) => {
                format!("{middle} (95%: {} to {})", share(low), share(high))
            }
            (_, Some(Spread { min, max, .. })) if share(min) != share(max) => {
                format!("{middle} (seeds {} to {})", share(min), share(max))
            }
            _ => middle,
        }
    }
}

/// A share with its sign and two decimals below 1%: a gate's thresholds are small.
pub(super) fn share(value: f64) -> String {
    let percent = value * 100.0;
    let decimals = match percent.abs() {
        0.0 => return "0%".to_owned(),
        size if size < 0.995 => 2,
        size if size < 9.95 => 1,
        _ => 0,
    };
    if percent.abs() < 0.005 {
        return if percent > 0.0 { "under +0.01%".into() } else { "above -0.01%".into() };
    }
    let sign = if percent > 0.0 { "+" } else { "" };
    format!("{sign}{}%", format::fixed(percent, decimals))
}

/// A share without a sign.
pub(super) fn plain_share(value: f64) -> String {
    share(value).trim_start_matches('+').to_owned()
}

/// Each seed's effect; seeds without a control are left out where one is needed.
fn seeds(effect: &Effect, judged: Judged) -> Vec<SeedEffect> {
    let net = effect.net.as_ref().map(|net| net.pairs.as_slice()).unwrap_or_default();
    let seed = |gross: &Pair| {
        let net = || net.iter().find(|net| net.seed == gross.seed);
        let floor = match judged {
            Judged::Gross => None,
            _ => Some(net().map(|net| [gross.base - net.base, gross.new - net.new])?),
        };
        let share = match floor {
            None => gross.new / gross.base - 1.0,
            Some([base, new]) if judged == Judged::Net => {
                (gross.new - gross.base - (new - base)) / gross.base
            }
            Some([base, new]) => gross.new / gross.base * (base / new) - 1.0,
        };
        // Nothing that stays nothing did not change; what grew from nothing has no share.
        let stays_0 = gross.base.max(gross.new) <= 0.0;
        let share = if stays_0 { 0.0 } else { share };
        Some(SeedEffect {
            seed: gross.seed,
            base: gross.base,
            new: gross.new,
            floor,
            effect: ((stays_0 || gross.base > 0.0) && share.is_finite()).then_some(share),
        })
    };
    effect.gross.pairs.iter().filter_map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_shares_keep_two_decimals_and_their_sign() {
        let words = [0.0, 0.0004, 0.005, 0.012, -0.25, 0.000_001].map(share);
        assert_eq!(words, ["0%", "+0.04%", "+0.50%", "+1.2%", "-25%", "under +0.01%"]);
        assert_eq!(plain_share(0.005), "0.50%");
    }
}

//! How one number changed: seed by seed, gross and net of the control, and how sure that is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::record::Clock;
use crate::stats::{self, LEVEL, Spread};

/// Fewest replicates (seeds) that an interval is computed from. The range of five draws misses the
/// median of all in one case of sixteen; of fewer, oftener.
pub const REPLICATES_MIN: usize = 5;
/// What a proxy adds has a ratio only if on both sides it is at least this share of the whole: a
/// ratio of two remainders says nothing.
const NET_SHARE_MIN: f64 = 0.01;

/// The numbers of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Pair {
    /// The seed.
    pub seed: u64,
    /// The base's number.
    pub base: f64,
    /// The new one.
    pub new: f64,
}

/// How sure a change is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Certainty {
    /// Instructions of equal seeds: a repetition gives the same digits, so there is no interval.
    /// Another seed is another draw.
    Exact,
    /// Wall time: what the median ratio is likely to be between, by resampling the replicates.
    Interval {
        /// Lower end, a ratio.
        low: f64,
        /// Upper end, a ratio.
        high: f64,
        /// How likely.
        level: f64,
    },
    /// Wall time without enough replicates to tell a change from noise.
    TooFewReplicates {
        /// How many there are.
        replicates: usize,
        /// How many an interval needs.
        needed: usize,
    },
    /// Wall time, and no ratio that an interval could be about: a side is 0.
    NoRatio,
}

/// A number on both sides. Over several seeds each of the four is the median and the ends of the
/// seeds' own numbers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The base.
    pub base: Spread,
    /// The new side.
    pub new: Spread,
    /// `new - base` of equal seeds.
    pub difference: Spread,
    /// `new / base` of equal seeds; absent when a base is not positive, and for a net change when
    /// what the proxy adds is under 1% of the whole.
    pub ratio: Option<Spread>,
    /// How sure it is.
    pub certainty: Certainty,
    /// The numbers behind, one a seed, ascending.
    pub pairs: Vec<Pair>,
}

impl Change {
    /// From the numbers of equal seeds; `None` without any.
    pub fn of(pairs: Vec<Pair>, clock: Clock) -> Option<Self> {
        let has_ratio = pairs.iter().all(|pair| pair.base > 0.0 && pair.new >= 0.0);
        Self::with_ratio(pairs, clock, has_ratio)
    }

    /// Of what `gross` has beyond `control`, seed by seed; seeds without a control are left out.
    pub fn net(gross: &[Pair], control: &[Pair], clock: Clock) -> Option<Self> {
        let mut has_ratio = true;
        let counts = |added: f64, whole: f64| added > 0.0 && added >= whole * NET_SHARE_MIN;
        let added = gross.iter().filter_map(|whole| {
            let floor = control.iter().find(|floor| floor.seed == whole.seed)?;
            let (base, new) = (whole.base - floor.base, whole.new - floor.new);
            has_ratio &= counts(base, whole.base) && counts(new, whole.new);
            Some(Pair { seed: whole.seed, base, new })
        });
        let pairs = added.collect();
        Self::with_ratio(pairs, clock, has_ratio)
    }

    fn with_ratio(mut pairs: Vec<Pair>, clock: Clock, has_ratio: bool) -> Option<Self> {
        pairs.sort_by_key(|pair| pair.seed);
        let spread = |of: fn(&Pair) -> f64| Spread::of(pairs.iter().map(of));
        let ratios: Vec<f64> = pairs.iter().map(|pair| pair.new / pair.base).collect();
        let ratio = has_ratio.then(|| Spread::of(ratios.iter().copied())).flatten();
        Some(Self {
            base: spread(|pair| pair.base)?,
            new: spread(|pair| pair.new)?,
            difference: spread(|pair| pair.new - pair.base)?,
            ratio,
            certainty: certainty(&ratios, ratio.is_some(), clock),
            pairs,
        })
    }

    /// The change as a share of the base: 0.27 for 27% more.
    pub fn share(&self) -> Option<f64> {
        self.ratio.map(|ratio| ratio.median - 1.0)
    }

    /// Whether no seed's number changed at all.
    pub fn is_equal(&self) -> bool {
        self.difference.min == 0.0 && self.difference.max == 0.0
    }
}

fn certainty(ratios: &[f64], has_ratio: bool, clock: Clock) -> Certainty {
    let (replicates, needed) = (ratios.len(), REPLICATES_MIN);
    if clock == Clock::Instructions {
        return Certainty::Exact;
    }
    if replicates < needed {
        return Certainty::TooFewReplicates { replicates, needed };
    }
    match stats::median_interval(ratios).filter(|_| has_ratio) {
        Some((low, high)) => Certainty::Interval { low, high, level: LEVEL },
        None => Certainty::NoRatio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs_of(numbers: &[(f64, f64)]) -> Vec<Pair> {
        (1..).zip(numbers).map(|(seed, &(base, new))| Pair { seed, base, new }).collect()
    }

    #[test]
    fn a_change_is_computed_seed_by_seed() {
        let change = Change::of(
            pairs_of(&[(100.0, 110.0), (200.0, 240.0), (400.0, 520.0)]),
            Clock::Instructions,
        )
        .unwrap();
        assert_eq!((change.base.median, change.new.median), (200.0, 240.0));
        let difference = change.difference;
        assert_eq!((difference.min, difference.median, difference.max), (10.0, 40.0, 120.0));
        let ratio = change.ratio.unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (1.1, 1.2, 1.3));
        assert_eq!(change.certainty, Certainty::Exact);
        assert!(Change::of(Vec::new(), Clock::Wall).is_none());
    }

    #[test]
    fn net_is_what_the_proxy_adds_to_the_control_of_the_same_seed() {
        let gross = pairs_of(&[(150.0, 225.0), (170.0, 245.0), (1.0, 1.0)]);
        let control = pairs_of(&[(50.0, 100.0), (70.0, 120.0)]);
        let net = Change::net(&gross, &control, Clock::Instructions).unwrap();
        assert_eq!(net.pairs.len(), 2, "the third seed has no control");
        assert_eq!((net.base.median, net.new.median), (100.0, 125.0));
        assert_eq!(net.share(), Some(0.25));
        assert!(Change::net(&gross, &[], Clock::Instructions).is_none());
    }

    #[test]
    fn remainders_have_a_difference_but_no_ratio() {
        let control = pairs_of(&[(1000.0, 1000.0)]);
        for gross in [(1005.0, 1100.0), (1100.0, 990.0)] {
            let net = Change::net(&pairs_of(&[gross]), &control, Clock::Instructions).unwrap();
            assert_eq!((net.ratio, net.difference.median), (None, gross.1 - gross.0));
        }
        let from_nothing = Change::of(pairs_of(&[(0.0, 7.0)]), Clock::Instructions).unwrap();
        assert_eq!((from_nothing.ratio, from_nothing.difference.median), (None, 7.0));
    }

    #[test]
    fn the_wall_clock_needs_replicates_for_an_interval() {
        let noisy = |count: u32| {
            let numbers: Vec<(f64, f64)> =
                (0..count).map(|at| (100.0, 118.0 + f64::from(at % 5))).collect();
            Change::of(pairs_of(&numbers), Clock::Wall).unwrap().certainty
        };
        assert_eq!(noisy(4), Certainty::TooFewReplicates { replicates: 4, needed: 5 });
        let Certainty::Interval { low, high, level } = noisy(9) else { panic!("no interval") };
        assert!((1.18..=1.20).contains(&low) && (1.20..=1.22).contains(&high), "{low} {high}");
        assert!((level - 0.95).abs() < 1e-9, "{level}");
        let zero = Change::of(pairs_of(&[(0.0, 1.0); 5]), Clock::Wall).unwrap();
        assert_eq!(zero.certainty, Certainty::NoRatio);
    }
}

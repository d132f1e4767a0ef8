//! Dealing out kinds by weight: how many Services get which number of Endpoints, which protocol.
//!
//! Kinds are dealt at the quantiles of their distribution rather than drawn one by one. So two
//! seeds differ in which Service gets what, never in how much there is: the number of Endpoints,
//! and with it the number of rules, is the same for every seed and known before anything is made.

use crate::random::SplitMix64;

/// Kinds, each with an integer weight.
#[derive(Debug, Clone)]
pub(crate) struct Quantiles<T> {
    /// Each with the sum of the weights up to its own.
    kinds: Vec<(u64, T)>,
}

impl<T: Copy> Quantiles<T> {
    /// The sum of the weights must fit 64 bits.
    pub(crate) fn new(weights: impl IntoIterator<Item = (T, u64)>) -> Self {
        let mut sum = 0_u64;
        let summed = weights.into_iter().filter(|(_, weight)| *weight > 0).map(|(kind, weight)| {
            sum = sum.saturating_add(weight);
            (sum, kind)
        });
        Self { kinds: summed.collect() }
    }

    /// The kind of the item with this rank, 0 to `items` - 1: that at quantile (rank + 1/2) /
    /// items. Nothing if no kind has weight.
    pub(crate) fn at_rank(&self, rank: u32, items: u32) -> Option<T> {
        if let [(_, only)] = self.kinds[..] {
            return Some(only);
        }
        let halves = u128::from(rank) * 2 + 1;
        let point = halves * u128::from(self.total()) / (u128::from(items.max(1)) * 2);
        self.kind_at(u64::try_from(point).unwrap_or(u64::MAX))
    }

    /// A kind drawn by weight. Nothing if no kind has weight.
    pub(crate) fn draw(&self, random: &mut SplitMix64) -> Option<T> {
        self.kind_at(random.below(self.total()))
    }

    fn total(&self) -> u64 {
        self.kinds.last().map_or(0, |(sum, _)| *sum)
    }

    fn kind_at(&self, point: u64) -> Option<T> {
        let at = self.kinds.partition_point(|(end, _)| *end <= point);
        self.kinds.get(at).map(|(_, kind)| *kind)
    }
}

/// The weights of 1 to `max` under Zipf's law: that of k is k^-(quarters / 4).
///
/// The same bits on every machine: `powf` is not, but the square root, the product and the
/// quotient used here are exactly rounded by IEEE 754.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "weights lie between 0 and 2^48"
)]
pub(crate) fn zipf_weights(max: u32, quarters: u32) -> impl Iterator<Item = u64> {
    // 2^48 leaves room for the sum of 10,000 weights.
    const ONE: f64 = (1_u64 << 48) as f64;
    (1..=max).map(move |k| {
        let k = f64::from(k);
        let whole = (0..quarters / 4).fold(1.0, |product, _| product * k);
        let power = (0..quarters % 4).fold(whole, |product, _| product * k.sqrt().sqrt());
        (ONE / power) as u64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds 0, 1, 2, ... with these weights.
    fn quantiles(weights: &[u64]) -> Quantiles<usize> {
        Quantiles::new(weights.iter().copied().enumerate())
    }

    fn dealt(weights: &[u64], items: u32) -> Vec<u32> {
        let mut counts = vec![0; weights.len()];
        for rank in 0..items {
            counts[quantiles(weights).at_rank(rank, items).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn kinds_are_dealt_in_the_proportion_of_their_weights() {
        assert_eq!(dealt(&[9, 1], 1_000), [900, 100]);
        assert_eq!(dealt(&[1, 0, 1], 10), [5, 0, 5]);
        assert_eq!(dealt(&[1; 4], 4), [1, 1, 1, 1]);
        assert_eq!(dealt(&[7], 3), [3]);
        assert_eq!(quantiles(&[0, 0]).at_rank(0, 1), None);
    }

    #[test]
    fn draws_never_give_a_kind_without_weight() {
        let quantiles = quantiles(&[0, 3, 0, 1, 0]);
        let mut random = SplitMix64::new(5);
        let mut counts = [0; 5];
        for _ in 0..4_000 {
            counts[quantiles.draw(&mut random).unwrap()] += 1;
        }
        assert_eq!([counts[0], counts[2], counts[4]], [0; 3]);
        assert!((2_800..3_200).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn zipf_weights_are_exact_powers() {
        assert_eq!(
            zipf_weights(4, 4).collect::<Vec<_>>(),
            [1 << 48, 1 << 47, (1 << 48) / 3, 1 << 46]
        );
        assert_eq!(zipf_weights(4, 8).nth(3), Some(1 << 44));
        assert_eq!(zipf_weights(16, 1).nth(15), Some(1 << 47));
        // The largest sum there can be fits.
        let sum: u128 = zipf_weights(10_000, 1).map(u128::from).sum();
        assert!(sum < u128::from(u64::MAX));
    }
}

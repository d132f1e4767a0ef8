//! Reproducible draws: a random generator and a random permutation, both in integers only.
//!
//! Own code on purpose: the generators of the `rand` crate may give other numbers in its next
//! version, and a seed must give the same Cluster for as long as stored results are compared.

/// `SplitMix64`, the generator of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators" (OOPSLA 2014). Not for secrets.
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The odd constant nearest to 2^64 divided by the golden ratio.
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

    /// A generator that gives the same numbers for the same seed, on any machine and version.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator for one purpose, whose numbers do not depend on how many draws others make.
    #[must_use]
    pub const fn stream(seed: u64, purpose: u64) -> Self {
        Self::new(mix(seed) ^ mix(purpose.wrapping_mul(Self::GAMMA).wrapping_add(1)))
    }

    /// The next 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(Self::GAMMA);
        mix(self.state)
    }

    /// A generator seeded by the next number of this one.
    #[must_use]
    pub const fn split(&mut self) -> Self {
        Self::new(self.next_u64())
    }

    /// A number below `end`; 0 if `end` is 0. No number is likelier than another by more than
    /// `end` / 2^64, which is the price of never drawing twice.
    pub const fn below(&mut self, end: u64) -> u64 {
        scale(self.next_u64(), end)
    }
}

/// Maps 64 random bits onto `0..end`; 0 if `end` is 0.
pub(crate) const fn scale(bits: u64, end: u64) -> u64 {
    ((bits as u128 * end as u128) >> 64) as u64
}

/// The output function of `SplitMix64`: a bijection in which each input bit flips half the output.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A random order of `0..len` that needs no memory for it: a Feistel network over the next power of
/// four, walked until it is back inside. Distinct indices give distinct values.
#[derive(Debug, Clone)]
pub(crate) struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; Self::ROUNDS],
}

impl Permutation {
    const ROUNDS: usize = 4;

    pub(crate) fn new(len: u64, mut random: SplitMix64) -> Self {
        let bits = len.max(2).next_power_of_two().trailing_zeros();
        Self {
            len,
            half_bits: bits.div_ceil(2),
            keys: [(); Self::ROUNDS].map(|()| random.next_u64()),
        }
    }

    /// The value at `index`, which is taken modulo the length; 0 if the length is 0.
    pub(crate) fn at(&self, index: u64) -> u64 {
        let Some(start) = index.checked_rem(self.len) else { return 0 };
        let mut value = self.round_trip(start);
        // Ends: a permutation leads back to where it began, and `start` is below `len`. The network
        // is less than four times as long as the range, so it takes a few steps.
        while value >= self.len {
            value = self.round_trip(value);
        }
        value
    }

    fn round_trip(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_numbers() {
        // First outputs for seed 1234567, as in the public-domain C of Sebastiano Vigna.
        let mut random = SplitMix64::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(expected.map(|_| random.next_u64()), expected);
    }

    #[test]
    fn draws_stay_below_their_end_and_reach_every_number() {
        let mut random = SplitMix64::new(1);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[usize::try_from(random.below(7)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1_200).contains(&count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let first: Vec<u64> = (0..100).map(|p| SplitMix64::stream(7, p).next_u64()).collect();
        let mut distinct = first.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), first.len());
        assert_ne!(SplitMix64::stream(7, 0).next_u64(), SplitMix64::stream(8, 0).next_u64());
    }

    #[test]
    fn a_permutation_gives_each_value_once() {
        for len in [1, 2, 3, 4, 5, 16, 17, 1_000, 4_097] {
            let permutation = Permutation::new(len, SplitMix64::new(3));
            let mut values: Vec<u64> = (0..len).map(|index| permutation.at(index)).collect();
            values.sort_unstable();
            assert_eq!(values, (0..len).collect::<Vec<_>>(), "length {len}");
        }
    }

    #[test]
    fn a_permutation_moves_most_values_and_depends_on_the_seed() {
        let order = |seed| {
            let permutation = Permutation::new(1_000, SplitMix64::new(seed));
            (0..1_000).map(|index| permutation.at(index)).collect::<Vec<_>>()
        };
        let fixed = order(1).iter().zip(0..).filter(|&(&value, index)| value == index).count();
        assert!(fixed < 10, "{fixed} values stayed where they were");
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn an_empty_permutation_answers_zero() {
        assert_eq!(Permutation::new(0, SplitMix64::new(3)).at(5), 0);
    }
}

//! Reads stored values back: decoding, counts, extremes, means and percentiles of a
//! [`Distribution`].
//!
//! Stored values are untrusted: sizes are checked before anything is allocated. Storing them is in
//! `compact`.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::record::Distribution;

/// Significant decimal digits of every stored histogram.
pub(crate) const DIGITS: u8 = 5;
/// Largest "highest trackable value" accepted from a file: 2^42 keeps a decoded histogram under 14
/// MB.
const HIGHEST_ACCEPTED: u64 = 1 << 42;
/// Longest base64 text of one histogram, bytes.
const TEXT_MAX_BYTES: usize = 8 << 20;
/// Most values of a [`Distribution::Values`].
const VALUES_MAX: usize = 100_000;
/// `HdrHistogram` V2 cookie, `V2EncodingCookieBase | 0x10` of the format's reference
/// implementation.
const V2_COOKIE: u32 = 0x1c84_9303 | 0x10;
/// Bytes before the counts: cookie, length, offset, digits (4 each), low, high, ratio (8 each).
const V2_HEADER_BYTES: usize = 40;
/// Standard deviations that hold the middle 95 % of a normal distribution.
const TWO_SIDED_95: f64 = 1.96;
/// Where the highest trackable value stands in the header.
const HIGHEST_AT: usize = 24;

/// Why a stored distribution cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DistributionError {
    /// More values or text than any run of this tool writes.
    #[error(
        "{what} is {size}, more than the limit of {limit}; the file was not written by vipbench or is damaged"
    )]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The largest accepted size.
        limit: u64,
    },
    /// Not the format that is stored.
    #[error("histogram cannot be decoded ({detail}); restore the file or measure the cell again")]
    Undecodable {
        /// What is wrong with it.
        detail: String,
    },
    /// The numbers beside the histogram contradict it.
    #[error(
        "histogram holds {in_histogram} as {what} but {stored} is stored beside it; the line was altered: measure the cell again"
    )]
    Disagrees {
        /// Which number.
        what: &'static str,
        /// What the histogram says.
        in_histogram: u64,
        /// What stands beside it.
        stored: u64,
    },
}

/// Decoded values: each distinct value with how often it came, ascending, and exact totals.
///
/// Histogram values above 262,143 are known to five significant digits; `min`, `max` and `sum` are
/// always exact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Samples {
    buckets: Vec<(u64, u64)>,
    count: u64,
    min: u64,
    max: u64,
    sum: u128,
}

impl Samples {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How often this value came.
    pub fn count_of(&self, value: u64) -> u64 {
        let found = self.buckets.binary_search_by_key(&value, |(value, _)| *value);
        found.ok().and_then(|at| self.buckets.get(at)).map_or(0, |(_, count)| *count)
    }

    /// Smallest value; `None` when there is none.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// Largest value; `None` when there is none.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// Arithmetic mean; `None` when there is no value.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The smallest value that at least `quantile` (0 to 1, clamped; NaN counts as 0) of all values
    /// do not exceed: the nearest-rank percentile. `None` when there are fewer values than
    /// [`values_needed`].
    pub fn percentile(&self, quantile: f64) -> Option<u64> {
        let is_told = self.count >= values_needed(quantile);
        is_told.then(|| self.at_rank(rank(quantile, self.count))).flatten()
    }

    /// The values between which the percentile of all connections like these lies, 95 times of 100:
    /// those at the ranks that the binomial distribution leaves (its normal approximation, good
    /// from [`values_needed`] values on). `None` when there are fewer, and for extremes.
    pub fn percentile_interval(&self, quantile: f64) -> Option<(u64, u64)> {
        if self.count < values_needed(quantile) || !(quantile > 0.0 && quantile < 1.0) {
            return None;
        }
        let count = self.count as f64;
        let reach = TWO_SIDED_95 * (quantile * (1.0 - quantile) / count).sqrt();
        let low = self.at_rank(rank(quantile - reach, self.count))?;
        let high = self.at_rank(rank(quantile + reach, self.count).saturating_add(1))?;
        Some((low, high))
    }

    /// The value at a rank from 1 up; beyond the last one the largest.
    fn at_rank(&self, rank: u64) -> Option<u64> {
        let mut seen = 0_u64;
        for &(value, count) in &self.buckets {
            seen = seen.saturating_add(count);
            if seen >= rank {
                return Some(value.clamp(self.min, self.max));
            }
        }
        self.max()
    }

    /// All values of several, as if they had been taken together.
    pub fn pooled<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        let mut all = Self::default();
        for part in parts.into_iter().filter(|part| part.count > 0) {
            for &(value, count) in &part.buckets {
                let sum = counts.entry(value).or_default();
                *sum = sum.saturating_add(count);
            }
            all.min = if all.count == 0 { part.min } else { all.min.min(part.min) };
            all.max = all.max.max(part.max);
            all.count = all.count.saturating_add(part.count);
            all.sum = all.sum.saturating_add(part.sum);
        }
        all.buckets = counts.into_iter().collect();
        all
    }

    fn of_values(values: &[u64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let same = sorted.chunk_by(|a, b| a == b);
        Self {
            buckets: same.map(|values| (values[0], values.len() as u64)).collect(),
            count: sorted.len() as u64,
            min: sorted.first().copied().unwrap_or(0),
            max: sorted.last().copied().unwrap_or(0),
            sum: sorted.iter().map(|&value| u128::from(value)).sum(),
        }
    }
}

/// How many values have to lie beyond a percentile: of fewer it is one of the very largest, which
/// chance moves.
pub(crate) const VALUES_BEYOND: f64 = 10.0;

/// Fewest values that a percentile is told from, [`VALUES_BEYOND`] above it. The median and what
/// lies below it, and the maximum, are what they are of any number of values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 20 up, and a share so near to 1 that it does not fit saturates"
)]
pub(crate) fn values_needed(quantile: f64) -> u64 {
    if quantile > 0.5 && quantile < 1.0 {
        (VALUES_BEYOND / (1.0 - quantile)).round() as u64
    } else {
        1
    }
}

/// Nearest rank of `quantile` among `count` values, 1 to `count`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=count just before"
)]
fn rank(quantile: f64, count: u64) -> u64 {
    let quantile = if quantile.is_nan() { 0.0 } else { quantile.clamp(0.0, 1.0) };
    // The product can land a hair above a whole number (0.07 * 100 = 7.000000000000001): such a
    // hair is not a rank.
    let exact = quantile * count as f64;
    let rounded = exact.round();
    let rank = if (exact - rounded).abs() < 1e-9 * count as f64 { rounded } else { exact.ceil() };
    (rank.max(1.0) as u64).min(count.max(1))
}

impl Distribution {
    /// Decodes and checks the values.
    ///
    /// # Errors
    /// [`DistributionError`] when sizes are absurd, the histogram cannot be decoded, or the numbers
    /// beside it disagree with it.
    pub fn samples(&self) -> Result<Samples, DistributionError> {
        match self {
            Self::Values { values } => {
                at_most("the number of values", values.len() as u64, VALUES_MAX as u64)?;
                Ok(Samples::of_values(values))
            }
            Self::Histogram { v2, count, min, max, sum } => {
                let (buckets, highest) = decode(v2, *max)?;
                let samples =
                    Samples { buckets, count: *count, min: *min, max: *max, sum: u128::from(*sum) };
                check(&samples, highest)?;
                Ok(samples)
            }
        }
    }
}

fn at_most(what: &'static str, size: u64, limit: u64) -> Result<(), DistributionError> {
    if size > limit { Err(DistributionError::TooLarge { what, size, limit }) } else { Ok(()) }
}

fn undecodable(detail: impl Into<String>) -> DistributionError {
    DistributionError::Undecodable { detail: detail.into() }
}

/// Recorded values (each the highest its bucket stands for) and their counts, ascending, and the
/// highest trackable value of an `HdrHistogram` V2. Memory is taken for values up to `max` only: an
/// array to the highest trackable value would be ten times larger, and a report decodes thousands.
fn decode(text: &str, max: u64) -> Result<(Vec<(u64, u64)>, u64), DistributionError> {
    at_most("the histogram's text in bytes", text.len() as u64, TEXT_MAX_BYTES as u64)?;
    let mut bytes =
        BASE64.decode(text.as_bytes()).map_err(|error| undecodable(error.to_string()))?;
    let highest = check_header(&bytes)?;
    if let Some(field) = bytes.get_mut(HIGHEST_AT..HIGHEST_AT + 8) {
        field.copy_from_slice(&max.clamp(2, highest).to_be_bytes());
    }
    let histogram: Histogram<u32> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| undecodable(error.to_string()))?;
    let buckets = histogram
        .iter_recorded()
        .map(|step| {
            let value = step.value_iterated_to();
            (histogram.highest_equivalent(value), u64::from(step.count_at_value()))
        })
        .collect();
    Ok((buckets, highest))
}

/// Refuses what the deserializer would allocate for, or overflow on, before it sees the bytes.
/// Gives the highest trackable value.
fn check_header(bytes: &[u8]) -> Result<u64, DistributionError> {
    let (header, payload) = bytes
        .split_at_checked(V2_HEADER_BYTES)
        .ok_or_else(|| undecodable("shorter than its header"))?;
    let number = |at: usize, bytes: usize| {
        header.iter().skip(at).take(bytes).fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    if number(0, 4) != u64::from(V2_COOKIE) {
        return Err(undecodable("not an uncompressed HdrHistogram V2"));
    }
    if number(4, 4) != payload.len() as u64 {
        return Err(undecodable("its length field does not match its length"));
    }
    if number(12, 4) != u64::from(DIGITS) || number(16, 8) != 1 {
        return Err(undecodable("not five significant digits from 1 up"));
    }
    let highest = number(HIGHEST_AT, 8);
    at_most("the histogram's highest trackable value", highest, HIGHEST_ACCEPTED)?;
    if highest < 2 {
        return Err(undecodable("its highest trackable value is below 2"));
    }
    // A number of nine bytes (2^56 and more) is no count and no run of empty buckets; the decoder
    // negates such numbers without a check for overflow.
    if payload.windows(8).any(|window| window.iter().all(|byte| byte & 0x80 != 0)) {
        return Err(undecodable("holds a number beyond any count"));
    }
    Ok(highest)
}

/// Holds the stored totals against the decoded buckets; values above `highest` were recorded as
/// `highest`.
fn check(samples: &Samples, highest: u64) -> Result<(), DistributionError> {
    let disagrees = |what, in_histogram, stored| {
        Err(DistributionError::Disagrees { what, in_histogram, stored })
    };
    let total = samples.buckets.iter().fold(0_u64, |sum, &(_, count)| sum.saturating_add(count));
    if total != samples.count {
        return disagrees("count", total, samples.count);
    }
    let (Some(&(first, _)), Some(&(last, _))) = (samples.buckets.first(), samples.buckets.last())
    else {
        return match samples {
            Samples { min: 0, max: 0, sum: 0, .. } => Ok(()),
            _ => disagrees("max", 0, samples.max),
        };
    };
    // `first` and `last` are the upper ends of their buckets: an exact extreme is at most that, and
    // less by no more than a bucket's width.
    let in_bucket = |extreme: u64, end: u64| {
        let extreme = extreme.min(highest);
        extreme <= end && end - extreme <= end / 10_u64.pow(u32::from(DIGITS)) + 1
    };
    if !in_bucket(samples.min, first) {
        return disagrees("min", first, samples.min);
    }
    if !in_bucket(samples.max, last) || samples.max < samples.min {
        return disagrees("max", last, samples.max);
    }
    let count = u128::from(samples.count);
    if samples.sum < count * u128::from(samples.min)
        || samples.sum > count * u128::from(samples.max)
    {
        let sum = u64::try_from(samples.sum).unwrap_or(u64::MAX);
        return disagrees("largest possible sum", samples.max.saturating_mul(samples.count), sum);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn up_to(largest: u64) -> Samples {
        Distribution::Values { values: (1..=largest).collect() }.samples().unwrap()
    }

    fn histogram(values: &[u64]) -> Distribution {
        Distribution::histogram(values).unwrap()
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let samples = up_to(1000);
        assert_eq!(samples.percentile(0.0), Some(1));
        assert_eq!(samples.percentile(0.07), Some(70));
        assert_eq!(samples.percentile(0.5), Some(500));
        assert_eq!(samples.percentile(0.99), Some(990));
        assert_eq!(samples.percentile(1.0), Some(1000));
        assert_eq!(samples.percentile(f64::NAN), Some(1));
        assert_eq!(samples.mean(), Some(500.5));
    }

    #[test]
    fn a_percentile_needs_ten_values_beyond_it() {
        let needs = [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0].map(values_needed);
        assert_eq!(needs, [1, 1, 100, 200, 1000, 10_000, 1]);
        let few = up_to(999);
        assert_eq!((few.percentile(0.99), few.percentile_interval(0.99)), (None, None));
        assert_eq!((few.percentile(0.9), few.percentile(1.0)), (Some(900), Some(999)));
    }

    /// Of 1,000 values the 99th percentile lies between the 984th and the 998th.
    #[test]
    fn the_interval_of_a_percentile_goes_by_ranks() {
        assert_eq!(up_to(1000).percentile_interval(0.99), Some((984, 998)));
        assert_eq!(up_to(1000).percentile_interval(0.5), Some((470, 532)));
        assert_eq!(up_to(1000).percentile_interval(1.0), None);
    }

    #[test]
    fn an_empty_distribution_has_no_extremes_and_no_percentiles() {
        for empty in [Distribution::Values { values: vec![] }, histogram(&[])] {
            let empty = empty.samples().unwrap();
            assert_eq!(
                (empty.count(), empty.min(), empty.max(), empty.mean()),
                (0, None, None, None)
            );
            assert_eq!(empty.percentile(0.5), None);
        }
    }

    #[test]
    fn pooled_values_are_those_of_all_parts() {
        let part =
            |values: &[u64]| Distribution::Values { values: values.to_vec() }.samples().unwrap();
        let pooled = Samples::pooled(&[part(&[5, 1]), part(&[]), part(&[5, 9])]);
        assert_eq!(pooled, part(&[1, 5, 5, 9]));
        assert_eq!(Samples::pooled(&[]), Samples::default());
    }

    #[test]
    fn a_maximum_beyond_the_trackable_range_is_still_exact() {
        let data = histogram(&[5, u64::MAX / 4]);
        let samples = data.samples().unwrap();
        assert_eq!(samples.max(), Some(u64::MAX / 4));
        assert_eq!(samples.percentile(0.5), Some(5));
        let only = histogram(&[u64::MAX / 4]).samples().unwrap();
        assert_eq!((only.min(), only.percentile(0.5)), (Some(u64::MAX / 4), Some(u64::MAX / 4)));
    }

    #[test]
    fn numbers_beside_the_histogram_must_agree_with_it() {
        let Distribution::Histogram { v2, count, min, max, sum } = histogram(&[100, 200, 300_000])
        else {
            panic!("the sampler makes histograms");
        };
        let altered = |count, min, max, sum| {
            Distribution::Histogram { v2: v2.clone(), count, min, max, sum }.samples()
        };
        assert!(altered(count, min, max, sum).is_ok());
        for (wrong, what) in [
            (altered(count + 1, min, max, sum), "count"),
            (altered(count, 90, max, sum), "min"),
            (altered(count, min, 290_000, sum), "max"),
            (altered(count, min, max, 1_000_000), "largest possible sum"),
        ] {
            let Err(DistributionError::Disagrees { what: found, .. }) = wrong else {
                panic!("{what}: {wrong:?}");
            };
            assert_eq!(found, what);
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_allocation() {
        let Distribution::Histogram { v2, .. } = histogram(&[1]) else { panic!("histogram") };
        let bytes = BASE64.decode(v2.as_bytes()).unwrap();
        let with = |at: usize, new: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + new.len()].copy_from_slice(new);
            decode(&BASE64.encode(&bytes), 1000)
        };
        assert!(matches!(
            with(HIGHEST_AT, &u64::MAX.to_be_bytes()),
            Err(DistributionError::TooLarge { .. })
        ));
        assert!(matches!(
            with(4, &u32::MAX.to_be_bytes()),
            Err(DistributionError::Undecodable { .. })
        ));
        assert!(matches!(with(12, &[0, 0, 0, 9]), Err(DistributionError::Undecodable { .. })));
        assert!(matches!(with(0, &[0; 4]), Err(DistributionError::Undecodable { .. })));
        let values = vec![0; VALUES_MAX + 1];
        assert!(Distribution::Values { values }.samples().is_err());
    }

    #[test]
    fn a_number_the_decoder_would_overflow_on_is_refused() {
        let mut bytes = vec![0; V2_HEADER_BYTES];
        bytes[..4].copy_from_slice(&V2_COOKIE.to_be_bytes());
        bytes[4..8].copy_from_slice(&9_u32.to_be_bytes());
        bytes[12..16].copy_from_slice(&5_u32.to_be_bytes());
        bytes[16..24].copy_from_slice(&1_u64.to_be_bytes());
        bytes[24..32].copy_from_slice(&1000_u64.to_be_bytes());
        bytes[32..40].copy_from_slice(&1_f64.to_be_bytes());
        bytes.extend([0xff; 9]);
        assert!(matches!(
            decode(&BASE64.encode(&bytes), 1000),
            Err(DistributionError::Undecodable { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_was_recorded_comes_back(values in prop::collection::vec(0_u64..1 << 37, 1..200)) {
            let data = histogram(&values);
            let samples = data.samples().unwrap();
            let exact = Distribution::Values { values: values.clone() }.samples().unwrap();
            prop_assert_eq!(samples.count(), exact.count());
            prop_assert_eq!((samples.min(), samples.max(), samples.mean()), (exact.min(), exact.max(), exact.mean()));
            for quantile in [0.0, 0.5, 0.9, 0.99, 1.0] {
                let (ours, exact) = (samples.percentile(quantile), exact.percentile(quantile));
                prop_assert_eq!(ours.is_some(), values.len() as u64 >= values_needed(quantile));
                let (ours, exact) = (ours.unwrap_or(0), exact.unwrap_or(0));
                prop_assert!(ours.abs_diff(exact) <= exact / 100_000 + 1, "{} {}", ours, exact);
            }
        }

        #[test]
        fn random_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..120), text in "\\PC*") {
            let mut bytes = vec![0; V2_HEADER_BYTES];
            bytes[..4].copy_from_slice(&V2_COOKIE.to_be_bytes());
            bytes[7] = u8::try_from(tail.len()).unwrap();
            bytes[15] = 5;
            bytes[23] = 1;
            bytes[28] = 1;
            bytes[32..40].copy_from_slice(&1_f64.to_be_bytes());
            bytes.extend(&tail);
            let _ = decode(&BASE64.encode(&bytes), 1000);
            let _ = decode(&text, u64::MAX);
        }
    }
}

//! Stores many values as a histogram: [`Metric::compacted`].
//!
//! Does not read values back; that is `distribution`.

use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

use crate::distribution::DIGITS;
use crate::record::{Distribution, Metric};

/// Highest value whose place in the histogram is exact to five digits: 2^38 - 1, about 275 s in
/// nanoseconds, well past the budget of any single connection. What lies above counts as this, but
/// stays in the exact maximum and sum.
const HIGHEST: u64 = (1 << 38) - 1;
/// More values than this are stored as a histogram.
const VALUES_MAX: usize = 16;

/// Why values could not be stored as a histogram.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The histogram could not be allocated.
    #[error("cannot make a histogram of {DIGITS} digits: {0}")]
    Create(#[from] hdrhistogram::CreationError),
    /// The histogram could not be encoded.
    #[error("cannot encode a histogram: {0}")]
    Encode(#[from] hdrhistogram::serialization::V2SerializeError),
}

impl Metric {
    /// The stored form: many values become a histogram, few stay as they are.
    ///
    /// # Errors
    /// [`CompactError`] when memory is short.
    pub fn compacted(mut self) -> Result<Self, CompactError> {
        if let Distribution::Values { values } = &self.data
            && values.len() > VALUES_MAX
        {
            self.data = Distribution::histogram(values)?;
        }
        Ok(self)
    }
}

impl Distribution {
    /// A histogram of values that were counted already: each with how often it came.
    ///
    /// # Errors
    /// [`CompactError`] when memory is short.
    pub fn counted(counts: &[(u64, u64)]) -> Result<Self, CompactError> {
        let max = counts.iter().map(|(value, _)| *value).max().unwrap_or_default();
        let mut histogram = Histogram::<u32>::new_with_bounds(1, max.clamp(2, HIGHEST), DIGITS)?;
        let (mut min, mut sum) = (u64::MAX, 0_u64);
        for &(value, count) in counts {
            histogram.saturating_record_n(
                value.min(histogram.high()),
                u32::try_from(count).unwrap_or(u32::MAX),
            );
            (min, sum) = (min.min(value), sum.saturating_add(value.saturating_mul(count)));
        }
        let count = histogram.len();
        let min = if count == 0 { 0 } else { min };
        Ok(Self::Histogram { v2: encoded(&histogram)?, count, min, max, sum })
    }

    /// A histogram of all `values`, with counters up to the largest of them.
    pub(crate) fn histogram(values: &[u64]) -> Result<Self, CompactError> {
        let max = values.iter().copied().max().unwrap_or_default();
        let mut histogram = Histogram::<u32>::new_with_bounds(1, max.clamp(2, HIGHEST), DIGITS)?;
        for value in values {
            histogram.saturating_record((*value).min(histogram.high()));
        }
        Ok(Self::Histogram {
            v2: encoded(&histogram)?,
            count: histogram.len(),
            min: values.iter().copied().min().unwrap_or_default(),
            max,
            sum: values.iter().fold(0, |sum, value| sum.saturating_add(*value)),
        })
    }
}

fn encoded(histogram: &Histogram<u32>) -> Result<String, CompactError> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes)?;
    Ok(BASE64.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_exact_and_percentiles_keep_five_digits() {
        let data = Distribution::histogram(&[50_464, 50_464, 1_526_034]).unwrap();
        let samples = data.samples().unwrap();
        assert_eq!((samples.min(), samples.max()), (Some(50_464), Some(1_526_034)));
        assert_eq!((samples.count(), samples.percentile(0.5)), (3, Some(50_464)));
        let Distribution::Histogram { sum, .. } = data else { panic!("histogram") };
        assert_eq!(sum, 50_464 + 50_464 + 1_526_034);
    }

    #[test]
    fn zero_and_the_largest_number_are_taken() {
        let samples = Distribution::histogram(&[0, u64::MAX]).unwrap().samples().unwrap();
        assert_eq!((samples.min(), samples.max()), (Some(0), Some(u64::MAX)));
        assert_eq!(samples.count(), 2);
    }

    #[test]
    fn counted_values_are_those_values_so_many_times() {
        let counts = [(50_464, 2), (1_526_034, 1)];
        let values = Distribution::histogram(&[50_464, 50_464, 1_526_034]).unwrap();
        assert_eq!(Distribution::counted(&counts).unwrap(), values);
        let none = Distribution::counted(&[]).unwrap();
        assert_eq!(none.samples().unwrap().count(), 0);
    }

    #[test]
    fn few_values_stay_as_they_are() {
        let few = crate::metrics::RULES.of("sync.full", crate::Clock::Wall, vec![1; VALUES_MAX]);
        assert_eq!(few.clone().compacted().unwrap(), few);
        let many = Metric { data: Distribution::Values { values: vec![1; VALUES_MAX + 1] }, ..few };
        let stored = many.compacted().unwrap().data;
        assert!(matches!(stored, Distribution::Histogram { count: 17, .. }));
    }
}

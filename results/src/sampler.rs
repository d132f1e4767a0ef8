//! Takes values during a measurement: [`Sampler`], a histogram allocated before the first value.
//!
//! Does not read values back; that is `distribution`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

use crate::distribution::DIGITS;
use crate::record::{Distribution, Metric, Unit};

/// Highest value whose place in the histogram is exact to five digits: 2^38 - 1, about 275 s in nanoseconds, well past
/// the budget of any single connection. What lies above counts as this, but stays in the exact maximum and sum.
const HIGHEST: u64 = (1 << 38) - 1;

/// Why a sampler could not be made or stored.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// The histogram could not be allocated.
    #[error("cannot make a histogram of {DIGITS} digits up to {HIGHEST}: {0}")]
    Create(#[from] hdrhistogram::CreationError),
    /// The histogram could not be encoded.
    #[error("cannot encode the histogram of {name}: {source}")]
    Encode {
        /// The metric.
        name: String,
        /// What the encoder said.
        source: hdrhistogram::serialization::V2SerializeError,
    },
}

/// More values than this are stored as a histogram.
const VALUES_MAX: usize = 16;

/// Collects the values of one metric without allocating, so that recording costs the measurement little and equally.
///
/// Each holds 11.5 MB of counters, touched when it is made and never again for values under 262,144 beyond the first 1 MB.
#[derive(Debug)]
pub struct Sampler {
    histogram: Histogram<u32>,
    min: u64,
    max: u64,
    sum: u64,
}

impl Sampler {
    /// An empty sampler, fully allocated.
    ///
    /// # Errors
    /// [`SamplerError::Create`] when memory is short.
    pub fn new() -> Result<Self, SamplerError> {
        Self::up_to(HIGHEST)
    }

    /// One with counters up to `highest` only.
    pub(crate) fn up_to(highest: u64) -> Result<Self, SamplerError> {
        let histogram = Histogram::new_with_bounds(1, highest, DIGITS)?;
        Ok(Self { histogram, min: u64::MAX, max: 0, sum: 0 })
    }

    /// Adds one value, in the unit that [`Self::into_metric`] will be told. Never allocates, never fails.
    pub fn record(&mut self, value: u64) {
        self.histogram.saturating_record(value.min(self.histogram.high()));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum = self.sum.saturating_add(value);
    }

    /// Number of values so far.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The stored form of everything recorded.
    ///
    /// # Errors
    /// [`SamplerError::Encode`] when the histogram cannot be encoded.
    pub fn into_metric(self, name: &str, label: &str, unit: Unit) -> Result<Metric, SamplerError> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.histogram, &mut bytes)
            .map_err(|source| SamplerError::Encode { name: name.to_owned(), source })?;
        let count = self.count();
        Ok(Metric {
            name: name.to_owned(),
            label: label.to_owned(),
            unit,
            data: Distribution::Histogram {
                v2: BASE64.encode(bytes),
                count,
                min: if count == 0 { 0 } else { self.min },
                max: self.max,
                sum: self.sum,
            },
        })
    }
}

impl Metric {
    /// The stored form: many values become a histogram, few stay as they are.
    ///
    /// # Errors
    /// [`SamplerError`] when memory is short.
    pub fn compacted(self) -> Result<Self, SamplerError> {
        let Distribution::Values { values } = &self.data else { return Ok(self) };
        if values.len() <= VALUES_MAX {
            return Ok(self);
        }
        let highest = values.iter().copied().max().unwrap_or_default().clamp(2, HIGHEST);
        let mut sampler = Sampler::up_to(highest)?;
        for value in values {
            sampler.record(*value);
        }
        sampler.into_metric(&self.name, &self.label, self.unit)
    }

    /// A metric of few values, each kept, in the order they were measured.
    pub fn of_values(name: &str, label: &str, unit: Unit, values: Vec<u64>) -> Self {
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            unit,
            data: Distribution::Values { values },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_exact_and_percentiles_keep_five_digits() {
        let mut sampler = Sampler::new().unwrap();
        for value in [50_464, 50_464, 1_526_034] {
            sampler.record(value);
        }
        assert_eq!(sampler.count(), 3);
        let metric = sampler.into_metric("connect", "last", Unit::Instructions).unwrap();
        assert_eq!((metric.data.min(), metric.data.max()), (Some(50_464), Some(1_526_034)));
        assert_eq!(metric.p(0.5), Ok(Some(50_464)));
        let Distribution::Histogram { sum, .. } = metric.data else { panic!("histogram") };
        assert_eq!(sum, 50_464 + 50_464 + 1_526_034);
    }

    #[test]
    fn zero_and_the_largest_number_are_taken() {
        let mut sampler = Sampler::new().unwrap();
        sampler.record(0);
        sampler.record(u64::MAX);
        let metric = sampler.into_metric("connect", "last", Unit::Ns).unwrap();
        assert_eq!((metric.data.min(), metric.data.max()), (Some(0), Some(u64::MAX)));
        assert_eq!(metric.data.count(), 2);
    }
}

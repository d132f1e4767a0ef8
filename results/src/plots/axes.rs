//! Logarithmic axes: range, ticks and their labels. Only positive values have a place on them.

use crate::format;
use crate::record::Unit;

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub low: f64,
    pub high: f64,
    /// Position and label, ascending.
    pub ticks: Vec<(f64, String)>,
}

/// Least distance of two ticks, as a share of the axis: room for `20,000`.
const TICK_GAP_MIN: f64 = 0.14;

impl Axis {
    /// Sizes: a tick at each measured one, as far as there is room.
    pub fn of_sizes(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sizes: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let (low, high) = (*sizes.first()?, *sizes.last()?);
        let (low, high) =
            if low < high { (low / 1.12, high * 1.12) } else { (low / 2.0, high * 2.0) };
        let ticks = sizes.iter().map(|size| (*size, format::fixed(*size, 0))).collect();
        Some(Self { low, high, ticks }.thinned())
    }

    /// Values of one unit: ticks at powers of ten, or at 1, 2 and 5 times them when there are few
    /// powers.
    pub fn of_values(unit: Unit, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|value| *value > 0.0 && value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if high <= 0.0 {
            return None;
        }
        // At least a factor of four, so that noise around one value does not fill the plot.
        let room = (2.0 / (high / low).sqrt()).max(1.15);
        let (low, high) = (low / room, high * room);
        let decades = (high / low).log10();
        let steps: &[f64] = if decades >= 3.0 {
            &[1.0]
        } else if decades >= 1.5 {
            &[1.0, 3.0]
        } else {
            &[1.0, 2.0, 3.0, 5.0, 7.0]
        };
        let mut ticks = Vec::new();
        let mut power = 10_f64.powf(low.log10().floor());
        while power <= high {
            for step in steps {
                let value = power * step;
                if (low..=high).contains(&value) {
                    ticks.push((value, format::axis(unit, value)));
                }
            }
            power *= 10.0;
        }
        Some(Self { low, high, ticks }.thinned())
    }

    /// Percentiles as `1 / (1 - p)`.
    pub fn of_percentiles(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let high = values.into_iter().fold(0.0, f64::max);
        if high <= 1.0 {
            return None;
        }
        let names = [
            (2.0, "50"),
            (10.0, "90"),
            (100.0, "99"),
            (1e3, "99.9"),
            (1e4, "99.99"),
            (1e5, "99.999"),
        ];
        let ticks = names
            .into_iter()
            .filter(|(at, _)| *at <= high)
            .map(|(at, name)| (at, format!("p{name}")))
            .collect();
        Some(Self { low: 1.0, high, ticks })
    }

    /// The label of a tick; empty for any other position.
    pub fn label(&self, position: f64) -> String {
        let near = |at: f64| (at - position).abs() <= at.abs() * 1e-9;
        self.ticks
            .iter()
            .find(|(at, _)| near(*at))
            .map_or(String::new(), |(_, label)| label.clone())
    }

    /// Leaves out ticks whose labels would touch; the last one always stays.
    fn thinned(mut self) -> Self {
        let width = (self.high / self.low).ln();
        let mut kept: Vec<(f64, String)> = Vec::new();
        for tick in self.ticks.into_iter().rev() {
            let room =
                kept.last().is_none_or(|(next, _)| (next / tick.0).ln() / width >= TICK_GAP_MIN);
            if room {
                kept.push(tick);
            }
        }
        kept.reverse();
        self.ticks = kept;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn sizes_are_their_own_ticks_unless_they_touch() {
        let axis = Axis::of_sizes([10_000.0, 9_500.0, 10.0, 100.0, 0.0]).unwrap();
        assert_eq!(labels(&axis), ["10", "100", "10,000"]);
        let one = Axis::of_sizes([1000.0]).unwrap();
        assert_eq!((one.low, one.high, labels(&one)), (500.0, 2000.0, vec!["1,000"]));
        assert_eq!(Axis::of_sizes([]), None);
    }

    #[test]
    fn values_have_ticks_whatever_their_range() {
        let wide = Axis::of_values(Unit::Instructions, [2e5, 4e9]).unwrap();
        assert_eq!(labels(&wide), ["1M", "10M", "100M", "1G"]);
        let narrow = Axis::of_values(Unit::Ns, [50_000.0, 52_000.0]).unwrap();
        assert_eq!(labels(&narrow), ["30 µs", "50 µs", "70 µs", "100 µs"]);
        assert_eq!(Axis::of_values(Unit::Ns, [0.0, f64::NAN]), None);
    }

    #[test]
    fn percentiles_end_where_the_values_do() {
        let axis = Axis::of_percentiles([1.0, 600.0]).unwrap();
        assert_eq!(labels(&axis), ["p50", "p90", "p99"]);
        assert_eq!(axis.label(10.0), "p90");
        assert_eq!(axis.label(11.0), "");
    }
}

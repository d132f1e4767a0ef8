//! Axes: range, ticks and their labels. On a logarithmic one only positive values have a place.

use std::ops::Range;

use itertools::Itertools as _;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;

use crate::format;
use crate::record::Unit;

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub low: f64,
    pub high: f64,
    /// Position and label, ascending.
    pub ticks: Vec<(f64, String)>,
    /// What its numbers are.
    pub kind: Kind,
    pub is_log: bool,
}

/// What the numbers of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Values of one unit.
    Of(Unit),
    /// Percentiles as `1 / (1 - p)`.
    Percentiles,
    /// Numbers that the ticks name.
    Named,
    /// Anything else: sizes, ratios.
    Plain,
}

/// Least distance of two ticks, as a share of the axis: room for `20,000`.
const TICK_GAP_MIN: f64 = 0.14;
/// An axis of ratios shows at least this much around no change, so that noise does not fill it.
const RATIO_MIN: f64 = 1.05;
/// From this range on, ticks of ratios are powers of ten with their doubles and halves ...
const WIDE: f64 = 4.0;
/// ... and from this on powers of ten alone.
const VERY_WIDE: f64 = 1e3;

impl Axis {
    pub fn linear(low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { low, high, ticks, kind: Kind::Plain, is_log: false }
    }

    pub fn log(low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { low, high, ticks, kind: Kind::Plain, is_log: true }
    }

    /// One place for each name.
    pub fn of_names(names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(at, name)| (at as f64, name.clone()));
        let (low, high) = (-0.4, names.len() as f64 - 0.6);
        Self { kind: Kind::Named, ..Self::linear(low, high, ticks.collect()) }
    }

    /// Sizes: a tick at each measured one, as far as there is room.
    pub fn of_sizes(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sizes = values.into_iter().filter(|value| *value > 0.0);
        let sizes = sizes.sorted_by(f64::total_cmp).dedup().collect_vec();
        let (low, high) = (*sizes.first()?, *sizes.last()?);
        let room = if low < high { 1.12 } else { 2.0 };
        let ticks = sizes.iter().map(|size| (*size, format::fixed(*size, 0))).collect();
        Some(Self::log(low / room, high * room, ticks).thinned())
    }

    /// Values of one unit: ticks at powers of ten, or at 1, 2 and 5 times them when there are few
    /// powers.
    pub fn of_values(unit: Unit, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (low, high) = ends(values, (f64::INFINITY, 0.0));
        if high <= 0.0 {
            return None;
        }
        // At least a factor of four, so that noise around one value does not fill the plot.
        let room = (2.0 / (high / low).sqrt()).max(1.15);
        let (low, high) = (low / room, high * room);
        let steps: &[f64] = match (high / low).log10() {
            decades if decades >= 3.0 => &[1.0],
            decades if decades >= 1.5 => &[1.0, 3.0],
            _ => &[1.0, 2.0, 3.0, 5.0, 7.0],
        };
        let ticks = of_powers(low, high, steps).into_iter();
        let ticks = ticks.map(|value| (value, format::axis(unit, value))).collect();
        let axis = Self { kind: Kind::Of(unit), ..Self::log(low, high, ticks) };
        Some(axis.thinned())
    }

    /// Percentiles as `1 / (1 - p)`.
    pub fn of_percentiles(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let high = values.into_iter().fold(0.0, f64::max);
        let names = ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999"].map(str::to_owned);
        let ticks = [2.0, 10.0, 100.0, 1e3, 1e4, 1e5].into_iter().zip(names);
        let ticks = ticks.take_while(|(at, _)| *at <= high).collect();
        (high > 1.0).then(|| Self { kind: Kind::Percentiles, ..Self::log(1.0, high, ticks) })
    }

    /// Ratios; 1 is always a tick.
    pub fn of_ratios(ratios: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = ends(ratios, (1.0 / RATIO_MIN, RATIO_MIN));
        let room = (high / low).powf(0.08);
        let (low, high) = (low / room, high * room);
        let ticks = match high / low {
            range if range >= VERY_WIDE => of_powers(low, high, &[1.0]),
            range if range >= WIDE => of_powers(low, high, &[1.0, 2.0, 5.0]),
            _ => around_one(low, high),
        };
        Self::log(low, high, ticks.into_iter().map(|at| (at, ratio_label(at))).collect())
    }

    /// The label of a tick; empty for any other position.
    pub fn label(&self, position: f64) -> String {
        let near = |at: f64| (at - position).abs() <= at.abs() * 1e-9;
        let tick = self.ticks.iter().find(|(at, _)| near(*at));
        tick.map_or(String::new(), |(_, label)| label.clone())
    }

    /// Where a value lies, in even distances.
    fn place(&self, value: f64) -> f64 {
        if self.is_log { value.ln() } else { value }
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

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        let ends = self.place(self.low)..self.place(self.high);
        RangedCoordf64::from(ends).map(&self.place(*value), pixels)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Grid lines stand at ticks alone.
        let ticks = if hint.weight().allow_light_points() { &[][..] } else { &self.ticks };
        ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// The smallest and the largest of these and of `ends`; only positive numbers count.
fn ends(values: impl IntoIterator<Item = f64>, ends: (f64, f64)) -> (f64, f64) {
    let values = values.into_iter().filter(|value| *value > 0.0 && value.is_finite());
    values.fold(ends, |(low, high), value| (low.min(value), high.max(value)))
}

/// `steps` times each power of ten, from `low` to `high`.
fn of_powers(low: f64, high: f64, steps: &[f64]) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut power = 10_f64.powf(low.log10().floor());
    while power <= high {
        ticks.extend(steps.iter().map(|step| step * power));
        power *= 10.0;
    }
    ticks.retain(|tick| (low..=high).contains(tick));
    ticks
}

/// Some five round distances, counted from 1.
fn around_one(low: f64, high: f64) -> Vec<f64> {
    let least = (high - low) / 5.0;
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= least * 0.999).unwrap_or(10.0 * power);
    let first = ((low - 1.0) / step).ceil();
    let ticks = (0..=10).map(|count| 1.0 + (first + f64::from(count)) * step);
    ticks.take_while(|tick| *tick <= high).collect()
}

fn ratio_label(ratio: f64) -> String {
    if ratio < 0.001 {
        return format::three_digits(ratio);
    }
    let text = format::fixed(ratio, 3);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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

    #[test]
    fn one_is_always_a_tick_and_ticks_are_round() {
        let of = |ratios: &[f64]| {
            let axis = Axis::of_ratios(ratios.iter().copied());
            assert!(axis.low < axis.high && axis.ticks.len() <= 12, "{axis:?}");
            axis.ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(of(&[1.0]), ["0.95", "1", "1.05"]);
        assert_eq!(of(&[1.0, 1.27, 0.9]), ["0.9", "1", "1.1", "1.2", "1.3"]);
        assert_eq!(of(&[0.2, 30.0]), ["0.2", "0.5", "1", "2", "5", "10", "20"]);
        assert!(of(&[1e-9, f64::NAN, 0.0]).contains(&"1".to_owned()));
    }
}

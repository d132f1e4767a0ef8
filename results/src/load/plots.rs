//! Plots of a load: latency over time, and by percentile.

use super::record::{Interval, Load, Start};
use crate::distribution::values_needed;
use crate::format::{self, SECOND, fixed};
use crate::plots::axes::Axis;
use crate::plots::lines::{About, Chart, Series, Stroke, across, percentile_curve, upwards};
use crate::plots::{Plot, theme};
use crate::tables::Columns;

/// Labels along the time.
const TIME_TICKS: u32 = 6;

/// Every plot that there are values for. One that cannot be drawn is left out: its numbers are in
/// the tables.
pub(super) fn plots(load: &Load) -> Vec<Plot> {
    [over_time(load), by_percentile(load)].into_iter().flatten().collect()
}

fn over_time(load: &Load) -> Option<Plot> {
    let line = |label: &str, colour, quantile, value: fn(&Interval) -> u64| {
        let told = load.intervals.iter().filter(|one| one.completed >= values_needed(quantile));
        let point = |interval: &Interval| (interval.from as f64 / SECOND, value(interval) as f64);
        Series {
            paint: theme::named(colour),
            stroke: Stroke::Curve,
            label: Some(label.to_owned()),
            points: told.map(point).collect(),
            about: About::default(),
        }
    };
    let mut series = vec![
        line("max", "orange", 1.0, |interval| interval.max),
        line("p99", "blue", 0.99, |interval| interval.p99),
        line("p90", "sky", 0.9, |interval| interval.p90),
        line("p50", "green", 0.5, |interval| interval.p50),
    ];
    series.retain(|line| !line.points.is_empty());
    let end = across(&series).fold(0.0, f64::max);
    let step = nice_step(end / f64::from(TIME_TICKS));
    let ticks = (0..=TIME_TICKS * 2).map(|tick| f64::from(tick) * step);
    let ticks = ticks.take_while(|at| *at <= end).map(|at| (at, fixed(at, decimals(step))));
    let chart = Chart {
        title: "Latency over time".to_owned(),
        subtitle: format!("from the planned start to the last answer, {}", load.clock.unit()),
        x_title: "seconds",
        x: Axis::linear(0.0, end.max(step), ticks.collect()),
        y: Axis::of_values(load.clock.unit(), upwards(&series))?,
        series,
    };
    let short = |value: u64| format::short(load.clock.unit(), value as f64);
    let told = |interval: &Interval, quantile, value| {
        let is_told = interval.completed >= values_needed(quantile);
        if is_told { short(value) } else { String::new() }
    };
    let table = Columns::of(&load.intervals)
        .number("from, s", |interval| fixed(interval.from as f64 / SECOND, 1))
        .number("due", |interval| format::thousands(interval.due))
        .number("completed", |interval| format::thousands(interval.completed))
        .number("failed", |interval| format::thousands(interval.failed))
        .number("p50", |interval| short(interval.p50))
        .number("p90", |interval| told(interval, 0.9, interval.p90))
        .number("p99", |interval| told(interval, 0.99, interval.p99))
        .number("max", |interval| short(interval.max))
        .number("latest", |interval| short(interval.late))
        .titled("Latency over time", "`latest`: the longest that a connection began too late.")
        .cut();
    Plot::of(&chart, "latency".to_owned(), chart.title.clone(), table).ok()
}

fn by_percentile(load: &Load) -> Option<Plot> {
    let kinds = [("planned", Start::Planned, "blue"), ("as sent", Start::Sent, "green")];
    let series = kinds.map(|(label, start, colour)| Series {
        paint: theme::named(colour),
        stroke: Stroke::Curve,
        label: Some(label.to_owned()),
        points: percentile_curve(&load.samples("total", start)),
        about: About::default(),
    });
    let chart = Chart {
        title: "Latency by percentile".to_owned(),
        subtitle: "from the planned and from the actual start to the last answer".to_owned(),
        x_title: "percentile",
        x: Axis::of_percentiles(across(&series))?,
        y: Axis::of_values(load.clock.unit(), upwards(&series))?,
        series: series.to_vec(),
    };
    let short = |value: Option<u64>| {
        value.map_or(String::new(), |value| format::short(load.clock.unit(), value as f64))
    };
    let table = Columns::of([("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)])
        .text("percentile", |(name, _)| (*name).to_owned())
        .number("planned", |(_, at)| short(load.samples("total", Start::Planned).percentile(*at)))
        .number("as sent", |(_, at)| short(load.samples("total", Start::Sent).percentile(*at)))
        .titled("Latency by percentile", "");
    Plot::of(&chart, "percentiles".to_owned(), chart.title.clone(), table).ok()
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-3).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// Decimals that tell multiples of a step apart.
fn decimals(step: f64) -> usize {
    [1.0, 0.1, 0.01].iter().position(|unit| step >= *unit).unwrap_or(3)
}

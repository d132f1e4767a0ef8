//! Plots of load while Services change: latency over time with the syncs in it, and percentiles of
//! the quiet phase against the others.

use super::{QUIET, values, words};
use crate::distribution::Samples;
use crate::format::{SECOND, Scale, fixed, thousands};
use crate::metrics::{CHURN_BEGAN, CHURN_LENGTH, LOAD_TOTAL, LOAD_WORST};
use crate::plots::axes::Axis;
use crate::plots::lines::{About, Chart, Series, Stroke, across, percentile_curve, upwards};
use crate::plots::{Plot, PlotError, theme};
use crate::record::{CellRecord, Unit};
use crate::tables::{Columns, Table};
use crate::view::Group;

/// Labels along the time, at most.
const TIME_TICKS: f64 = 5.0;

/// Those of the largest size.
pub(super) fn of_group(group: &Group<'_>, phases: &[&str]) -> Result<Vec<Plot>, PlotError> {
    let Some(&size) = group.sizes(LOAD_TOTAL.name, QUIET).last() else { return Ok(Vec::new()) };
    let charts = [over_time(group, phases, size), by_percentile(group, phases, size)];
    let named = ["churn-time", "churn-percentiles"].into_iter().zip(charts);
    let drawn = named.filter_map(|(kind, chart)| Some((kind, chart?)));
    drawn
        .map(|(kind, (chart, table))| {
            let title = format!("{} ({})", chart.title, group.key.title());
            Plot::of(&chart, format!("{kind}.{}", group.key.slug()), title, table)
        })
        .collect()
}

/// The cell of a proxy with the first seed that there is.
fn cell_of<'a>(group: &Group<'a>, proxy: &str, size: u64) -> Option<&'a CellRecord> {
    group.cells.iter().copied().find(|cell| {
        let labels = &cell.labels;
        let is_it = labels.proxy == proxy && labels.services == size;
        is_it && cell.metrics.iter().any(|metric| metric.name == LOAD_WORST.name)
    })
}

/// The slowest connection of each moment: points, and those of them in which a sync began.
struct Course {
    points: Vec<(f64, f64)>,
    syncs: Vec<(f64, f64)>,
}

/// All phases one after the other, in seconds.
fn course(cell: &CellRecord, phases: &[&str]) -> Course {
    let mut course = Course { points: Vec::new(), syncs: Vec::new() };
    let mut begins = 0.0;
    for phase in phases {
        let worst = values(cell, LOAD_WORST.name, phase);
        let length = values(cell, CHURN_LENGTH.name, phase).first().copied().unwrap_or_default();
        let part = length as f64 / worst.len().max(1) as f64;
        let began = values(cell, CHURN_BEGAN.name, phase);
        for (at, value) in worst.iter().enumerate().filter(|(_, value)| **value > 0) {
            let from = at as f64 * part;
            let point = ((begins + from + part / 2.0) / SECOND, *value as f64);
            course.points.push(point);
            let is_here = |began: &&u64| (from..from + part).contains(&(**began as f64));
            course.syncs.extend(began.iter().find(is_here).map(|_| point));
        }
        begins += length as f64;
    }
    course
}

fn over_time(group: &Group<'_>, phases: &[&str], size: u64) -> Option<(Chart, Table)> {
    let mut series = Vec::new();
    let mut rows = Vec::new();
    for proxy in group.all_proxies() {
        let Some(cell) = cell_of(group, proxy, size) else { continue };
        let Course { points, syncs } = course(cell, phases);
        let paint = theme::of_proxy(&group.known, proxy);
        rows.extend(phases.iter().map(|phase| (proxy, *phase, cell)));
        let about = |what: &str| About {
            group: proxy.to_owned(),
            what: what.to_owned(),
            points: Vec::new(),
        };
        let (label, stroke) = (Some(proxy.to_owned()), Stroke::Curve);
        series.push(Series { paint, stroke, label, points, about: about("slowest connection") });
        let (stroke, about) = (Stroke::Dots, about("a sync begins"));
        series.push(Series { paint, stroke, label: None, points: syncs, about });
    }
    let end = across(&series).fold(0.0, f64::max);
    let scale = Scale::of(group.unit(), upwards(&series));
    let table = Columns::of(rows)
        .text("proxy", |(proxy, ..)| (*proxy).to_owned())
        .text("phase", |(_, phase, _)| words(phase))
        .text("slowest connection of each sixteenth", |(_, phase, cell)| {
            let worst = values(cell, LOAD_WORST.name, phase).iter();
            let shown: Vec<String> = worst.map(|value| scale.number(*value as f64)).collect();
            shown.join(" ")
        })
        .titled(format!("Slowest connections over time, {}", scale.name()), "");
    let step = (end / TIME_TICKS).ceil().max(1.0);
    let ticks = std::iter::successors(Some(0.0), |at| Some(at + step)).take_while(|at| *at <= end);
    let chart = Chart {
        title: format!("Slowest connections over time, {} Services", thousands(size)),
        subtitle: "quiet at first, then with Changes; dots: a sync begins".to_owned(),
        x_title: if group.unit() == Unit::Ns { "seconds" } else { "thousand million instructions" },
        x: Axis::linear(0.0, end, ticks.map(|at| (at, fixed(at, 0))).collect()),
        y: Axis::of_values(group.unit(), upwards(&series))?,
        series,
    };
    Some((chart, table))
}

/// Solid: all phases with Changes together; dashed: the quiet one.
fn by_percentile(group: &Group<'_>, phases: &[&str], size: u64) -> Option<(Chart, Table)> {
    let unit = group.unit();
    let pooled = |proxy: &str, quiet: bool| {
        let wanted = phases.iter().filter(|phase| (**phase == QUIET) == quiet);
        let parts: Vec<Samples> = wanted
            .map(|phase| group.pooled_in(unit, LOAD_TOTAL.name, phase, proxy, size))
            .collect();
        Samples::pooled(&parts)
    };
    let mut series = Vec::new();
    let mut rows = Vec::new();
    for proxy in group.proxies(LOAD_TOTAL.name, QUIET) {
        let paint = theme::of_proxy(&group.known, proxy);
        for (quiet, stroke) in [(false, Stroke::Curve), (true, Stroke::DashedCurve)] {
            let samples = pooled(proxy, quiet);
            let label = (!quiet).then(|| proxy.to_owned());
            let state = if quiet { QUIET } else { "changing" };
            let (group, what) = (proxy.to_owned(), state.to_owned());
            let about = About { group, what, points: Vec::new() };
            series.push(Series { paint, stroke, label, points: percentile_curve(&samples), about });
            rows.push((proxy, state, samples));
        }
    }
    series.retain(|one| !one.points.is_empty());
    let scale = Scale::of(unit, upwards(&series));
    let at = |quantile: f64| {
        let scale = &scale;
        move |(.., samples): &(&str, &str, Samples)| {
            let value = samples.percentile(quantile);
            value.map_or(String::new(), |value| scale.number(value as f64))
        }
    };
    let table = Columns::of(rows)
        .text("proxy", |(proxy, ..)| (*proxy).to_owned())
        .text("Services", |(_, state, _)| (*state).to_owned())
        .number("p50", at(0.5))
        .number("p90", at(0.9))
        .number("p99", at(0.99))
        .titled(format!("Connections by percentile, {}", scale.name()), "");
    let chart = Chart {
        title: format!("Quiet and while Services change, {} Services", thousands(size)),
        subtitle: "from the planned start to the end; dashed: quiet".to_owned(),
        x_title: "percentile",
        x: Axis::of_percentiles(across(&series))?,
        y: Axis::of_values(unit, upwards(&series))?,
        series,
    };
    Some((chart, table))
}

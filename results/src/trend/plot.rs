//! Plots of a trend: one number of every proxy, run by run, as a multiple of its first run.

use itertools::Itertools as _;

use super::data::{Series, Subject, Trend};
use super::tables;
use crate::plots::axes::Axis;
use crate::plots::lines::{About, Chart, Series as Line, Stroke, upwards};
use crate::plots::{Plot, PlotError, theme};

/// Most plots of a page; those with the largest steps are drawn.
const PLOTS_MAX: usize = 12;
/// Plots where no series has a step: to see that.
const LEVEL_PLOTS: usize = 2;
/// Most labels below a plot.
const TICKS_MAX: usize = 12;

/// The plots of what has a step, the largest first; of a trend without any, the first ones.
pub(super) fn draw(trend: &Trend) -> Result<Vec<Plot>, PlotError> {
    let groups = trend.series.iter().chunk_by(|series| everything_but_proxy(&series.subject));
    let mut groups = groups.into_iter().map(|(_, group)| group.collect_vec()).collect_vec();
    groups.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
    let with_steps = groups.iter().filter(|group| largest(group) > 0.0).count();
    let shown = if with_steps == 0 { LEVEL_PLOTS } else { with_steps.min(PLOTS_MAX) };
    let drawn = groups.iter().take(shown).enumerate().filter_map(|(at, group)| {
        let chart = chart(trend, group)?;
        let name = format!("trend-{}-{}", at + 1, group.first()?.subject.metric);
        let title = format!("{}, run by run", chart.title);
        Some(Plot::of(&chart, name, title, tables::values(trend, group)))
    });
    drawn.collect()
}

fn everything_but_proxy(subject: &Subject) -> Subject {
    Subject { proxy: String::new(), ..subject.clone() }
}

/// The largest step of some series; 0 without one.
fn largest(group: &[&Series]) -> f64 {
    let steps = group.iter().flat_map(|series| &series.steps);
    steps.map(|step| if step.stands { 1.0 + step.size() } else { step.size() }).fold(0.0, f64::max)
}

fn chart(trend: &Trend, group: &[&Series]) -> Option<Chart> {
    let lines = group.iter().flat_map(|series| lines(trend, series)).collect_vec();
    let first = group.first()?;
    let times = if first.relative { "multiple of none" } else { "value" };
    let count = trend.runs.len();
    let step = count.div_ceil(TICKS_MAX).max(1);
    let ticks = (0..count).step_by(step).map(|run| (place(run), (run + 1).to_string())).collect();
    Some(Chart {
        title: first.subject.number(),
        subtitle: format!("{times} over that of the first run, log scale; rings: steps"),
        x_title: "run, by the table of runs",
        x: Axis::linear(0.5, count as f64 + 0.5, ticks),
        y: Axis::of_ratios(upwards(&lines)),
        series: lines,
    })
}

/// A proxy's line, and rings where it has steps. What begins with nothing has no ratio.
fn lines(trend: &Trend, series: &Series) -> Vec<Line> {
    let paint = theme::of_proxy(&trend.known, &series.subject.proxy);
    let first = series.points.first().map_or(0.0, |point| point.judged);
    let points = series.points.iter().filter(|point| point.judged > 0.0 && first > 0.0);
    let points = points.map(|point| (place(point.run), point.judged / first)).collect_vec();
    if points.is_empty() {
        return Vec::new();
    }
    let is_step = |x: f64| series.steps.iter().any(|step| (place(step.to) - x).abs() < 0.5);
    let rings = points.iter().copied().filter(|(x, _)| is_step(*x)).collect_vec();
    let name = Some(series.subject.proxy.clone());
    let line = Line { paint, stroke: Stroke::Thick, label: name, points, about: About::default() };
    let rings =
        Line { paint, stroke: Stroke::Rings, label: None, points: rings, about: About::default() };
    [Some(line), Some(rings).filter(|rings| !rings.points.is_empty())]
        .into_iter()
        .flatten()
        .collect()
}

/// Where a run stands across.
fn place(run: usize) -> f64 {
    run as f64 + 1.0
}

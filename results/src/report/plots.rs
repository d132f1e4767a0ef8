//! Plots of one group of a report: what to draw.
//!
//! Two clocks or two kernels never share an axis: a plot is made from one [`Group`].

use crate::format::{self, thousands};
use crate::metrics::{self, CONNECT, PARTS, SYNC_ENDPOINT_CHANGE, SYNC_FULL, TOTAL};
use crate::plots::axes::Axis;
use crate::plots::bars::{Bar, Bars};
use crate::plots::lines::{About, Chart, Series, Stroke, Told, across, percentile_curve, upwards};
use crate::plots::{Drawing, Plot, PlotError, theme};
use crate::record::Unit;
use crate::tables::{Table, Timing, by_size};
use crate::view::Group;

/// A plot before it is drawn.
struct Figure {
    /// Begins the name of its file.
    kind: String,
    drawing: Box<dyn Drawing>,
    table: Table,
}

/// Every plot that the numbers of a group allow, in the order of the report.
pub(crate) fn of_group(group: &Group<'_>) -> Result<Vec<Plot>, PlotError> {
    let others = [percentiles(group), syncs(group), parts(group)];
    let figures = connections(group).into_iter().chain(others.into_iter().flatten());
    figures.map(|figure| figure.drawn(group)).collect()
}

/// The one that says most: new connections at the worst position.
pub(crate) fn first(group: &Group<'_>) -> Result<Option<Plot>, PlotError> {
    connections(group).pop().map(|figure| figure.drawn(group)).transpose()
}

impl Figure {
    /// With the numbers behind it; nothing without any.
    fn new(
        kind: impl Into<String>,
        drawing: impl Drawing + 'static,
        group: &Group<'_>,
        columns: &[Timing<'_>],
    ) -> Option<Self> {
        let table = by_size(group, drawing.title(), "", columns)?;
        Some(Self { kind: kind.into(), drawing: Box::new(drawing), table })
    }

    fn drawn(self, group: &Group<'_>) -> Result<Plot, PlotError> {
        let title = format!("{} ({})", self.drawing.title(), group.key.title());
        let name = format!("{}.{}", self.kind, group.key.slug());
        Plot::of(&*self.drawing, name, title, self.table)
    }
}

/// A percentile of a timing (metric and label) against the number of Services.
fn line(
    group: &Group<'_>,
    (metric, label, quantile): (&str, &str, f64),
    proxy: &str,
    stroke: Stroke,
    is_named: bool,
) -> Series {
    let mut points = group.series(metric, label, proxy, quantile);
    points.retain(|(size, spread)| *size > 0 && spread.median > 0.0);
    let told = points.iter().map(|(size, spread)| {
        let samples = group.pooled_in(group.unit(), metric, label, proxy, *size).count();
        let of_ranks = group.percentile_interval(metric, label, proxy, *size, quantile);
        let of_ranks = of_ranks.map(|(low, high)| (low as f64, high as f64));
        let of_seeds = (spread.count > 1).then_some((spread.min, spread.max));
        Told {
            between: of_ranks.or(of_seeds),
            samples,
            seeds: spread.count,
            anchor: group.anchor_of(metric, proxy, *size),
        }
    });
    let what = match metrics::kind(metric) {
        Some(kind) if kind.is_sync() => kind.title.to_owned(),
        _ => format!("p{}", quantile * 100.0),
    };
    Series {
        paint: theme::of_proxy(&group.known, proxy),
        stroke,
        label: is_named.then(|| proxy.to_owned()),
        about: About { group: proxy.to_owned(), what, points: told.collect() },
        points: points.iter().map(|(size, spread)| (*size as f64, spread.median)).collect(),
    }
}

/// What is upwards, with what the strokes mean.
fn subtitle(group: &Group<'_>, legend: &str) -> String {
    let what = if group.unit() == Unit::Instructions { "instructions" } else { "wall time" };
    format!("{what}, log scale; {legend}")
}

/// `connect` against the number of Services: one plot for the first and one for the last Service,
/// on equal axes.
fn connections(group: &Group<'_>) -> Vec<Figure> {
    let labels = group.labels(CONNECT.name);
    let mut positions: Vec<&str> =
        ["first", "last"].into_iter().filter(|position| labels.contains(position)).collect();
    if positions.is_empty() {
        positions.extend(group.worst_position(CONNECT.name));
    }
    let lines = |position: &str| -> Vec<Series> {
        let proxies = group.proxies(CONNECT.name, position).into_iter();
        let both = proxies.flat_map(|proxy| {
            [(0.99, Stroke::Thin, false), (0.5, Stroke::Thick, true)].map(
                |(quantile, stroke, is_named)| {
                    line(group, (CONNECT.name, position, quantile), proxy, stroke, is_named)
                },
            )
        });
        both.collect()
    };
    let all: Vec<Series> = positions.iter().flat_map(|position| lines(position)).collect();
    let axes = (Axis::of_sizes(across(&all)), Axis::of_values(group.unit(), upwards(&all)));
    let (Some(x), Some(y)) = axes else { return Vec::new() };
    let has_tail = |line: &Series| line.stroke == Stroke::Thin && !line.points.is_empty();
    let legend = if all.iter().any(has_tail) { "thick: p50, thin: p99" } else { "p50" };
    let figure = |position: &str| {
        let chart = Chart {
            title: format!("New connection to the {position} Service"),
            subtitle: subtitle(group, legend),
            x_title: "number of Services",
            x: x.clone(),
            y: y.clone(),
            series: lines(position),
        };
        let columns = percentile_columns(position, &[("p50", 0.5), ("p99", 0.99)]);
        Figure::new(format!("connect-{position}"), chart, group, &columns)
    };
    positions.into_iter().filter_map(figure).collect()
}

fn percentile_columns<'a>(position: &'a str, quantiles: &[(&str, f64)]) -> Vec<Timing<'a>> {
    let column =
        |(head, quantile): &(&str, f64)| ((*head).to_owned(), CONNECT.name, position, *quantile);
    quantiles.iter().map(column).collect()
}

/// Full sync and endpoint change against the number of Services.
fn syncs(group: &Group<'_>) -> Option<Figure> {
    let kinds = [(SYNC_FULL, Stroke::Thick), (SYNC_ENDPOINT_CHANGE, Stroke::Dashed)];
    let mut series = Vec::new();
    for (kind, stroke) in kinds {
        series.extend(
            group.proxies(kind.name, TOTAL).into_iter().map(|proxy| {
                line(group, (kind.name, TOTAL, 0.5), proxy, stroke, kind == SYNC_FULL)
            }),
        );
    }
    let chart = Chart {
        title: "Programming the kernel".to_owned(),
        subtitle: subtitle(group, "solid: full sync, dashed: one endpoint replaced"),
        x_title: "number of Services",
        x: Axis::of_sizes(across(&series))?,
        y: Axis::of_values(group.unit(), upwards(&series))?,
        series,
    };
    let columns = kinds.map(|(kind, _)| (kind.title.to_owned(), kind.name, TOTAL, 0.5));
    Figure::new("sync", chart, group, &columns)
}

/// Latency by percentile at the largest size and the worst position, all seeds pooled.
fn percentiles(group: &Group<'_>) -> Option<Figure> {
    let position = group.worst_position(CONNECT.name)?;
    let size = *group.sizes(CONNECT.name, position).last()?;
    let proxies = group.proxies(CONNECT.name, position).into_iter();
    let curve = |proxy: &str| Series {
        paint: theme::of_proxy(&group.known, proxy),
        stroke: Stroke::Curve,
        label: Some(proxy.to_owned()),
        about: About { group: proxy.to_owned(), ..About::default() },
        points: percentile_curve(&group.pooled_in(
            group.unit(),
            CONNECT.name,
            position,
            proxy,
            size,
        )),
    };
    let series: Vec<Series> = proxies.map(curve).collect();
    let chart = Chart {
        title: format!("New connection by percentile, {position} of {} Services", thousands(size)),
        subtitle: subtitle(group, "all seeds pooled"),
        x_title: "percentile",
        x: Axis::of_percentiles(across(&series))?,
        y: Axis::of_values(group.unit(), upwards(&series))?,
        series,
    };
    let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];
    let columns = percentile_columns(position, &quantiles);
    let mut figure = Figure::new("percentiles", chart, group, &columns)?;
    let wanted = thousands(size);
    figure.table.retain(|row| row.first() == Some(&wanted));
    Some(figure)
}

/// Where the cost of a full sync goes, as shares of each proxy's own total.
fn parts(group: &Group<'_>) -> Option<Figure> {
    let full = SYNC_FULL.name;
    let mut rows = Vec::new();
    for size in group.sizes(full, TOTAL) {
        for proxy in group.proxies(full, TOTAL) {
            let value = |part| Some(group.stat(full, part, proxy, size, 0.5)?.median);
            let parts: Vec<(&str, f64)> =
                PARTS.into_iter().filter_map(|part| Some((part, value(part)?))).collect();
            let Some(total) = value(TOTAL).filter(|_| !parts.is_empty()) else { continue };
            rows.push(Bar {
                group: format!("{} Services", thousands(size)),
                label: proxy.to_owned(),
                parts,
                end: format::compact(group.unit(), total),
            });
        }
    }
    if rows.is_empty() {
        return None;
    }
    let x_title = match group.unit() {
        Unit::Instructions => "share of the whole; at the right the total, instructions",
        _ => "share of the whole; at the right the total time",
    };
    let title = "Where a full sync goes".to_owned();
    let bars = Bars { title, x_title, unit: group.unit(), rows };
    let measured = PARTS.into_iter().filter(|part| !group.sizes(full, part).is_empty());
    let columns: Vec<_> = measured.map(|part| (part.to_owned(), full, part, 0.5)).collect();
    Figure::new("sync-parts", bars, group, &columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::Distribution;
    use crate::view::View;

    #[test]
    fn a_whole_run_has_every_plot_with_its_numbers() {
        let runs = [fixture::stored()];
        let view = View::new(&runs).unwrap();
        let plots = of_group(&view.groups[0]).unwrap();
        let names: Vec<&str> =
            plots.iter().map(|plot| plot.name.split('.').next().unwrap()).collect();
        assert_eq!(names, ["connect-first", "connect-last", "percentiles", "sync", "sync-parts"]);
        for plot in &plots {
            assert!(plot.svg.contains("instructions"), "{}: no unit", plot.name);
            assert!(plot.svg.contains("prefers-color-scheme: dark"), "{}", plot.name);
            assert!(!plot.table.rows.is_empty(), "{}", plot.name);
            assert!(!plot.inline().contains("http"), "{}", plot.name);
            assert!(!plot.inline().contains("<style"), "{}: has its own style", plot.name);
            assert!(plot.svg.len() < 60_000, "{} has {} bytes", plot.name, plot.svg.len());
        }
    }

    #[test]
    fn one_size_and_two_proxies_are_enough() {
        let runs = [fixture::wall()];
        let view = View::new(&runs).unwrap();
        let plots = of_group(&view.groups[0]).unwrap();
        assert_eq!(plots.len(), 5);
        assert!(plots.iter().all(|plot| !plot.svg.contains("NaN")));
    }

    #[test]
    fn a_group_without_numbers_has_no_plots() {
        let mut run = fixture::wall();
        for cell in &mut run.cells {
            cell.metrics.clear();
        }
        let runs = [run];
        assert!(of_group(&View::new(&runs).unwrap().groups[0]).unwrap().is_empty());
    }

    #[test]
    fn drawing_twice_gives_the_same_bytes() {
        let runs = [fixture::stored()];
        let view = View::new(&runs).unwrap();
        let draw = || {
            of_group(&view.groups[0]).unwrap().into_iter().map(|plot| plot.svg).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn a_percentile_curve_ends_where_ten_values_lie_beyond() {
        let values: Vec<u64> = (1..=3000).collect();
        let curve = percentile_curve(&Distribution::Values { values }.samples().unwrap());
        let (x, y) = *curve.last().unwrap();
        assert!((x - 300.0).abs() < 1e-6 && (2989.0..=2991.0).contains(&y), "{x} {y}");
        assert!(curve.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert!(percentile_curve(&crate::Samples::default()).is_empty());
    }
}

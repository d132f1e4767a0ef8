//! Plots of one group of a report: what to draw.
//!
//! Two clocks or two kernels never share an axis: a plot is made from one [`Group`].

use crate::format::{self, thousands};
use crate::metrics::PARTS;
use crate::plots::axes::Axis;
use crate::plots::bars::{Bar, Bars};
use crate::plots::lines::{self, Chart, Series, Stroke};
use crate::plots::{Plot, PlotError, theme};
use crate::record::Unit;
use crate::tables::{Table, plot_table};
use crate::view::Group;

/// Every plot that the numbers of a group allow, in the order of the report.
pub(crate) fn of_group(group: &Group<'_>) -> Result<Vec<Plot>, PlotError> {
    let mut plots = connections(group)?;
    plots.extend(percentiles(group)?);
    plots.extend(syncs(group)?);
    plots.extend(parts(group)?);
    Ok(plots)
}

fn plot(group: &Group<'_>, kind: &str, title: &str, svg: &str, table: Table) -> Plot {
    let title = format!("{title} ({})", group.key.title());
    Plot {
        name: format!("{kind}.{}", group.key.slug()),
        svg: theme::finish(svg, &title),
        title,
        table,
        wide: false,
    }
}

/// `connect` against the number of Services: one plot for the first and one for the last Service,
/// on equal axes.
fn connections(group: &Group<'_>) -> Result<Vec<Plot>, PlotError> {
    let labels = group.labels("connect");
    let mut positions: Vec<&str> =
        ["first", "last"].into_iter().filter(|position| labels.contains(position)).collect();
    if positions.is_empty() {
        positions.extend(group.worst_position("connect"));
    }
    let drawn: Vec<(&str, Vec<Series>)> = positions
        .into_iter()
        .map(|position| (position, connection_series(group, position)))
        .collect();
    let all = || drawn.iter().flat_map(|(_, series)| series.iter().flat_map(|one| &one.points));
    let x = Axis::of_sizes(all().map(|point| point.0));
    let y = Axis::of_values(group.unit(), all().map(|point| point.1));
    let (Some(x), Some(y)) = (x, y) else { return Ok(Vec::new()) };
    let mut plots = Vec::new();
    for (position, series) in drawn {
        let kind = format!("connect-{position}");
        let title = format!("New connection to the {position} Service");
        let chart = Chart {
            title: title.clone(),
            legend: "thick: p50, thin: p99".to_owned(),
            x_title: "number of Services".to_owned(),
            y_title: timing_title(group),
            x: x.clone(),
            y: y.clone(),
            series,
        };
        let table = plot_table(
            group,
            &title,
            &[("p50", "connect", position, 0.5), ("p99", "connect", position, 0.99)],
        );
        plots.push(plot(group, &kind, &title, &chart.draw(&kind)?, table));
    }
    Ok(plots)
}

fn connection_series(group: &Group<'_>, position: &str) -> Vec<Series> {
    let mut all = Vec::new();
    for proxy in group.proxies("connect", position) {
        for (quantile, stroke, label) in
            [(0.99, Stroke::Thin, None), (0.5, Stroke::Thick, Some(proxy))]
        {
            all.push(Series::of(group, ("connect", position), proxy, quantile, stroke, label));
        }
    }
    all
}

/// Full sync and endpoint change against the number of Services.
fn syncs(group: &Group<'_>) -> Result<Vec<Plot>, PlotError> {
    let mut series = Vec::new();
    for (metric, stroke) in [("sync.full", Stroke::Thick), ("sync.endpoint_change", Stroke::Dashed)]
    {
        for proxy in group.proxies(metric, "total") {
            let label = (stroke == Stroke::Thick).then_some(proxy);
            series.push(Series::of(group, (metric, "total"), proxy, 0.5, stroke, label));
        }
    }
    let points = || series.iter().flat_map(|one| &one.points);
    let x = Axis::of_sizes(points().map(|point| point.0));
    let y = Axis::of_values(group.unit(), points().map(|point| point.1));
    let (Some(x), Some(y)) = (x, y) else { return Ok(Vec::new()) };
    let title = "Programming the kernel";
    let chart = Chart {
        title: title.to_owned(),
        legend: "solid: full sync, dashed: one endpoint replaced".to_owned(),
        x_title: "number of Services".to_owned(),
        y_title: timing_title(group),
        x,
        y,
        series,
    };
    let columns = [
        ("full", "sync.full", "total", 0.5),
        ("endpoint change", "sync.endpoint_change", "total", 0.5),
    ];
    let table = plot_table(group, title, &columns);
    Ok(vec![plot(group, "sync", title, &chart.draw("sync")?, table)])
}

/// Latency by percentile at the largest size and the worst position, all seeds pooled.
fn percentiles(group: &Group<'_>) -> Result<Option<Plot>, PlotError> {
    let Some(position) = group.worst_position("connect") else { return Ok(None) };
    let Some(&size) = group.sizes("connect", position).last() else { return Ok(None) };
    let mut series = Vec::new();
    for proxy in group.proxies("connect", position) {
        let pooled = group.pooled("connect", position, proxy, size);
        let points = lines::percentile_curve(&pooled);
        series.push(Series {
            paint: theme::of_proxy(&group.known, proxy),
            stroke: Stroke::Curve,
            label: Some(proxy.to_owned()),
            points,
        });
    }
    let points = || series.iter().flat_map(|one| &one.points);
    let x = Axis::of_percentiles(points().map(|point| point.0));
    let y = Axis::of_values(group.unit(), points().map(|point| point.1));
    let (Some(x), Some(y)) = (x, y) else { return Ok(None) };
    let title = format!("New connection by percentile, {position} of {} Services", thousands(size));
    let chart = Chart {
        title: title.clone(),
        legend: "all seeds pooled".to_owned(),
        x_title: "percentile".to_owned(),
        y_title: timing_title(group),
        x,
        y,
        series,
    };
    let columns = [
        ("p50", "connect", position, 0.5),
        ("p90", "connect", position, 0.9),
        ("p99", "connect", position, 0.99),
        ("max", "connect", position, 1.0),
    ];
    let mut table = plot_table(group, &title, &columns);
    let wanted = thousands(size);
    table.rows.retain(|row| row.first() == Some(&wanted));
    Ok(Some(plot(group, "percentiles", &title, &chart.draw("percentiles")?, table)))
}

/// Where the cost of a full sync goes, as shares of each proxy's own total.
fn parts(group: &Group<'_>) -> Result<Option<Plot>, PlotError> {
    let mut bars = Vec::new();
    for size in group.sizes("sync.full", "total") {
        for proxy in group.proxies("sync.full", "total") {
            let value =
                |part| group.stat("sync.full", part, proxy, size, 0.5).map(|spread| spread.median);
            let Some(total) = value("total") else { continue };
            let parts: Vec<(&str, f64)> =
                PARTS.into_iter().filter_map(|part| Some((part, value(part)?))).collect();
            if parts.is_empty() {
                continue;
            }
            bars.push(Bar {
                group: format!("{} Services", thousands(size)),
                label: proxy.to_owned(),
                parts: parts.into_iter().map(|(part, value)| (part.to_owned(), value)).collect(),
                end: format::compact(group.unit(), total),
            });
        }
    }
    if bars.is_empty() {
        return Ok(None);
    }
    let title = "Where a full sync goes";
    let unit = match group.unit() {
        Unit::Instructions => "share of the whole; at the right the total, instructions",
        _ => "share of the whole; at the right the total time",
    };
    let svg = Bars { title: title.to_owned(), x_title: unit.to_owned(), rows: bars }
        .draw("sync-parts")?;
    let columns = PARTS.map(|part| (part, "sync.full", part, 0.5));
    let table = plot_table(group, title, &columns);
    Ok(Some(plot(group, "sync-parts", title, &svg, table)))
}

fn timing_title(group: &Group<'_>) -> String {
    match group.unit() {
        Unit::Instructions => "instructions, log scale".to_owned(),
        _ => "wall time, log scale".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
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
}

//! The plot of one condition of a capacity plan: measured points, fits and the limit.

use crate::capacity::{ConditionPlan, GroupPlan, ValueUnit};
use crate::plots::axes::Axis;
use crate::plots::lines::{Chart, Series, Stroke};
use crate::plots::{Plot, PlotError, theme};
use crate::proxies::Proxies;
use crate::record::Unit;

/// Draws condition number `at` of a group; nothing when nothing was measured.
pub(crate) fn draw(group: &GroupPlan, at: usize) -> Result<Option<Plot>, PlotError> {
    let plans = || {
        let found = group
            .proxies
            .iter()
            .filter_map(|proxy| Some((&proxy.proxy, proxy.conditions.get(at)?)));
        found.filter(|(_, plan)| !plan.points.is_empty())
    };
    let Some((_, first)) = plans().next() else { return Ok(None) };
    let mut series: Vec<Series> = Vec::new();
    for (proxy, plan) in plans() {
        series.extend(of_condition(&group.known, proxy, plan));
    }
    let points = || series.iter().flat_map(|one| &one.points);
    let (from, to) = points()
        .fold((f64::INFINITY, 0.0_f64), |(from, to), point| (from.min(point.0), to.max(point.0)));
    series.push(Series {
        paint: theme::OTHER,
        stroke: Stroke::Curve,
        label: Some("limit".to_owned()),
        points: vec![(from, first.limit), (to, first.limit)],
    });
    let unit = match first.unit {
        ValueUnit::Stored(unit) => unit,
        ValueUnit::TimesNone => Unit::Count,
    };
    let all = || series.iter().flat_map(|one| &one.points);
    let x = Axis::of_sizes(
        plans()
            .flat_map(|(_, plan)| plan.points.iter().map(|point| point.services as f64))
            .chain([to]),
    );
    let y = Axis::of_values(unit, all().map(|point| point.1));
    let (Some(x), Some(y)) = (x, y) else { return Ok(None) };
    let y_title = match first.unit {
        ValueUnit::TimesNone => "times none, log scale",
        ValueUnit::Stored(Unit::Instructions) => "instructions, log scale",
        ValueUnit::Stored(Unit::Ns) => "wall time, log scale",
        ValueUnit::Stored(_) => "log scale",
    };
    let kind = format!("capacity-{at}");
    let chart = Chart {
        title: first.subject.clone(),
        legend: "dots measured, dashed fitted".to_owned(),
        x_title: "number of Services".to_owned(),
        y_title: y_title.to_owned(),
        x,
        y,
        series,
    };
    let title = format!("{} against the limit, kernel {}", first.subject, group.kernel);
    let svg = theme::finish(&chart.draw(&kind)?, &title);
    let name = format!("{kind}.{}.{}.{}", group.kernel, group.place, group.clock);
    let Some(table) = super::tables::evidence(group, at) else { return Ok(None) };
    Ok(Some(Plot { name, title, svg, table, wide: false }))
}

/// Measured medians, and the fit from the smallest measured size to as far as it is used.
fn of_condition(known: &Proxies, proxy: &str, plan: &ConditionPlan) -> Vec<Series> {
    let points = plan.points.iter().map(|point| (point.services as f64, point.median)).collect();
    let series = |stroke, label, points| Series {
        paint: theme::of_proxy(known, proxy),
        stroke,
        label,
        points,
    };
    let curve: Vec<(f64, f64)> = plan.curve().into_iter().filter(|(_, cost)| *cost > 0.0).collect();
    vec![
        series(Stroke::Dots, None, points),
        series(Stroke::DashedLine, Some(proxy.to_owned()), curve),
    ]
}

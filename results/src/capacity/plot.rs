//! The plot of one condition of a capacity plan: measured points, fits and the limit.

use super::plan::{ConditionPlan, GroupPlan, ValueUnit};
use super::tables;
use crate::plots::axes::Axis;
use crate::plots::lines::{About, Chart, Series, Stroke, across, upwards};
use crate::plots::{Plot, PlotError, theme};
use crate::record::Unit;
use crate::stats::Spread;

/// Draws condition number `at` of a group; nothing when nothing was measured.
pub(super) fn draw(group: &GroupPlan, at: usize) -> Result<Option<Plot>, PlotError> {
    let Some((chart, table)) = chart(group, at).zip(tables::evidence(group, at)) else {
        return Ok(None);
    };
    let title = format!("{} against the limit, kernel {}", chart.title, group.kernel);
    let path = group.path.suffix();
    let name = format!("capacity-{at}.{}.{}.{}{path}", group.kernel, group.place, group.clock);
    Plot::of(&chart, name, title, table).map(Some)
}

fn chart(group: &GroupPlan, at: usize) -> Option<Chart> {
    let mut plans: Vec<(&str, &ConditionPlan)> = Vec::new();
    for proxy in &group.proxies {
        let plan = proxy.conditions.get(at).filter(|plan| !plan.points.is_empty());
        plans.extend(plan.map(|plan| (proxy.proxy.as_str(), plan)));
    }
    let (_, first) = plans.first()?;
    let mut series: Vec<Series> =
        plans.iter().flat_map(|(proxy, plan)| of_condition(group, proxy, plan)).collect();
    let Spread { min: from, max: to, .. } = Spread::of(across(&series))?;
    series.push(Series {
        paint: theme::OTHER,
        stroke: Stroke::Curve,
        label: Some("limit".to_owned()),
        points: vec![(from, first.limit), (to, first.limit)],
        about: About::default(),
    });
    let (unit, what) = match first.unit {
        ValueUnit::TimesNone => (Unit::Count, "times none, log scale"),
        ValueUnit::Stored(Unit::Instructions) => (Unit::Instructions, "instructions, log scale"),
        ValueUnit::Stored(Unit::Ns) => (Unit::Ns, "wall time, log scale"),
        ValueUnit::Stored(unit) => (unit, "log scale"),
    };
    let measured = plans.iter().flat_map(|(_, plan)| &plan.points);
    Some(Chart {
        title: first.subject.clone(),
        subtitle: format!("{what}; dots measured, dashed fitted"),
        x_title: "number of Services",
        x: Axis::of_sizes(measured.map(|point| point.services as f64).chain([to]))?,
        y: Axis::of_values(unit, upwards(&series))?,
        series,
    })
}

/// Measured medians, and the fit from the smallest measured size to as far as it is used.
fn of_condition(group: &GroupPlan, proxy: &str, plan: &ConditionPlan) -> [Series; 2] {
    let paint = theme::of_proxy(&group.known, proxy);
    let points = plan.points.iter().map(|point| (point.services as f64, point.median)).collect();
    let curve = plan.curve().into_iter().filter(|(_, cost)| *cost > 0.0).collect();
    let name = Some(proxy.to_owned());
    let about =
        |what: &str| About { group: proxy.to_owned(), what: what.to_owned(), points: Vec::new() };
    [
        Series { paint, stroke: Stroke::Dots, label: None, points, about: about("measured") },
        Series {
            paint,
            stroke: Stroke::DashedCurve,
            label: name,
            points: curve,
            about: about("fitted"),
        },
    ]
}

//! What a plot of lines or bars shows, as data: a page draws it again as the reader wants it, and tells
//! what is behind each point.

use itertools::Itertools as _;
use serde_json::{Value, json};

use super::axes::{Axis, Kind};
use super::bars::Bar;
use super::lines::{Series, Stroke, Told};
use super::theme;
use crate::record::Unit;

/// The data of one plot.
#[derive(Debug, Clone)]
pub(crate) struct Explored(Value);

impl Explored {
    /// Of lines on two axes; the titles are what is across, and what is upwards.
    pub fn of((across, upwards): (&str, &str), (x, y): (&Axis, &Axis), series: &[Series]) -> Self {
        let series: Vec<Value> =
            series.iter().filter(|one| !one.points.is_empty()).map(line).collect();
        Self(json!({ "x": axis(x, across), "y": axis(y, upwards), "series": series }))
    }

    /// Of bars of shares.
    pub fn of_bars(title: &str, unit: Unit, bars: &[Bar]) -> Self {
        let parts = bars.iter().flat_map(|bar| &bar.parts).map(|(part, _)| *part).unique();
        let parts = parts.map(|part| {
            let paint = theme::of_part(part);
            json!({ "group": part, "light": paint.attribute(), "dark": paint.dark() })
        });
        let bar = |bar: &Bar| {
            let parts = bar.parts.iter().map(|(part, value)| json!([part, number(*value)]));
            json!({ "group": bar.group, "label": bar.label, "parts": parts.collect::<Vec<_>>() })
        };
        let bars: Vec<Value> = bars.iter().map(bar).collect();
        let parts: Vec<Value> = parts.collect();
        Self(json!({ "title": title, "kind": kind(unit), "parts": parts, "bars": bars }))
    }

    /// As it stands in a page: nothing of it can end the element that it is in.
    pub fn in_page(&self) -> String {
        self.0.to_string().replace('<', "\\u003c")
    }
}

fn axis(axis: &Axis, title: &str) -> Value {
    let ticks: Vec<Value> =
        axis.ticks.iter().map(|(at, label)| json!([number(*at), label])).collect();
    let kind = match axis.kind {
        Kind::Of(unit) => kind(unit),
        Kind::Plain => kind(Unit::Count),
        Kind::Percentiles => "percentiles",
        Kind::Named => "named",
    };
    let ends = [axis.low, axis.high].map(number);
    json!({ "title": title, "kind": kind, "log": axis.is_log, "ends": ends, "ticks": ticks })
}

/// How values of a unit are written.
fn kind(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns => "ns",
        Unit::Instructions => "instructions",
        Unit::Bytes => "bytes",
        Unit::Count => "plain",
    }
}

fn line(Series { paint, stroke, label, points, about }: &Series) -> Value {
    let group = if about.group.is_empty() { label.as_deref().unwrap_or("") } else { &about.group };
    let points: Vec<Value> = points.iter().map(|(x, y)| json!([number(*x), number(*y)])).collect();
    let (width, dash, mark) = match stroke {
        Stroke::Thick => (2.5, "", "dot"),
        Stroke::Thin => (1.5, "", ""),
        Stroke::Dashed => (2.0, "7 5", "dot"),
        Stroke::Curve => (2.0, "", ""),
        Stroke::DashedCurve => (2.0, "7 5", ""),
        Stroke::Dots => (0.0, "", "dot"),
        Stroke::Rings => (0.0, "", "ring"),
    };
    let told: Vec<Value> = about.points.iter().map(told).collect();
    json!({
        "group": group, "what": about.what, "light": paint.attribute(), "dark": paint.dark(),
        "width": width, "dash": dash, "mark": mark, "points": points, "told": told,
    })
}

fn told(Told { between, samples, seeds, anchor }: &Told) -> Value {
    let between = between.map(|(low, high)| [number(low), number(high)]);
    json!([between, samples, seeds, anchor])
}

/// Whole numbers are short.
#[expect(clippy::cast_possible_truncation, reason = "a whole number that an i64 holds")]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plots::lines::About;

    #[test]
    fn data_in_a_page_cannot_end_its_element() {
        let series = Series {
            paint: theme::OTHER,
            stroke: Stroke::Thick,
            label: Some("</script><b>".to_owned()),
            points: vec![(10.0, 1.5)],
            about: About::default(),
        };
        let axis = Axis::of_sizes([10.0]).unwrap();
        let data = Explored::of(("x", "y"), (&axis, &axis), &[series]).in_page();
        assert!(!data.contains('<'), "{data}");
        let parsed: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(parsed["series"][0]["group"], "</script><b>");
        assert_eq!(parsed["series"][0]["points"], json!([[10, 1.5]]));
    }
}

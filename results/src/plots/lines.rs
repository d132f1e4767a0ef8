//! Lines on logarithmic axes, each named at its right end.

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axes::Axis;
use super::theme::Paint;
use super::{PlotError, theme};
use crate::distribution::Samples;
use crate::view::Group;

pub(crate) const WIDTH: u32 = 1000;
const HEIGHT: u32 = 640;
pub(crate) const TEXT_PX: f64 = 27.0;
/// Room at the right for names, pixels.
pub(crate) const NAMES: i32 = 234;
/// Least distance of two names at the right, pixels.
const NAME_GAP: i32 = 34;
/// Most points of a percentile curve.
const CURVE_POINTS: u32 = 120;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// The main line, with a mark at each point.
    Thick,
    /// A lighter companion.
    Thin,
    /// Another quantity of the same proxy, with a mark at each point.
    Dashed,
    /// Many points, no marks.
    Curve,
    /// The same of something that was fitted, not measured.
    DashedLine,
    /// Marks alone.
    Dots,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub paint: Paint,
    pub stroke: Stroke,
    /// Name at its right end, if it is to have one.
    pub label: Option<String>,
    /// Ascending in x.
    pub points: Vec<(f64, f64)>,
}

/// A plot of lines.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub title: String,
    /// What the strokes mean.
    pub legend: String,
    pub x_title: String,
    pub y_title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

impl Series {
    /// A percentile of a timing (metric and label) against the number of Services.
    pub fn of(
        group: &Group<'_>,
        (metric, label): (&str, &str),
        proxy: &str,
        quantile: f64,
        stroke: Stroke,
        name: Option<&str>,
    ) -> Self {
        let points = group.series(metric, label, proxy, quantile);
        Self {
            paint: theme::of_proxy(&group.known, proxy),
            stroke,
            label: name.map(str::to_owned),
            points: points
                .into_iter()
                .filter(|(size, spread)| *size > 0 && spread.median > 0.0)
                .map(|(size, spread)| (size as f64, spread.median))
                .collect(),
        }
    }
}

/// Values against `1 / (1 - p)`, as far as the number of values can tell percentiles apart.
pub(crate) fn percentile_curve(samples: &Samples) -> Vec<(f64, f64)> {
    let end = samples.count() as f64;
    (0..=CURVE_POINTS)
        .filter_map(|step| {
            let x = end.powf(f64::from(step) / f64::from(CURVE_POINTS));
            let value = samples.percentile(1.0 - 1.0 / x)?;
            (value > 0).then_some((x, value as f64))
        })
        .collect()
}

impl Chart {
    /// The SVG as plotters writes it. `kind` names the plot in an error.
    pub fn draw(&self, kind: &str) -> Result<String, PlotError> {
        super::svg(kind, (WIDTH, HEIGHT), |root| self.draw_on(root))
    }

    fn draw_on<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        root.fill(&theme::BACKGROUND.color())?;
        root.draw_text(&self.title, &theme::bold(30.0, theme::TEXT), (24, 20))?;
        let subtitle = format!("{}; {}", self.y_title, self.legend);
        root.draw_text(&subtitle, &theme::text(TEXT_PX, theme::MUTED), (24, 62))?;
        let ticks = |axis: &Axis| axis.ticks.iter().map(|(at, _)| *at).collect::<Vec<f64>>();
        let mut chart = ChartBuilder::on(root)
            .margin_top(112)
            .margin_right(NAMES)
            .margin_bottom(8)
            .margin_left(16)
            .x_label_area_size(88)
            .y_label_area_size(112)
            .build_cartesian_2d(
                (self.x.low..self.x.high).log_scale().with_key_points(ticks(&self.x)),
                (self.y.low..self.y.high).log_scale().with_key_points(ticks(&self.y)),
            )?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(theme::GRID.color())
            .axis_style(theme::MUTED.color())
            .label_style(theme::text(TEXT_PX, theme::MUTED))
            .x_label_formatter(&|value| self.x.label(*value))
            .y_label_formatter(&|value| self.y.label(*value))
            .x_desc(&self.x_title)
            .axis_desc_style(theme::text(TEXT_PX, theme::TEXT))
            .draw()?;
        for series in &self.series {
            draw_series(&mut chart, series)?;
        }
        let area = chart.plotting_area();
        let ends = self.series.iter().filter_map(|series| {
            let (label, end) = (series.label.as_ref()?, series.points.last()?);
            Some((area.map_coordinate(end), label.as_str(), series.paint))
        });
        let (_, vertical) = area.get_pixel_range();
        draw_names(root, ends.collect(), vertical.start..vertical.end)
    }
}

fn draw_series<DB, X, Y>(
    chart: &mut ChartContext<'_, DB, Cartesian2d<X, Y>>,
    series: &Series,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>>
where
    DB: DrawingBackend,
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let color = series.paint.color();
    let points = || series.points.iter().copied();
    match series.stroke {
        Stroke::Thick => chart.draw_series(LineSeries::new(points(), color.stroke_width(5)))?,
        Stroke::Curve => chart.draw_series(LineSeries::new(points(), color.stroke_width(4)))?,
        Stroke::Thin => {
            chart.draw_series(LineSeries::new(points(), color.mix(0.55).stroke_width(3)))?
        }
        Stroke::Dashed | Stroke::DashedLine => {
            chart.draw_series(DashedLineSeries::new(points(), 14, 9, color.stroke_width(4)))?
        }
        Stroke::Dots => {
            chart.draw_series(points().map(|point| Circle::new(point, 7, color.filled())))?;
            return Ok(());
        }
    };
    if matches!(series.stroke, Stroke::Thick | Stroke::Dashed) {
        chart.draw_series(points().map(|point| Circle::new(point, 7, color.filled())))?;
    }
    Ok(())
}

/// Names at the right of the lines' ends, moved apart where they would touch, each joined to its
/// line by a mark of its colour.
pub(crate) fn draw_names<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    mut ends: Vec<((i32, i32), &str, Paint)>,
    rows: std::ops::Range<i32>,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    ends.sort_by_key(|((_, y), ..)| *y);
    let wanted: Vec<i32> = ends.iter().map(|((_, y), ..)| *y).collect();
    let at = i32::try_from(WIDTH).unwrap_or(i32::MAX) - NAMES;
    for ((end, name, paint), y) in ends.iter().zip(spread_apart(&wanted, &rows)) {
        let color = paint.color();
        let lead = vec![(end.0.max(at - 8), end.1), (at + 4, y), (at + 14, y)];
        root.draw(&PathElement::new(lead, color.stroke_width(3)))?;
        let style = theme::text(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Left));
        root.draw_text(name, &style, (at + 20, y))?;
    }
    Ok(())
}

/// Positions at least [`NAME_GAP`] apart, in the same order, inside `rows` as long as they fit.
fn spread_apart(wanted: &[i32], rows: &std::ops::Range<i32>) -> Vec<i32> {
    let mut placed: Vec<i32> = Vec::with_capacity(wanted.len());
    for &y in wanted {
        let least = placed.last().map_or(rows.start, |last| last + NAME_GAP);
        placed.push(y.max(least));
    }
    // Pushing down moved the crowd down: pull each half-way back, as far as the one below and the
    // last row allow.
    let mut limit = rows.end - NAME_GAP / 2;
    for (place, &want) in placed.iter_mut().zip(wanted).rev() {
        let excess = (*place - want).max(0) / 2;
        *place = (*place - excess).min(limit);
        limit = *place - NAME_GAP;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Distribution;

    #[test]
    fn names_never_touch_and_keep_their_order() {
        for wanted in
            [vec![], vec![5], vec![100, 101, 102, 103], vec![10, 90, 92, 300], vec![398, 399, 400]]
        {
            let placed = spread_apart(&wanted, &(0..400));
            assert_eq!(placed.len(), wanted.len());
            assert!(placed.windows(2).all(|pair| pair[1] - pair[0] >= NAME_GAP), "{placed:?}");
            assert!(placed.last().is_none_or(|last| *last <= 400), "{placed:?}");
        }
        assert_eq!(spread_apart(&[10, 90, 300], &(0..400)), [10, 90, 300]);
    }

    #[test]
    fn a_percentile_curve_ends_at_the_maximum() {
        let values: Vec<u64> = (1..=300).collect();
        let curve = percentile_curve(&Distribution::Values { values }.samples().unwrap());
        let (x, y) = *curve.last().unwrap();
        assert!((x - 300.0).abs() < 1e-6 && (299.0..=300.0).contains(&y), "{x} {y}");
        assert!(curve.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        assert!(percentile_curve(&Samples::default()).is_empty());
    }
}

//! Lines on two axes, each named at its right end.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axes::Axis;
use super::explore::Explored;
use super::theme::Paint;
use super::{Area, Drawing, Drawn, TEXT_PX, WIDTH, head, theme, write};
use crate::distribution::{Samples, VALUES_BEYOND};

const HEIGHT: u32 = 640;
/// Most points of a percentile curve.
const CURVE_POINTS: u32 = 120;
/// Room at the right for names, pixels.
pub(super) const NAMES: i32 = 234;
/// Least distance of two names at the right, pixels.
const NAME_GAP: i32 = 34;

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
    DashedCurve,
    /// Marks alone.
    Dots,
    /// Open marks alone.
    Rings,
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
    /// What a reader who asks is told beside it.
    pub about: About,
}

/// What is told of a line beside what is drawn of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    /// Lines of one group are hidden together; the name at its end where there is none.
    pub group: String,
    /// What it is of its group: `p99`, `full sync`.
    pub what: String,
    /// One a point, or none.
    pub points: Vec<Told>,
}

/// What is behind one point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Where it lies 95 times of 100, or else the ends of the seeds.
    pub between: Option<(f64, f64)>,
    pub samples: u64,
    pub seeds: usize,
    /// Where its cells are on the page.
    pub anchor: String,
}

/// A plot of lines.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub title: String,
    /// What is upwards, and what the strokes mean.
    pub subtitle: String,
    /// What is across.
    pub x_title: &'static str,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

/// Two axes to draw on.
pub(super) type Plane<'c, 's> = ChartContext<'c, SVGBackend<'s>, Cartesian2d<Axis, Axis>>;

/// How far every line goes across.
pub(crate) fn across(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|one| &one.points).map(|point| point.0)
}

/// How far every line goes upwards.
pub(crate) fn upwards(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|one| &one.points).map(|point| point.1)
}

/// Values against `1 / (1 - p)`, as far as the number of values can tell percentiles.
pub(crate) fn percentile_curve(samples: &Samples) -> Vec<(f64, f64)> {
    let end = samples.count() as f64 / VALUES_BEYOND;
    (0..=CURVE_POINTS)
        .filter_map(|step| {
            let x = end.powf(f64::from(step) / f64::from(CURVE_POINTS));
            let value = samples.percentile(1.0 - 1.0 / x)?;
            (value > 0).then_some((x, value as f64))
        })
        .collect()
}

impl Drawing for Chart {
    fn title(&self) -> &str {
        &self.title
    }

    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn explored(&self) -> Option<Explored> {
        let titles = (self.x_title, self.subtitle.as_str());
        Some(Explored::of(titles, (&self.x, &self.y), &self.series))
    }

    fn draw_on(&self, root: &Area<'_>) -> Drawn {
        head(root, &self.title, &self.subtitle)?;
        let mut plane = plane(root, (&self.x, &self.y), Under::Title(self.x_title))?;
        for series in &self.series {
            draw_series(&mut plane, series)?;
        }
        let ends = self.series.iter().filter_map(|series| {
            Some((*series.points.last()?, series.label.as_deref()?, series.paint))
        });
        draw_names(root, &plane, ends.collect())
    }
}

/// What is under a plane.
#[derive(Debug, Clone, Copy)]
pub(super) enum Under {
    /// The labels of its axis, and what is across.
    Title(&'static str),
    /// So many pixels for something else.
    Room(i32),
}

/// Both axes with a grid for values.
pub(super) fn plane<'c, 's>(
    root: &'c Area<'s>,
    (x, y): (&Axis, &Axis),
    under: Under,
) -> Drawn<Plane<'c, 's>> {
    let mut builder = ChartBuilder::on(root);
    builder.margin_top(112).margin_right(NAMES).margin_left(16).y_label_area_size(112);
    match under {
        Under::Title(_) => builder.margin_bottom(8).x_label_area_size(88),
        Under::Room(pixels) => builder.margin_bottom(pixels),
    };
    let mut plane = builder.build_cartesian_2d(x.clone(), y.clone())?;
    let mut mesh = plane.configure_mesh();
    mesh.disable_x_mesh()
        .bold_line_style(theme::GRID.color())
        .axis_style(theme::MUTED.color())
        .label_style(theme::text(TEXT_PX, theme::MUTED))
        .axis_desc_style(theme::text(TEXT_PX, theme::TEXT));
    match under {
        Under::Title(title) => mesh.x_desc(title),
        Under::Room(_) => mesh.disable_x_axis(),
    };
    mesh.draw()?;
    Ok(plane)
}

pub(super) fn draw_series(plane: &mut Plane<'_, '_>, series: &Series) -> Drawn {
    let color = series.paint.color();
    let points = || series.points.iter().copied();
    let (line, dashed, mark): (Option<ShapeStyle>, bool, Option<(u32, ShapeStyle)>) =
        match series.stroke {
            Stroke::Thick => (Some(color.stroke_width(5)), false, Some((7, color.filled()))),
            Stroke::Thin => (Some(color.mix(0.55).stroke_width(3)), false, None),
            Stroke::Dashed => (Some(color.stroke_width(4)), true, Some((7, color.filled()))),
            Stroke::Curve => (Some(color.stroke_width(4)), false, None),
            Stroke::DashedCurve => (Some(color.stroke_width(4)), true, None),
            Stroke::Dots => (None, false, Some((7, color.filled()))),
            Stroke::Rings => (None, false, Some((10, color.stroke_width(4)))),
        };
    match line {
        Some(style) if dashed => {
            plane.draw_series(DashedLineSeries::new(points(), 14, 9, style))?;
        }
        Some(style) => {
            plane.draw_series(LineSeries::new(points(), style))?;
        }
        None => {}
    }
    if let Some((size, style)) = mark {
        plane.draw_series(points().map(|point| Circle::new(point, size, style)))?;
    }
    Ok(())
}

/// Names at the right of the lines' ends, moved apart where they would touch, each joined to its
/// line by a mark of its colour.
pub(super) fn draw_names(
    root: &Area<'_>,
    plane: &Plane<'_, '_>,
    ends: Vec<((f64, f64), &str, Paint)>,
) -> Drawn {
    let area = plane.plotting_area();
    let mut ends: Vec<_> = ends
        .into_iter()
        .map(|(end, name, paint)| (area.map_coordinate(&end), name, paint))
        .collect();
    ends.sort_by_key(|((_, y), ..)| *y);
    let wanted: Vec<i32> = ends.iter().map(|((_, y), ..)| *y).collect();
    let at = WIDTH.cast_signed() - NAMES;
    let (_, rows) = area.get_pixel_range();
    for (((x, y), name, paint), row) in ends.into_iter().zip(spread_apart(&wanted, &rows)) {
        let lead = vec![(x.max(at - 8), y), (at + 4, row), (at + 14, row)];
        root.draw(&PathElement::new(lead, paint.color().stroke_width(3)))?;
        write(root, name, TEXT_PX, theme::TEXT, HPos::Left, (at + 20, row))?;
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
}

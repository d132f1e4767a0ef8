//! The plot of a calibration: how often the gate finds a slowdown, against its size; one line a
//! number of replicates.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::calibration::{Calibration, Point, Slowdown};
use crate::plots::lines::{NAMES, TEXT_PX, WIDTH, draw_names};
use crate::plots::{self, Plot, PlotError, theme};
use crate::record::Clock;

const HEIGHT: u32 = 640;
/// Slowdowns that are labelled, shares.
const TICKS: [f64; 8] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
/// The colours of the lines, by their place: they can be told apart in print and by everybody.
const COLOURS: [&str; 5] = ["grey", "pink", "blue", "orange", "green"];
/// Room above and below 0% and 100%.
const MARGIN: f64 = 0.03;

/// A line of the plot.
struct Series {
    label: String,
    colour: &'static str,
    scaled: Vec<(f64, f64)>,
    /// Slowdowns that were really put in.
    real: Vec<(f64, f64)>,
}

/// The plot, with the table of all gates on that clock; nothing when the calibration has no
/// slowdown there.
pub(crate) fn plot(calibration: &Calibration, clock: Clock) -> Result<Option<Plot>, PlotError> {
    let points: Vec<&Point> =
        calibration.points.iter().filter(|point| point.clock == clock).collect();
    let series = series(&points);
    if series.is_empty() {
        return Ok(None);
    }
    let svg = plots::svg("calibration", (WIDTH, HEIGHT), |root| draw_on(root, &series, clock))?;
    Ok(Some(Plot {
        name: format!("calibration-{clock}"),
        svg: theme::finish(&svg, &title(clock)),
        title: title(clock),
        table: super::render::table(calibration, clock),
        wide: false,
    }))
}

fn title(clock: Clock) -> String {
    format!("Slowdowns that the gate finds, {clock} clock")
}

fn series(points: &[&Point]) -> Vec<Series> {
    let mut counts: Vec<usize> = points.iter().map(|point| point.replicates).collect();
    counts.sort_unstable();
    counts.dedup();
    let of = |(at, count): (usize, usize)| {
        let here = || points.iter().filter(move |point| point.replicates == count);
        let size = |point: &Point| match point.slowdown {
            Slowdown::Same => None,
            Slowdown::Scaled { share } => Some(share),
            // Half-way between the line that is slowed down least and the one that is most.
            _ => point.effect.map(|(low, high)| f64::midpoint(low, high)),
        };
        let at_size = |point: &&&Point| {
            let size = size(point).filter(|size| *size > 0.0)?;
            Some((size.clamp(TICKS[0], TICKS[TICKS.len() - 1]), point.share()))
        };
        let is_scaled = |point: &&&Point| matches!(point.slowdown, Slowdown::Scaled { .. });
        let sorted = |mut all: Vec<(f64, f64)>| {
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all
        };
        Series {
            label: if count == 1 { "1 seed".into() } else { format!("{count} a side") },
            colour: COLOURS.get(at % COLOURS.len()).copied().unwrap_or_default(),
            scaled: sorted(here().filter(is_scaled).filter_map(|point| at_size(&point)).collect()),
            real: sorted(
                here()
                    .filter(|point| !is_scaled(point))
                    .filter_map(|point| at_size(&point))
                    .collect(),
            ),
        }
    };
    let all = counts.into_iter().enumerate().map(of);
    all.filter(|series| !series.scaled.is_empty() || !series.real.is_empty()).collect()
}

fn draw_on<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    series: &[Series],
    clock: Clock,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    root.fill(&theme::BACKGROUND.color())?;
    root.draw_text(&title(clock), &theme::bold(30.0, theme::TEXT), (24, 20))?;
    let legend = "share of gates; lines: scaled, rings: real";
    root.draw_text(legend, &theme::text(TEXT_PX, theme::MUTED), (24, 62))?;
    let (low, high) = (TICKS[0] * 0.9, TICKS[TICKS.len() - 1] * 1.1);
    let mut chart = ChartBuilder::on(root)
        .margin_top(112)
        .margin_right(NAMES)
        .margin_bottom(8)
        .margin_left(16)
        .x_label_area_size(88)
        .y_label_area_size(112)
        .build_cartesian_2d(
            (low..high).log_scale().with_key_points(TICKS.to_vec()),
            -MARGIN..1.0 + MARGIN,
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .y_labels(6)
        .bold_line_style(theme::GRID.color())
        .light_line_style(theme::BACKGROUND.color())
        .axis_style(theme::MUTED.color())
        .label_style(theme::text(TEXT_PX, theme::MUTED))
        .x_label_formatter(&|share| format!("{}%", (share * 1000.0).round() / 10.0))
        .y_label_formatter(&|share| format!("{:.0}%", share * 100.0))
        .x_desc("slowdown")
        .axis_desc_style(theme::text(TEXT_PX, theme::TEXT))
        .draw()?;
    for one in series {
        let colour = theme::named(one.colour).color();
        chart.draw_series(LineSeries::new(one.scaled.clone(), colour.stroke_width(4)))?;
        chart
            .draw_series(one.scaled.iter().map(|point| Circle::new(*point, 6, colour.filled())))?;
        chart.draw_series(
            one.real.iter().map(|point| Circle::new(*point, 10, colour.stroke_width(4))),
        )?;
    }
    let area = chart.plotting_area();
    let ends = series.iter().filter_map(|one| {
        let end = one.scaled.last().or(one.real.last())?;
        Some((area.map_coordinate(end), one.label.as_str(), theme::named(one.colour)))
    });
    let (_, rows) = area.get_pixel_range();
    draw_names(root, ends.collect(), rows.start..rows.end)
}

//! Ratios to a reference kernel, kernel by kernel: one line a proxy. A number that is missing is a
//! cross with words, not a gap.

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::lines::{NAMES, TEXT_PX, WIDTH, draw_names};
use super::theme::Paint;
use super::{PlotError, theme};
use crate::format;

const PLOT_HEIGHT: i32 = 640;
const LINE: i32 = 34;
/// Width of a character of a label, pixels, on the safe side.
const CHARACTER: i32 = 16;
/// Most lines of words about missing numbers.
const WORDS_MAX: usize = 8;
/// The axis shows at least this much around no change, so that noise does not fill the plot.
const RANGE_MIN: f64 = 1.05;
/// From this range on, ticks are powers of ten with their doubles and halves.
const WIDE: f64 = 4.0;
/// From this range on, they are powers of ten alone.
const VERY_WIDE: f64 = 1e3;

/// The line of one proxy: a ratio for each kernel, or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Rung {
    pub proxy: String,
    pub paint: Paint,
    pub ratios: Vec<Option<f64>>,
}

/// A plot of ratios.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    pub title: String,
    pub subtitle: String,
    /// Short names, in order.
    pub kernels: Vec<String>,
    pub rungs: Vec<Rung>,
    /// Sentences about numbers that are missing.
    pub missing: Vec<String>,
}

impl Ladder {
    /// The SVG as plotters writes it. `kind` names the plot in an error.
    pub fn draw(&self, kind: &str) -> Result<String, PlotError> {
        let words = i32::try_from(self.words().len()).unwrap_or(0);
        let height = PLOT_HEIGHT + self.label_rows() * LINE + words * LINE;
        let size = (WIDTH, height.unsigned_abs());
        super::svg(kind, size, |root| self.draw_on(root))
    }

    /// What is written under the plot about missing numbers.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.missing.iter().take(WORDS_MAX).cloned().collect();
        let more = self.missing.len().saturating_sub(WORDS_MAX);
        if more > 0 {
            words.push(format!("and {more} more, see the numbers of this plot"));
        }
        words
    }

    /// Rows that the kernels' names need so as not to touch.
    fn label_rows(&self) -> i32 {
        let longest = self.kernels.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let needed = i32::try_from(longest).unwrap_or(40) * CHARACTER;
        let count = i32::try_from(self.kernels.len()).unwrap_or(1).max(1);
        let pitch = (i32::try_from(WIDTH).unwrap_or(0) - NAMES - 128) / count;
        (needed / pitch.max(1) + 1).clamp(1, 6)
    }

    fn draw_on<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        root.fill(&theme::BACKGROUND.color())?;
        root.draw_text(&self.title, &theme::bold(30.0, theme::TEXT), (24, 20))?;
        root.draw_text(&self.subtitle, &theme::text(TEXT_PX, theme::MUTED), (24, 62))?;
        let ratios = self.rungs.iter().flat_map(|rung| rung.ratios.iter().copied().flatten());
        let (low, high, ticks) = axis(ratios);
        let words = self.words();
        let below = LINE * (self.label_rows() + i32::try_from(words.len()).unwrap_or(0));
        let mut chart = ChartBuilder::on(root)
            .margin_top(112)
            .margin_right(NAMES)
            .margin_bottom(below + 30)
            .margin_left(16)
            .y_label_area_size(112)
            .build_cartesian_2d(
                -0.4..self.kernels.len() as f64 - 0.6,
                (low..high).log_scale().with_key_points(ticks.clone()),
            )?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .bold_line_style(theme::GRID.color())
            .axis_style(theme::MUTED.color())
            .label_style(theme::text(TEXT_PX, theme::MUTED))
            .y_labels(ticks.len())
            .y_label_formatter(&|value| tick_label(&ticks, *value))
            .draw()?;
        let level = [(-0.4, 1.0), (self.kernels.len() as f64 - 0.6, 1.0)];
        let muted = theme::MUTED.color().stroke_width(2);
        chart.draw_series(DashedLineSeries::new(level, 6, 8, muted))?;
        for rung in &self.rungs {
            draw_rung(&mut chart, rung, low)?;
        }
        let area = chart.plotting_area();
        let ends = self.rungs.iter().filter_map(|rung| {
            let last = rung.ratios.iter().rposition(Option::is_some)?;
            let ratio = (*rung.ratios.get(last)?)?;
            Some((area.map_coordinate(&(last as f64, ratio)), rung.proxy.as_str(), rung.paint))
        });
        let (across, down) = area.get_pixel_range();
        draw_names(root, ends.collect(), down.clone())?;
        for (at, kernel) in self.kernels.iter().enumerate() {
            let (x, _) = area.map_coordinate(&(at as f64, 1.0));
            let row = i32::try_from(at).unwrap_or(0) % self.label_rows();
            let y = down.end + 24 + row * LINE;
            root.draw(&PathElement::new(vec![(x, down.end), (x, y - 16)], theme::GRID.color()))?;
            let style = theme::text(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Center));
            root.draw_text(kernel, &style, (x, y))?;
        }
        let first = down.end + 30 + self.label_rows() * LINE;
        for (at, words) in (0..).zip(&words) {
            let style = theme::text(24.0, theme::MUTED).pos(theme::middle(HPos::Left));
            root.draw_text(words, &style, (across.start.min(24), first + at * LINE))?;
        }
        Ok(())
    }
}

/// The line through neighbouring kernels, a mark at each ratio, and a cross at the bottom where
/// there is none.
fn draw_rung<DB, X, Y>(
    chart: &mut ChartContext<'_, DB, Cartesian2d<X, Y>>,
    rung: &Rung,
    low: f64,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>>
where
    DB: DrawingBackend,
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let color = rung.paint.color();
    let points: Vec<(f64, Option<f64>)> =
        rung.ratios.iter().enumerate().map(|(at, ratio)| (at as f64, *ratio)).collect();
    for stretch in points.split(|(_, ratio)| ratio.is_none()) {
        let stretch = stretch.iter().filter_map(|(at, ratio)| Some((*at, (*ratio)?)));
        chart.draw_series(LineSeries::new(stretch.clone(), color.stroke_width(5)))?;
        chart.draw_series(stretch.map(|point| Circle::new(point, 7, color.filled())))?;
    }
    let gaps = points.iter().filter(|(_, ratio)| ratio.is_none());
    let cross = gaps.map(|(at, _)| {
        EmptyElement::at((*at, low)) + Cross::new((0, -14), 9, color.stroke_width(4))
    });
    chart.draw_series(cross)?;
    Ok(())
}

/// Ends and ticks of an axis for ratios; 1 is always a tick.
fn axis(ratios: impl Iterator<Item = f64>) -> (f64, f64, Vec<f64>) {
    let (mut low, mut high) = (1.0 / RANGE_MIN, RANGE_MIN);
    for ratio in ratios.filter(|ratio| *ratio > 0.0 && ratio.is_finite()) {
        low = low.min(ratio);
        high = high.max(ratio);
    }
    let room = (high / low).powf(0.08);
    let (low, high) = (low / room, high * room);
    let mut ticks = Vec::new();
    if high / low >= WIDE {
        let mut power = 10_f64.powf(low.log10().floor());
        while power <= high {
            let steps: &[f64] = if high / low >= VERY_WIDE { &[1.0] } else { &[1.0, 2.0, 5.0] };
            ticks.extend(steps.iter().map(|step| step * power));
            power *= 10.0;
        }
    } else {
        let step = step((high - low) / 5.0);
        let first = ((low - 1.0) / step).ceil();
        let mut count = 0.0;
        while 1.0 + (first + count) * step <= high {
            ticks.push(1.0 + (first + count) * step);
            count += 1.0;
        }
    }
    ticks.retain(|tick| (low..=high).contains(tick));
    (low, high, ticks)
}

/// The next of 1, 2, 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least * 0.999).unwrap_or(10.0 * power)
}

fn tick_label(ticks: &[f64], value: f64) -> String {
    let near = ticks.iter().any(|tick| (tick - value).abs() <= tick * 1e-9);
    if !near {
        return String::new();
    }
    if value < 0.001 {
        return format::three_digits(value);
    }
    let text = format::fixed(value, 3);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_always_a_tick_and_ticks_are_round() {
        let labels = |ratios: &[f64]| {
            let (low, high, ticks) = axis(ratios.iter().copied());
            assert!(low < high && ticks.len() <= 12, "{ticks:?}");
            ticks.iter().map(|tick| tick_label(&ticks, *tick)).collect::<Vec<_>>()
        };
        assert_eq!(labels(&[1.0]), ["0.95", "1", "1.05"]);
        assert_eq!(labels(&[1.0, 1.27, 0.9]), ["0.9", "1", "1.1", "1.2", "1.3"]);
        assert_eq!(labels(&[0.2, 30.0]), ["0.2", "0.5", "1", "2", "5", "10", "20"]);
        assert!(labels(&[1e-9, f64::NAN, 0.0]).contains(&"1".to_owned()));
    }

    #[test]
    fn a_missing_number_is_said_in_words() {
        let ladder = Ladder {
            title: "t".into(),
            subtitle: "s".into(),
            kernels: ["5.10", "6.1", "6.12"].map(String::from).to_vec(),
            rungs: vec![Rung {
                proxy: "ipvs".into(),
                paint: theme::OTHER,
                ratios: vec![Some(1.0), None, Some(1.1)],
            }],
            missing: vec!["ipvs on 6.1: unsupported".into()],
        };
        let svg = ladder.draw("t").unwrap();
        assert!(svg.contains("ipvs on 6.1: unsupported") && !svg.contains("NaN"));
    }
}

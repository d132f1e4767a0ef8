//! Ratios to a reference kernel, kernel by kernel: one line a proxy. A number that is missing is a
//! cross with words, not a gap.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axes::Axis;
use super::explore::Explored;
use super::lines::{About, NAMES, Plane, Series, Stroke, Under, draw_names, draw_series, plane};
use super::theme::Paint;
use super::{Area, Drawing, Drawn, TEXT_PX, WIDTH, count, head, theme, write};

const PLOT_HEIGHT: i32 = 640;
const LINE: i32 = 34;
/// Width of a character of a label, pixels, on the safe side.
const CHARACTER: i32 = 16;
/// Most lines of words about missing numbers.
const WORDS_MAX: usize = 8;

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

impl Drawing for Ladder {
    fn title(&self) -> &str {
        &self.title
    }

    fn size(&self) -> (u32, u32) {
        let height = PLOT_HEIGHT + (self.label_rows() + count(&self.words())) * LINE;
        (WIDTH, height.unsigned_abs())
    }

    fn explored(&self) -> Option<Explored> {
        let ratios = self.rungs.iter().flat_map(|rung| rung.ratios.iter().copied().flatten());
        let axes = (Axis::of_names(&self.kernels), Axis::of_ratios(ratios));
        let series = self.rungs.iter().map(|rung| {
            let points = rung.ratios.iter().enumerate();
            of_rung(rung, points.filter_map(|(at, ratio)| Some((at as f64, (*ratio)?))).collect())
        });
        let series: Vec<Series> = series.collect();
        Some(Explored::of(("kernel", &self.subtitle), (&axes.0, &axes.1), &series))
    }

    fn draw_on(&self, root: &Area<'_>) -> Drawn {
        head(root, &self.title, &self.subtitle)?;
        let ratios = self.rungs.iter().flat_map(|rung| rung.ratios.iter().copied().flatten());
        let across = Axis { ticks: Vec::new(), ..Axis::of_names(&self.kernels) };
        let (left, right) = (across.low, across.high);
        let axes = (across, Axis::of_ratios(ratios));
        let below = LINE * (self.label_rows() + count(&self.words())) + 30;
        let mut plane = plane(root, (&axes.0, &axes.1), Under::Room(below))?;
        let muted = theme::MUTED.color().stroke_width(2);
        plane.draw_series(DashedLineSeries::new([(left, 1.0), (right, 1.0)], 6, 8, muted))?;
        for rung in &self.rungs {
            draw_rung(&mut plane, rung, axes.1.low)?;
        }
        let ends = self.rungs.iter().filter_map(|rung| {
            let last = rung.ratios.iter().rposition(Option::is_some)?;
            Some(((last as f64, (*rung.ratios.get(last)?)?), rung.proxy.as_str(), rung.paint))
        });
        draw_names(root, &plane, ends.collect())?;
        self.draw_below(root, &plane)
    }
}

impl Ladder {
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
        let pitch = (WIDTH.cast_signed() - NAMES - 128) / count(&self.kernels).max(1);
        (needed / pitch.max(1) + 1).clamp(1, 6)
    }

    /// The kernels' names, in as many rows as they need, and what is to be said.
    fn draw_below(&self, root: &Area<'_>, plane: &Plane<'_, '_>) -> Drawn {
        let area = plane.plotting_area();
        let (across, down) = area.get_pixel_range();
        for (at, kernel) in (0..).zip(&self.kernels) {
            let (x, _) = area.map_coordinate(&(f64::from(at), 1.0));
            let y = down.end + 24 + at % self.label_rows() * LINE;
            root.draw(&PathElement::new(vec![(x, down.end), (x, y - 16)], theme::GRID.color()))?;
            write(root, kernel, TEXT_PX, theme::TEXT, HPos::Center, (x, y))?;
        }
        let first = down.end + 30 + self.label_rows() * LINE;
        for (at, words) in (0..).zip(&self.words()) {
            let start = (across.start.min(24), first + at * LINE);
            write(root, words, 24.0, theme::MUTED, HPos::Left, start)?;
        }
        Ok(())
    }
}

/// A line of a rung, or a stretch of it.
fn of_rung(rung: &Rung, points: Vec<(f64, f64)>) -> Series {
    let about = About { group: rung.proxy.clone(), ..About::default() };
    Series { paint: rung.paint, stroke: Stroke::Thick, label: None, points, about }
}

/// The line through neighbouring kernels, a mark at each ratio, and a cross at the bottom where
/// there is none.
fn draw_rung(plane: &mut Plane<'_, '_>, rung: &Rung, low: f64) -> Drawn {
    let points: Vec<(f64, Option<f64>)> =
        rung.ratios.iter().enumerate().map(|(at, ratio)| (at as f64, *ratio)).collect();
    for stretch in points.split(|(_, ratio)| ratio.is_none()) {
        let points = stretch.iter().filter_map(|(at, ratio)| Some((*at, (*ratio)?))).collect();
        let series = of_rung(rung, points);
        draw_series(plane, &series)?;
    }
    let style = rung.paint.color().stroke_width(4);
    let gaps = points.iter().filter(|(_, ratio)| ratio.is_none());
    let crosses = gaps.map(|(at, _)| EmptyElement::at((*at, low)) + Cross::new((0, -14), 9, style));
    plane.draw_series(crosses)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plots::tests::drawn;
    use crate::plots::theme;

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
        let svg = drawn(&ladder);
        assert!(svg.contains("ipvs on 6.1: unsupported") && !svg.contains("NaN"));
    }
}

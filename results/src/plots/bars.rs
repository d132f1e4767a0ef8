//! Horizontal bars of shares, in groups, each with a text at its end.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{PlotError, theme};

const WIDTH: u32 = 1000;
const TOP: i32 = 112;
const LEFT: i32 = 244;
const RIGHT: i32 = 780;
const BAR: i32 = 30;
const BAR_PITCH: i32 = 42;
const GROUP_HEAD: i32 = 48;
const TEXT_PX: f64 = 27.0;

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// Heading above the bars of one group.
    pub group: String,
    /// At its left.
    pub label: String,
    /// Part and value; drawn as shares of their sum.
    pub parts: Vec<(String, f64)>,
    /// At its right.
    pub end: String,
}

/// A plot of bars.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    pub title: String,
    /// What a length means.
    pub x_title: String,
    pub rows: Vec<Bar>,
}

impl Bars {
    /// The SVG as plotters writes it. `kind` names the plot in an error.
    pub fn draw(&self, kind: &str) -> Result<String, PlotError> {
        let height = u32::try_from(self.height()).unwrap_or(u32::MAX);
        super::svg(kind, (WIDTH, height), |root| self.draw_on(root))
    }

    fn height(&self) -> i32 {
        let bars = i32::try_from(self.rows.len()).unwrap_or(i32::MAX / 100);
        let heads = i32::try_from(self.group_count()).unwrap_or(i32::MAX / 100);
        TOP + bars * BAR_PITCH + heads * GROUP_HEAD + 100
    }

    fn group_count(&self) -> usize {
        let mut names: Vec<&str> = self.rows.iter().map(|bar| bar.group.as_str()).collect();
        names.dedup();
        names.len()
    }

    fn draw_on<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        root.fill(&theme::BACKGROUND.color())?;
        root.draw_text(&self.title, &theme::bold(30.0, theme::TEXT), (24, 20))?;
        self.draw_legend(root)?;
        let mut y = TOP;
        let mut group = "";
        for bar in &self.rows {
            if bar.group != group {
                group = &bar.group;
                let style = theme::text(TEXT_PX, theme::MUTED).pos(theme::middle(HPos::Left));
                root.draw_text(group, &style, (24, y + GROUP_HEAD / 2 + 4))?;
                y += GROUP_HEAD;
            }
            draw_bar(root, bar, y)?;
            y += BAR_PITCH;
        }
        self.draw_axis(root, y + 4)
    }

    fn draw_legend<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let mut names: Vec<&str> = Vec::new();
        for (part, _) in self.rows.iter().flat_map(|bar| &bar.parts) {
            if !names.contains(&part.as_str()) {
                names.push(part);
            }
        }
        for (at, name) in (0..).zip(names) {
            let x = 24 + at * 188;
            let color = theme::of_part(name).color();
            root.draw(&Rectangle::new([(x, 68), (x + 24, 92)], color.filled()))?;
            let style = theme::text(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Left));
            root.draw_text(name, &style, (x + 34, 80))?;
        }
        Ok(())
    }

    fn draw_axis<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
        y: i32,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let muted = theme::MUTED.color();
        root.draw(&PathElement::new(vec![(LEFT, y), (RIGHT, y)], muted))?;
        for percent in [0, 25, 50, 75, 100] {
            let x = LEFT + (RIGHT - LEFT) * percent / 100;
            root.draw(&PathElement::new(vec![(x, y), (x, y + 8)], muted))?;
            let style = theme::text(TEXT_PX, theme::MUTED).pos(theme::middle(HPos::Center));
            root.draw_text(&format!("{percent}%"), &style, (x, y + 26))?;
        }
        let style = theme::text(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Left));
        root.draw_text(&self.x_title, &style, (LEFT, y + 66))
    }
}

fn draw_bar<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    bar: &Bar,
    y: i32,
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let middle = y + BAR / 2;
    let right = theme::text(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Right));
    root.draw_text(&bar.label, &right, (LEFT - 12, middle))?;
    let sum: f64 = bar.parts.iter().map(|(_, value)| value).sum();
    let mut done = 0.0;
    for (part, value) in &bar.parts {
        let from = pixel(done, sum);
        done += value;
        let to = pixel(done, sum);
        if to > from {
            let color = theme::of_part(part).color();
            root.draw(&Rectangle::new([(from, y), (to, y + BAR)], color.filled()))?;
        }
    }
    let left = theme::text(TEXT_PX, theme::MUTED).pos(theme::middle(HPos::Left));
    root.draw_text(&bar.end, &left, (RIGHT + 12, middle))
}

/// Where a share of the whole lies between the two ends of the bars.
#[expect(clippy::cast_possible_truncation, reason = "a share of at most 1 of a few hundred pixels")]
fn pixel(part: f64, whole: f64) -> i32 {
    let share = if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 };
    LEFT + (share * f64::from(RIGHT - LEFT)).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fill_the_bar_and_nothing_is_no_bar() {
        assert_eq!((pixel(0.0, 10.0), pixel(10.0, 10.0)), (LEFT, RIGHT));
        assert_eq!(pixel(3.0, 0.0), LEFT);
    }
}

//! Horizontal bars of shares, in groups, each with a text at its end.

use itertools::Itertools as _;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::explore::Explored;
use super::{Area, Drawing, Drawn, TEXT_PX, WIDTH, count, fill, theme, write};
use crate::record::Unit;

const TOP: i32 = 112;
const LEFT: i32 = 244;
const RIGHT: i32 = 780;
const BAR: i32 = 30;
const BAR_PITCH: i32 = 42;
const GROUP_HEAD: i32 = 48;

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// Heading above the bars of one group.
    pub group: String,
    /// At its left.
    pub label: String,
    /// Part and value; drawn as shares of their sum.
    pub parts: Vec<(&'static str, f64)>,
    /// At its right.
    pub end: String,
}

/// A plot of bars.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    pub title: String,
    /// What a length means.
    pub x_title: &'static str,
    /// Unit of the parts.
    pub unit: Unit,
    pub rows: Vec<Bar>,
}

impl Drawing for Bars {
    fn title(&self) -> &str {
        &self.title
    }

    fn size(&self) -> (u32, u32) {
        let heads = self.rows.chunk_by(|a, b| a.group == b.group).count();
        let heads = i32::try_from(heads).unwrap_or(0);
        let height = TOP + count(&self.rows) * BAR_PITCH + heads * GROUP_HEAD + 100;
        (WIDTH, height.unsigned_abs())
    }

    fn explored(&self) -> Option<Explored> {
        Some(Explored::of_bars(self.x_title, self.unit, &self.rows))
    }

    fn draw_on(&self, root: &Area<'_>) -> Drawn {
        root.draw_text(&self.title, &theme::bold(30.0, theme::TEXT), (24, 20))?;
        self.draw_legend(root)?;
        let mut y = TOP;
        for bars in self.rows.chunk_by(|a, b| a.group == b.group) {
            let group = bars.first().map_or("", |bar| &bar.group);
            let place = (24, y + GROUP_HEAD / 2 + 4);
            write(root, group, TEXT_PX, theme::MUTED, HPos::Left, place)?;
            y += GROUP_HEAD;
            for bar in bars {
                draw_bar(root, bar, y)?;
                y += BAR_PITCH;
            }
        }
        self.draw_axis(root, y + 4)
    }
}

impl Bars {
    fn draw_legend(&self, root: &Area<'_>) -> Drawn {
        let names = self.rows.iter().flat_map(|bar| &bar.parts).map(|(part, _)| *part).unique();
        for (at, name) in (0..).zip(names) {
            let x = 24 + at * 188;
            fill(root, [(x, 68), (x + 24, 92)], theme::of_part(name))?;
            write(root, name, TEXT_PX, theme::TEXT, HPos::Left, (x + 34, 80))?;
        }
        Ok(())
    }

    fn draw_axis(&self, root: &Area<'_>, y: i32) -> Drawn {
        let muted = theme::MUTED.color();
        root.draw(&PathElement::new(vec![(LEFT, y), (RIGHT, y)], muted))?;
        for percent in [0, 25, 50, 75, 100] {
            let x = LEFT + (RIGHT - LEFT) * percent / 100;
            root.draw(&PathElement::new(vec![(x, y), (x, y + 8)], muted))?;
            let label = format!("{percent}%");
            write(root, &label, TEXT_PX, theme::MUTED, HPos::Center, (x, y + 26))?;
        }
        write(root, self.x_title, TEXT_PX, theme::TEXT, HPos::Left, (LEFT, y + 66))
    }
}

fn draw_bar(root: &Area<'_>, bar: &Bar, y: i32) -> Drawn {
    let middle = y + BAR / 2;
    write(root, &bar.label, TEXT_PX, theme::TEXT, HPos::Right, (LEFT - 12, middle))?;
    let sum: f64 = bar.parts.iter().map(|(_, value)| value).sum();
    let mut done = 0.0;
    for (part, value) in &bar.parts {
        let from = pixel(done, sum);
        done += value;
        let to = pixel(done, sum);
        if to > from {
            fill(root, [(from, y), (to, y + BAR)], theme::of_part(part))?;
        }
    }
    write(root, &bar.end, TEXT_PX, theme::MUTED, HPos::Left, (RIGHT + 12, middle))
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

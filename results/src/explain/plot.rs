//! The plot of an explanation: one bar a function, to the right where the cell spends more, to the
//! left where it spends less.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::explanation::{Explanation, ProfileLine, shortened};
use super::tables::signed;
use crate::format::fixed;
use crate::plots::{self, Area, Drawn, PlotError, WIDTH, count, fill, theme, write};

/// Bars drawn; the rest is one bar.
const BARS_MAX: usize = 25;
const TOP: i32 = 132;
const LEFT: i32 = 400;
const RIGHT: i32 = 850;
const BAR: i32 = 20;
const PITCH: i32 = 28;
const TEXT_PX: f64 = 19.0;
/// Longest name drawn, characters.
const NAME_MAX: usize = 40;

/// A complete SVG file.
pub(crate) fn draw(explanation: &Explanation) -> Result<String, PlotError> {
    let lines = shortened(&explanation.lines(), BARS_MAX);
    let bars: Vec<(String, f64)> =
        lines.iter().filter(|line| line.difference() != 0.0).map(named).collect();
    let height = 60 + TOP + PITCH * count(&bars);
    let size = (WIDTH, height.unsigned_abs());
    let svg = plots::svg("explain", size, |root| draw_on(root, explanation, &bars))?;
    Ok(theme::finish(&svg, &title(explanation)))
}

fn named(line: &ProfileLine) -> (String, f64) {
    let module = line.module.as_ref().map_or(String::new(), |module| format!(" [{module}]"));
    let name = format!("{}{module}", line.function);
    (name.chars().take(NAME_MAX).collect(), line.difference())
}

fn title(explanation: &Explanation) -> String {
    let Explanation { metric, label, .. } = explanation;
    match explanation.against {
        None => format!("Where the instructions of {metric} ({label}) go"),
        Some(_) => format!("Where the difference of {metric} ({label}) comes from"),
    }
}

/// Where on the way from left to right values are, so that all of `bars` fit.
#[expect(clippy::cast_possible_truncation, reason = "at most the width of the plot")]
fn scale(bars: &[(String, f64)]) -> impl Fn(f64) -> i32 + use<> {
    let values = || bars.iter().map(|(_, value)| *value);
    let (least, most) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let span = if most > least { most - least } else { 1.0 };
    let pixels_each = f64::from(RIGHT - LEFT) / span;
    move |value| LEFT + ((value - least) * pixels_each).round() as i32
}

fn draw_on(root: &Area<'_>, explanation: &Explanation, bars: &[(String, f64)]) -> Drawn {
    root.draw_text(&title(explanation), &theme::bold(26.0, theme::TEXT), (24, 18))?;
    let muted = theme::text(TEXT_PX, theme::MUTED);
    let cell = &explanation.cell.cell;
    let lines = if let Some(other) = &explanation.against {
        [format!("from {cell}"), format!("to {}", other.cell)]
    } else {
        let each = fixed(explanation.cell.executed_mean(), 0);
        [cell.clone(), format!("{each} instructions a sample")]
    };
    for (y, line) in [58, 84].into_iter().zip(&lines) {
        root.draw_text(line, &muted, (24, y))?;
    }
    let at = scale(bars);
    for (y, (name, value)) in (TOP..).step_by(PITCH.unsigned_abs() as usize).zip(bars) {
        draw_bar(root, &at, y, name, *value, explanation.against.is_some())?;
    }
    let zero = at(0.0);
    let bottom = TOP + PITCH * count(bars);
    root.draw(&PathElement::new(vec![(zero, TOP - 6), (zero, bottom)], theme::MUTED.color()))?;
    let foot = match explanation.against {
        None => "instructions a sample".to_owned(),
        Some(_) => format!(
            "instructions a sample, {} in all; right: more in the second cell, left: fewer",
            signed(explanation.explained())
        ),
    };
    root.draw_text(&foot, &muted, (24, bottom + 18))
}

fn draw_bar(
    root: &Area<'_>,
    at: &impl Fn(f64) -> i32,
    y: i32,
    name: &str,
    value: f64,
    with_sign: bool,
) -> Drawn {
    let middle = y + BAR / 2;
    write(root, name, TEXT_PX, theme::TEXT, HPos::Right, (LEFT - 12, middle))?;
    let zero = at(0.0);
    let (from, to) = (zero.min(at(value)), zero.max(at(value)));
    let paint = if value > 0.0 { theme::MORE } else { theme::LESS };
    fill(root, [(from, y), (to.max(from + 1), y + BAR)], paint)?;
    let number = if with_sign { signed(value) } else { fixed(value, 0) };
    write(root, &number, TEXT_PX, theme::MUTED, HPos::Left, (to.max(zero) + 8, middle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::explanation::tests::{alone, example};

    #[test]
    fn more_and_less_have_colours_of_their_own_and_sides() {
        let svg = draw(&example()).unwrap();
        assert!(svg.contains("ipt_do_table [ip_tables]") && svg.contains("+3,000"), "{svg}");
        assert!(svg.contains("schedule") && svg.contains("-100"), "{svg}");
        assert!(!svg.contains("(user space)"), "no difference, no bar");
        assert!(svg.contains("prefers-color-scheme: dark"));
        let at = scale(&[("a".into(), 300.0), ("b".into(), -100.0)]);
        assert_eq!((at(-100.0), at(300.0)), (LEFT, RIGHT));
    }

    #[test]
    fn one_cell_and_no_difference_at_all_can_be_drawn() {
        let mut explanation = alone();
        assert!(draw(&explanation).unwrap().contains("3,910 instructions a sample"));
        explanation.against = Some(explanation.cell.clone());
        assert!(!draw(&explanation).unwrap().contains("NaN"));
    }
}

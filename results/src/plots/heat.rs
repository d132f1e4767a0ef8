//! A map of numbers: rows are proxies and sizes, columns kernels; a cell holds the number and its
//! ratio to the reference in print, and the ratio as colour. A cell without a number is hatched and
//! says why in a word.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, Drawing, Drawn, TEXT_PX, WIDTH, count, fill, head, theme, write};
use crate::format;

const LEFT: i32 = 150;
const RIGHT: i32 = 24;
const TOP: i32 = 176;
const CELL_MIN: i32 = 138;
const CELL_MAX: i32 = 200;
const ROW: i32 = 66;
const GAP: i32 = 4;
const GROUP_HEAD: i32 = 52;
/// Width of a character of a kernel's name, pixels, on the safe side.
const CHARACTER: i32 = 16;

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// A number, and its ratio to the reference kernel's.
    Number { text: String, ratio: Option<f64> },
    /// A word instead.
    Missing(&'static str),
}

/// One row: a size of a proxy.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Heading above the rows of one proxy.
    pub proxy: String,
    /// At its left.
    pub label: String,
    /// One for each kernel.
    pub cells: Vec<Cell>,
}

/// A map.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    pub title: String,
    pub subtitle: String,
    /// Short names, in order.
    pub kernels: Vec<String>,
    /// Short name of the reference.
    pub reference: String,
    pub rows: Vec<Row>,
}

impl Drawing for Map {
    fn title(&self) -> &str {
        &self.title
    }

    fn size(&self) -> (u32, u32) {
        let heads = self.rows.chunk_by(|a, b| a.proxy == b.proxy).count();
        let heads = i32::try_from(heads).unwrap_or(0);
        let height = TOP + count(&self.rows) * ROW + heads * GROUP_HEAD + 150;
        let width = LEFT + count(&self.kernels) * self.cell() + RIGHT;
        (width.unsigned_abs().max(WIDTH), height.unsigned_abs())
    }

    fn draw_on(&self, root: &Area<'_>) -> Drawn {
        head(root, &self.title, &self.subtitle)?;
        let cell = self.cell();
        for (at, kernel) in (0..).zip(&self.kernels) {
            let x = LEFT + at * cell + cell / 2;
            write(root, kernel, TEXT_PX, theme::TEXT, HPos::Center, (x, TOP - 42))?;
            if *kernel == self.reference {
                write(root, "reference", 21.0, theme::MUTED, HPos::Center, (x, TOP - 14))?;
            }
        }
        let mut y = TOP;
        for rows in self.rows.chunk_by(|a, b| a.proxy == b.proxy) {
            let style = theme::bold(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Left));
            let proxy = rows.first().map_or("", |row| &row.proxy);
            root.draw_text(proxy, &style, (24, y + GROUP_HEAD / 2 + 4))?;
            y += GROUP_HEAD;
            for row in rows {
                let place = (LEFT - 16, y + ROW / 2);
                write(root, &row.label, TEXT_PX, theme::MUTED, HPos::Right, place)?;
                for (at, one) in (0..).zip(&row.cells) {
                    draw_cell(root, one, (LEFT + at * cell, y), (cell - GAP, ROW - GAP))?;
                }
                y += ROW;
            }
        }
        self.draw_scale(root, y + 36)
    }
}

impl Map {
    /// Width of a cell: what fits, what its kernel's name needs, and not more than reads well.
    fn cell(&self) -> i32 {
        let longest = self.kernels.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let needed = i32::try_from(longest).unwrap_or(100).min(100) * CHARACTER;
        let fits = (WIDTH.cast_signed() - LEFT - RIGHT) / count(&self.kernels).max(1);
        fits.clamp(CELL_MIN, CELL_MAX).max(needed)
    }

    /// What the colours mean: one box each, the ratio between two of them under their border.
    fn draw_scale(&self, root: &Area<'_>, y: i32) -> Drawn {
        let words = format!("ratio to {}", self.reference);
        write(root, &words, 24.0, theme::MUTED, HPos::Left, (24, y + 16))?;
        let left =
            24 + CHARACTER * 9 + i32::try_from(self.reference.chars().count()).unwrap_or(0) * 14;
        let width = (WIDTH.cast_signed() - left - 60) / count(&theme::RATIOS);
        for (at, (end, paint)) in (0..).zip(theme::RATIOS) {
            let x = left + at * width;
            fill(root, [(x, y), (x + width - 2, y + 32)], paint)?;
            if end.is_finite() {
                let place = (x + width, y + 54);
                write(root, &end.to_string(), 22.0, theme::MUTED, HPos::Center, place)?;
            }
        }
        Ok(())
    }
}

fn draw_cell(
    root: &Area<'_>,
    cell: &Cell,
    (x, y): (i32, i32),
    (width, height): (i32, i32),
) -> Drawn {
    let corners = [(x, y), (x + width, y + height)];
    let (middle, centre) = (x + width / 2, y + height / 2);
    match cell {
        Cell::Number { text, ratio } => {
            fill(root, corners, ratio.map_or(theme::EMPTY, theme::of_ratio))?;
            write(root, text, TEXT_PX, theme::TEXT, HPos::Center, (middle, centre - 11))?;
            let change = ratio
                .map_or("no reference".to_owned(), |ratio| format::signed_percent(ratio - 1.0));
            write(root, &change, 20.0, theme::TEXT, HPos::Center, (middle, centre + 16))
        }
        Cell::Missing(word) => {
            fill(root, corners, theme::EMPTY)?;
            for at in (12..width + height).step_by(12) {
                let from = (x + at.min(width), y + (at - width).max(0));
                let to = (x + (at - height).max(0), y + at.min(height));
                root.draw(&PathElement::new(vec![from, to], theme::HATCH.color()))?;
            }
            root.draw(&Rectangle::new(corners, theme::HATCH.color().stroke_width(2)))?;
            let half = i32::try_from(word.chars().count()).unwrap_or(0) * 5 + 6;
            let (left, right) = ((middle - half).max(x + 2), (middle + half).min(x + width - 2));
            fill(root, [(left, centre - 14), (right, centre + 14)], theme::EMPTY)?;
            write(root, word, 20.0, theme::MUTED, HPos::Center, (middle, centre))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plots::tests::drawn;

    fn map(kernels: usize) -> Map {
        let names: Vec<String> = (0..kernels).map(|at| format!("6.{at}")).collect();
        let cell = Cell::Number { text: "59.1k".into(), ratio: Some(1.27) };
        let mut cells = vec![cell; kernels];
        cells[kernels - 1] = Cell::Missing("unsupported");
        Map {
            title: "t".into(),
            subtitle: "s".into(),
            reference: names[0].clone(),
            kernels: names,
            rows: vec![Row { proxy: "ipvs".into(), label: "10,000".into(), cells }],
        }
    }

    #[test]
    fn number_change_and_word_are_in_print() {
        let svg = drawn(&map(3));
        assert!(svg.contains("59.1k") && svg.contains("+27%") && svg.contains("unsupported"));
        assert!(!svg.contains("inf"), "the last colour has no end");
    }

    #[test]
    fn many_kernels_widen_the_map_instead_of_their_numbers_touching() {
        assert_eq!(map(3).size().0, WIDTH);
        assert!(map(20).size().0.cast_signed() >= LEFT + 20 * CELL_MIN);
    }
}

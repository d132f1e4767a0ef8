//! A map of numbers: rows are proxies and sizes, columns kernels; a cell holds the number and its
//! ratio to the reference in print, and the ratio as colour. A cell without a number is hatched and
//! says why in a word.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::lines::TEXT_PX;
use super::{PlotError, theme};
use crate::format;

pub(crate) const WIDTH_MIN: i32 = 1000;
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

impl Map {
    /// The SVG as plotters writes it. `kind` names the plot in an error.
    pub fn draw(&self, kind: &str) -> Result<String, PlotError> {
        let size = (self.width().unsigned_abs(), self.height().unsigned_abs());
        super::svg(kind, size, |root| self.draw_on(root))
    }

    fn columns(&self) -> i32 {
        i32::try_from(self.kernels.len()).unwrap_or(1).clamp(1, 10_000)
    }

    /// Width of a cell: what fits, what its kernel's name needs, and not more than reads well.
    fn cell(&self) -> i32 {
        let longest = self.kernels.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let needed = i32::try_from(longest).unwrap_or(100).min(100) * CHARACTER;
        let fits = (WIDTH_MIN - LEFT - RIGHT) / self.columns();
        fits.clamp(CELL_MIN, CELL_MAX).max(needed)
    }

    /// Width of the whole, pixels.
    pub fn width(&self) -> i32 {
        (LEFT + self.columns() * self.cell() + RIGHT).max(WIDTH_MIN)
    }

    fn height(&self) -> i32 {
        let rows = i32::try_from(self.rows.len()).unwrap_or(0);
        let mut proxies: Vec<&str> = self.rows.iter().map(|row| row.proxy.as_str()).collect();
        proxies.dedup();
        let heads = i32::try_from(proxies.len()).unwrap_or(0);
        TOP + rows * ROW + heads * GROUP_HEAD + 150
    }

    fn draw_on<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        root.fill(&theme::BACKGROUND.color())?;
        root.draw_text(&self.title, &theme::bold(30.0, theme::TEXT), (24, 20))?;
        root.draw_text(&self.subtitle, &theme::text(TEXT_PX, theme::MUTED), (24, 62))?;
        let center = theme::text(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Center));
        for (at, kernel) in (0..).zip(&self.kernels) {
            let x = LEFT + at * self.cell() + self.cell() / 2;
            root.draw_text(kernel, &center, (x, TOP - 42))?;
            if *kernel == self.reference {
                let style = theme::text(21.0, theme::MUTED).pos(theme::middle(HPos::Center));
                root.draw_text("reference", &style, (x, TOP - 14))?;
            }
        }
        let mut y = TOP;
        let mut proxy = "";
        for row in &self.rows {
            if row.proxy != proxy {
                proxy = &row.proxy;
                let style = theme::bold(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Left));
                root.draw_text(proxy, &style, (24, y + GROUP_HEAD / 2 + 4))?;
                y += GROUP_HEAD;
            }
            let style = theme::text(TEXT_PX, theme::MUTED).pos(theme::middle(HPos::Right));
            root.draw_text(&row.label, &style, (LEFT - 16, y + ROW / 2))?;
            for (at, cell) in (0..).zip(&row.cells) {
                let corner = (LEFT + at * self.cell(), y);
                draw_cell(root, cell, corner, (self.cell() - GAP, ROW - GAP))?;
            }
            y += ROW;
        }
        self.draw_scale(root, y + 36)
    }

    /// What the colours mean: one box each, the ratio between two of them under their border.
    fn draw_scale<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
        y: i32,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let style = theme::text(24.0, theme::MUTED).pos(theme::middle(HPos::Left));
        root.draw_text(&format!("ratio to {}", self.reference), &style, (24, y + 16))?;
        let scale = theme::ratio_scale();
        let left =
            24 + CHARACTER * 9 + i32::try_from(self.reference.chars().count()).unwrap_or(0) * 14;
        let width = (WIDTH_MIN - left - 60) / i32::try_from(scale.len()).unwrap_or(1);
        for (at, (end, paint)) in (0..).zip(scale) {
            let x = left + at * width;
            let corners = [(x, y), (x + width - 2, y + 32)];
            root.draw(&Rectangle::new(corners, paint.color().filled()))?;
            if end.is_finite() {
                let style = theme::text(22.0, theme::MUTED).pos(theme::middle(HPos::Center));
                root.draw_text(&format!("{end}"), &style, (x + width, y + 54))?;
            }
        }
        Ok(())
    }
}

fn draw_cell<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    cell: &Cell,
    (x, y): (i32, i32),
    (width, height): (i32, i32),
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let corners = [(x, y), (x + width, y + height)];
    let centered = |size: f64, paint| theme::text(size, paint).pos(theme::middle(HPos::Center));
    let middle = x + width / 2;
    match cell {
        Cell::Number { text, ratio } => {
            let fill = ratio.map_or(theme::EMPTY, theme::of_ratio);
            root.draw(&Rectangle::new(corners, fill.color().filled()))?;
            root.draw_text(text, &centered(TEXT_PX, theme::TEXT), (middle, y + height / 2 - 11))?;
            let change = ratio
                .map_or("no reference".to_owned(), |ratio| format::signed_percent(ratio - 1.0));
            root.draw_text(&change, &centered(20.0, theme::TEXT), (middle, y + height / 2 + 16))
        }
        Cell::Missing(word) => {
            root.draw(&Rectangle::new(corners, theme::EMPTY.color().filled()))?;
            let mut at = 12;
            while at < width + height {
                let from = (x + at.min(width), y + (at - width).max(0));
                let to = (x + (at - height).max(0), y + at.min(height));
                root.draw(&PathElement::new(vec![from, to], theme::HATCH.color()))?;
                at += 12;
            }
            root.draw(&Rectangle::new(corners, theme::HATCH.color().stroke_width(2)))?;
            let half = i32::try_from(word.chars().count()).unwrap_or(0) * 5 + 6;
            let plate = [
                ((middle - half).max(x + 2), y + height / 2 - 14),
                ((middle + half).min(x + width - 2), y + height / 2 + 14),
            ];
            root.draw(&Rectangle::new(plate, theme::EMPTY.color().filled()))?;
            root.draw_text(word, &centered(20.0, theme::MUTED), (middle, y + height / 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let svg = map(3).draw("t").unwrap();
        assert!(svg.contains("59.1k") && svg.contains("+27%") && svg.contains("unsupported"));
        assert!(!svg.contains("inf"), "the last colour has no end");
    }

    #[test]
    fn many_kernels_widen_the_map_instead_of_their_numbers_touching() {
        assert_eq!(map(3).width(), WIDTH_MIN);
        assert!(map(20).width() >= LEFT + 20 * CELL_MIN);
    }
}

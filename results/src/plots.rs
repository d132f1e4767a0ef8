//! Plots as SVG: how lines, bars, ladders, maps, axes and colours look. What is drawn is for the
//! features to say.

pub(crate) mod axes;
pub(crate) mod bars;
pub(crate) mod heat;
pub(crate) mod ladder;
pub(crate) mod lines;
pub(crate) mod theme;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, SVGBackend};

use crate::tables::Table;

/// One plot, with the numbers it shows.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// File name without its ending: `connect-last.6.1.0.guest.instructions`.
    pub name: String,
    /// What it shows, in one line; also its accessible name.
    pub title: String,
    /// A complete SVG file.
    pub svg: String,
    /// The same numbers as a table.
    pub table: Table,
    /// Needs the whole width of a page.
    pub wide: bool,
}

/// What plots are drawn on.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Why a plot cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {plot}: {detail}")]
pub struct PlotError {
    pub(crate) plot: String,
    pub(crate) detail: String,
}

/// The SVG as plotters writes it: what `draw` puts on an area of this width and height. `kind`
/// names the plot in an error.
pub(crate) fn svg(
    kind: &str,
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw(&root).map_err(|error| PlotError { plot: kind.to_owned(), detail: error.to_string() })?;
    drop(root);
    Ok(svg)
}

impl Plot {
    /// The SVG element for a page of HTML, which needs no namespace and has [`style_sheet`] once
    /// for all plots.
    pub fn inline(&self) -> String {
        let style = format!("<style>{}</style>", theme::style_sheet());
        self.svg.replacen(theme::NAMESPACE, "", 1).replacen(&style, "", 1)
    }
}

/// What plots on a page share: fonts, and colours in the dark.
pub(crate) fn style_sheet() -> String {
    theme::style_sheet()
}

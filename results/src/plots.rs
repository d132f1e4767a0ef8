//! Plots as SVG: how lines, bars, ladders, maps, axes and colours look. What is drawn is for the
//! features to say.

pub(crate) mod axes;
pub(crate) mod bars;
pub(crate) mod explore;
pub(crate) mod heat;
pub(crate) mod ladder;
pub(crate) mod lines;
pub(crate) mod theme;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use self::explore::Explored;
use self::theme::Paint;
use crate::tables::Table;

/// Width of a plot, unless it needs more, pixels.
pub(crate) const WIDTH: u32 = 1000;
/// Size of most text, pixels.
pub(crate) const TEXT_PX: f64 = 27.0;

/// One plot, with the numbers it shows.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// File name without its ending: `connect-last.6.1.0.guest.instructions`.
    pub name: String,
    /// What it shows, in one line; also its accessible name.
    pub title: String,
    /// A complete SVG file.
    pub svg: String,
    /// The same as data, for a page on which it can be explored.
    pub explored: Option<Explored>,
    /// The same numbers as a table.
    pub table: Table,
    /// Needs the whole width of a page.
    pub wide: bool,
}

/// What plots are drawn on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing ends with.
pub(crate) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

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
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let drawn = root.fill(&theme::BACKGROUND.color()).and_then(|()| draw(&root));
    drawn.map_err(|error| PlotError { plot: kind.to_owned(), detail: error.to_string() })?;
    drop(root);
    Ok(svg)
}

/// The two lines at the top of a plot.
fn head(root: &Area<'_>, title: &str, subtitle: &str) -> Drawn {
    root.draw_text(title, &theme::bold(30.0, theme::TEXT), (24, 20))?;
    root.draw_text(subtitle, &theme::text(TEXT_PX, theme::MUTED), (24, 62))
}

/// Writes `text` with its vertical centre, and this side of it, at a point.
pub(crate) fn write(
    root: &Area<'_>,
    text: &str,
    px: f64,
    paint: Paint,
    side: HPos,
    at: (i32, i32),
) -> Drawn {
    root.draw_text(text, &theme::text(px, paint).pos(theme::middle(side)), at)
}

/// Fills the rectangle between two corners.
pub(crate) fn fill(root: &Area<'_>, corners: [(i32, i32); 2], paint: Paint) -> Drawn {
    root.draw(&Rectangle::new(corners, paint.color().filled()))
}

/// A number of things as pixels are counted.
pub(crate) fn count<T>(things: &[T]) -> i32 {
    i32::try_from(things.len()).unwrap_or(i32::MAX / 1000)
}

/// What can be drawn.
pub(crate) trait Drawing {
    /// What stands above it.
    fn title(&self) -> &str;

    /// Width and height, pixels.
    fn size(&self) -> (u32, u32);

    /// What it shows as data, if it can be explored.
    fn explored(&self) -> Option<Explored> {
        None
    }

    /// Draws on an area of that size.
    fn draw_on(&self, root: &Area<'_>) -> Drawn;
}

impl Plot {
    /// Draws. `title` is the drawing's own, and what tells plots with the same one apart.
    pub fn of(
        drawing: &dyn Drawing,
        name: String,
        title: String,
        table: Table,
    ) -> Result<Self, PlotError> {
        let svg = svg(&name, drawing.size(), |root| drawing.draw_on(root))?;
        let wide = drawing.size().0 > WIDTH;
        let explored = drawing.explored();
        Ok(Self { svg: theme::finish(&svg, &title), name, title, explored, table, wide })
    }

    /// The SVG element for a page of HTML, which needs no namespace and has
    /// [`theme::style_sheet`] once for all plots.
    pub fn inline(&self) -> String {
        let style = format!("<style>{}</style>", theme::style_sheet());
        self.svg.replacen(theme::NAMESPACE, "", 1).replacen(&style, "", 1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The SVG of a drawing.
    pub fn drawn(drawing: &dyn Drawing) -> String {
        svg("t", drawing.size(), |root| drawing.draw_on(root)).unwrap()
    }
}

//! A calibration as one HTML page that fetches nothing: what was reached, the curve of each clock, and the numbers behind it.

use askama::Template;

use super::render::{clock_title, clocks, findings, method, table};
use super::{Calibration, CalibrationError};
use crate::plots::{self, Plot};

/// One clock.
struct Section {
    heading: &'static str,
    findings: Vec<String>,
    method: String,
    plot: Option<Plot>,
    /// Without a plot the table stands alone.
    table: crate::tables::Table,
}

#[derive(Template)]
#[template(path = "calibration.html")]
struct Page<'a> {
    sections: Vec<Section>,
    command: &'a str,
    seed: u64,
    style: String,
}

/// The whole page; `command` is what writes it.
///
/// # Errors
/// [`CalibrationError::Plot`] and [`CalibrationError::Page`].
pub fn html(calibration: &Calibration, command: &str) -> Result<String, CalibrationError> {
    let mut sections = Vec::new();
    for clock in clocks(calibration) {
        sections.push(Section {
            heading: clock_title(clock),
            findings: findings(calibration, clock),
            method: method(clock).replace(['`', '*'], ""),
            plot: super::plot::plot(calibration, clock)?,
            table: table(calibration, clock),
        });
    }
    let page = Page { sections, command, seed: calibration.seed, style: plots::style_sheet() };
    Ok(page.render()?)
}

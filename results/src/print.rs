//! Shows any [`Document`]: as text for a terminal, as Markdown, as one page of HTML that fetches
//! nothing, and as files of these.

mod html;
mod markdown;
mod terminal;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::document::Document;
use crate::files::{FileError, write_file};

pub use html::page as html;
pub use markdown::page as markdown;
pub use terminal::{detailed, page as terminal};

/// Why a page cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The page cannot be rendered.
    #[error("cannot render the page: {0}")]
    Render(#[from] askama::Error),
    /// What is written beside a page for programs.
    #[error("cannot write the JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Writes `STEM.html`, `STEM.md` and the plots into `dir`, which is made when it is not there.
/// Files of an earlier page are replaced, each at once. Gives the paths, the page first.
///
/// # Errors
/// [`PrintError`].
pub fn write(document: &Document, dir: &Path, stem: &str) -> Result<Vec<PathBuf>, PrintError> {
    let folder = dir.join(document.plots_in.trim_end_matches('/'));
    let plots = document.plots().into_iter();
    let plots = plots.map(|plot| write_file(&folder, &format!("{}.svg", plot.name), &plot.svg));
    let plots = plots.collect::<Result<Vec<_>, _>>()?;
    let mut paths = vec![
        write_file(dir, &format!("{stem}.html"), &html(document)?)?,
        write_file(dir, &format!("{stem}.md"), &markdown(document))?,
    ];
    paths.extend(plots);
    Ok(paths)
}

/// The same, and beside it `STEM.json` with what the page is made from, for programs.
///
/// # Errors
/// [`PrintError`].
pub fn write_with_json(
    document: &Document,
    value: &impl Serialize,
    dir: &Path,
    stem: &str,
) -> Result<Vec<PathBuf>, PrintError> {
    let json = serde_json::to_string_pretty(value)? + "\n";
    let mut paths = write(document, dir, stem)?;
    paths.push(write_file(dir, &format!("{stem}.json"), &json)?);
    Ok(paths)
}

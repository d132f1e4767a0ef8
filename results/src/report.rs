//! Reports on stored runs: one self-contained HTML page, one Markdown file and the plots.
//!
//! This file orders the parts and writes the files; the content comes from `findings`, `tables` and `plots`.

mod html;
pub(crate) mod markdown;
mod page;
mod plots;
mod tables;
pub mod terminal;

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::compare::CompareError;
use crate::distribution::DistributionError;
use crate::kernel::KernelError;
use crate::plots::PlotError;
use crate::store::Run;
use crate::view::View;
use page::Page;

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Nothing to report on.
    #[error("there is no run to report on; name at least one results folder")]
    NoRuns,
    /// Two runs hold the same cell.
    #[error("cell {id} is in both {} and {}; report the runs apart, or set them side by side with `vipbench compare`", .first.display(), .second.display())]
    DuplicateCell {
        /// The cell.
        id: String,
        /// A run that holds it.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// A metric's values cannot be trusted.
    #[error("cell {cell}, metric {metric}: {source}")]
    Values {
        /// The cell.
        cell: String,
        /// Name and label.
        metric: String,
        /// What is wrong.
        source: DistributionError,
    },
    /// Kernels cannot be compared.
    #[error("cannot compare kernels: {0}")]
    Compare(#[from] CompareError),
    /// A claim that means nothing.
    #[error(transparent)]
    Claim(#[from] crate::replicate::ClaimError),
    /// The reference kernel is not there.
    #[error("--reference-kernel: {0}")]
    Reference(#[from] KernelError),
    /// A plot cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The page cannot be rendered.
    #[error("cannot render report.html: {0}")]
    Render(#[from] askama::Error),
    /// A file cannot be written.
    #[error("cannot {operation} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a reader may choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Kernel that others are compared with: its release or the beginning of it. Without one it is the oldest.
    pub reference_kernel: Option<String>,
}

/// [`write_with`] the default options.
///
/// # Errors
/// [`ReportError`].
pub fn write(runs: &[Run], dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    write_with(runs, dir, &Options::default())
}

/// Writes `report.html`, `report.md` and `plots/*.svg` into `dir`, which is made when it is not there. Files of an earlier report are
/// replaced, each at once. Gives the paths, the page first.
///
/// Several runs are reported together, for example one a kernel; they may not hold the same cell.
///
/// # Errors
/// [`ReportError`].
pub fn write_with(
    runs: &[Run],
    dir: &Path,
    options: &Options,
) -> Result<Vec<PathBuf>, ReportError> {
    let view = View::new(runs)?;
    let page = Page::of(&view, options, dir)?;
    let plots = dir.join("plots");
    fs::create_dir_all(&plots).map_err(|source| ReportError::Io {
        operation: "create folder",
        path: plots.clone(),
        source,
    })?;
    let mut paths = vec![
        write_file(dir, "report.html", &html::render(&page)?)?,
        write_file(dir, "report.md", &markdown::render(&page))?,
    ];
    for plot in page.plots() {
        paths.push(write_file(&plots, &format!("{}.svg", plot.name), &plot.svg)?);
    }
    Ok(paths)
}

/// Writes beside the place and renames, so that nobody reads half a file.
pub(crate) fn write_file(dir: &Path, name: &str, content: &str) -> Result<PathBuf, ReportError> {
    let path = dir.join(name);
    let written = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666)) // less the umask, as for any other file
        .tempfile_in(dir)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)
        });
    match written {
        Ok(_) => Ok(path),
        Err(source) => Err(ReportError::Io { operation: "write", path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::Distribution;
    use tempfile::TempDir;

    #[test]
    fn a_report_is_a_page_a_text_and_its_plots() {
        let dir = TempDir::new().unwrap();
        let paths = write(&[fixture::stored()], &dir.path().join("new")).unwrap();
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.strip_prefix(dir.path().join("new")).unwrap().display().to_string())
            .collect();
        assert_eq!(names[..2], ["report.html", "report.md"]);
        assert_eq!(names.len(), 2 + 5, "{names:?}");
        assert!(paths.iter().all(|path| path.is_file()));
        // Again into the same place, with another run: replaced, not refused.
        write(&[fixture::wall()], &dir.path().join("new")).unwrap();
    }

    #[test]
    fn every_plot_that_the_text_links_to_is_written() {
        let dir = TempDir::new().unwrap();
        let paths = write(&[fixture::stored(), fixture::other_kernel()], dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join("report.md")).unwrap();
        let links: Vec<&str> =
            text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
        assert_eq!(links.len(), paths.len() - 2);
        assert!(links.iter().all(|link| dir.path().join(link).is_file()), "{links:?}");
    }

    #[test]
    fn extreme_numbers_neither_panic_nor_hang() {
        let mut run = fixture::wall();
        for (at, cell) in run.cells.iter_mut().enumerate() {
            cell.labels.services = [0, 1, u64::MAX][at % 3];
            cell.id = format!("{}.{at}", cell.labels.cell_id());
            for (number, metric) in cell.metrics.iter_mut().enumerate() {
                let values = [vec![], vec![0, 0], vec![u64::MAX, 1], vec![u64::MAX; 3]];
                metric.data = Distribution::Values { values: values[(at + number) % 4].clone() };
            }
        }
        let dir = TempDir::new().unwrap();
        let paths = write(&[run.clone()], dir.path()).unwrap();
        let page = fs::read_to_string(&paths[0]).unwrap();
        assert!(
            !page.contains("NaN") && !page.contains("inf%"),
            "a number that is none reached the page"
        );
        assert!(terminal::summary(&[run], Some(20)).is_ok());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = write(&[fixture::wall()], Path::new("/proc/none")).unwrap_err().to_string();
        assert!(error.starts_with("cannot create folder /proc/none/plots: "), "{error}");
    }
}

//! The results folder of a run: which one, and which cells it lacks.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use anyhow::Context;
use results::{RunRecord, RunWriter};

use super::RunRequest;
use crate::cell::CellSpec;
use crate::console;

/// Parent of results folders that were not named.
const RUNS: &str = "runs";

/// The folder as named, the newest of this scenario to resume, or a new one.
pub(super) fn choose(request: &RunRequest, scenario: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &request.output {
        return Ok(folder.clone());
    }
    let prefix = format!("{scenario}-");
    if request.resume {
        let entries = fs::read_dir(RUNS).with_context(|| format!("--resume: no folder {RUNS}/"))?;
        let named = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
        let newest = entries.filter_map(Result::ok).filter(named).map(|entry| entry.path()).max();
        return newest.with_context(|| {
            format!("--resume: no run of {scenario} in {RUNS}/; name it with -o")
        });
    }
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    Ok(Path::new(RUNS).join(format!("{prefix}{now}")))
}

/// A new folder, or an old one with the cells that are still to do.
pub(super) fn open(
    folder: &Path,
    record: &RunRecord,
    cells: Vec<CellSpec>,
    resume: bool,
) -> anyhow::Result<(RunWriter, Vec<CellSpec>)> {
    if !resume {
        return Ok((RunWriter::create(folder, record)?, cells));
    }
    let writer = RunWriter::resume(folder, record)?;
    for warning in writer.warnings() {
        console::warn(warning);
    }
    let left = cells.into_iter().filter(|cell| !writer.holds(&cell.id())).collect();
    Ok((writer, left))
}

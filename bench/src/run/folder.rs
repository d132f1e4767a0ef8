//! The results folder of a run: which one, and which cells it lacks.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use results::{CellRecord, Outcome, RunRecord, RunWriter};

use super::RunRequest;
use crate::console;
use crate::measure::spec::CellSpec;

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
    request: &RunRequest,
) -> anyhow::Result<(RunWriter, Vec<CellSpec>)> {
    if !request.resume {
        return Ok((RunWriter::create(folder, record)?, cells));
    }
    let is_again = |cell: &CellRecord| is_retried(&cell.outcome, &request.retry);
    let writer = RunWriter::resume(folder, record, is_again)?;
    for warning in writer.warnings() {
        console::warn(warning);
    }
    let left = cells.into_iter().filter(|cell| !writer.holds(&cell.id())).collect();
    Ok((writer, left))
}

/// A run's report would replace what others may have put into the folder under the same names. What
/// holds a run is told apart when it is opened.
pub(super) fn must_be_ours(folder: &Path) -> anyhow::Result<()> {
    let Ok(mut entries) = fs::read_dir(folder) else { return Ok(()) };
    let other = entries.next().and_then(Result::ok).map(|entry| entry.file_name());
    match other {
        Some(other) if !folder.join("run.json").exists() => bail!(
            "-o {}: the folder holds other things, such as {}; name a new folder or an empty one",
            folder.display(),
            other.display()
        ),
        _ => Ok(()),
    }
}

/// Larger cells were skipped for one that was censored, and go with it.
fn is_retried(outcome: &Outcome, retry: &[String]) -> bool {
    let kind = match outcome {
        Outcome::Skipped { .. } => "censored",
        other => other.kind(),
    };
    retry.iter().any(|retried| retried == kind)
}

#[cfg(test)]
mod tests {
    use results::Clock;

    use super::*;

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        must_be_ours(folder.path()).unwrap();
        must_be_ours(&folder.path().join("new")).unwrap();
        fs::write(folder.path().join("report.html"), "mine").unwrap();
        let error = must_be_ours(folder.path()).unwrap_err().to_string();
        assert!(error.contains("report.html"), "{error}");
        fs::write(folder.path().join("run.json"), "{}").unwrap();
        must_be_ours(folder.path()).unwrap();
    }

    #[test]
    fn what_is_retried_is_what_ended_so_and_what_was_skipped_for_it() {
        let retry = ["failed".to_owned(), "censored".to_owned()];
        let reason = String::new;
        let ends = [
            (Outcome::Failed { reason: reason() }, true),
            (Outcome::Censored { limit_s: 1, clock: Clock::Wall }, true),
            (Outcome::Skipped { reason: reason() }, true),
            (Outcome::Invalid { reason: reason() }, false),
            (Outcome::Measured, false),
        ];
        for (outcome, wanted) in ends {
            assert_eq!(is_retried(&outcome, &retry), wanted, "{outcome:?}");
        }
        assert!(!is_retried(&Outcome::Skipped { reason: reason() }, &retry[..1]));
    }
}

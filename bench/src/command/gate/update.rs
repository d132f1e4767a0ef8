//! Makes a run the baseline: the whole folder changes places with the old one in one step, so
//! nobody ever sees half of either.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use results::format::counted;
use results::{CELLS_FILE, Outcome, RUN_FILE, Run};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What `vipbench` writes into a results folder. Anything else in the baseline is somebody's, and
/// stays.
const OWN: [&str; 6] = [RUN_FILE, CELLS_FILE, "report.html", "report.md", "plots", "explain"];

/// Puts a copy of `new` in the place of `base`.
///
/// # Errors
/// A run that is not whole or has cells that went wrong, a link in its folder, a full disk: the
/// baseline stays as it was.
pub(super) fn replace(base: &Path, new: &Run) -> anyhow::Result<()> {
    check(new)?;
    let base = base.canonicalize().with_context(|| base.display().to_string())?;
    let source = new.dir.canonicalize().with_context(|| new.dir.display().to_string())?;
    ensure!(base != source, "--update: base and new are the same folder, {}", base.display());
    let beside = base.parent().context("the baseline has a folder that it is in")?;
    let copy = tempfile::Builder::new()
        .prefix(".vipbench-baseline-")
        .tempdir_in(beside)
        .with_context(|| format!("making a folder in {}", beside.display()))?;
    copy_folder(&source, copy.path())?;
    keep_foreign(&base, copy.path())?;
    fs::set_permissions(copy.path(), fs::metadata(&base)?.permissions())?;
    flush(copy.path())?;
    renameat_with(CWD, copy.path(), CWD, &base, RenameFlags::EXCHANGE)
        .with_context(|| format!("putting the new baseline in the place of {}", base.display()))?;
    flush(beside)?;
    // The old baseline is now where the copy was, and goes with it.
    copy.close().with_context(|| format!("removing the old baseline beside {}", base.display()))
}

/// Only a whole run without faults may be a measure for others.
fn check(run: &Run) -> anyhow::Result<()> {
    let place = run.dir.display();
    let missing = run.missing().len();
    ensure!(
        missing == 0 && run.record.shard.is_none(),
        "--update: {place} is not whole ({} missing); continue it with `vipbench run --resume`, or merge its shards",
        counted(missing as u64, "planned cell")
    );
    let wrong = run.cells.iter().find_map(|cell| match &cell.outcome {
        Outcome::Invalid { reason } | Outcome::Failed { reason } => Some((&cell.id, reason)),
        _ => None,
    });
    if let Some((id, reason)) = wrong {
        anyhow::bail!("--update: cell {id} of {place} went wrong ({reason}); run it again first");
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        copy_entry(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy_entry(from: &Path, to: &PathBuf) -> anyhow::Result<()> {
    let kind = fs::symlink_metadata(from).with_context(|| from.display().to_string())?.file_type();
    if kind.is_dir() {
        fs::create_dir(to).with_context(|| to.display().to_string())?;
        copy_folder(from, to)?;
    } else {
        ensure!(
            kind.is_file(),
            "--update: {} is neither a file nor a folder; remove it",
            from.display()
        );
        fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    }
    flush(to)
}

/// Copies what somebody else put into the baseline, such as a README.
fn keep_foreign(base: &Path, copy: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let to = copy.join(entry.file_name());
        let own = OWN.iter().any(|name| entry.file_name() == *name);
        if !own && !to.exists() {
            copy_entry(&entry.path(), &to)?;
        }
    }
    Ok(())
}

fn flush(path: &Path) -> anyhow::Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("flushing {}", path.display()))
}

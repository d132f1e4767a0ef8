//! `vipbench trend`: stored runs over time, and an exit code that tells whether the newest is worse.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use results::trend::{Recorded, document, trend};
use results::{RUN_FILE, Run};

use crate::cli::TrendArgs;
use crate::files::files_of;

/// The exit code of a gate that finds a regression.
const WORSE: u8 = 2;

pub(super) fn run(args: &TrendArgs) -> anyhow::Result<ExitCode> {
    let folders = match &args.store {
        Some(store) => stored(store).with_context(|| format!("--store {}", store.display()))?,
        None => args.runs.clone(),
    };
    // One run after the other: of each only what a trend needs stays in memory.
    let recorded = folders.iter().map(|folder| Ok(Recorded::of(&Run::read(folder)?)?));
    let trend = trend(recorded.collect::<anyhow::Result<_>>()?)?;
    super::page::show(&document(&trend)?, &trend, "trend", &args.page)?;
    let is_worse = !trend.worse_now().is_empty();
    Ok(if is_worse { ExitCode::from(WORSE) } else { ExitCode::SUCCESS })
}

/// The folders that hold a run.
fn stored(store: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_run = |path: &Path| path.file_name().is_some_and(|name| name == RUN_FILE);
    let files = files_of(store, is_run)?;
    ensure!(
        !files.is_empty(),
        "no folder in it holds a run (there is no {RUN_FILE}); name the folder that runs are in"
    );
    Ok(files.iter().filter_map(|file| Some(file.parent()?.to_owned())).collect())
}

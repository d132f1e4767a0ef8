//! `vipbench calibrate`: the gate measured with recorded runs, printed, and written as a page with
//! plots.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use results::calibration::{self, CalibrationOptions};
use results::{RUN_FILE, Run};

use crate::cli::CalibrateArgs;
use crate::console;

/// More runs in one folder are no calibration.
const RUNS_MAX: usize = 10_000;

pub(super) fn run(args: &CalibrateArgs) -> anyhow::Result<ExitCode> {
    let mut runs = Vec::new();
    for dir in &args.runs {
        runs.extend(read(dir)?);
    }
    let options = CalibrationOptions {
        gates: args.gates as usize,
        replicates: args.replicates.iter().map(|count| *count as usize).collect(),
        seed: args.random_seed,
    };
    let calibration = calibration::calibrate(&runs, &options)?;
    let document = calibration::document(&calibration, &console::command())?;
    super::page::show(&document, &calibration, "calibration", &args.page)?;
    Ok(ExitCode::SUCCESS)
}

/// The run of a folder, or the runs in the folders of one.
fn read(dir: &Path) -> anyhow::Result<Vec<Run>> {
    if dir.join(RUN_FILE).exists() {
        return Ok(vec![Run::read(dir)?]);
    }
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(RUN_FILE).exists())
        .collect();
    folders.sort();
    ensure!(!folders.is_empty(), "{}: there is no run in it; name results folders", dir.display());
    ensure!(
        folders.len() <= RUNS_MAX,
        "{}: {} runs are too many (limit {RUNS_MAX})",
        dir.display(),
        folders.len()
    );
    folders.iter().map(|folder| Ok(Run::read(folder)?)).collect()
}

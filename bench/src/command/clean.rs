//! `vipbench clean`: removes what a killed run left. Namespaces and guests die with their process; files do not.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use lab::image::Cache;

use crate::WORK_PREFIX;
use crate::cli::CleanArgs;

pub(super) fn run(args: &CleanArgs) -> anyhow::Result<ExitCode> {
    let mut doomed = abandoned_work_dirs()?;
    let cache = Cache::open()?;
    if args.cache {
        doomed.push(cache.root().to_owned());
    } else if !args.dry_run {
        cache.remove_partial()?;
    }
    if doomed.is_empty() {
        println!("nothing to clean");
    }
    for path in doomed {
        if args.dry_run {
            println!("would remove {}", path.display());
            continue;
        }
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("removing {}", path.display()))?;
        println!("removed {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Work directories whose process is gone. The process id is part of the name.
fn abandoned_work_dirs() -> anyhow::Result<Vec<PathBuf>> {
    let dir = std::env::temp_dir();
    let mut found = Vec::new();
    for entry in
        fs::read_dir(&dir).with_context(|| dir.display().to_string())?.filter_map(Result::ok)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix(WORK_PREFIX)
            .and_then(|rest| rest.split_once('-')?.0.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_vipbench(pid) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether `pid` is a living vipbench; a recycled id of another program does not count.
fn is_vipbench(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "vipbench")
}

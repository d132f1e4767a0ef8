//! `vipbench clean`: removes what a killed run left. Namespaces and guests die with their process; files do not.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use lab::image::{Cache, Removed};

use crate::WORK_PREFIX;
use crate::cli::CleanArgs;

pub(super) fn run(args: &CleanArgs) -> anyhow::Result<ExitCode> {
    crate::out::end_with_reader();
    let doomed = abandoned_work_dirs()?;
    let cache = Cache::open()?;
    if doomed.is_empty() && !args.cache {
        println!("nothing to clean");
    }
    for path in doomed {
        if args.dry_run {
            println!("would remove {}", path.display());
            continue;
        }
        fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        println!("removed {}", path.display());
    }
    match (args.cache, args.dry_run) {
        (true, true) => print_parts("would remove", &cache.parts()),
        (true, false) => print_parts("removed", &cache.remove()?),
        (false, true) => {}
        (false, false) => cache.remove_partial()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Every part of the cache with its size, and the sum.
fn print_parts(doing: &str, parts: &[Removed]) {
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    for part in parts {
        println!("{doing} {} ({})", part.path.display(), megabytes(part.bytes));
    }
    println!("{doing} {} in all", megabytes(parts.iter().map(|part| part.bytes).sum()));
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

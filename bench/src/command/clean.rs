//! `vipbench clean`: removes what a killed run left. Namespaces and guests die with their process;
//! files do not.

use std::fs;
use std::process::ExitCode;

use anyhow::Context;
use lab::image::{Cache, Removed};

use crate::cli::CleanArgs;
use crate::console;
use crate::place::abandoned;

pub(super) fn run(args: &CleanArgs) -> anyhow::Result<ExitCode> {
    let doomed = abandoned(&std::env::temp_dir())?;
    let cache = Cache::open()?;
    if doomed.is_empty() && !args.cache {
        console::line("nothing to clean")?;
    }
    for path in doomed {
        if args.dry_run {
            console::line(format_args!("would remove {}", path.display()))?;
            continue;
        }
        fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        console::line(format_args!("removed {}", path.display()))?;
    }
    match (args.cache, args.dry_run) {
        (true, true) => print_parts("would remove", &cache.parts())?,
        (true, false) => print_parts("removed", &cache.remove()?)?,
        (false, true) => {}
        (false, false) => cache.remove_partial()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Every part of the cache with its size, and the sum.
fn print_parts(doing: &str, parts: &[Removed]) -> anyhow::Result<()> {
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    for part in parts {
        console::line(format_args!("{doing} {} ({})", part.path.display(), megabytes(part.bytes)))?;
    }
    console::line(format_args!(
        "{doing} {} in all",
        megabytes(parts.iter().map(|part| part.bytes).sum())
    ))
}

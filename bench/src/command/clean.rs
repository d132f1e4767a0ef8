//! `vipbench clean`: removes what a killed run left. Namespaces and guests die with their process;
//! files do not. What living runs use stays.

use std::process::ExitCode;

use anyhow::bail;
use lab::image::{Cache, Removed};

use crate::cli::CleanArgs;
use crate::console;
use crate::place::abandoned;

pub(super) fn run(args: &CleanArgs) -> anyhow::Result<ExitCode> {
    let cache = Cache::open()?;
    let lock = cache.try_lock();
    let folders = abandoned(&std::env::temp_dir())?;
    let mut doomed: Vec<Removed> = folders.into_iter().map(Removed::of).collect();
    match (&lock, args.cache) {
        (Some(_), true) => doomed.extend(cache.unused()),
        (Some(_), false) => doomed.extend(cache.leftovers()),
        (None, true) => bail!(
            "another run fetches or builds in the kernel cache `{}`; wait for it, and clean then",
            cache.root().display()
        ),
        (None, false) => console::warn("the kernel cache is left alone: another run fills it"),
    }
    remove(&doomed, args.dry_run)?;
    if args.cache {
        for path in cache.held() {
            console::line(format_args!("kept {}: a run uses it", path.display()))?;
        }
        drop(lock);
        if !args.dry_run {
            cache.remove_folder();
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says of each what is removed, then removes it, and gives the sum.
fn remove(doomed: &[Removed], dry_run: bool) -> anyhow::Result<()> {
    if doomed.is_empty() {
        return console::line("nothing to clean");
    }
    let (doing, done) =
        if dry_run { ("would remove", "would remove") } else { ("removing", "removed") };
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    for part in doomed {
        console::line(format_args!("{doing} {} ({})", part.path.display(), megabytes(part.bytes)))?;
        if !dry_run {
            part.remove()?;
        }
    }
    let bytes = doomed.iter().map(|part| part.bytes).sum();
    console::line(format_args!("{done} {} in all", megabytes(bytes)))
}

//! `vipbench kernels fetch`: puts kernels into the cache, so that runs need no network for them.

use std::process::ExitCode;

use lab::image::{Cache, Kernels};

use super::{megabytes, selected};
use crate::cli::KernelsFetchArgs;
use crate::console;
use crate::run::progress::during;

pub(super) fn run(args: &KernelsFetchArgs) -> anyhow::Result<ExitCode> {
    let cache = Cache::open()?;
    if args.update {
        cache.forget_ranges()?;
    }
    let specs = selected(&args.specs, &cache)?;
    let mut table = console::table(["SPEC", "kernel", "source", "cached, MB"]);
    let mut failures = Vec::new();
    for spec in specs {
        let fetched = during(|progress| {
            let said = |what: &str| progress(&format!("{spec}: {what}"));
            let kernels = Kernels { cache: &cache, progress: &said };
            if args.update { kernels.refresh(&spec) } else { kernels.resolve(&spec) }
        });
        match fetched {
            Ok(kernel) => {
                let bytes = megabytes(kernel.bytes());
                table.add_row([spec.to_string(), kernel.release, kernel.source, bytes]);
            }
            // The others are worth having all the same.
            Err(error) => failures.push(error),
        }
    }
    if table.row_count() > 0 {
        console::line(table.trim_fmt())?;
    }
    for error in &failures {
        console::error(error);
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

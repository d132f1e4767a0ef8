//! `vipbench kernels`: which guest kernels there are, getting them, and what they can do.

mod fetch;
mod list;
mod probe;

use std::process::ExitCode;

use lab::image::{Cache, KernelSpec};

use crate::cli::{KernelsArgs, KernelsCommand};
use crate::place::select_kernels;
use crate::run::progress::during;

pub(super) fn run(args: &KernelsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        KernelsCommand::List(args) => list::run(args),
        KernelsCommand::Fetch(args) => fetch::run(args),
        KernelsCommand::Probe(args) => probe::run(args),
    }
}

/// The kernels that `lists` name; what is passed over is said on standard error.
fn selected(lists: &[String], cache: &Cache) -> anyhow::Result<Vec<KernelSpec>> {
    during(|progress| select_kernels(lists, cache, progress))
}

/// Bytes as megabytes, with one decimal below ten.
fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 10.0 { format!("{megabytes:.1}") } else { format!("{megabytes:.0}") }
}

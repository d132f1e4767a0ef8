//! `vipbench compare`: two runs, or two kernels of one run, set against each other.

use std::process::ExitCode;

use results::Run;
use results::compare::{Side, Wanted, compare, document};

use super::page;
use crate::cli::CompareArgs;

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let base = [Run::read(&args.base)?];
    let new = args.new.as_deref().map(Run::read).transpose()?.map(|new| [new]);
    let new = new.as_ref().map(<[Run; 1]>::as_slice);
    let (base, new) =
        Side::two(&base, new, args.base_kernel.as_deref(), args.new_kernel.as_deref())?;
    let (proxies, metrics) = (args.proxies.clone(), args.metrics.clone());
    let wanted = Wanted { proxies, metrics, least: args.least / 100.0 };
    let comparison = compare(&base, &new)?.narrowed(&wanted)?;
    let detail = page::detail(args.detail);
    page::show_detailed(
        &document(&comparison, detail),
        &comparison,
        "compare",
        detail,
        &args.page,
    )?;
    Ok(ExitCode::SUCCESS)
}

//! `vipbench compare`: two runs, or two kernels of one run, set against each other.

use std::process::ExitCode;

use results::Run;
use results::compare::{Detail, Side, compare, document};

use crate::cli::CompareArgs;

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let base = [Run::read(&args.base)?];
    let new = args.new.as_deref().map(Run::read).transpose()?.map(|new| [new]);
    let new = new.as_ref().map(<[Run; 1]>::as_slice);
    let (base, new) =
        Side::two(&base, new, args.base_kernel.as_deref(), args.new_kernel.as_deref())?;
    let comparison = compare(&base, &new)?;
    let detail = if args.all { Detail::All } else { Detail::Top };
    super::page::show(&document(&comparison, detail), &comparison, "compare", &args.page)?;
    Ok(ExitCode::SUCCESS)
}

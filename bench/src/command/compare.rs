//! `vipbench compare`: two runs, or two kernels of one run, set against each other.

use std::process::ExitCode;

use results::Run;
use results::compare::{Side, compare, json, render};

use crate::cli::CompareArgs;
use crate::console;

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let base = Run::read(&args.base)?;
    let new = args.new.as_deref().map(Run::read).transpose()?;
    let (base, new) =
        Side::two(&base, new.as_ref(), args.base_kernel.as_deref(), args.new_kernel.as_deref())?;
    let comparison = compare(&base, &new)?;
    let detail = if args.all { render::Detail::All } else { render::Detail::Top };
    let text = if args.json {
        json(&comparison)?
    } else if args.markdown {
        render::markdown_text(&comparison, detail)
    } else {
        render::terminal_text(&comparison, detail, None)
    };
    console::print(text)?;
    Ok(ExitCode::SUCCESS)
}

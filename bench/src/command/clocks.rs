//! `vipbench clocks`: time against instructions over the cells that two runs have in common.

use std::process::ExitCode;

use results::Run;
use results::clocks::{compare, document};

use crate::cli::ClocksArgs;
use crate::console;

pub(super) fn run(args: &ClocksArgs) -> anyhow::Result<ExitCode> {
    let clocks = compare(&Run::read(&args.wall)?, &Run::read(&args.instructions)?)?;
    let document = document(&clocks, &console::command())?;
    super::page::show(&document, &clocks, "clock-validation", &args.page)?;
    Ok(ExitCode::SUCCESS)
}

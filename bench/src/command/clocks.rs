//! `vipbench clocks`: time against instructions over the cells that two runs have in common.

use std::path::Path;
use std::process::ExitCode;

use results::Run;
use results::clocks::{Clocks, compare, markdown, scatter, text};

use crate::cli::ClocksArgs;
use crate::console;

const PAGE: &str = "clock-validation.md";
const PLOT: &str = "clock-validation.svg";

pub(super) fn run(args: &ClocksArgs) -> anyhow::Result<ExitCode> {
    let clocks = compare(&Run::read(&args.wall)?, &Run::read(&args.instructions)?)?;
    if let Some(folder) = &args.output {
        write(folder, &clocks)?;
    }
    if args.json {
        console::json(&clocks)?;
    } else {
        console::print(text(&clocks, console::width()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, clocks: &Clocks) -> anyhow::Result<()> {
    let page = markdown(clocks, &console::command(), PLOT);
    let files = [(PAGE, page), (PLOT, scatter(clocks)?)];
    crate::files::write_all(folder, files.map(|(name, content)| (name.to_owned(), content)))
}

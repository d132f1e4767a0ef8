//! `vipbench clocks`: time against instructions over the cells that two runs have in common.

use std::path::Path;
use std::process::ExitCode;

use results::Run;
use results::clocks::{Clocks, compare, markdown, scatter, text};

use crate::cli::ClocksArgs;

const PAGE: &str = "clock-validation.md";
const PLOT: &str = "clock-validation.svg";

pub(super) fn run(args: &ClocksArgs) -> anyhow::Result<ExitCode> {
    let clocks = compare(&Run::read(&args.wall)?, &Run::read(&args.instructions)?)?;
    if let Some(folder) = &args.output {
        write(folder, &clocks)?;
    }
    crate::out::end_with_reader();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&clocks)?);
    } else {
        print!("{}", text(&clocks, crate::out::width()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, clocks: &Clocks) -> anyhow::Result<()> {
    let page = markdown(clocks, &crate::out::command(), PLOT);
    let files = [(PAGE, page), (PLOT, scatter(clocks)?)];
    crate::out::write_files(folder, files.map(|(name, content)| (name.to_owned(), content)))
}

//! `vipbench clocks`: time against instructions over the cells that two runs have in common.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use results::Run;
use results::clocks::{Clocks, compare, markdown, scatter, text};

use crate::cli::ClocksArgs;

const PAGE: &str = "clock-validation.md";
const PLOT: &str = "clock-validation.svg";

pub(super) fn run(args: &ClocksArgs) -> anyhow::Result<ExitCode> {
    let clocks = compare(&Run::read(&args.wall)?, &Run::read(&args.instructions)?)?;
    if let Some(folder) = &args.output {
        write(folder, &clocks, &command(args))?;
    }
    crate::out::end_with_reader();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&clocks)?);
    } else {
        print!("{}", text(&clocks, crate::out::width()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The command that writes the same page again.
fn command(args: &ClocksArgs) -> String {
    let folder =
        args.output.iter().flat_map(|folder| ["-o".to_owned(), folder.display().to_string()]);
    let runs = [&args.wall, &args.instructions].map(|run| run.display().to_string());
    let words: Vec<String> =
        ["vipbench", "clocks"].map(str::to_owned).into_iter().chain(runs).chain(folder).collect();
    results::format::shell(&words)
}

fn write(folder: &Path, clocks: &Clocks, command: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let files = [(PAGE, markdown(clocks, command, PLOT)), (PLOT, scatter(clocks)?)];
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

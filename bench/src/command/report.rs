//! `vipbench report`: one HTML page, one Markdown file and the plots of stored runs.

use std::process::ExitCode;

use anyhow::Context;
use results::report::Options;

use crate::cli::ReportArgs;
use crate::console;

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let runs =
        args.runs.iter().map(|dir| results::Run::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let first = args.runs.first().context("name at least one results folder")?;
    let options = Options { reference_kernel: args.reference_kernel.clone() };
    let dir = args.output.as_ref().unwrap_or(first);
    for file in results::report::write_with(&runs, dir, &options)? {
        console::line(file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

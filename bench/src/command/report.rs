//! `vipbench report`: one HTML page, one Markdown file and the plots of stored runs.

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::ReportArgs;

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let runs =
        args.runs.iter().map(|dir| results::Run::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let first = args.runs.first().context("name at least one results folder")?;
    for file in results::report::write(&runs, args.output.as_ref().unwrap_or(first))? {
        println!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

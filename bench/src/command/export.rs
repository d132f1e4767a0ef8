//! `vipbench export`: a run as flat rows.

use std::process::ExitCode;

use crate::cli::{ExportArgs, ExportFormat};

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    crate::out::end_with_reader();
    let run = results::Run::read(&args.run)?;
    let mut out = std::io::stdout().lock();
    match args.format {
        ExportFormat::Csv => results::export::csv(&run, &mut out)?,
        ExportFormat::Json => results::export::json(&run, &mut out)?,
    }
    Ok(ExitCode::SUCCESS)
}

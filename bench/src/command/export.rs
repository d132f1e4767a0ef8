//! `vipbench export`: a run as flat rows.

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::{ExportArgs, ExportFormat};
use crate::console;

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let run = results::Run::read(&args.run)?;
    let mut out = console::stdout();
    match args.format {
        ExportFormat::Csv => results::export::csv(&run, &mut out)?,
        ExportFormat::Json => results::export::json(&run, &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

//! `vipbench show`: the answer of stored runs once more. Reads alone; `report` is what writes pages.

use std::process::ExitCode;

use anyhow::Context;
use results::{Run, export, report};

use super::page;
use crate::cli::ShowArgs;

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let runs = args.runs.iter().map(|dir| Run::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let first = args.runs.first().context("name at least one results folder")?;
    let document = report::document(&runs, args.reference_kernel.as_deref(), first)?;
    let read = if args.form.json { &runs[..] } else { &[] };
    let rows = read.iter().map(export::rows).collect::<Result<Vec<_>, _>>()?.concat();
    page::print_detailed(&document, &rows, page::detail(args.detail), args.form)?;
    Ok(ExitCode::SUCCESS)
}

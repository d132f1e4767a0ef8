//! `vipbench report`: stored runs as a page, printed and as files.

use std::process::ExitCode;

use anyhow::Context;
use results::{export, report};

use super::page;
use crate::cli::{PageArgs, ReportArgs};

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let runs =
        args.runs.iter().map(|dir| results::Run::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let first = args.runs.first().context("name at least one results folder")?;
    let reference = args.reference_kernel.as_deref();
    let PageArgs { form, output } = &args.page;
    // Whoever wants the page on standard output gets files only where a folder is named.
    let prints = form.json || form.markdown;
    let written = output.as_ref().or((!prints).then_some(first));
    let document = report::document(&runs, reference, written.unwrap_or(first))?;
    let files = written.map(|dir| results::print::write(&document, dir, "report")).transpose()?;
    let read = if form.json { &runs[..] } else { &[] };
    let rows = read.iter().map(export::rows).collect::<Result<Vec<_>, _>>()?.concat();
    page::print_detailed(&document, &rows, page::detail(args.detail), *form)?;
    page::name(&files.unwrap_or_default(), *form)?;
    Ok(ExitCode::SUCCESS)
}

//! What commands end with: a page printed as text, Markdown or JSON, and its files.

use std::path::{Path, PathBuf};

use results::document::{Detail, Document};
use results::print;
use serde::Serialize;

use crate::cli::{DetailArgs, PageArgs, PrintArgs};
use crate::console;

/// Prints a page that is made from `value`, and writes it as files named `stem` where a folder is
/// named.
pub(super) fn show(
    document: &Document,
    value: &impl Serialize,
    stem: &str,
    args: &PageArgs,
) -> anyhow::Result<()> {
    show_detailed(document, value, stem, Detail::All, args)
}

/// The same, on a terminal no more than is wanted.
pub(super) fn show_detailed(
    document: &Document,
    value: &impl Serialize,
    stem: &str,
    detail: Detail,
    args: &PageArgs,
) -> anyhow::Result<()> {
    let write = |dir: &PathBuf| print::write_with_json(document, value, dir, stem);
    let files = args.output.as_ref().map(write).transpose()?;
    print_detailed(document, value, detail, args.form)?;
    name(&files.unwrap_or_default(), args.form)
}

/// Prints a page, or what it is made from.
pub(super) fn print(
    document: &Document,
    value: &impl Serialize,
    form: PrintArgs,
) -> anyhow::Result<()> {
    print_detailed(document, value, Detail::All, form)
}

/// The same, on a terminal no more than is wanted.
pub(super) fn print_detailed(
    document: &Document,
    value: &impl Serialize,
    detail: Detail,
    form: PrintArgs,
) -> anyhow::Result<()> {
    if form.json {
        console::json(value)
    } else if form.markdown {
        console::print(print::markdown(document))
    } else {
        console::print(print::detailed(document, detail, console::width()))
    }
}

/// How much a terminal gets.
pub(super) fn detail(args: DetailArgs) -> Detail {
    if args.full { Detail::All } else { Detail::Top }
}

/// Names the pages among files: after text, or on standard error where a program reads the output.
pub(super) fn name(files: &[PathBuf], form: PrintArgs) -> anyhow::Result<()> {
    let is_page = |file: &&PathBuf| has_ending(file, "html") || has_ending(file, "md");
    for file in files.iter().filter(is_page) {
        if form.json || form.markdown {
            console::note(file.display());
        } else {
            console::line(file.display())?;
        }
    }
    Ok(())
}

fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|kind| kind == ending)
}

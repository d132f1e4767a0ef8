//! `vipbench kernels`: which guest kernels there are, getting them, and what they can do.

mod fetch;
mod list;
mod probe;

use std::process::ExitCode;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use lab::image::{Cache, KernelSpec, Selected, select};

use crate::cli::{KernelsArgs, KernelsCommand};
use crate::progress::Progress;

/// One line under the head, none elsewhere.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

pub(super) fn run(args: &KernelsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        KernelsCommand::List(args) => list::run(args),
        KernelsCommand::Fetch(args) => fetch::run(args),
        KernelsCommand::Probe(args) => probe::run(args),
    }
}

/// The kernels that `lists` name; what is passed over is said on standard error.
fn selected(lists: &[String], cache: &Cache) -> anyhow::Result<Vec<KernelSpec>> {
    let progress = Progress::new(0);
    let found = select(lists, cache, &|what| progress.preparing(what));
    progress.clear();
    let Selected { specs, warnings } = found?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(specs)
}

/// A table without lines between its rows, for a terminal or a pipe.
fn table<'h>(header: impl IntoIterator<Item = &'h str>) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.into_iter().collect::<Vec<_>>());
    table
}

/// Bytes as megabytes, with one decimal below ten.
fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 10.0 { format!("{megabytes:.1}") } else { format!("{megabytes:.0}") }
}

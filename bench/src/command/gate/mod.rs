//! `vipbench gate`: a verdict on a run, its form, its exit code, and the baseline that it may
//! become.

mod thresholds;
mod update;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use results::compare::Side;
use results::gate::{self, Across, Gate, Options};
use results::{Run, print};

use super::page;
use crate::cli::{AcrossChoice, GateArgs, GateFormat, PrintArgs};
use crate::console;

pub(super) fn run(args: &GateArgs) -> anyhow::Result<ExitCode> {
    let base = read(&args.base, &args.base_more)?;
    let new = args.new.as_ref().map(|new| read(new, &args.new_more)).transpose()?;
    let options = Options {
        across: args.across.map(across),
        thresholds: thresholds::of(args)?,
        seed: args.random_seed,
    };
    let (base_side, new_side) =
        Side::two(&base, new.as_deref(), args.base_kernel.as_deref(), args.new_kernel.as_deref())?;
    let gate = gate::judge(&base_side, &new_side, &options)?;
    let text = rendered(&gate, args)?;
    if args.update {
        let new = new.as_deref().and_then(<[Run]>::first).context("--update needs a new run")?;
        update::replace(&args.base, new)?;
    }
    give(&text, args.output.as_deref())?;
    if args.update {
        console::note(format_args!(
            "{} now holds what was in {}",
            args.base.display(),
            new_name(args)
        ));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(gate.verdict.exit_code()))
}

fn new_name(args: &GateArgs) -> String {
    args.new.as_ref().map_or_else(String::new, |new| new.display().to_string())
}

fn read(first: &Path, more: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    let folders = std::iter::once(first).chain(more.iter().map(PathBuf::as_path));
    folders.map(|folder| Ok(Run::read(folder)?)).collect()
}

pub(super) fn across(choice: AcrossChoice) -> Across {
    match choice {
        AcrossChoice::Kernel => Across::Kernel,
        AcrossChoice::Iptables => Across::Iptables,
        AcrossChoice::Tool => Across::Tool,
        AcrossChoice::Injection => Across::Injection,
    }
}

fn rendered(gate: &Gate, args: &GateArgs) -> anyhow::Result<String> {
    let detail = page::detail(args.detail);
    let format = match args.form {
        PrintArgs { json: true, .. } => GateFormat::Json,
        PrintArgs { markdown: true, .. } => GateFormat::Markdown,
        _ => args.format,
    };
    Ok(match format {
        GateFormat::Text => print::detailed(&gate::document(gate, detail), detail, width(args)),
        // The page that is commented on has a title of its own.
        GateFormat::Markdown => format!("#{}", print::markdown(&gate::comment(gate))),
        GateFormat::Html => print::html(&gate::comment(gate))?,
        GateFormat::Junit => gate::junit(gate)?,
        GateFormat::Json => serde_json::to_string_pretty(gate)? + "\n",
        GateFormat::Annotations => gate::annotations(gate),
    })
}

/// A file is as wide as its tables.
fn width(args: &GateArgs) -> Option<u16> {
    if args.output.is_some() { None } else { console::width() }
}

fn give(text: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let Some(file) = file else {
        return console::print(text);
    };
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

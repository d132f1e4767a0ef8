//! What `run` and `merge` end with: the report in the folder, and on standard output how it went.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use results::document::Detail;
use results::{CellRecord, Run, print, report};

use crate::cli::PrintArgs;
use crate::console;

/// Missing cells that are named one by one.
const NAMED_MAX: usize = 20;

/// Writes the report of the run in `folder` and prints its summary, or its rows as JSON. The exit
/// code is 0 if something was measured and no cell went wrong, unless that is what `keep_going` is
/// for.
///
/// # Errors
/// A folder that cannot be read or written.
pub(super) fn conclude(folder: &Path, json: bool, keep_going: bool) -> anyhow::Result<ExitCode> {
    let run = Run::read(folder)?;
    let document = report::document(std::slice::from_ref(&run), None, folder)?;
    let written = print::write(&document, folder, "report");
    if json {
        let mut out = console::stdout();
        results::export::json(&run, &mut out)?;
        out.flush()?;
    } else {
        console::line(print::detailed(&document, Detail::Top, console::width()))?;
        console::line(counts(&run.cells))?;
        print_missing(&run)?;
    }
    let folder = folder.display();
    let files = written.with_context(|| {
        format!("writing the report; the cells are safe: `vipbench report {folder}` makes it again")
    })?;
    if !json {
        super::page::name(&files, PrintArgs { markdown: false, json })?;
    }
    Ok(exit_code(&run, keep_going))
}

/// Says on standard error why it is not 0.
fn exit_code(run: &Run, keep_going: bool) -> ExitCode {
    match fault(&run.cells, keep_going) {
        None => ExitCode::SUCCESS,
        Some(fault) => {
            console::error(fault);
            ExitCode::from(1)
        }
    }
}

fn fault(cells: &[CellRecord], keep_going: bool) -> Option<String> {
    let count = |kind| cells.iter().filter(|cell| cell.outcome.kind() == kind).count();
    if count("measured") == 0 {
        return Some("nothing was measured".into());
    }
    let wrong = count("failed") + count("invalid");
    (wrong > 0 && !keep_going).then(|| {
        format!(
            "{wrong} cells went wrong; `--resume --retry failed,invalid` runs them again, and with \
             --keep-going they do not matter to the exit code"
        )
    })
}

/// How many cells ended in which way, those that were measured first.
fn counts(cells: &[CellRecord]) -> String {
    const WORDS: [(&str, &str); 6] = [
        ("measured", "measured"),
        ("unsupported", "not supported"),
        ("censored", "over budget"),
        ("skipped", "skipped"),
        ("invalid", "invalid"),
        ("failed", "failed"),
    ];
    let count = |kind| cells.iter().filter(|cell| cell.outcome.kind() == kind).count();
    let counted = WORDS.map(|(kind, words)| (words, count(kind)));
    let shown = counted.iter().filter(|(words, count)| *count > 0 || *words == "measured");
    let parts: Vec<String> = shown.map(|(words, count)| format!("{count} {words}")).collect();
    format!("cells: {}", parts.join(", "))
}

fn print_missing(run: &Run) -> anyhow::Result<()> {
    let missing = run.missing();
    if missing.is_empty() {
        return Ok(());
    }
    console::line(format_args!(
        "missing: {} of {} planned cells",
        missing.len(),
        run.record.cells.len()
    ))?;
    for id in missing.iter().take(NAMED_MAX) {
        console::line(format_args!("  {id}"))?;
    }
    if missing.len() > NAMED_MAX {
        console::line(format_args!("  and {} more", missing.len() - NAMED_MAX))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use results::{Clock, Labels, Outcome, Place};

    fn cell(outcome: Outcome) -> CellRecord {
        let labels = Labels {
            kernel: "6.1".into(),
            place: Place::Guest,
            clock: Clock::Instructions,
            proxy: "none".into(),
            services: 1,
            endpoints: 1,
            seed: 1,
            measure: "connect".into(),
            path: results::Path::default(),
        };
        CellRecord::new(labels, outcome)
    }

    #[test]
    fn what_went_wrong_and_what_was_never_measured_are_faults() {
        let failed = || cell(Outcome::Failed { reason: "x".into() });
        let measured = || cell(Outcome::Measured);
        let censored = || cell(Outcome::Censored { limit_s: 1, clock: Clock::Wall });
        assert_eq!(fault(&[measured(), censored()], false), None);
        assert!(fault(&[measured(), failed()], false).unwrap().starts_with("1 cells went wrong"));
        assert_eq!(fault(&[measured(), failed()], true), None);
        for keep_going in [false, true] {
            assert_eq!(fault(&[censored()], keep_going).unwrap(), "nothing was measured");
        }
    }

    #[test]
    fn every_way_to_end_is_counted_and_measured_is_always_said() {
        let invalid = || cell(Outcome::Invalid { reason: "kernel splat: x".into() });
        assert_eq!(counts(&[invalid(), invalid()]), "cells: 0 measured, 2 invalid");
        let cells = [
            cell(Outcome::Measured),
            cell(Outcome::Censored { limit_s: 1, clock: Clock::Wall }),
            invalid(),
        ];
        assert_eq!(counts(&cells), "cells: 1 measured, 1 over budget, 1 invalid");
    }
}

//! What `run` and `merge` end with: the report in the folder, and on standard output how it went.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use results::{CellRecord, Run};

use crate::console;

/// Missing cells that are named one by one.
const NAMED_MAX: usize = 20;

/// Writes the report of the run in `folder` and prints its summary, or its rows as JSON. The exit code is 0 if something was
/// measured and no cell went wrong, unless that is what `keep_going` is for.
///
/// # Errors
/// A folder that cannot be read or written.
pub(super) fn conclude(folder: &Path, json: bool, keep_going: bool) -> anyhow::Result<ExitCode> {
    let run = Run::read(folder)?;
    let files = results::report::write(std::slice::from_ref(&run), folder)?;
    if json {
        let mut out = console::stdout();
        results::export::json(&run, &mut out)?;
        out.flush()?;
        return Ok(exit_code(&run, keep_going));
    }
    let summary = results::report::terminal::summary(std::slice::from_ref(&run), console::width())?;
    console::line(summary)?;
    console::line(counts(&run.cells))?;
    print_missing(&run)?;
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind != "svg")) {
        console::line(file.display())?;
    }
    Ok(exit_code(&run, keep_going))
}

/// Says on standard error why it is not 0.
fn exit_code(run: &Run, keep_going: bool) -> ExitCode {
    let count = |kind| run.cells.iter().filter(|cell| cell.outcome.kind() == kind).count();
    let wrong = count("failed") + count("invalid");
    if count("measured") == 0 {
        console::error("nothing was measured");
    } else if wrong > 0 && !keep_going {
        let folder = run.dir.display();
        console::error(format_args!(
            "cells that went wrong: {wrong}; `--resume -o {folder} --retry failed,invalid` runs them again, and with --keep-going \
             they do not matter to the exit code"
        ));
    } else {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(1)
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
        "{} of {} planned cells are missing:",
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

    #[test]
    fn every_way_to_end_is_counted_and_measured_is_always_said() {
        let labels = Labels {
            kernel: "6.1".into(),
            place: Place::Guest,
            clock: Clock::Instructions,
            proxy: "none".into(),
            services: 1,
            endpoints: 1,
            seed: 1,
            measure: "connect".into(),
        };
        let cell = |outcome| CellRecord::new(labels.clone(), outcome);
        let invalid = || cell(Outcome::Invalid { reason: "kernel splat: x".into() });
        assert_eq!(counts(&[invalid(), invalid()]), "cells: 0 measured, 2 invalid");
        let cells = [cell(Outcome::Measured), cell(Outcome::Censored { limit_s: 1 }), invalid()];
        assert_eq!(counts(&cells), "cells: 1 measured, 1 over budget, 1 invalid");
    }
}

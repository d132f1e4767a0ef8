//! An explanation as a page, and the files that it leaves beside its run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::explanation::{Explanation, Profiled, SUM_TOLERANCE};
use super::{plot, tables};
use crate::document::{Block, Document};
use crate::format::{counted, fixed, percent, plain, thousands};
use crate::metrics;
use crate::plots::{Plot, PlotError};
use crate::print::{self, PrintError};
use crate::tables::Table;

/// Folder of explanations in a results folder.
const FOLDER: &str = "explain";
/// Functions named on a page.
const TOP: usize = 40;

/// The page; on a terminal it names the `top` functions that differ most.
///
/// # Errors
/// [`PlotError`].
pub fn document(explanation: &Explanation, top: usize) -> Result<Document, PlotError> {
    let Explanation { metric, label, .. } = explanation;
    let title = format!("Where the instructions of {metric} ({label}) go");
    let mut document = Document::new(title.clone(), "");
    document.plots_in = "";
    // Its numbers are those of the table of functions.
    let table = Table::default();
    let svg = plot::draw(explanation)?;
    let plot = Plot { name: name(explanation), title, svg, explored: None, table, wide: true };
    let functions = |top| vec![tables::functions(explanation, top).into()];
    document.blocks = vec![
        Block::OnPage(vec![Block::Plots(vec![plot])]),
        Block::List(sentences(explanation)),
        tables::areas(explanation).into(),
        Block::OnPage(functions(TOP)),
        Block::OnTerminal(functions(top)),
    ];
    Ok(document)
}

/// Writes `explain/CELL--AGAINST.{html,md,svg,json}` into the run's folder `dir` and gives their
/// paths. The name goes on with metric and label unless they are those that are meant anyway.
///
/// # Errors
/// [`PrintError`].
pub fn write(
    explanation: &Explanation,
    document: &Document,
    dir: &Path,
) -> Result<Vec<PathBuf>, PrintError> {
    print::write_with_json(document, explanation, &dir.join(FOLDER), &name(explanation))
}

fn name(explanation: &Explanation) -> String {
    let Explanation { metric, label, cell, against, .. } = explanation;
    let mut name = cell.cell.clone();
    if let Some(other) = against {
        let _ = write!(name, "--{}", other.cell);
    }
    if !metrics::is_explained_first(metric, label) {
        let _ = write!(name, ".{metric}.{label}");
    }
    // The words come from a stored run: whatever they are, they stay one file name.
    let fits = |symbol: char| symbol.is_ascii_alphanumeric() || "._+-".contains(symbol);
    name.chars().map(|symbol| if fits(symbol) { symbol } else { '_' }).take(240).collect()
}

/// What was profiled, and whether it can be believed.
fn sentences(explanation: &Explanation) -> Vec<String> {
    let first = if explanation.against.is_some() { "from" } else { "cell" };
    let mut lines = vec![about(first, &explanation.cell)];
    lines.extend(explanation.against.iter().map(|other| about("to", other)));
    if let Some((least, most)) = explanation.only {
        let range = match most {
            u64::MAX => format!("{} and more", thousands(least)),
            most => format!("{} to {}", thousands(least), thousands(most)),
        };
        lines.push(format!("only: samples that took {range} instructions"));
    }
    lines.push(check(explanation));
    if let Some(other) = &explanation.against
        && let (Some(cell), Some(against)) = (explanation.cell.stored_p50, other.stored_p50)
    {
        let difference = i128::from(against) - i128::from(cell);
        lines.push(format!(
            "p50 in the run: from {} to {}, a difference of {}",
            thousands(cell),
            thousands(against),
            tables::signed(difference as f64)
        ));
    }
    for cell in explanation.cells().filter(|cell| !cell.as_stored) {
        lines.push(format!(
            "warning: profiled now, {} gives other numbers than those stored, so the parts are those of now: another build of vipbench, another QEMU, kernel or tool, or a very busy machine",
            plain(&cell.cell)
        ));
    }
    lines
}

fn about(role: &str, cell: &Profiled) -> String {
    format!(
        "{role}: {}, {}, {} instructions each by the guest's clock",
        plain(&cell.cell),
        counted(cell.measured.len() as u64, "sample"),
        fixed(cell.measured_mean(), 0)
    )
}

fn check(explanation: &Explanation) -> String {
    let what = if explanation.against.is_some() { "the difference" } else { "what was measured" };
    let gap = explanation.cells().map(|cell| cell.largest_gap).max().unwrap_or(0);
    let verdict = if explanation.adds_up() { "check passed" } else { "CHECK FAILED" };
    format!(
        "{verdict}: the parts add up to {} of {} instructions, {what}, {} off (limit {}); the worst single sample is {} off",
        fixed(explanation.explained(), 0),
        fixed(explanation.measured(), 0),
        percent(explanation.sum_error()),
        percent(SUM_TOLERANCE),
        thousands(gap)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::explanation::tests::example;

    #[test]
    fn the_summary_says_what_was_profiled_and_that_it_adds_up() {
        let document = document(&example(), 2).unwrap();
        insta::assert_snapshot!(print::terminal(&document, None));
    }

    #[test]
    fn files_are_named_by_the_cells_and_the_metric() {
        let dir = tempfile::tempdir().unwrap();
        let mut explanation = example();
        explanation.cell.cell = "../up/a".into();
        explanation.label = "first".into();
        let document = document(&explanation, 2).unwrap();
        let files = write(&explanation, &document, dir.path()).unwrap();
        let names: Vec<String> = files
            .iter()
            .map(|file| file.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        let other = "6.1.0-56-cloud-amd64.guest.instructions.iptables-legacy.1000.s1.connect";
        assert_eq!(names[2], format!("explain/.._up_a--{other}.connect.first.svg"));
        let stored: Explanation =
            serde_json::from_slice(&std::fs::read(&files[3]).unwrap()).unwrap();
        assert_eq!(stored, explanation);
    }

    #[test]
    fn other_numbers_than_the_stored_ones_are_told() {
        let mut explanation = example();
        explanation.cell.as_stored = false;
        let document = document(&explanation, 1).unwrap();
        assert!(print::terminal(&document, None).contains("warning: profiled now"));
    }
}

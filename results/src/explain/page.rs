//! An explanation as text for the terminal, as Markdown, and as files beside its run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Explanation, Profiled, SUM_TOLERANCE, plot, tables};
use crate::format::{fixed, percent, plain, thousands};
use crate::metrics;
use crate::print::{markdown, terminal};
use crate::report::{ReportError, write_file};

/// Folder of explanations in a results folder.
const FOLDER: &str = "explain";
/// Functions named in the Markdown file.
const TOP: usize = 40;

/// Text for standard output with the `top` functions that differ most.
pub fn summary(explanation: &Explanation, top: usize) -> String {
    let mut text = format!("{}\n\n", title(explanation));
    for line in sentences(explanation) {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    text += &terminal::grid(&tables::areas(explanation), None);
    text += &terminal::grid(&tables::functions(explanation, top), None);
    text
}

/// Writes `explain/CELL--AGAINST.{svg,md,json}` into the run's folder `dir` and gives their paths. The name goes on with
/// metric and label unless they are those that are meant anyway.
///
/// # Errors
/// [`ReportError`]: a file that cannot be written.
pub fn write(explanation: &Explanation, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let folder = dir.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|source| ReportError::Io {
        operation: "create folder",
        path: folder.clone(),
        source,
    })?;
    let name = name(explanation);
    let json = serde_json::to_string_pretty(explanation).map_err(|error| ReportError::Io {
        operation: "write",
        path: folder.join(&name),
        source: error.into(),
    })?;
    let files = [
        ("svg", plot::draw(explanation)?),
        ("md", text(explanation, &name)),
        ("json", json + "\n"),
    ];
    files
        .into_iter()
        .map(|(kind, content)| write_file(&folder, &format!("{name}.{kind}"), &content))
        .collect()
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

fn text(explanation: &Explanation, name: &str) -> String {
    let mut text = format!("# {}\n\n![{}]({name}.svg)\n\n", title(explanation), title(explanation));
    for line in sentences(explanation) {
        let _ = writeln!(text, "- {}", markdown::escape(&line));
    }
    text.push('\n');
    markdown::table_text(&mut text, &tables::areas(explanation));
    markdown::table_text(&mut text, &tables::functions(explanation, TOP));
    text
}

fn title(explanation: &Explanation) -> String {
    let Explanation { metric, label, .. } = explanation;
    format!("Where the instructions of {metric} ({label}) go")
}

/// What was profiled, and whether it can be believed.
fn sentences(explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![about("cell", &explanation.cell)];
    lines.extend(explanation.against.iter().map(|other| about("against", other)));
    if let Some((least, most)) = explanation.only {
        let range = format!("{} to {}", thousands(least), thousands(most));
        lines.push(format!("only: samples that took {range} instructions"));
    }
    lines.push(check(explanation));
    if let Some(other) = &explanation.against
        && let (Some(cell), Some(against)) = (explanation.cell.stored_p50, other.stored_p50)
    {
        let difference = i128::from(cell) - i128::from(against);
        lines.push(format!(
            "p50 in the run: {} against {}, a difference of {}",
            thousands(cell),
            thousands(against),
            tables::signed(difference as f64)
        ));
    }
    let cells = [Some(&explanation.cell), explanation.against.as_ref()];
    for cell in cells.into_iter().flatten().filter(|cell| !cell.as_stored) {
        lines.push(format!(
            "warning: profiled now, {} gives other numbers than those stored, so the parts are those of now: another build of vipbench, another QEMU, kernel or tool, or a very busy machine",
            plain(&cell.cell)
        ));
    }
    lines
}

fn about(role: &str, cell: &Profiled) -> String {
    let count = cell.measured.len();
    let samples = if count == 1 { "sample" } else { "samples" };
    format!(
        "{role}: {}, {} {samples}, {} instructions each by the guest's clock",
        plain(&cell.cell),
        thousands(count as u64),
        fixed(cell.measured_mean(), 0)
    )
}

fn check(explanation: &Explanation) -> String {
    let what = if explanation.against.is_some() { "the difference" } else { "what was measured" };
    let gap = [Some(&explanation.cell), explanation.against.as_ref()];
    let gap = gap.into_iter().flatten().map(|cell| cell.largest_gap).max().unwrap_or(0);
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
    use crate::explain::tests::example;

    #[test]
    fn the_summary_says_what_was_profiled_and_that_it_adds_up() {
        insta::assert_snapshot!(summary(&example(), 2));
    }

    #[test]
    fn files_are_named_by_the_cells_and_the_metric() {
        let dir = tempfile::tempdir().unwrap();
        let mut explanation = example();
        explanation.cell.cell = "../up/a".into();
        explanation.label = "first".into();
        let files = write(&explanation, dir.path()).unwrap();
        let names: Vec<String> = files
            .iter()
            .map(|file| file.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        let other = "6.1.0-56-cloud-amd64.guest.instructions.none.1000.s1.connect";
        assert_eq!(names[0], format!("explain/.._up_a--{other}.connect.first.svg"));
        let stored: Explanation =
            serde_json::from_slice(&std::fs::read(&files[2]).unwrap()).unwrap();
        assert_eq!(stored, explanation);
    }

    #[test]
    fn other_numbers_than_the_stored_ones_are_told() {
        let mut explanation = example();
        explanation.cell.as_stored = false;
        assert!(summary(&explanation, 1).contains("warning: profiled now"));
    }
}

//! A verdict as a comment on a change: what matters first, everything else folded away.

use std::fmt::Write as _;

use super::text::{Detail, counted, headline, line_table, lost, sentences, tables, unlike};
use super::{Gate, Line, Verdict};
use crate::print::markdown::{escape, list, table_text};
use crate::tables::Table;

/// Lines of the first table.
const TOP: usize = 10;
/// Lines of the folded one: a comment has a largest size.
const FOLDED: usize = 100;

/// The whole text.
pub fn markdown(gate: &Gate) -> String {
    let mut out =
        format!("## vipbench gate: {}\n\n{}\n\n", gate.verdict.as_str(), escape(&headline(gate)));
    let notable: Vec<&Line> = gate
        .lines
        .iter()
        .filter(|line| line.verdict != Verdict::Pass || line.improvement)
        .collect();
    let first = [unlike(gate), lost(gate), line_table("", &notable, TOP)];
    for table in first.into_iter().flatten() {
        write_table(&mut out, &table);
    }
    out.push_str("<details><summary>How it was judged</summary>\n\n");
    list(&mut out, sentences(gate).iter().map(String::as_str));
    out.push_str("\n</details>\n\n");
    let lines: Vec<&Line> = gate.lines.iter().collect();
    fold(&mut out, "judged", line_table("", &lines, FOLDED), lines.len());
    let controls: Vec<&Line> = gate.controls.iter().collect();
    fold(&mut out, "of the control", line_table("", &controls, FOLDED), controls.len());
    let rest = tables(gate, Detail::Top).into_iter().find(|table| table.title == "Not compared");
    fold(&mut out, "of cells that could not be compared", rest, gate.unmatched.len());
    out
}

fn fold(out: &mut String, what: &str, table: Option<Table>, count: usize) {
    let Some(mut table) = table else { return };
    table.title = String::new();
    let _ = write!(out, "<details><summary>{} {what}</summary>\n\n", counted(count, "line"));
    write_table(out, &table);
    out.push_str("</details>\n\n");
}

/// A table without an empty title before it.
fn write_table(out: &mut String, table: &Table) {
    let mut text = String::new();
    table_text(&mut text, table);
    out.push_str(text.strip_prefix("****\n\n").unwrap_or(&text));
}

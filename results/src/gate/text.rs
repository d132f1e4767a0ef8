//! A verdict for people: one line that says it, the reasons, the lines; whole, or as a comment on a
//! change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::line::plain_share;
use super::{Evidence, Gate, Judged, Line, Verdict};
use crate::compare::render::unmatched;
use crate::document::{Block, Document};
use crate::format::{compact, thousands};
use crate::record::Clock;
use crate::tables::{Table, number, text as column};

/// Lines that are shown unless all are wanted.
const TOP: usize = 20;
/// Lines of a comment's first table.
const NOTABLE: usize = 10;
/// Lines of its folded ones: a comment has a largest size.
const FOLDED: usize = 100;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The worst lines.
    Top,
    /// Every line.
    All,
}

/// The page for a terminal: the verdict in one line, what it rests on, the lines.
pub fn document(gate: &Gate, detail: Detail) -> Document {
    let mut document = Document::new(headline(gate), "");
    document.blocks = vec![Block::List(sentences(gate))];
    document.blocks.extend(tables(gate, detail).into_iter().map(Block::from));
    document
}

/// The page as a comment on a change: what matters first, everything else folded away.
pub fn comment(gate: &Gate) -> Document {
    let mut document = Document::new(format!("vipbench gate: {}", gate.verdict.as_str()), "");
    let is_notable = |line: &&Line| line.verdict != Verdict::Pass || line.improvement;
    let notable: Vec<&Line> = gate.lines.iter().filter(is_notable).collect();
    let (lines, controls): (Vec<&Line>, Vec<&Line>) =
        (gate.lines.iter().collect(), gate.controls.iter().collect());
    let first = [unlike(gate), lost(gate), line_table("", &notable, NOTABLE)];
    let folded = [
        (line_table("", &lines, FOLDED), "judged", lines.len()),
        (line_table("", &controls, FOLDED), "of the control", controls.len()),
        (unmatched(&gate.unmatched), "of cells that could not be compared", gate.unmatched.len()),
    ];
    let blocks = &mut document.blocks;
    blocks.push(Block::Lead(headline(gate)));
    blocks.extend(first.into_iter().flatten().map(Block::from));
    let how = vec![Block::List(sentences(gate))];
    blocks.push(Block::Folded("How it was judged".to_owned(), how));
    blocks.extend(folded.into_iter().filter_map(|(table, what, count)| {
        let title = format!("{} {what}", counted(count, "line"));
        Some(Block::folded(Table { title, ..table? }))
    }));
    document
}

/// `REGRESSION: 2 of 14 lines, worst: ...`.
pub(super) fn headline(gate: &Gate) -> String {
    let verdict = gate.verdict.as_str().to_uppercase();
    if let Some(problem) = gate.problems.first() {
        return format!("{verdict}: {problem}");
    }
    let of_verdict = |line: &&Line| line.verdict == gate.verdict;
    let count = gate.lines.iter().filter(of_verdict).count();
    let lost = gate.lost.iter().filter(|lost| lost.verdict == gate.verdict).count();
    let mut words =
        format!("{verdict}: {} of {}", thousands(count as u64), counted(gate.lines.len(), "line"));
    if gate.verdict == Verdict::Pass {
        return words + " judged, and none got slower";
    }
    if lost > 0 {
        let _ = write!(words, " and {} that the new side lost", counted(lost, "cell"));
    }
    if let Some(worst) = gate.lines.iter().find(of_verdict) {
        let _ = write!(words, "; worst: {}: {}", named(gate, worst), worst.reason);
    }
    words
}

/// A line's name, with its kernel where there are several.
pub(super) fn named(gate: &Gate, line: &Line) -> String {
    match gate.new.kernels.len() {
        0 | 1 => line.name(),
        _ => format!("{}, kernel {}", line.name(), line.new_kernel),
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(count as u64))
}

/// What was held against what, how, and how sure that is.
fn sentences(gate: &Gate) -> Vec<String> {
    let mut all = vec![format!(
        "{} against {}, {} of cells.",
        gate.new.in_words(),
        gate.base.in_words(),
        counted_pairs(gate.matched_cells)
    )];
    all.extend(gate.problems.iter().skip(1).map(|problem| format!("{problem}.")));
    if gate.unlike.is_empty() {
        all.extend(method(gate));
        all.push(control(gate));
        all.extend(itself(gate));
        all.extend(improvements(gate));
    }
    all
}

fn counted_pairs(count: u64) -> String {
    format!("{} pair{}", thousands(count), if count == 1 { "" } else { "s" })
}

fn method(gate: &Gate) -> Option<String> {
    let first = gate.lines.first()?;
    if first.judged == Judged::Net || gate.lines.iter().any(|line| line.judged == Judged::Net) {
        return Some(
            "connect and request are judged by what the proxy adds to none, as a share of the whole base: the floor is meant to differ."
                .to_owned(),
        );
    }
    Some(match gate.lines.iter().find(|line| line.subject.clock == Clock::Wall) {
        Some(_) => format!(
            "Wall clock: the replicates are the seeds, tested as one family of lines (permutation of pairs, Holm, 5%), connect and request relative to none of the same seed; intervals by bootstrap over the replicates, random seed {}.",
            gate.seed
        ),
        None => "Instructions clock: equal seeds are compared exactly, and the worst seed decides."
            .to_owned(),
    })
}

fn control(gate: &Gate) -> String {
    let moved: Vec<&Line> =
        gate.controls.iter().filter(|line| line.verdict == Verdict::Invalid).collect();
    if gate.controls.is_empty() {
        return "Control: none is not on both sides.".to_owned();
    }
    let all = counted(gate.controls.len(), "line");
    if let Some(worst) = moved.first() {
        return format!(
            "Control: none moved in {} of {all}; {}: {}.",
            moved.len(),
            worst.name(),
            worst.reason
        );
    }
    if gate.controls.iter().all(Line::is_equal) {
        return format!("Control: none is equal to the digit in {all}.");
    }
    let largest = gate.controls.iter().max_by(|a, b| {
        let size = |line: &Line| line.effect.map_or(0.0, f64::abs);
        size(a).total_cmp(&size(b))
    });
    let largest = largest.map_or_else(String::new, |line| {
        format!("{} by {}: {}", line.name(), line.effect_in_words(), line.reason)
    });
    format!("Control: none, the largest change of {all}: {largest}.")
}

fn itself(gate: &Gate) -> Option<String> {
    let largest = gate.itself.iter().max_by(|a, b| a.effect.abs().total_cmp(&b.effect.abs()))?;
    Some(format!(
        "The base against itself ({}): at most {} apart ({}, p {:.3} after Holm).",
        counted(gate.itself.len(), "check"),
        plain_share(largest.effect),
        largest.line,
        largest.corrected
    ))
}

fn improvements(gate: &Gate) -> Option<String> {
    let better: Vec<&Line> = gate.lines.iter().filter(|line| line.improvement).collect();
    let best = better.first()?;
    Some(format!(
        "{} got better; most: {} by {}.",
        counted(better.len(), "line"),
        best.name(),
        best.effect_in_words()
    ))
}

/// The tables in their order.
fn tables(gate: &Gate, detail: Detail) -> Vec<Table> {
    let most = if detail == Detail::All { usize::MAX } else { TOP };
    let (equal, lines): (Vec<&Line>, Vec<&Line>) = gate.lines.iter().partition(|line| {
        detail == Detail::Top && line.is_equal() && line.verdict == Verdict::Pass
    });
    let controls: Vec<&Line> = gate.controls.iter().collect();
    let shown_controls = detail == Detail::All
        || controls.iter().any(|line| line.verdict == Verdict::Invalid)
        || gate.across.is_some_and(super::Across::moves_floor);
    [
        unlike(gate),
        lost(gate),
        line_table("Lines, worst first", &lines, most).map(|table| with_equal(table, equal.len())),
        shown_controls.then(|| line_table("Control: none", &controls, most)).flatten(),
        unmatched(&gate.unmatched),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Says how many equal lines are not shown.
fn with_equal(mut table: Table, equal: usize) -> Table {
    if equal > 0 {
        let left_out = format!("{} equal to the digit.", counted(equal, "line"));
        table.note =
            if table.note.is_empty() { left_out } else { format!("{} {left_out}", table.note) };
    }
    table
}

fn unlike(gate: &Gate) -> Option<Table> {
    let mut table =
        Table::new("What differs", "", vec![column("fact"), column("base"), column("new")]);
    for difference in &gate.unlike {
        table.rows.push(vec![
            difference.fact.clone(),
            difference.base.clone(),
            difference.new.clone(),
        ]);
    }
    table.cut().unless_empty()
}

/// Lost cells of one proxy, measure and reason share a row.
fn lost(gate: &Gate) -> Option<Table> {
    let columns = ["verdict", "proxy", "measure", "reason"].map(column);
    let columns = columns.into_iter().chain([number("Services"), number("seeds")]).collect();
    let mut table = Table::new("Cells of the base that the new side lost", "", columns);
    let mut rows: BTreeMap<(Verdict, &str, &str, &str, u64), u64> = BTreeMap::new();
    for lost in &gate.lost {
        let cell = &lost.cell;
        let key = (
            lost.verdict,
            cell.proxy.as_str(),
            cell.measure.as_str(),
            cell.reason.as_str(),
            cell.services,
        );
        *rows.entry(key).or_default() += 1;
    }
    for ((verdict, proxy, measure, reason, services), seeds) in rows.into_iter().rev() {
        let words = [verdict.as_str(), proxy, measure, reason].map(str::to_owned);
        let numbers = [thousands(services), thousands(seeds)];
        table.rows.push(words.into_iter().chain(numbers).collect());
    }
    table.cut().unless_empty()
}

/// At most `most` lines as a table.
fn line_table(title: &str, lines: &[&Line], most: usize) -> Option<Table> {
    let tested = lines.iter().any(|line| !matches!(line.evidence, Evidence::Exact));
    let kernels: BTreeSet<&str> = lines.iter().map(|line| line.new_kernel.as_str()).collect();
    let kernels = kernels.len() > 1;
    let mut columns =
        vec![column("verdict"), column("what"), number("effect"), number("threshold")];
    if tested {
        columns.extend(["detectable", "replicates", "further"].map(number));
    }
    columns.extend([number("base"), number("new"), column("why")]);
    if kernels {
        columns.push(column("kernel"));
    }
    let mut table = Table::new(title, "", columns);
    table.rows = lines.iter().take(most).map(|line| row(line, tested)).collect();
    if kernels {
        for (row, line) in table.rows.iter_mut().zip(lines) {
            row.push(line.new_kernel.clone());
        }
    }
    let left = lines.len().saturating_sub(most);
    if left > 0 {
        table.note = format!(
            "{} with smaller effects left out; --all shows every line.",
            counted(left, "line")
        );
    }
    table.unless_empty()
}

fn row(line: &Line, tested: bool) -> Vec<String> {
    let word = if line.improvement { "pass (better)" } else { line.verdict.as_str() };
    let mut row =
        vec![word.to_owned(), line.name(), line.effect_in_words(), plain_share(line.threshold)];
    if tested {
        row.extend(match line.evidence {
            Evidence::Exact => [String::new(), String::new(), String::new()],
            Evidence::TooFew { replicates, further } => {
                ["nothing".into(), replicates.to_string(), further.to_string()]
            }
            Evidence::Replicates { detectable, replicates, further, .. } => [
                detectable.map_or("nothing".into(), plain_share),
                replicates.to_string(),
                further.to_string(),
            ],
        });
    }
    let unit = line.subject.unit;
    row.extend([compact(unit, line.base), compact(unit, line.new), line.reason.clone()]);
    row
}

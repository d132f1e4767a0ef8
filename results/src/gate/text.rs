//! A verdict for people: one line that says it, the reasons, the lines; whole, or as a comment on a
//! change.

use std::collections::BTreeMap;

use super::line::{Evidence, Judged, Line, plain_share};
use super::result::{Gate, Lost};
use super::verdict::{Across, Verdict};
use crate::compare::brief;
use crate::compare::render::{differences, several, unmatched};
use crate::document::{Block, Detail, Document};
use crate::format::{compact, counted, thousands};
use crate::record::Clock;
use crate::tables::{Columns, Table};

/// Lines that are shown unless all are wanted.
const TOP: usize = 10;
/// Lines of a comment's first table.
const NOTABLE: usize = 10;
/// Lines of its folded ones: a comment has a largest size.
const FOLDED: usize = 100;

/// The page for a terminal: the verdict in one line, what it rests on, the lines.
pub fn document(gate: &Gate, detail: Detail) -> Document {
    let mut document = Document::new(headline(gate), "");
    document.blocks.extend(by_proxy(gate).map(Block::from));
    document.blocks.extend(explained(gate));
    document.blocks.push(Block::List(sentences(gate)));
    document.blocks.extend(tables(gate, detail).into_iter().flatten().map(Block::from));
    document
}

/// A line a proxy, the control at the end.
fn by_proxy(gate: &Gate) -> Option<Table> {
    let words = |line: &Line| match line.verdict {
        Verdict::Pass => line.effect_in_words(),
        verdict => format!("{verdict}: {}", line.effect_in_words()),
    };
    let note =
        "The worst of each, with the number of Services that it was found at. A dash: not judged.";
    brief::by_proxy(gate.lines.iter().chain(&gate.controls), |line| &line.subject, words, note)
}

/// The command that explains the worst line, if one is not passed.
fn explained(gate: &Gate) -> Vec<Block> {
    let failed = |line: &&Line| line.verdict == Verdict::Regression;
    let commands = gate.lines.iter().filter(failed).filter_map(|line| {
        let command = brief::explain(&line.subject, &line.base_cell, &line.new_cell)?;
        Some((format!("Where {} comes from:", named(gate, line)), command))
    });
    let told = |(words, command)| vec![Block::Text(words), Block::Code(command)];
    commands.map(told).next().unwrap_or_default()
}

/// The page as a comment on a change: what matters first, everything else folded away.
pub fn comment(gate: &Gate) -> Document {
    let mut document = Document::new(format!("vipbench gate: {}", gate.verdict), "");
    let first = [
        unlike(gate),
        lost(gate),
        line_table(
            "",
            &gate.lines.iter().filter(|line| is_notable(line)).collect::<Vec<_>>(),
            NOTABLE,
        ),
    ];
    let all = |lines: &[Line]| line_table("", &lines.iter().collect::<Vec<_>>(), FOLDED);
    let folded = [
        (all(&gate.lines), "judged", gate.lines.len()),
        (all(&gate.controls), "of the control", gate.controls.len()),
        (unmatched(&gate.unmatched), "of cells that could not be compared", gate.unmatched.len()),
    ];
    let blocks = &mut document.blocks;
    blocks.push(Block::Lead(headline(gate)));
    blocks.extend(by_proxy(gate).map(Block::from));
    blocks.extend(explained(gate));
    blocks.extend(first.into_iter().flatten().map(Block::from));
    let how = vec![Block::List(sentences(gate))];
    blocks.push(Block::Folded("How it was judged".to_owned(), how));
    blocks.extend(folded.into_iter().filter_map(|(table, what, count)| {
        let title = format!("{} {what}", lines(count));
        Some(Block::folded(Table { title, ..table? }))
    }));
    document
}

/// Whether a reader must see a line.
fn is_notable(line: &Line) -> bool {
    line.verdict != Verdict::Pass || line.improvement
}

/// `REGRESSION: 2 of 14 lines, worst: ...`.
pub(super) fn headline(gate: &Gate) -> String {
    let verdict = gate.verdict.to_string().to_uppercase();
    if let Some(problem) = gate.problems.first() {
        return format!("{verdict}: {problem}");
    }
    let of_verdict = |line: &&Line| line.verdict == gate.verdict;
    let count = thousands(gate.lines.iter().filter(of_verdict).count() as u64);
    let all = lines(gate.lines.len());
    if gate.verdict == Verdict::Pass {
        return format!("{verdict}: {count} of {all} judged, and none got slower");
    }
    let lost = match gate.lost.iter().filter(|lost| lost.verdict == gate.verdict).count() {
        0 => String::new(),
        lost => format!(" and {} that the new side lost", counted(lost as u64, "cell")),
    };
    let worst = gate.lines.iter().find(of_verdict).map_or(String::new(), |worst| {
        format!("; worst: {}: {}", named(gate, worst), worst.reason)
    });
    format!("{verdict}: {count} of {all}{lost}{worst}")
}

/// A line's name, with its kernel where there are several.
pub(super) fn named(gate: &Gate, line: &Line) -> String {
    match gate.new.kernels.len() {
        0 | 1 => line.name(),
        _ => format!("{}, kernel {}", line.name(), line.subject.new_kernel),
    }
}

fn lines(count: usize) -> String {
    counted(count as u64, "line")
}

/// What was held against what, how, and how sure that is.
fn sentences(gate: &Gate) -> Vec<String> {
    let mut all = vec![format!(
        "{} against {}, {} of cells.",
        gate.new.in_words(),
        gate.base.in_words(),
        counted(gate.matched_cells, "pair")
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

fn method(gate: &Gate) -> Option<String> {
    let any = |fits: fn(&Line) -> bool| gate.lines.iter().any(fits);
    if gate.lines.is_empty() {
        return None;
    }
    Some(if any(|line| line.judged == Judged::Net) {
        "connect and request are judged by what the proxy adds to none, as a share of the whole base: none itself is meant to differ.".to_owned()
    } else if any(|line| line.subject.clock == Clock::Wall) {
        format!(
            "Wall clock: the replicates are the seeds, tested as one family of lines (permutation of pairs, Holm, 5%), connect and request relative to none of the same seed; intervals by bootstrap over the replicates, random seed {}.",
            gate.seed
        )
    } else {
        "Instructions clock: equal seeds are compared exactly, and the worst seed decides."
            .to_owned()
    })
}

fn control(gate: &Gate) -> String {
    let all = lines(gate.controls.len());
    let largest = gate.controls.iter().max_by(|a, b| a.size().total_cmp(&b.size()));
    let moved: Vec<&Line> =
        gate.controls.iter().filter(|line| line.verdict == Verdict::Invalid).collect();
    match (largest, moved.as_slice()) {
        (None, _) => "Control: none is not on both sides.".to_owned(),
        (_, [worst, ..]) => format!(
            "Control: none moved in {} of {all}; {}: {}.",
            moved.len(),
            worst.name(),
            worst.reason
        ),
        _ if gate.controls.iter().all(Line::is_equal) => {
            format!("Control: none is exactly equal in {all}.")
        }
        (Some(line), []) => format!(
            "Control: none, the largest change of {all}: {} by {}: {}.",
            line.name(),
            line.effect_in_words(),
            line.reason
        ),
    }
}

fn itself(gate: &Gate) -> Option<String> {
    let largest = gate.itself.iter().max_by(|a, b| a.effect.abs().total_cmp(&b.effect.abs()))?;
    Some(format!(
        "The base against itself ({}): at most {} apart ({}, p {:.3} after Holm).",
        counted(gate.itself.len() as u64, "check"),
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
        lines(better.len()),
        best.name(),
        best.effect_in_words()
    ))
}

/// The tables in their order.
fn tables(gate: &Gate, detail: Detail) -> [Option<Table>; 5] {
    let all = detail == Detail::All;
    let most = if all { usize::MAX } else { TOP };
    let is_quiet = |line: &&Line| !all && !is_notable(line);
    let (quiet, shown): (Vec<&Line>, Vec<&Line>) = gate.lines.iter().partition(is_quiet);
    let controls_matter = all
        || gate.controls.iter().any(|line| line.verdict == Verdict::Invalid)
        || gate.across.is_some_and(Across::moves_floor);
    let controls: Vec<&Line> = gate.controls.iter().filter(|_| controls_matter).collect();
    let mut judged = line_table("Lines, worst first", &shown, most);
    if let Some(table) = judged.as_mut().filter(|_| !quiet.is_empty()) {
        let quiet = lines(quiet.len());
        table.add_note(&format!("{quiet} passed without getting better; --full shows them."));
    }
    [
        unlike(gate),
        lost(gate),
        judged,
        line_table("Control: none", &controls, most),
        unmatched(&gate.unmatched),
    ]
}

fn unlike(gate: &Gate) -> Option<Table> {
    differences("What differs", &gate.unlike).cut().unless_empty()
}

/// Lost cells of one proxy, measure and reason share a row.
fn lost(gate: &Gate) -> Option<Table> {
    let mut rows: BTreeMap<(Verdict, [String; 3], u64), u64> = BTreeMap::new();
    for Lost { verdict, cell } in &gate.lost {
        let without = |metric| format!("measured, but without a value of {metric}");
        let reason = cell.metric.as_ref().map_or_else(|| cell.reason.clone(), without);
        let words = [cell.proxy.clone(), cell.measure.clone(), reason];
        *rows.entry((*verdict, words, cell.services)).or_default() += 1;
    }
    Columns::of(rows.into_iter().rev())
        .text("verdict", |((verdict, ..), _)| verdict.to_string())
        .text("proxy", |((_, words, _), _)| words[0].clone())
        .text("measure", |((_, words, _), _)| words[1].clone())
        .text("reason", |((_, words, _), _)| words[2].clone())
        .number("Services", |((.., services), _)| thousands(*services))
        .number("seeds", |(_, seeds)| thousands(*seeds))
        .titled("Cells and values of the base that the new side lost", "")
        .cut()
        .unless_empty()
}

/// At most `most` lines as a table.
fn line_table(title: &str, all: &[&Line], most: usize) -> Option<Table> {
    let tested = all.iter().any(|line| line.evidence != Evidence::Exact);
    let kernels = several(all.iter().map(|line| &line.subject.new_kernel));
    let mut columns = Columns::of(all.iter().take(most))
        .text("verdict", |line| {
            format!("{}{}", line.verdict, if line.improvement { " (better)" } else { "" })
        })
        .text("what", |line| line.name())
        .number("effect", |line| line.effect_in_words())
        .number("threshold", |line| plain_share(line.threshold));
    let heads = ["detectable", "replicates", "further"];
    for (at, head) in heads.into_iter().enumerate().filter(|_| tested) {
        columns = columns.number(head, move |line| replicates(line)[at].clone());
    }
    columns = columns
        .number("base", |line| compact(line.subject.unit, line.base))
        .number("new", |line| compact(line.subject.unit, line.new))
        .text("why", |line| line.reason.clone());
    if kernels {
        columns = columns.text("kernel", |line| line.subject.new_kernel.clone());
    }
    let mut table = columns.titled(title, "");
    if all.len() > most {
        let left = lines(all.len() - most);
        table.add_note(&format!("{left} with smaller effects left out; --full shows every line."));
    }
    table.unless_empty()
}

/// What a line of replicates could have found, how many there are, and how many are missing.
fn replicates(line: &Line) -> [String; 3] {
    let (detectable, replicates, further) = match line.evidence {
        Evidence::Exact => return <[String; 3]>::default(),
        Evidence::TooFew { replicates, further } => (None, replicates, further),
        Evidence::Replicates { detectable, replicates, further, .. } => {
            (detectable, replicates, further)
        }
    };
    let detectable = detectable.map_or("nothing".to_owned(), plain_share);
    [detectable, replicates.to_string(), further.to_string()]
}

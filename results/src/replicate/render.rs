//! Verdicts as a page: a table of them, then a part for each claim.

use super::claim::Test;
use super::verdict::{ClaimPoint, JudgedClaim};
use crate::document::{Block, Document};
use crate::format::{fixed, list, quantity, quantity_again, thousands};
use crate::tables::Columns;

/// The page, that `command` makes again: one part a claim. A terminal shows one line a claim.
pub fn document(judged: &[JudgedClaim], command: &str) -> Document {
    let brief = Columns::of(judged)
        .text("claim", |one| one.claim.id.clone())
        .text("claimed", |one| one.claim.says.clone())
        .text("measured", |one| measured(one))
        .text("verdict", |one| one.verdict.in_words());
    let verdicts = Columns::of(judged)
        .text("claimed", |one| one.claim.says.clone())
        .text("verdict", |one| one.verdict.in_words());
    let note = format!(
        "Made by `{command}`; do not edit. Ratios are written with x, the exponent of a growth as N^. A number with its \
         kernel and clock is the median over the seeds; where seeds differ, the range stands behind it."
    );
    let mut page = vec![
        verdicts.titled("", "").into(),
        Block::Heading(2, "Each claim, with its source and its test".to_owned()),
        Block::Text(note),
    ];
    page.extend(judged.iter().flat_map(part));
    let mut document = Document::new("Published claims, put to the test", "");
    document.blocks =
        vec![Block::OnTerminal(vec![brief.titled("", "").into()]), Block::OnPage(page)];
    document
}

/// One claim: what is claimed and by whom, what was measured, and the verdict.
fn part(judged: &JudgedClaim) -> [Block; 3] {
    let claim = &judged.claim;
    let says = format!("Claimed: {}. Verdict: {}.", claim.says, judged.verdict.in_words());
    let tested = format!("{} (`scenarios/replicate/{}.toml`)", claim.how, judged.scenario);
    let topics =
        [("measured", measured(judged)), ("test", tested), ("source", claim.source.clone())];
    [
        Block::Heading(3, claim.id.clone()),
        Block::Text(says),
        Block::Topics(topics.map(|(topic, said)| (topic.to_owned(), said)).to_vec()),
    ]
}

/// `1.01x with 10,000, 1.03x with 20,000 Services (6.1.0, instructions)`.
fn measured(judged: &JudgedClaim) -> String {
    let place = |point: &ClaimPoint| (point.kernel.clone(), point.clock);
    let phrase = |points: &[ClaimPoint]| {
        let value = |point: &ClaimPoint| {
            format!("{} with {}", value(judged, point), thousands(point.services))
        };
        let values: Vec<String> = points.iter().map(value).collect();
        let (kernel, clock) = place(&points[0]);
        format!("{} Services ({kernel}, {clock})", list(&values))
    };
    let phrases: Vec<String> =
        judged.points.chunk_by(|a, b| place(a) == place(b)).map(phrase).collect();
    if phrases.is_empty() { "nothing".to_owned() } else { phrases.join("; ") }
}

fn value(judged: &JudgedClaim, point: &ClaimPoint) -> String {
    let is_exponent =
        matches!(&judged.claim.test, Test::Measured(test) if test.exponent_from.is_some());
    let number = |value: f64| match point.unit {
        // A difference may be negative, which no quantity is.
        Some(unit) if value < 0.0 => format!("-{}", quantity(unit, -value)),
        Some(unit) => quantity(unit, value),
        None if is_exponent => format!("N^{}", fixed(value, 2)),
        None => format!("{}x", fixed(value, if value < 9.95 { 2 } else { 0 })),
    };
    let (low, high) = (number(point.value.min), number(point.value.max));
    let middle = number(point.value.median);
    if low == high {
        return middle;
    }
    let low = point.unit.map_or(low, |unit| quantity_again(unit, point.value.min.max(0.0)));
    format!("{middle} ({low} to {high})")
}

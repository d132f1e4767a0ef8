//! Advice as a page: the answer a kernel, one table, what was not looked at, then the evidence.

use super::advice::{Advice, Choice, GroupAdvice, Usage};
use super::sentences;
use crate::capacity;
use crate::document::{Block, Document};
use crate::format::{list, thousands};
use crate::plots::PlotError;
use crate::tables::{Columns, Table};

/// The page.
///
/// # Errors
/// [`PlotError`].
pub fn document(advice: &Advice) -> Result<Document, PlotError> {
    let title = format!("vipbench advise: {} Services", thousands(advice.services));
    let mut document = Document::new(title, summary(advice));
    let blocks = &mut document.blocks;
    for group in &advice.groups {
        blocks.push(Block::Heading(2, title_of(group)));
        blocks.push(Block::Lead(sentences::answer(advice, group)));
        blocks.push(table(advice, group).into());
    }
    blocks.push(Block::List(sentences::budgets(advice)));
    blocks.push(Block::Heading(2, "What was not looked at".to_owned()));
    blocks.push(Block::List(advice.not_looked_at.clone()));
    for group in &advice.plan.groups {
        blocks.push(Block::OnPage(capacity::evidence(group)?));
    }
    Ok(document)
}

fn summary(advice: &Advice) -> String {
    let (runs, versions) = (list(&advice.runs), advice.tool_versions.join(", "));
    format!("from {runs} · measured with vipbench {versions}")
}

/// `Kernel 6.1.0-57-cloud-amd64, guest, instructions clock`.
fn title_of(group: &GroupAdvice) -> String {
    let GroupAdvice { kernel, place, clock, path, .. } = group;
    format!("Kernel {kernel}, {place}, {clock} clock{}", path.in_title())
}

/// A line a proxy, the best first.
fn table(advice: &Advice, group: &GroupAdvice) -> Table {
    let mut columns = Columns::of(&group.choices)
        .text("proxy", |choice| choice.proxy.clone())
        .text("advice", |choice| sentences::standing(choice.standing).to_owned());
    for budget in &advice.budgets {
        columns = columns.number(budget.name.as_str(), |choice| {
            let usage = choice.usages.iter().find(|usage| usage.budget == budget.name);
            usage.map(cell).unwrap_or_default()
        });
    }
    let until = |choice: &&Choice| choice.until.map(sentences::until_size).unwrap_or_default();
    columns = columns.number("until", until);
    if group.choices.iter().any(|choice| choice.reason.is_some()) {
        let reason = |choice: &&Choice| choice.reason.clone().unwrap_or_default();
        columns = columns.text("why not more is known", reason);
    }
    columns
        .titled(
            "What each proxy takes of each budget",
            "100% is the whole budget; in brackets the range that is likely. ~ is fitted, the others are measured. until: the number of Services that fits into every budget.",
        )
}

/// `5.2% (3.1% to 9.0%)`.
fn cell(usage: &Usage) -> String {
    let about = if usage.measured { "" } else { "~" };
    let middle = sentences::number(usage.share);
    match usage.share_range.map(|(low, high)| [low, high].map(sentences::number)) {
        Some([low, high]) if low != high => format!("{about}{middle} ({low} to {high})"),
        _ => format!("{about}{middle}"),
    }
}

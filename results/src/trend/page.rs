//! A trend as a page: the answer, the steps with what changed around them, plots, method.

use super::data::Trend;
use super::{plot, sentences, tables};
use crate::document::{Block, Document};
use crate::format::counted;
use crate::plots::PlotError;

/// Steps and facts that a terminal has room for; a page has all.
const LINES_MAX: usize = 20;

/// The page.
///
/// # Errors
/// [`PlotError`].
pub fn document(trend: &Trend) -> Result<Document, PlotError> {
    let mut document = Document::new("vipbench trend", summary(trend));
    let short = [tables::moments(trend), tables::around(trend)].into_iter().flatten();
    document.blocks = vec![
        Block::Lead(sentences::lead(trend)),
        Block::List(sentences::notes(trend)),
        Block::OnTerminal(short.clone().map(|table| table.cut_to(LINES_MAX).into()).collect()),
        Block::OnPage(short.map(Block::from).collect()),
        Block::OnPage(vec![Block::Plots(plot::draw(trend)?)]),
    ];
    document.blocks.extend(tables::steps(trend).map(Block::folded));
    document.blocks.extend([
        Block::folded(tables::series(trend)),
        Block::folded(tables::runs(trend)),
        Block::OnPage(vec![
            Block::Heading(2, "Method and limits".to_owned()),
            Block::List(sentences::METHOD.map(str::to_owned).into()),
        ]),
    ]);
    Ok(document)
}

fn summary(trend: &Trend) -> String {
    let runs = counted(trend.runs.len() as u64, "run");
    let ends = trend.runs.first().zip(trend.runs.last());
    let days = ends.map(|(first, last)| (sentences::day(first), sentences::day(last)));
    match days {
        Some((first, last)) if first != last => format!("{runs}, from {first} to {last}"),
        Some((first, _)) => format!("{runs} of {first}"),
        None => runs,
    }
}

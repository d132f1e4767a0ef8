//! A page as data: what a feature has to say, before it becomes text for a terminal, Markdown or
//! HTML.
//!
//! Features make Documents, `print` shows any of them. Nothing here knows what is said, or how it
//! looks.

use crate::plots::Plot;
use crate::tables::Table;

/// A whole page. Its texts are plain words, in which a pair of backquotes holds code.
#[derive(Debug, Clone)]
pub struct Document {
    /// One line.
    pub(crate) title: String,
    /// Under the title: what it is made from; may be empty.
    pub(crate) summary: String,
    /// The content, in order.
    pub(crate) blocks: Vec<Block>,
    /// Folder of the plots as seen from the page, ending in a slash; empty for the page's own
    /// folder.
    pub(crate) plots_in: &'static str,
}

/// A piece of a page. Lists without items are not shown.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    /// Head of a part (2) or of a part of it (3).
    Heading(u8, String),
    /// The paragraph that matters most.
    Lead(String),
    /// A paragraph.
    Text(String),
    /// The same of what is needed to read what stands above it.
    Note(String),
    /// Sentences, each for itself.
    List(Vec<String>),
    /// A topic and what is said of it.
    Topics(Vec<(String, String)>),
    /// Tables, side by side where there is room.
    Tables(Vec<Table>),
    /// Plots, each with its numbers.
    Plots(Vec<Plot>),
    /// A command.
    Code(String),
    /// Shown when the reader opens the line that is said first; not on a terminal.
    Folded(String, Vec<Block>),
    /// In Markdown and HTML alone.
    OnPage(Vec<Block>),
    /// In HTML alone.
    InHtml(Vec<Block>),
    /// On a terminal alone.
    OnTerminal(Vec<Block>),
    /// On a page, and on a terminal where the whole is asked for.
    InFull(Vec<Block>),
    /// On a terminal where the whole is not asked for.
    InBrief(Vec<Block>),
    /// What follows begins a new sheet of paper.
    NewSheet,
}

/// How much a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What matters most: about a screenful.
    Top,
    /// Everything.
    All,
}

impl Document {
    pub(crate) fn new(title: impl Into<String>, summary: impl Into<String>) -> Self {
        let (title, summary) = (title.into(), summary.into());
        Self { title, summary, blocks: Vec::new(), plots_in: "plots/" }
    }

    /// Every plot, in order.
    pub(crate) fn plots(&self) -> Vec<&Plot> {
        plots_of(&self.blocks)
    }
}

fn plots_of(blocks: &[Block]) -> Vec<&Plot> {
    let mut plots = Vec::new();
    for block in blocks {
        match block {
            Block::Plots(some) => plots.extend(some),
            Block::Folded(_, inner)
            | Block::OnPage(inner)
            | Block::InHtml(inner)
            | Block::InFull(inner) => {
                plots.extend(plots_of(inner));
            }
            _ => {}
        }
    }
    plots
}

impl Block {
    /// A table under a line that opens it.
    pub(crate) fn folded(mut table: Table) -> Self {
        let title = std::mem::take(&mut table.title);
        Self::Folded(title, vec![table.into()])
    }
}

impl From<Table> for Block {
    fn from(table: Table) -> Self {
        Self::Tables(vec![table])
    }
}

/// The spans of a text, each with whether it is code. Backquotes that do not pair are words like
/// others.
pub(crate) fn spans(text: &str) -> Vec<(bool, &str)> {
    let pieces: Vec<&str> = text.split('`').collect();
    let inner = pieces.get(1..pieces.len() - 1).unwrap_or_default();
    if pieces.len().is_multiple_of(2) || inner.iter().any(|piece| piece.is_empty()) {
        return vec![(false, text)];
    }
    let is_code = [false, true].into_iter().cycle();
    is_code.zip(pieces).filter(|(_, piece)| !piece.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stands_between_backquotes_that_pair() {
        assert_eq!(spans("a `b` c"), [(false, "a "), (true, "b"), (false, " c")]);
        assert_eq!(spans("`b`"), [(true, "b")]);
        for text in ["a", "a ` b", "``", "`a``b`", "` ` `"] {
            assert_eq!(spans(text), [(false, text)], "{text}");
        }
    }
}

//! Markdown: sentences, tables, links to the plots, and folded parts as a browser folds them.

use itertools::Itertools as _;

use crate::document::{Block, Document, spans};
use crate::plots::{Plot, theme};
use crate::tables::{Column, Table};

/// The whole page.
pub fn page(document: &Document) -> String {
    let title = format!("# {}\n\n", escape(&document.title));
    let summary = paragraph(&document.summary);
    let page = title + &summary + &blocks(&document.blocks, document.plots_in);
    format!("{}\n", page.trim_end())
}

fn blocks(blocks: &[Block], plots_in: &str) -> String {
    let shown = |block: &Block| match block {
        Block::Heading(level, text) => {
            format!("{} {}\n\n", "#".repeat((*level).into()), words(text))
        }
        Block::Lead(text) | Block::Text(text) | Block::Note(text) => paragraph(text),
        Block::List(items) => lines(items.iter().map(|item| format!("- {}", words(item)))),
        Block::Topics(items) => lines(
            items.iter().map(|(topic, text)| format!("- **{}.** {}", escape(topic), words(text))),
        ),
        Block::Tables(tables) => tables.iter().map(table).collect(),
        Block::Plots(plots) => plots.iter().map(|one| plot(one, plots_in)).collect(),
        Block::Code(code) => format!("    {code}\n\n"),
        Block::Folded(summary, inner) => folded(summary, inner, plots_in),
        Block::OnPage(inner) | Block::InFull(inner) => self::blocks(inner, plots_in),
        Block::OnTerminal(_) | Block::InBrief(_) | Block::InHtml(_) | Block::NewSheet => {
            String::new()
        }
    };
    blocks.iter().map(shown).collect()
}

/// Browsers that show Markdown know these elements; a line without any content ends the HTML.
fn folded(summary: &str, inner: &[Block], plots_in: &str) -> String {
    let (summary, inner) = (theme::escape(summary), blocks(inner, plots_in));
    format!("<details><summary>{summary}</summary>\n\n{inner}</details>\n\n")
}

fn plot(plot: &Plot, plots_in: &str) -> String {
    let image = format!("![{}]({plots_in}{}.svg)\n\n", escape(&plot.title), plot.name);
    if plot.table.rows.is_empty() {
        return image;
    }
    image + &folded("Numbers of this plot", &[plot.table.clone().into()], "")
}

/// Nothing without words.
fn paragraph(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{}\n\n", words(text)) }
}

/// Lines that belong together; nothing without any.
fn lines(lines: impl IntoIterator<Item = String>) -> String {
    let lines = lines.into_iter().join("\n");
    if lines.is_empty() { lines } else { lines + "\n\n" }
}

fn table(table: &Table) -> String {
    let title = Some(&table.title).filter(|title| !title.is_empty());
    let title = title.map(|title| format!("**{}**\n\n", escape(title))).unwrap_or_default();
    let heads = table.columns.iter().map(|column| escape(&column.name)).join(" | ");
    let rule = |column: &Column| if column.numeric { "--:" } else { "---" };
    let rules = table.columns.iter().map(rule).join("|");
    let head = [format!("| {heads} |"), format!("|{rules}|")];
    let rows = table.rows.iter().enumerate().map(|(at, row)| {
        let links = table.more.get(at).into_iter().flat_map(|more| &more.links);
        let links = links.map(|(name, path)| format!(" [{}]({path})", escape(name)));
        let cells = row.iter().map(|cell| escape(cell)).join(" | ");
        format!("| {cells}{} |", links.collect_vec().concat())
    });
    let commands = table.more.iter().flat_map(|more| &more.commands);
    let mut commands = lines(commands.map(|command| format!("    {command}")));
    if !commands.is_empty() {
        let what = "Where the largest come from, one command each, in the same order:";
        commands = format!("{what}\n\n{commands}");
    }
    title + &paragraph(&table.note) + &lines(head.into_iter().chain(rows)) + &commands
}

/// Escaped, but for code.
fn words(text: &str) -> String {
    let span =
        |(is_code, span): (bool, &str)| if is_code { format!("`{span}`") } else { escape(span) };
    spans(text).into_iter().map(span).collect()
}

/// Text that Markdown shows as it is. An underscore inside a word is left alone: it means nothing
/// there, and names are full of them.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut previous = ' ';
    let mut rest = text.chars().peekable();
    while let Some(symbol) = rest.next() {
        let inside_word =
            previous.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        let special = match symbol {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '#' => true,
            '_' => !inside_word,
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(symbol);
        previous = symbol;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_text_cannot_become_markup() {
        assert_eq!(
            escape("a|b <x> _y_ `z` [l](u) endpoint_change"),
            "a\\|b \\<x\\> \\_y\\_ \\`z\\` \\[l\\](u) endpoint_change"
        );
    }
}

//! Markdown: sentences, tables, links to the plots, and folded parts as a browser folds them.

use std::fmt::Write as _;

use crate::document::{Block, Document, spans};
use crate::plots::{Plot, theme};
use crate::tables::Table;

/// The whole page.
pub fn page(document: &Document) -> String {
    let mut out = format!("# {}\n\n", escape(&document.title));
    if !document.summary.is_empty() {
        let _ = writeln!(out, "{}\n", words(&document.summary));
    }
    blocks(&mut out, &document.blocks, document.plots_in);
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn blocks(out: &mut String, blocks: &[Block], plots_in: &str) {
    for block in blocks {
        match block {
            Block::Heading(level, text) => {
                let _ = writeln!(out, "{} {}\n", "#".repeat((*level).into()), words(text));
            }
            Block::Lead(text) | Block::Text(text) => {
                let _ = writeln!(out, "{}\n", words(text));
            }
            Block::List(items) => list(out, items.iter().map(|item| words(item))),
            Block::Topics(items) => {
                let item = |(topic, text): &(String, String)| {
                    format!("**{}.** {}", escape(topic), words(text))
                };
                list(out, items.iter().map(item));
            }
            Block::Tables(tables) => tables.iter().for_each(|one| table(out, one)),
            Block::Plots(plots) => plots.iter().for_each(|one| plot(out, one, plots_in)),
            Block::Code(code) => {
                let _ = writeln!(out, "    {code}\n");
            }
            Block::Folded(summary, inner) => folded(out, summary, inner, plots_in),
            Block::OnPage(inner) => self::blocks(out, inner, plots_in),
            Block::OnTerminal(_) | Block::NewSheet => {}
        }
    }
}

/// Browsers that show Markdown know these elements; a line without any content ends the HTML.
fn folded(out: &mut String, summary: &str, inner: &[Block], plots_in: &str) {
    let _ = writeln!(out, "<details><summary>{}</summary>\n", theme::escape(summary));
    blocks(out, inner, plots_in);
    out.push_str("</details>\n\n");
}

fn plot(out: &mut String, plot: &Plot, plots_in: &str) {
    let _ = writeln!(out, "![{}]({plots_in}{}.svg)\n", escape(&plot.title), plot.name);
    if !plot.table.rows.is_empty() {
        folded(out, "Numbers of this plot", &[plot.table.clone().into()], "");
    }
}

fn list(out: &mut String, items: impl Iterator<Item = String>) {
    let before = out.len();
    items.for_each(|item| {
        let _ = writeln!(out, "- {item}");
    });
    if out.len() > before {
        out.push('\n');
    }
}

fn table(out: &mut String, table: &Table) {
    if !table.title.is_empty() {
        let _ = writeln!(out, "**{}**\n", escape(&table.title));
    }
    if !table.note.is_empty() {
        let _ = writeln!(out, "{}\n", words(&table.note));
    }
    let heads: Vec<String> = table.columns.iter().map(|column| escape(&column.name)).collect();
    let rules: Vec<&str> =
        table.columns.iter().map(|column| if column.numeric { "--:" } else { "---" }).collect();
    let _ = writeln!(out, "| {} |\n|{}|", heads.join(" | "), rules.join("|"));
    for (at, row) in table.rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        let links = table.more.get(at).map_or(&[][..], |more| &more.links);
        let links = links.iter().map(|(name, path)| format!(" [{}]({path})", escape(name)));
        let links = links.collect::<Vec<_>>().concat();
        let _ = writeln!(out, "| {}{links} |", cells.join(" | "));
    }
    out.push('\n');
    let mut commands = table.more.iter().filter_map(|more| more.command.as_ref()).peekable();
    if commands.peek().is_some() {
        out.push_str("Where the largest come from, one command each, in the same order:\n\n");
        commands.for_each(|command| {
            let _ = writeln!(out, "    {command}");
        });
        out.push('\n');
    }
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

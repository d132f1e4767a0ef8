//! The report as Markdown: findings, tables, and links to the plots.

use std::fmt::Write as _;

use super::page::{Block, Page};
use crate::findings::Finding;
use crate::tables::Table;

/// The whole text.
pub(super) fn render(page: &Page) -> String {
    let mut text = format!("# {}\n\n{}\n\n", escape(&page.title), escape(&page.summary));
    let alone = page.sections.len() == 1;
    for section in &page.sections {
        if !alone {
            let _ = writeln!(text, "**On {}:**", escape(&section.findings.title));
        }
        if let Some(headline) = &section.findings.headline {
            let _ = writeln!(text, "{}\n", escape(headline));
        }
    }
    list(&mut text, page.across.iter().map(String::as_str));
    for section in &page.sections {
        let _ = writeln!(text, "## {}\n", escape(&section.heading()));
        for Finding { topic, text: sentences } in &section.findings.items {
            let _ = writeln!(text, "- **{topic}.** {}", escape(sentences));
        }
        text.push('\n');
        for block in &section.blocks {
            block_text(&mut text, block);
        }
    }
    if !page.problems.is_empty() {
        text.push_str("## What to know before using these numbers\n\n");
        page.problems.iter().for_each(|table| table_text(&mut text, table));
    }
    text.push_str("## How it was measured\n\n");
    for command in &page.commands {
        let _ = writeln!(text, "    {command}\n");
    }
    list(&mut text, page.method.iter().copied());
    page.surroundings.iter().for_each(|table| table_text(&mut text, table));
    text
}

fn block_text(text: &mut String, block: &Block) {
    let _ = writeln!(text, "### {}\n", block.heading);
    for plot in &block.plots {
        let _ = writeln!(text, "![{}](plots/{}.svg)\n", escape(&plot.title), plot.name);
    }
    for table in block.tables.iter().chain(&block.more) {
        table_text(text, table);
    }
}

fn list<'a>(text: &mut String, items: impl Iterator<Item = &'a str>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    for item in items {
        let _ = writeln!(text, "- {}", escape(item));
    }
    text.push('\n');
}

fn table_text(text: &mut String, table: &Table) {
    let _ = writeln!(text, "**{}**\n", escape(&table.title));
    if !table.note.is_empty() {
        let _ = writeln!(text, "{}\n", escape(&table.note));
    }
    let heads: Vec<String> = table.columns.iter().map(|column| escape(&column.name)).collect();
    let rules: Vec<&str> =
        table.columns.iter().map(|column| if column.numeric { "--:" } else { "---" }).collect();
    let _ = writeln!(text, "| {} |\n|{}|", heads.join(" | "), rules.join("|"));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
}

/// Text that Markdown shows as it is. An underscore inside a word is left alone: it means nothing there, and names are full of them.
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
    use crate::fixture;
    use crate::view::View;

    #[test]
    fn a_whole_report_reads_as_expected() {
        let runs = [fixture::stored()];
        let page = Page::of(&View::new(&runs).unwrap()).unwrap();
        insta::assert_snapshot!(render(&page));
    }

    #[test]
    fn several_kernels_and_clocks_have_sections_of_their_own() {
        let runs = [fixture::wall(), fixture::stored(), fixture::other_kernel()];
        let text = render(&Page::of(&View::new(&runs).unwrap()).unwrap());
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(
            heads,
            [
                "## Kernel 6.18.44, host, wall clock",
                "## Kernel 5.10.0-32-cloud-amd64, guest, instructions clock",
                "## Kernel 6.1.0-56-cloud-amd64, guest, instructions clock",
                "## What to know before using these numbers",
                "## How it was measured",
            ]
        );
        assert!(text.contains("The two clocks are never compared"));
    }

    #[test]
    fn stored_text_cannot_become_markup() {
        assert_eq!(
            escape("a|b <x> _y_ `z` [l](u) endpoint_change"),
            "a\\|b \\<x\\> \\_y\\_ \\`z\\` \\[l\\](u) endpoint_change"
        );
    }
}

//! Markdown.

use std::fmt::Write as _;

use crate::tables::Table;

pub(crate) fn list<'a>(text: &mut String, items: impl Iterator<Item = &'a str>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    for item in items {
        let _ = writeln!(text, "- {}", escape(item));
    }
    text.push('\n');
}

pub(crate) fn table_text(text: &mut String, table: &Table) {
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
pub(crate) fn escape(text: &str) -> String {
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

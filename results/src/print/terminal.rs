//! Text for a terminal: sentences and tables; plots are tables there.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table as Grid, TableStyle,
    Width,
};

use crate::document::{Block, Detail, Document};
use crate::tables::Table;

/// Widest column of words, where nobody says how wide the terminal is.
const PROSE_MAX: u16 = 100;
/// One line under the head, none elsewhere.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The whole page as text, `width` columns wide; its tables as wide as they need to be without one.
pub fn page(document: &Document, width: Option<u16>) -> String {
    detailed(document, Detail::All, width)
}

/// The same, or what of it matters most.
pub fn detailed(document: &Document, detail: Detail, width: Option<u16>) -> String {
    let mut out = wrapped(&document.title, width);
    if !document.summary.is_empty() {
        out.push_str(&wrapped(&document.summary, width));
    }
    out.push('\n');
    blocks(&mut out, &document.blocks, detail, width);
    out.truncate(out.trim_end().len());
    // Stored text must not command the terminal.
    out.retain(|symbol| !symbol.is_control() || symbol == '\n');
    out + "\n"
}

fn blocks(out: &mut String, blocks: &[Block], detail: Detail, width: Option<u16>) {
    for block in blocks {
        let lines = match block {
            Block::Heading(_, text) | Block::Lead(text) | Block::Text(text) | Block::Note(text) => {
                wrapped(text, width)
            }
            Block::List(items) => items.iter().map(|item| wrapped(item, width)).collect(),
            Block::Topics(items) => items
                .iter()
                .map(|(topic, text)| wrapped(&format!("{topic}: {text}"), width))
                .collect(),
            Block::Tables(tables) => joined(tables.iter(), width),
            Block::Plots(plots) => joined(plots.iter().map(|plot| &plot.table), width),
            Block::Code(code) => format!("    {code}\n"),
            Block::InFull(_) if detail == Detail::Top => continue,
            Block::InBrief(_) if detail == Detail::All => continue,
            Block::OnTerminal(inner) | Block::InFull(inner) | Block::InBrief(inner) => {
                self::blocks(out, inner, detail, width);
                continue;
            }
            Block::Folded(..) | Block::OnPage(_) | Block::InHtml(_) | Block::NewSheet => continue,
        };
        if !lines.is_empty() {
            out.push_str(&lines);
            out.push('\n');
        }
    }
}

fn joined<'t>(tables: impl Iterator<Item = &'t Table>, width: Option<u16>) -> String {
    tables.map(|table| grid(table, width)).collect::<Vec<_>>().join("\n")
}

/// Words in lines of at most `width` columns; a longer word has a line to itself.
fn wrapped(text: &str, width: Option<u16>) -> String {
    let width = width.map_or(usize::MAX, usize::from);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.extend([" ", word]);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

fn grid(table: &Table, width: Option<u16>) -> String {
    let mut grid = Grid::new();
    grid.load_style(STYLE);
    grid.set_header(table.columns.iter().map(|column| column.name.as_str()));
    grid.add_rows(&table.rows);
    for (column, head) in grid.column_iter_mut().zip(&table.columns) {
        if head.numeric {
            column.set_cell_alignment(CellAlignment::Right);
        } else {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(PROSE_MAX)));
        }
    }
    if let Some(width) = width {
        grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let around = |text: &str| if text.is_empty() { String::new() } else { wrapped(text, width) };
    format!("{}{grid}\n{}", around(&table.title), around(&table.note))
}

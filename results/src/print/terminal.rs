//! Text for a terminal.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table as Grid, TableStyle,
    Width,
};

use crate::tables::Table;

/// Widest column of words, where nobody says how wide the terminal is.
const PROSE_MAX: u16 = 100;
/// One line under the head, none elsewhere.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Words in lines of at most `width` columns; a longer word has a line to itself.
pub(crate) fn wrapped(text: &str, width: Option<u16>) -> String {
    let width = width.map_or(usize::MAX, usize::from);
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push_str(&line);
            lines.push('\n');
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + &line + "\n"
}

pub(crate) fn grid(table: &Table, width: Option<u16>) -> String {
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
    format!("{}\n{grid}\n\n", table.title)
}

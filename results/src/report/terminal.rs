//! A summary for the terminal: the findings' headline and the main tables.

use std::fmt::Write as _;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table as Grid, TableStyle,
    Width,
};

use super::ReportError;
use crate::findings;
use crate::store::Run;
use crate::tables::{self, Table};
use crate::view::View;

/// Widest column of words, where nobody says how wide the terminal is.
const PROSE_MAX: u16 = 100;
/// One line under the head, none elsewhere.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Text for standard output, `width` columns wide; as wide as it needs to be without one.
///
/// # Errors
/// [`ReportError`] when runs cannot be reported together or a distribution cannot be decoded.
pub fn summary(runs: &[Run], width: Option<u16>) -> Result<String, ReportError> {
    let view = View::new(runs)?;
    let mut text = String::new();
    for (group, findings) in view.groups.iter().zip(findings::of_groups(&view)) {
        let _ = writeln!(text, "{}", findings.title);
        if let Some(headline) = &findings.headline {
            text.push_str(&wrapped(headline, width));
        }
        text.push('\n');
        let tables = tables::connections(group)
            .into_iter()
            .chain(tables::walked(group))
            .chain(tables::layout_connects(group))
            .chain(tables::layout_buckets(group))
            .chain(tables::sync_totals(group));
        tables.for_each(|table| text.push_str(&grid(&table, width)));
    }
    for table in [tables::gaps(&view), tables::warnings(&view)].into_iter().flatten() {
        text.push_str(&grid(&table, width));
    }
    Ok(text)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_whole_run_reads_as_expected() {
        insta::assert_snapshot!(summary(&[fixture::stored()], None).unwrap());
    }

    #[test]
    fn lines_keep_to_the_width_of_the_terminal() {
        let text = summary(&[fixture::wall()], Some(60)).unwrap();
        assert!(text.lines().count() > 20, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }
}

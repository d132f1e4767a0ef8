//! Tables as plain data: the same for HTML, Markdown and the terminal.
//!
//! Numbers are formatted here, in one unit a table that its title names; nothing is laid out.

use std::collections::BTreeSet;

use crate::format::{self, Scale};
use crate::record::Unit;
use crate::stats::Spread;
use crate::view::Group;

/// Most lines of a table whose length stored text decides; a report must stay readable whatever a
/// run holds.
pub(crate) const LINES_MAX: usize = 300;
/// Texts longer than this, in bytes, are broken into lines on a page.
const WRAPPED_FROM: usize = 32;

/// A table with a heading line. Every row has as many cells as there are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// What it shows, with unit and clock.
    pub title: String,
    /// What a reader must know to read it; may be empty.
    pub note: String,
    /// The heading line.
    pub columns: Vec<Column>,
    /// The cells; an empty cell means "not measured".
    pub rows: Vec<Vec<String>>,
    /// What rows have beside their cells, in their order; empty when none has any.
    pub more: Vec<More>,
}

/// What belongs to a row: shown with its last cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct More {
    /// Words and where they lead.
    pub links: Vec<(String, String)>,
    /// What tells more.
    pub command: Option<String>,
}

/// Head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub name: String,
    /// Numbers are aligned at the right.
    pub numeric: bool,
}

impl Table {
    pub(crate) fn new(
        title: impl Into<String>,
        note: impl Into<String>,
        columns: Vec<Column>,
    ) -> Self {
        Self { title: title.into(), note: note.into(), columns, rows: Vec::new(), more: Vec::new() }
    }

    /// Whether a row's first cell differs from that of the row above: a new size, a new kernel.
    pub fn starts_group(&self, row: usize) -> bool {
        let first = |at: usize| self.rows.get(at).and_then(|row| row.first());
        row > 0 && first(row) != first(row - 1)
    }

    /// Class of a cell on a page: `n` number, `w` text that may be broken into lines, or none.
    pub fn class_of(&self, column: usize, cell: &str) -> &'static str {
        if self.columns.get(column).is_some_and(|column| column.numeric) {
            "n"
        } else if cell.len() > WRAPPED_FROM {
            "w"
        } else {
            ""
        }
    }

    /// At most [`LINES_MAX`] rows, with a note about the others.
    pub(crate) fn cut(mut self) -> Self {
        let more = self.rows.len().saturating_sub(LINES_MAX);
        if more > 0 {
            self.rows.truncate(LINES_MAX);
            let left_out =
                format!("{} more lines are left out here.", format::thousands(more as u64));
            self.note =
                if self.note.is_empty() { left_out } else { format!("{} {left_out}", self.note) };
        }
        self
    }

    /// The table, unless it has no rows.
    pub(crate) fn unless_empty(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }
}

pub(crate) fn text(name: impl Into<String>) -> Column {
    Column { name: name.into(), numeric: false }
}

pub(crate) fn number(name: impl Into<String>) -> Column {
    Column { name: name.into(), numeric: true }
}

/// The numbers behind a plot: one row for each size and proxy, columns given as head, metric, label
/// and quantile.
pub(crate) fn plot_table(
    group: &Group<'_>,
    title: &str,
    columns: &[(&str, &str, &str, f64)],
) -> Table {
    let series: Vec<(String, &str, &str, f64)> = columns
        .iter()
        .map(|(head, metric, label, quantile)| ((*head).to_owned(), *metric, *label, *quantile))
        .collect();
    let table = Matrix::of(group, &series).into_table(group.unit(), title, "");
    table.unwrap_or_else(|| Table::new(title, "", Vec::new()))
}

/// One value of a table before its unit is chosen.
type Value = Option<Spread>;

/// Rows of sizes and proxies, with values that share a unit.
pub(crate) struct Matrix {
    heads: Vec<String>,
    rows: Vec<(u64, String, Vec<Value>)>,
}

impl Matrix {
    /// One row for each size and proxy that has any of `series`, each a head, a metric, a label and
    /// a quantile.
    pub fn of(group: &Group<'_>, series: &[(String, &str, &str, f64)]) -> Self {
        let mut keys = BTreeSet::new();
        for (_, metric, label, _) in series {
            for (rank, proxy) in group.all_proxies().into_iter().enumerate() {
                for (size, _) in group.series(metric, label, proxy, 0.5) {
                    keys.insert((size, rank, proxy));
                }
            }
        }
        let rows = keys
            .into_iter()
            .map(|(size, _, proxy)| {
                let values = series
                    .iter()
                    .map(|(_, metric, label, quantile)| {
                        group.stat(metric, label, proxy, size, *quantile)
                    })
                    .collect();
                (size, proxy.to_owned(), values)
            })
            .collect();
        Self { heads: series.iter().map(|(head, ..)| head.clone()).collect(), rows }
    }

    /// The table, its title followed by the unit that suits all values.
    pub fn into_table(self, unit: Unit, title: &str, note: &str) -> Option<Table> {
        let values = self.rows.iter().flat_map(|(_, _, values)| values.iter().flatten());
        let scale = Scale::of(unit, values.map(|spread| spread.median));
        let columns = [number("Services"), text("proxy")]
            .into_iter()
            .chain(self.heads.into_iter().map(number))
            .collect();
        let mut table = Table::new(format!("{title}, {}", scale.name()), note, columns);
        for (size, proxy, values) in self.rows {
            let numbers = values
                .into_iter()
                .map(|value| value.map_or(String::new(), |spread| scale.number(spread.median)));
            table.rows.push([format::thousands(size), proxy].into_iter().chain(numbers).collect());
        }
        table.unless_empty()
    }
}

//! Tables as plain data: the same for HTML, Markdown and the terminal.
//!
//! Numbers are formatted here, in one unit a table that its title names; nothing is laid out.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools as _;

use crate::format::{self, Scale};
use crate::view::Group;

/// Most lines of a table whose length stored text decides; a report must stay readable whatever a
/// run holds.
pub(crate) const LINES_MAX: usize = 300;
/// Texts longer than this, in bytes, are broken into lines on a page.
const WRAPPED_FROM: usize = 32;

/// A table with a heading line. Every row has as many cells as there are columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Where a page has the cells behind each row; empty when no row has any.
    pub anchors: Vec<String>,
    /// The name of each row as a place that others lead to; empty when no row has one.
    pub ids: Vec<String>,
}

/// What belongs to a row: shown with its last cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct More {
    /// Words and where they lead.
    pub links: Vec<(String, String)>,
    /// What the commands are for, in a few words.
    pub summary: &'static str,
    /// What tells more.
    pub commands: Vec<String>,
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
    /// Where a page has the cells behind a row, at the cell that names what the row is about: the
    /// first that is no number.
    pub fn anchor_at(&self, row: usize, column: usize) -> &str {
        let names = self.columns.iter().position(|column| !column.numeric).unwrap_or(0);
        let anchor = self.anchors.get(row).filter(|_| names == column);
        anchor.map_or("", String::as_str)
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

    /// Leaves out rows, with what belongs to them.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&[String]) -> bool) {
        let kept: Vec<bool> = self.rows.iter().map(|row| wanted(row)).collect();
        let keep = |at: usize| kept.get(at).copied().unwrap_or(false);
        let mut at = 0..;
        self.rows.retain(|_| at.next().is_some_and(keep));
        let mut at = 0..;
        self.anchors.retain(|_| at.next().is_some_and(keep));
    }

    /// At most [`LINES_MAX`] rows, with a note about the others.
    pub(crate) fn cut(self) -> Self {
        self.cut_to(LINES_MAX)
    }

    /// At most so many rows, with a note about the others.
    pub(crate) fn cut_to(mut self, lines_max: usize) -> Self {
        let more = self.rows.len().saturating_sub(lines_max);
        if more > 0 {
            self.rows.truncate(lines_max);
            let more = format::thousands(more as u64);
            self.add_note(&format!("{more} more lines are left out here."));
        }
        self
    }

    /// A further sentence of its note.
    pub(crate) fn add_note(&mut self, sentence: &str) {
        let space = if self.note.is_empty() { "" } else { " " };
        self.note = format!("{}{space}{sentence}", self.note);
    }

    /// The table, unless it has no rows.
    pub(crate) fn unless_empty(self) -> Option<Self> {
        (!self.rows.is_empty()).then_some(self)
    }
}

/// Lines of four words and a reason, each at a size; those that are equal share a row, with their
/// sizes and how many they are, which the last of `heads` names.
pub(crate) fn grouped(
    title: &str,
    heads: [&str; 5],
    lines: impl Iterator<Item = ([String; 5], u64)>,
) -> Option<Table> {
    let mut groups: BTreeMap<[String; 5], (BTreeSet<u64>, u64)> = BTreeMap::new();
    for (words, size) in lines {
        let (sizes, count) = groups.entry(words).or_default();
        sizes.insert(size);
        *count += 1;
    }
    let [words @ .., count] = heads;
    let mut columns = Columns::of(groups);
    for (at, head) in words.into_iter().enumerate() {
        columns = columns.text(head, |(words, _)| words[at].clone());
    }
    columns
        .number("Services", |(_, (sizes, _))| {
            sizes.iter().copied().map(format::thousands).join(" ")
        })
        .number(count, |(_, (_, count))| format::thousands(*count))
        .text("reason", |([.., reason], _)| reason.clone())
        .titled(title, "")
        .cut()
        .unless_empty()
}

/// A table made column by column: each has its head, and what it shows of one row.
pub(crate) struct Columns<R> {
    rows: Vec<R>,
    table: Table,
}

impl<R> Columns<R> {
    pub fn of(rows: impl IntoIterator<Item = R>) -> Self {
        let rows: Vec<R> = rows.into_iter().collect();
        let table = Table { rows: vec![Vec::new(); rows.len()], ..Table::default() };
        Self { rows, table }
    }

    pub fn text(self, head: impl Into<String>, cell: impl Fn(&R) -> String) -> Self {
        self.column(head.into(), false, cell)
    }

    pub fn number(self, head: impl Into<String>, cell: impl Fn(&R) -> String) -> Self {
        self.column(head.into(), true, cell)
    }

    fn column(mut self, name: String, numeric: bool, cell: impl Fn(&R) -> String) -> Self {
        self.table.columns.push(Column { name, numeric });
        for (cells, row) in self.table.rows.iter_mut().zip(&self.rows) {
            cells.push(cell(row));
        }
        self
    }

    /// The table.
    pub fn titled(mut self, title: impl Into<String>, note: impl Into<String>) -> Table {
        (self.table.title, self.table.note) = (title.into(), note.into());
        self.table
    }
}

/// A column of timings: its head, metric, label and percentile (a share of 1).
pub(crate) type Timing<'a> = (String, &'a str, &'a str, f64);

/// A row for each size and proxy that has any of `columns`, the values in one unit, which follows
/// the title; a percentile above the median with its interval. Columns without a value are left
/// out. Nothing without rows.
pub(crate) fn by_size(
    group: &Group<'_>,
    title: &str,
    note: &str,
    columns: &[Timing<'_>],
) -> Option<Table> {
    let mut rows = BTreeSet::new();
    let mut shown = Vec::new();
    for column @ (_, metric, label, quantile) in columns {
        for (rank, proxy) in group.all_proxies().into_iter().enumerate() {
            let series = group.series(metric, label, proxy, *quantile);
            if !series.is_empty() && !shown.contains(&column) {
                shown.push(column);
            }
            rows.extend(series.into_iter().map(|(size, _)| (size, rank, proxy)));
        }
    }
    let rows: Vec<(u64, usize, &str)> = rows.into_iter().collect();
    let value = |(_, metric, label, quantile): &Timing<'_>,
                 (size, _, proxy): &(u64, usize, &str)| {
        Some(group.stat(metric, label, proxy, *size, *quantile)?.median)
    };
    let interval = |(_, metric, label, quantile): &Timing<'_>,
                    (size, _, proxy): &(u64, usize, &str)| {
        let of = || group.percentile_interval(metric, label, proxy, *size, *quantile);
        (*quantile > 0.5).then(of).flatten()
    };
    let all = rows.iter().flat_map(|row| shown.iter().filter_map(|column| value(column, row)));
    let scale = Scale::of(group.unit(), all);
    let mut table = Columns::of(&rows)
        .number("Services", |(size, ..)| format::thousands(*size))
        .text("proxy", |(.., proxy)| (*proxy).to_owned());
    for column in shown {
        table = table.number(&column.0, |row| {
            let Some(value) = value(column, row) else { return String::new() };
            let between = interval(column, row).map(|(low, high)| {
                format!(" ({} to {})", scale.number(low as f64), scale.number(high as f64))
            });
            scale.number(value) + &between.unwrap_or_default()
        });
    }
    let mut table = table.titled(format!("{title}, {}", scale.name()), note);
    let anchor = |(size, _, proxy): &(u64, usize, &str)| {
        let anchors = columns.iter().map(|(_, metric, ..)| group.anchor_of(metric, proxy, *size));
        anchors.into_iter().find(|anchor| !anchor.is_empty()).unwrap_or_default()
    };
    table.anchors = rows.iter().map(anchor).collect();
    table.unless_empty()
}

//! Tables of an explanation: by function, and by area of the kernel.

use crate::explain::{Explanation, Line};
use crate::format::{fixed, percent};
use crate::tables::{Column, Table, number, text};

/// The `top` functions with the largest differences, the rest in one line, and the total.
pub(crate) fn functions(explanation: &Explanation, top: usize) -> Table {
    let mut columns = vec![text("function"), text("module")];
    columns.extend(numbers(explanation));
    let title = "By function, instructions a sample";
    let mut table = Table::new(title, "", columns);
    let lines = explanation.lines();
    let (shown, rest) = lines.split_at_checked(top).unwrap_or((&lines, &[]));
    for line in shown {
        let module = line.module.clone().unwrap_or_default();
        table.rows.push(row(explanation, vec![line.function.clone(), module], line));
    }
    if !rest.is_empty() {
        let name = format!("({} other functions)", rest.len());
        table.rows.push(row(explanation, vec![name, String::new()], &sum(rest)));
    }
    table.rows.push(row(explanation, vec!["total".into(), String::new()], &sum(&lines)));
    table
}

/// All areas, and the total.
pub(crate) fn areas(explanation: &Explanation) -> Table {
    let mut columns = vec![text("area")];
    columns.extend(numbers(explanation));
    let note = "Functions of modules by module, those of the kernel itself by the beginning of their names.";
    let mut table = Table::new("By area of the kernel, instructions a sample", note, columns);
    let lines = explanation.areas();
    for line in &lines {
        table.rows.push(row(explanation, vec![line.function.clone()], line));
    }
    table.rows.push(row(explanation, vec!["total".into()], &sum(&lines)));
    table
}

fn numbers(explanation: &Explanation) -> Vec<Column> {
    match &explanation.against {
        None => vec![number("instructions"), number("share")],
        Some(_) => ["cell", "against", "difference", "share"].map(number).into(),
    }
}

/// `cells` are the row's names; its numbers are put behind them.
fn row(explanation: &Explanation, mut cells: Vec<String>, line: &Line) -> Vec<String> {
    let whole = explanation.explained();
    let share = if whole == 0.0 { String::new() } else { percent(line.difference() / whole) };
    cells.push(fixed(line.cell, 0));
    if explanation.against.is_some() {
        cells.push(fixed(line.against, 0));
        cells.push(signed(line.difference()));
    }
    cells.push(share);
    cells
}

/// With a plus sign; nothing is neither more nor less.
pub(crate) fn signed(value: f64) -> String {
    let text = fixed(value, 0);
    match text.as_str() {
        "-0" | "0" => "0".to_owned(),
        _ if value > 0.0 => format!("+{text}"),
        _ => text,
    }
}

fn sum(lines: &[Line]) -> Line {
    Line {
        function: String::new(),
        module: None,
        cell: lines.iter().map(|line| line.cell).sum(),
        against: lines.iter().map(|line| line.against).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::example;

    #[test]
    fn what_is_not_shown_is_in_the_rest_and_the_total() {
        let rows = functions(&example(), 1).rows;
        let wanted: [&[&str]; 3] = [
            &["ipt_do_table", "ip_tables", "3,000", "0", "+3,000", "91%"],
            &["(3 other functions)", "", "910", "610", "+300", "9.1%"],
            &["total", "", "3,910", "610", "+3,300", "100%"],
        ];
        assert_eq!(rows, wanted);
    }

    #[test]
    fn one_cell_alone_has_shares_of_itself() {
        let mut alone = example();
        alone.against = None;
        assert_eq!(functions(&alone, 1).rows[0], ["ipt_do_table", "ip_tables", "3,000", "77%"]);
        assert_eq!(areas(&alone).rows.last().unwrap(), &["total", "3,910", "100%"]);
    }
}

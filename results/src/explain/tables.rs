//! Tables of an explanation: by function, and by area of the kernel.

use super::explanation::{Explanation, ProfileLine, shortened};
use crate::format::{fixed, percent};
use crate::tables::{Table, number, text};

/// The `top` functions with the largest differences, the rest in one line, and the total.
pub(crate) fn functions(explanation: &Explanation, top: usize) -> Table {
    let names = vec![text("function"), text("module")];
    let table = Table::new("By function, instructions a sample", "", names);
    with_lines(table, explanation, &explanation.lines(), top)
}

/// All areas, and the total.
pub(crate) fn areas(explanation: &Explanation) -> Table {
    let note = "Functions of modules by module, those of the kernel itself by the beginning of their names.";
    let table =
        Table::new("By area of the kernel, instructions a sample", note, vec![text("area")]);
    with_lines(table, explanation, &explanation.areas(), usize::MAX)
}

/// Puts numbers behind the names for which the table has columns.
fn with_lines(
    mut table: Table,
    explanation: &Explanation,
    lines: &[ProfileLine],
    top: usize,
) -> Table {
    let names = table.columns.len();
    let alone = explanation.against.is_none();
    let heads: &[&str] = if alone { &["instructions"] } else { &["cell", "against", "difference"] };
    table.columns.extend(heads.iter().chain(&["share"]).map(|head| number(*head)));
    let whole = explanation.explained();
    let total = ProfileLine::sum("total".to_owned(), lines);
    for line in shortened(lines, top).into_iter().chain([total]) {
        let difference = line.difference();
        let share = if whole == 0.0 { String::new() } else { percent(difference / whole) };
        let compared = [fixed(line.against, 0), signed(difference)];
        let compared = compared.into_iter().filter(|_| !alone);
        let numbers = std::iter::once(fixed(line.cell, 0)).chain(compared).chain([share]);
        let names = [line.function, line.module.unwrap_or_default()].into_iter().take(names);
        table.rows.push(names.chain(numbers).collect());
    }
    table
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::explanation::tests::example;

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

//! Tables of an explanation: by function, and by program and area of the kernel.

use super::areas::{WAITING, is_of_user};
use super::explanation::{Explanation, ProfileLine, shortened};
use crate::format::{fixed, percent};
use crate::tables::{Columns, Table};

/// The `top` functions with the largest differences, the rest in one line, and the total.
pub(crate) fn functions(explanation: &Explanation, top: usize) -> Table {
    let table = columns(&explanation.lines(), top)
        .text("function", |line| line.function.clone())
        .text("module, program", |line| line.module.clone().unwrap_or_default());
    with_numbers(table, explanation).titled("By function, instructions a sample", "")
}

/// All programs and what they take together, all areas of the kernel and what these take, the
/// total.
pub(crate) fn areas(explanation: &Explanation) -> Table {
    let note = "User space by the file that its code is in: a program, or a library that several use. Functions of modules by module, those of \
                the kernel itself by the beginning of their names. In \
                (waiting) nothing ran, and the guest's clock moved on.";
    let (user, others): (Vec<_>, Vec<_>) =
        explanation.areas().into_iter().partition(|line| is_of_user(&line.function));
    let (waiting, kernel): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|line| line.function == WAITING);
    let sums = [("user space", &user[..]), ("kernel", &kernel)];
    let [user_sum, kernel_sum] = sums.map(|(name, lines)| ProfileLine::sum(name.into(), lines));
    let total = ProfileLine::sum("total".to_owned(), &explanation.areas());
    let sums_of_kernel = [kernel_sum].into_iter().chain(waiting).chain([total]);
    let lines = user.into_iter().chain([user_sum]).chain(kernel).chain(sums_of_kernel);
    let table = Columns::of(lines).text("area", |line| line.function.clone());
    with_numbers(table, explanation)
        .titled("By program and area of the kernel, instructions a sample", note)
}

/// A table of the first `top` lines, the others as one, and all of them.
fn columns(lines: &[ProfileLine], top: usize) -> Columns<ProfileLine> {
    let total = ProfileLine::sum("total".to_owned(), lines);
    Columns::of(shortened(lines, top).into_iter().chain([total]))
}

fn with_numbers(table: Columns<ProfileLine>, explanation: &Explanation) -> Columns<ProfileLine> {
    let whole = explanation.explained();
    let share = |part: f64| if whole == 0.0 { String::new() } else { percent(part / whole) };
    let table = if explanation.against.is_none() {
        table.number("instructions", |line| fixed(line.to, 0))
    } else {
        table
            .number("from", |line| fixed(line.from, 0))
            .number("to", |line| fixed(line.to, 0))
            .number("difference", |line| signed(line.difference()))
    };
    table.number("share", |line| share(line.difference()))
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
    use crate::explain::areas::USER;
    use crate::explain::explanation::Part;
    use crate::explain::explanation::tests::{alone, example};

    #[test]
    fn what_is_not_shown_is_in_the_rest_and_the_total() {
        let rows = functions(&example(), 1).rows;
        let wanted: [&[&str]; 3] = [
            &["ipt_do_table", "ip_tables", "0", "3,000", "+3,000", "91%"],
            &["(3 other functions)", "", "610", "910", "+300", "9.1%"],
            &["total", "", "610", "3,910", "+3,300", "100%"],
        ];
        assert_eq!(rows, wanted);
    }

    #[test]
    fn programs_the_kernel_and_waiting_are_summed_up_apart() {
        let mut explanation = alone();
        let part = |function: &str, module: &str| Part {
            function: function.into(),
            module: Some(module.into()),
            instructions: 50,
        };
        let more = [part(USER, "nft"), Part { module: None, ..part(WAITING, "") }];
        explanation.cell.parts.extend(more);
        let rows = areas(&explanation).rows;
        let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        let wanted = [
            "user space: of no file",
            "user space: nft",
            "user space",
            "module ip_tables",
            "TCP and sockets",
            "kernel",
            "(waiting)",
            "total",
        ];
        assert_eq!(names, wanted);
        let sums = [2, 5, 6, 7].map(|row: usize| rows[row][1].as_str());
        assert_eq!(sums, ["15", "3,900", "5", "3,920"]);
    }

    #[test]
    fn one_cell_alone_has_shares_of_itself() {
        let alone = alone();
        assert_eq!(functions(&alone, 1).rows[0], ["ipt_do_table", "ip_tables", "3,000", "77%"]);
        assert_eq!(areas(&alone).rows[1], ["user space", "10", "0.3%"]);
        assert_eq!(areas(&alone).rows.last().unwrap(), &["total", "3,910", "100%"]);
    }
}

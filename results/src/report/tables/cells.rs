//! The cells of a group, a line for each proxy, size and measure: where the figures of tables and
//! plots lead to, with the commands that make them again and explain them.

use itertools::Itertools as _;

use crate::format::{plain, shell, thousands};
use crate::kernel::short_names;
use crate::metrics::{Use, kind};
use crate::record::{CellRecord, Clock, Place};
use crate::store::Run;
use crate::tables::{Columns, More, Table};
use crate::view::Group;

/// Options of a recorded command that a repetition of one cell has its own of, each with a value.
const OWN: [&str; 8] =
    ["-o", "--output", "--proxy", "--services", "--seeds", "--kernel", "--shard", "--retry"];
/// The same without a value.
const OWN_FLAGS: [&str; 3] = ["--resume", "--dry-run", "--json"];

/// Every cell, those that differ by their seed alone on one line.
pub(crate) fn cells(group: &Group<'_>, runs: &[Run]) -> Option<Table> {
    let series = |cell: &&&CellRecord| {
        let labels = &cell.labels;
        (labels.services, group.known.rank(&labels.proxy), group.anchor(labels))
    };
    let sorted = group.cells.iter().sorted_by_key(series);
    let lines: Vec<Vec<&CellRecord>> = sorted
        .chunk_by(|cell| series(cell))
        .into_iter()
        .map(|(_, cells)| cells.copied().collect())
        .collect();
    let labels = |cells: &Vec<&CellRecord>| cells[0].labels.clone();
    let mut table = Columns::of(&lines)
        .text("proxy", |cells| labels(cells).proxy)
        .number("Services", |cells| thousands(labels(cells).services))
        .text("measure", |cells| labels(cells).measure)
        .text("seeds", |cells| cells.iter().map(|cell| cell.labels.seed).join(", "))
        .text("outcome", |cells| cells.iter().map(|cell| cell.outcome.kind()).unique().join(", "))
        .number("checked", |cells| thousands(cells.iter().map(|cell| cell.verified).sum()))
        .text("id", |cells| plain(&cells[0].id))
        .titled(
            "Cells, those that differ by their seed alone on one line",
            "`id`: of the first seed, as in `cells.jsonl`; checked: connections that the right endpoint answered.",
        );
    table.ids = lines.iter().map(|cells| group.anchor(&cells[0].labels)).collect();
    let more = |cells: &Vec<&CellRecord>| {
        let run = runs.iter().find(|run| run.cells.iter().any(|cell| cell.id == cells[0].id));
        let commands = run.map(|run| commands(run, cells)).unwrap_or_default();
        More { links: Vec::new(), summary: "commands", commands }
    };
    table.more = lines.iter().map(more).collect();
    table.unless_empty()
}

/// What prints the cells' rows, what makes them again, and what explains the first.
fn commands(run: &Run, cells: &[&CellRecord]) -> Vec<String> {
    let id = &cells[0].id;
    let dir = run.dir.display().to_string();
    let words = |words: &[&str]| shell(&words.iter().map(|word| (*word).to_owned()).collect_vec());
    let mut all = vec![words(&["grep", &format!("\"{id}\""), &format!("{dir}/cells.jsonl")])];
    all.extend(again(run, cells));
    let is_explained =
        |name: &str| kind(name).is_some_and(|kind| kind.uses.contains(&Use::Explain));
    let first = cells[0].metrics.iter().find(|metric| is_explained(&metric.name));
    if first.is_some() && cells[0].labels.clock == Clock::Instructions {
        all.push(words(&["vipbench", "explain", &dir, "--cell", id]));
    }
    all
}

/// The command of the run, for these cells alone; nothing where it was no `vipbench run`.
fn again(run: &Run, cells: &[&CellRecord]) -> Option<String> {
    let command = &run.record.command;
    if command.get(1).map(String::as_str) != Some("run") {
        return None;
    }
    let mut words = Vec::new();
    let mut rest = command.iter();
    while let Some(word) = rest.next() {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        if OWN.contains(&name) {
            if name == word {
                rest.next();
            }
        } else if !OWN_FLAGS.contains(&name) {
            words.push(word.clone());
        }
    }
    let labels = &cells[0].labels;
    if labels.place == Place::Guest {
        words.extend(["--kernel".to_owned(), short_names(&[&labels.kernel]).concat()]);
    }
    let seeds = cells.iter().map(|cell| cell.labels.seed).join(",");
    let own = ["--proxy", &labels.proxy, "--services", &labels.services.to_string()];
    words.extend(own.map(str::to_owned));
    words.extend(["--seeds", &seeds, "-o", "runs/again"].map(str::to_owned));
    Some(shell(&words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::view::View;

    #[test]
    fn every_figure_leads_to_a_line_of_cells_and_that_to_its_commands() {
        let mut run = fixture::stored();
        run.record.command =
            ["vipbench", "run", "s.toml", "--seeds", "1..9", "-o", "x", "--resume"]
                .map(String::from)
                .to_vec();
        let runs = [run];
        let view = View::new(&runs).unwrap();
        let group = &view.groups[0];
        let table = cells(group, &runs).unwrap();
        assert_eq!(table.ids.iter().unique().count(), table.ids.len());
        let anchor = group.anchor_of("connect", "ipvs", 10_000);
        let at = table.ids.iter().position(|id| *id == anchor).unwrap();
        assert_eq!(table.rows[at][3], "1, 2");
        let commands = &table.more[at].commands;
        let again = "vipbench run s.toml --kernel 6.1 --proxy ipvs --services 10000 --seeds 1,2 -o runs/again";
        assert_eq!(commands[1], again);
        assert!(commands[0].starts_with("grep '\"6.1.0-56-cloud"), "{}", commands[0]);
        assert!(commands[2].starts_with("vipbench explain runs/example --cell 6.1.0-56"));
    }
}

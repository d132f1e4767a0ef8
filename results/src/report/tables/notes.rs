//! Tables around the numbers: what could not run, warnings, the harness's own cost, the
//! environment.

use std::collections::BTreeMap;

use itertools::{Itertools as _, iproduct};

use crate::format::{fixed, plain, quantity, shortened, thousands};
use crate::metrics::{HARNESS_CLOCK, HARNESS_SAMPLE};
use crate::record::Labels;
use crate::store::Run;
use crate::tables::{Columns, Table, grouped};
use crate::view::{Group, View};

/// Longest free text in a table, characters.
const TEXT_MAX: usize = 1_000;

/// Cells without numbers: same proxy, measure and reason on one line.
pub(crate) fn gaps(view: &View<'_>) -> Option<Table> {
    let cells = view.groups.iter().flat_map(Group::gaps);
    let lines = cells.map(|cell| {
        let reason = shorten(&cell.outcome.reason().unwrap_or_default());
        let Labels { kernel, proxy, measure, services, path, .. } = cell.labels.clone();
        let measure = measure + &path.in_title();
        ([kernel, proxy, measure, cell.outcome.kind().to_owned(), reason], services)
    });
    let heads = ["kernel", "proxy", "measure", "outcome", "cells"];
    grouped("Cells that gave no numbers", heads, lines)
}

/// How many cells without numbers share their commonest reason, and that: `2 of them: took longer
/// than its budget of 600 s`.
pub(crate) fn commonest_gap(view: &View<'_>) -> Option<String> {
    let reasons = view.groups.iter().flat_map(Group::gaps).map(|cell| cell.outcome.reason());
    let counts = reasons.flatten().counts();
    let (reason, cells) =
        counts.into_iter().max_by(|(a, most), (b, more)| most.cmp(more).then_with(|| b.cmp(a)))?;
    Some(format!("{cells} of them: {}", shorten(&reason)))
}

/// Warnings of cells and of the stored runs themselves, each once.
pub(crate) fn warnings(view: &View<'_>) -> Option<Table> {
    let mut lines: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let of_runs = view.runs.iter().map(|run| (&run.warnings, run.folder(), 0));
    let of_cells = view.cells().map(|cell| (&cell.warnings, cell.id.clone(), 1));
    for (warnings, place, cells) in of_runs.chain(of_cells) {
        for warning in warnings {
            lines.entry(shorten(warning)).or_insert_with(|| (place.clone(), 0)).1 += cells;
        }
    }
    let count = |count: u64| if count == 0 { String::new() } else { thousands(count) };
    Columns::of(lines)
        .text("warning", |(warning, _)| warning.clone())
        .text("where", |(_, (place, _))| place.clone())
        .number("cells", |(_, (_, cells))| count(*cells))
        .titled("Warnings", "where: the first cell that has it.")
        .cut()
        .unless_empty()
}

/// What the harness adds to every number: it is part of what was measured.
pub(crate) fn harness(view: &View<'_>) -> Option<Table> {
    let rows =
        iproduct!(&view.groups, [HARNESS_CLOCK, HARNESS_SAMPLE]).flat_map(|(group, kind)| {
            let row =
                move |label| Some((group, kind.name, label, group.over_all(kind.name, label)?));
            group.labels(kind.name).into_iter().filter_map(row)
        });
    Columns::of(rows)
        .text("kernel", |(group, ..)| group.key.kernel.clone())
        .text("what", |(_, metric, ..)| (*metric).to_owned())
        .text("label", |(_, _, label, _)| (*label).to_owned())
        .number("smallest", |(group, .., spread)| quantity(group.unit(), spread.min))
        .number("median", |(group, .., spread)| quantity(group.unit(), spread.median))
        .number("largest", |(group, .., spread)| quantity(group.unit(), spread.max))
        .titled(
            "Cost of the harness itself",
            "Reading the clock twice is inside every timing; taking the value is not.",
        )
        .unless_empty()
}

/// What guests took of the host's time: for planning the next run.
pub(crate) fn guests(view: &View<'_>) -> Option<Table> {
    let seconds =
        |value: Option<f64>, decimals| value.map_or(String::new(), |value| fixed(value, decimals));
    let megabytes = |bytes: u64| thousands(bytes / 1_000_000);
    Columns::of(view.runs.iter().flat_map(|run| &run.record.guests))
        .text("kernel", |guest| shorten(&guest.release))
        .number("boot, s", |guest| seconds(guest.boot_s, 1))
        .number("saved, MB", |guest| guest.snapshot_bytes.map_or(String::new(), megabytes))
        .number("restore, s", |guest| seconds(guest.restore_s, 2))
        .titled(
            "Guests",
            "Wall time on the host, not comparable between machines. Without a figure: saved by an earlier run.",
        )
        .cut()
        .unless_empty()
}

/// Facts of every run, side by side; a fact that is the same everywhere is said once.
pub(crate) fn environment(view: &View<'_>) -> Option<Table> {
    let keys = view.runs.iter().flat_map(|run| run.record.environment.facts.keys());
    Columns::of(keys.sorted().dedup())
        .text("fact", |key| shorten(key))
        .text("value", |key| fact(view, key))
        .titled("Environment", "")
        .cut()
        .unless_empty()
}

/// What every run says of a fact; where they differ, each value with its runs.
fn fact(view: &View<'_>, key: &str) -> String {
    let value = |run: &Run| {
        let value = run.record.environment.facts.get(key);
        value.map_or("not recorded".to_owned(), |value| shorten(value))
    };
    let places = view.runs.iter().map(|run| (value(run), run.folder())).into_group_map();
    let values = view.runs.iter().map(value).unique().collect_vec();
    match values.as_slice() {
        [value] => value.clone(),
        _ => values.iter().map(|one| format!("{one} ({})", places[one].join(", "))).join("; "),
    }
}

/// Stored free text, harmless and of bounded length.
fn shorten(text: &str) -> String {
    shortened(plain(text), TEXT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::{GuestRecord, Outcome};
    use crate::tables::LINES_MAX;

    #[test]
    fn cells_without_numbers_are_listed_with_their_reason() {
        let runs = [fixture::stored()];
        let table = gaps(&View::new(&runs).unwrap()).unwrap();
        assert_eq!(table.rows.len(), 2);
        assert_eq!(
            table.rows[0][3..],
            ["censored", "10,000", "1", "took longer than its budget of 600 s"]
        );
    }

    #[test]
    fn a_run_full_of_failures_stays_readable() {
        let mut run = fixture::stored();
        for (at, cell) in run.cells.iter_mut().enumerate() {
            cell.metrics.clear();
            let reason = format!("{at} {}", "x\u{1b}".repeat(100_000));
            cell.outcome = Outcome::Failed { reason };
            cell.warnings = (0..10).map(|number| format!("{at} {number}")).collect();
        }
        let runs = [run];
        let view = View::new(&runs).unwrap();
        let table = warnings(&view).unwrap();
        assert_eq!(table.rows.len(), LINES_MAX);
        assert!(table.note.contains("more lines are left out"), "{}", table.note);
        for row in gaps(&view).unwrap().rows {
            assert!(row[6].chars().count() <= TEXT_MAX + 3 && !row[6].contains('\u{1b}'));
        }
    }

    #[test]
    fn guests_are_listed_with_what_they_took() {
        let mut run = fixture::stored();
        run.record.guests.push(GuestRecord {
            release: "6.1".into(),
            boot_s: None,
            snapshot_bytes: Some(151_000_000),
            restore_s: Some(0.349),
        });
        let runs = [run];
        let table = guests(&View::new(&runs).unwrap()).unwrap();
        assert_eq!(table.rows, [["6.1", "", "151", "0.35"]]);
    }

    #[test]
    fn facts_that_differ_between_runs_are_told_apart() {
        let mut other = fixture::other_kernel();
        other.dir = "runs/other".into();
        other.record.environment.facts.insert("tool.qemu-system-x86_64".into(), "10.0".into());
        let runs = [fixture::stored(), other];
        let table = environment(&View::new(&runs).unwrap()).unwrap();
        let row = table.rows.iter().find(|row| row[0] == "tool.qemu-system-x86_64").unwrap();
        assert_eq!(row[1], "QEMU emulator version 7.2.19 (runs/example); 10.0 (runs/other)");
        let same = table.rows.iter().find(|row| row[0] == "tool.iptables-nft-restore").unwrap();
        assert_eq!(same[1], "iptables-nft-restore v1.8.9 (nf_tables)");
    }
}

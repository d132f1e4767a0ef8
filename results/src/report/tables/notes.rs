//! Tables around the numbers: what could not run, warnings, the harness's own cost, the
//! environment.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{fixed, plain, quantity, thousands};
use crate::tables::{Table, number, text};
use crate::view::{Group, View};

/// Longest free text in a table, characters.
const TEXT_MAX: usize = 1_000;

/// Cells without numbers: same proxy, measure and reason on one line.
pub(crate) fn gaps(view: &View<'_>) -> Option<Table> {
    let columns = ["kernel", "proxy", "measure", "outcome"].into_iter().map(text);
    let columns = columns.chain([number("Services"), number("cells"), text("reason")]).collect();
    let mut lines: BTreeMap<[String; 5], (BTreeSet<u64>, u64)> = BTreeMap::new();
    for cell in view.groups.iter().flat_map(Group::gaps) {
        let labels = &cell.labels;
        let reason = shorten(&cell.outcome.reason().unwrap_or_default());
        let kind = cell.outcome.kind().to_owned();
        let key =
            [labels.kernel.clone(), labels.proxy.clone(), labels.measure.clone(), kind, reason];
        let (sizes, count) = lines.entry(key).or_default();
        sizes.insert(labels.services);
        *count += 1;
    }
    let mut table = Table::new("Cells that gave no numbers", "", columns);
    for ([kernel, proxy, measure, kind, reason], (sizes, count)) in lines {
        let sizes: Vec<String> = sizes.into_iter().map(thousands).collect();
        table.rows.push(vec![
            kernel,
            proxy,
            measure,
            kind,
            sizes.join(" "),
            thousands(count),
            reason,
        ]);
    }
    table.cut().unless_empty()
}

/// Warnings of cells and of the stored runs themselves, each once.
pub(crate) fn warnings(view: &View<'_>) -> Option<Table> {
    let columns = vec![text("warning"), text("where"), number("cells")];
    let mut lines: BTreeMap<String, (String, u64)> = BTreeMap::new();
    for run in view.runs {
        for warning in &run.warnings {
            let place = plain(&run.dir.display().to_string());
            lines.entry(shorten(warning)).or_insert((place, 0));
        }
    }
    for cell in view.cells() {
        for warning in &cell.warnings {
            lines.entry(shorten(warning)).or_insert_with(|| (cell.id.clone(), 0)).1 += 1;
        }
    }
    let mut table = Table::new("Warnings", "where: the first cell that has it.", columns);
    for (warning, (place, count)) in lines {
        let count = if count == 0 { String::new() } else { thousands(count) };
        table.rows.push(vec![warning, place, count]);
    }
    table.cut().unless_empty()
}

/// What the harness adds to every number: it is part of what was measured.
pub(crate) fn harness(view: &View<'_>) -> Option<Table> {
    let columns = vec![
        text("kernel"),
        text("what"),
        text("label"),
        number("smallest"),
        number("median"),
        number("largest"),
    ];
    let note = "Reading the clock twice is inside every timing; taking the value is not.";
    let mut table = Table::new("Cost of the harness itself", note, columns);
    for group in &view.groups {
        for metric in ["harness.clock", "harness.sample"] {
            for label in group.labels(metric) {
                if let Some(spread) = group.over_all(metric, label) {
                    let show = |value| quantity(group.unit(), value);
                    table.rows.push(vec![
                        group.key.kernel.clone(),
                        metric.to_owned(),
                        label.to_owned(),
                        show(spread.min),
                        show(spread.median),
                        show(spread.max),
                    ]);
                }
            }
        }
    }
    table.unless_empty()
}

/// What guests took of the host's time: for planning the next run.
pub(crate) fn guests(view: &View<'_>) -> Option<Table> {
    let columns = [text("kernel"), number("boot, s"), number("saved, MB"), number("restore, s")];
    let note = "Wall time on the host, not comparable between machines. Without a figure: saved by an earlier run.";
    let mut table = Table::new("Guests", note, columns.into());
    let seconds =
        |value: Option<f64>, decimals| value.map_or(String::new(), |value| fixed(value, decimals));
    for guest in view.runs.iter().flat_map(|run| &run.record.guests) {
        table.rows.push(vec![
            shorten(&guest.release),
            seconds(guest.boot_s, 1),
            guest.snapshot_bytes.map_or(String::new(), |bytes| thousands(bytes / 1_000_000)),
            seconds(guest.restore_s, 2),
        ]);
    }
    table.cut().unless_empty()
}

/// Facts of every run, side by side; a fact that is the same everywhere is said once.
pub(crate) fn environment(view: &View<'_>) -> Option<Table> {
    let keys: BTreeSet<&String> =
        view.runs.iter().flat_map(|run| run.record.environment.facts.keys()).collect();
    let mut table = Table::new("Environment", "", vec![text("fact"), text("value")]);
    for key in keys {
        let mut values: Vec<(String, Vec<String>)> = Vec::new();
        for run in view.runs {
            let value = run.record.environment.facts.get(key);
            let value = value.map_or("not recorded".to_owned(), |value| shorten(value));
            let place = plain(&run.dir.display().to_string());
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, places)) => places.push(place),
                None => values.push((value, vec![place])),
            }
        }
        let text = match values.as_slice() {
            [(value, _)] => value.clone(),
            several => {
                let parts: Vec<String> = several
                    .iter()
                    .map(|(value, places)| format!("{value} ({})", places.join(", ")))
                    .collect();
                parts.join("; ")
            }
        };
        table.rows.push(vec![shorten(key), text]);
    }
    table.cut().unless_empty()
}

/// Stored free text, harmless and of bounded length.
fn shorten(text: &str) -> String {
    let text = plain(text);
    if text.chars().count() <= TEXT_MAX {
        return text;
    }
    text.chars().take(TEXT_MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::Outcome;
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
        run.record.guests.push(crate::GuestRecord {
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

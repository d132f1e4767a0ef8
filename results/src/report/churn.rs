//! The part of a report about load while Services change: what is said, tables, plots.

mod plots;
mod tables;

use crate::document::Block;
use crate::format;
use crate::metrics::{CHURN_LAST_OLD, LOAD_TOTAL};
use crate::plots::PlotError;
use crate::proxies::CONTROL;
use crate::record::{CellRecord, Distribution};
use crate::view::Group;

/// Label of the phase without Changes.
const QUIET: &str = "quiet";

/// Everything, nothing where no cell measured it.
pub(super) fn blocks(group: &Group<'_>) -> Result<Vec<Block>, PlotError> {
    let phases = phases(group);
    if phases.is_empty() {
        return Ok(Vec::new());
    }
    let tables = [tables::latencies(group, &phases), tables::effects(group, &phases)];
    Ok(vec![
        Block::Heading(3, "While Services change".to_owned()),
        Block::List(sentences(group, &phases)),
        Block::OnPage(vec![Block::Plots(plots::of_group(group, &phases)?)]),
        Block::Tables(tables.into_iter().flatten().collect()),
    ])
}

/// The phases in the order they came.
fn phases<'a>(group: &Group<'a>) -> Vec<&'a str> {
    let mut phases = Vec::new();
    let metrics = group.cells.iter().flat_map(|cell| &cell.metrics);
    for metric in metrics.filter(|metric| metric.name == LOAD_TOTAL.name) {
        if !phases.contains(&metric.label.as_str()) {
            phases.push(metric.label.as_str());
        }
    }
    phases
}

/// A phase in words.
fn words(phase: &str) -> String {
    phase.replace('_', " ")
}

/// The values of a metric of one cell, in the order they were measured.
fn values<'c>(cell: &'c CellRecord, metric: &str, label: &str) -> &'c [u64] {
    let found = cell.metrics.iter().find(|one| one.name == metric && one.label == label);
    match found.map(|metric| &metric.data) {
        Some(Distribution::Values { values }) => values,
        _ => &[],
    }
}

/// For each proxy at its largest size: the tail while Services change, and how long a removed
/// Endpoint still gets connections.
fn sentences(group: &Group<'_>, phases: &[&str]) -> Vec<String> {
    let unit = group.unit();
    let shown = |value: f64| format::quantity(unit, value);
    let rivals = group.all_proxies().into_iter().filter(|proxy| *proxy != CONTROL);
    let sentence = |proxy: &str| {
        let size = *group.sizes(LOAD_TOTAL.name, QUIET).last()?;
        let tail = |phase| group.stat(LOAD_TOTAL.name, phase, proxy, size, 0.99);
        let quiet = tail(QUIET)?.median;
        let changing = phases.iter().filter(|phase| **phase != QUIET);
        let worst = changing.clone().filter_map(|phase| Some((tail(phase)?.median, *phase)));
        let (worst, phase) = worst.max_by(|one, other| one.0.total_cmp(&other.0))?;
        let old: Vec<u64> = changing
            .filter_map(|phase| {
                group.pooled_in(unit, CHURN_LAST_OLD.name, phase, proxy, size).max()
            })
            .collect();
        let effect = old.iter().max().map_or(String::new(), |longest| {
            let longest = shown(*longest as f64);
            format!(" A removed Endpoint gets new connections for up to {longest}.")
        });
        Some(format!(
            "With {} Services, 99 of 100 connections through {proxy} take up to {} while nothing changes and {} in {}.{effect}",
            format::thousands(size),
            shown(quiet),
            shown(worst),
            in_phase(phase),
        ))
    };
    rivals.filter_map(sentence).collect()
}

fn in_phase(phase: &str) -> String {
    match phase {
        "rolling_update" => "a rolling update".to_owned(),
        "scale" => "scaling".to_owned(),
        "node_loss" => "the loss of a node".to_owned(),
        "services" => "Services that come and go".to_owned(),
        other => words(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::metrics;
    use crate::record::Clock;
    use crate::store::Run;
    use crate::view::View;

    /// A run in which ten of a thousand connections wait for a sync.
    fn run() -> Run {
        let mut run = fixture::wall();
        let clock = Clock::Wall;
        for cell in run.cells.iter_mut().filter(|cell| cell.labels.measure == "connect") {
            let slow = if cell.labels.proxy == CONTROL { 300_000 } else { 40_000_000 };
            for (phase, tail) in [("quiet", 200_000), ("rolling_update", slow)] {
                let total = (0..1_000).map(|at| if at < 15 { tail } else { 100_000 }).collect();
                cell.metrics.extend([
                    LOAD_TOTAL.of(phase, clock, total),
                    metrics::LOAD_WORST.of(phase, clock, vec![100_000, tail]),
                    metrics::CHURN_LENGTH.of(phase, clock, vec![2_000_000_000]),
                    metrics::LOAD_FAILED.of(phase, clock, vec![3]),
                ]);
            }
            cell.metrics.extend([
                metrics::CHURN_BEGAN.of("rolling_update", clock, vec![1_200_000_000]),
                metrics::CHURN_SYNC.of("rolling_update", clock, vec![30_000_000]),
                CHURN_LAST_OLD.of("rolling_update", clock, vec![25_000_000]),
                metrics::CHURN_BROKEN.of("rolling_update", clock, vec![4]),
            ]);
        }
        run
    }

    #[test]
    fn tails_effects_and_what_broke_are_told_by_phase() {
        let runs = [run()];
        let view = View::new(&runs).unwrap();
        let group = &view.groups[0];
        let said = sentences(group, &phases(group));
        assert_eq!(
            said,
            ["With 1,000 Services, 99 of 100 connections through iptables-nft take up to 200 µs \
              while nothing changes and 40.0 ms in a rolling update. A removed Endpoint gets new \
              connections for up to 25.0 ms."]
        );
        let blocks = blocks(group).unwrap();
        let tables: Vec<_> = blocks
            .iter()
            .filter_map(|block| if let Block::Tables(tables) = block { Some(tables) } else { None })
            .flatten()
            .collect();
        let row = |table: usize, phase: &str| {
            let mut rows = tables[table].rows.iter();
            rows.find(|row| row[1] == "iptables-nft" && row[2] == phase).unwrap().clone()
        };
        assert_eq!(row(0, "rolling update")[4..], ["100", "100", "40,000", "40,000", "", "3", ""]);
        assert_eq!(
            row(1, "rolling update")[3..],
            ["1", "30,000", "30,000", "25,000", "", "", "4", ""]
        );
    }

    #[test]
    fn syncs_are_marked_where_they_began_and_runs_without_churn_have_no_part() {
        let runs = [run()];
        let view = View::new(&runs).unwrap();
        let plots = plots::of_group(&view.groups[0], &["quiet", "rolling_update"]).unwrap();
        assert_eq!(plots.len(), 2);
        // One sync of each of two proxies.
        assert_eq!(plots[0].svg.matches("<circle").count(), 2, "{}", plots[0].svg);
        let runs = [fixture::wall()];
        let view = View::new(&runs).unwrap();
        assert!(blocks(&view.groups[0]).unwrap().is_empty());
    }
}

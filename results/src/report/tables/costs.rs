//! Tables of programming the kernel: syncs, their parts, binding VIPs, and what they cost beside
//! time.

use std::collections::BTreeMap;

use crate::format::{Scale, thousands};
use crate::metrics::{self, PARTS, SYNC_FULL, TOTAL, Use, VIP_BIND};
use crate::record::Unit;
use crate::tables::{Matrix, Table, number, text};
use crate::view::Group;

/// Every kind of sync, in total.
pub(crate) fn sync_totals(group: &Group<'_>) -> Option<Table> {
    let series: Vec<(String, &str, &str, f64)> = metrics::ALL
        .iter()
        .filter(|kind| kind.is_sync() && !group.sizes(kind.name, TOTAL).is_empty())
        .map(|kind| (kind.title.to_owned(), kind.name, TOTAL, 0.5))
        .collect();
    Matrix::of(group, &series).into_table(
        group.unit(),
        "Syncs",
        "full: the whole Cluster into an empty namespace; restart: onto identical state; the others: one change. Median over the seeds.",
    )
}

/// The parts of a full sync.
pub(crate) fn sync_parts(group: &Group<'_>) -> Option<Table> {
    let series: Vec<(String, &str, &str, f64)> = PARTS
        .into_iter()
        .chain([TOTAL])
        .filter(|part| !group.sizes(SYNC_FULL.name, part).is_empty())
        .map(|part| (part.to_owned(), SYNC_FULL.name, part, 0.5))
        .collect();
    Matrix::of(group, &series).into_table(
        group.unit(),
        "Parts of a full sync",
        "prepare: reading what is there; render: making text or messages; submit: handing them over until the kernel returns; \
         effective: until a new connection is answered by the right endpoint.",
    )
}

/// The strategies of making VIPs local.
pub(crate) fn vip_bind(group: &Group<'_>) -> Option<Table> {
    let series: Vec<(String, &str, &str, f64)> = group
        .labels(VIP_BIND.name)
        .into_iter()
        .map(|label| (label.to_owned(), VIP_BIND.name, label, 0.5))
        .collect();
    Matrix::of(group, &series).into_table(
        group.unit(),
        VIP_BIND.title,
        "dummy: one address each on a dummy device; local-route: a local route.",
    )
}

/// Every other metric (rules, messages, bytes, processor time, memory, throughput), one line each:
/// their units differ.
pub(crate) fn resources(group: &Group<'_>) -> Option<Table> {
    let columns = vec![
        text("what"),
        text("detail"),
        text("proxy"),
        number("Services"),
        number("amount"),
        text("unit"),
    ];
    let mut table = Table::new("What else was counted", "Median over the seeds.", columns);
    for metric in group.metrics() {
        if metrics::kind(metric).is_some_and(|kind| kind.uses.contains(&Use::OwnTable)) {
            continue;
        }
        for label in group.labels(metric) {
            table.rows.extend(amounts(group, metric, label));
        }
    }
    table.cut().unless_empty()
}

/// One row for each proxy and size, those of one unit on one scale.
fn amounts(group: &Group<'_>, metric: &str, label: &str) -> Vec<Vec<String>> {
    let mut by_unit: BTreeMap<Unit, Vec<(&str, u64, f64)>> = BTreeMap::new();
    for (unit, proxy, services) in group.amounts(metric, label) {
        if let Some(spread) = group.amount(unit, metric, label, proxy, services) {
            by_unit.entry(unit).or_default().push((proxy, services, spread.median));
        }
    }
    let mut rows = Vec::new();
    for (unit, values) in by_unit {
        let scale = Scale::of(unit, values.iter().map(|(.., value)| *value));
        rows.extend(values.into_iter().map(|(proxy, services, value)| {
            vec![
                metric.to_owned(),
                label.to_owned(),
                proxy.to_owned(),
                thousands(services),
                scale.number(value),
                scale.name().to_owned(),
            ]
        }));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::{Distribution, Metric};
    use crate::view::View;

    #[test]
    fn a_metric_without_a_table_of_its_own_is_still_shown() {
        let mut run = fixture::wall();
        let values = vec![30_000];
        run.cells[0].metrics.push(Metric {
            name: "throughput.requests".into(),
            label: "hyper".into(),
            unit: Unit::Count,
            data: Distribution::Values { values },
        });
        let runs = [run];
        let table = resources(&View::new(&runs).unwrap().groups[0]).unwrap();
        let row = table.rows.iter().find(|row| row[0] == "throughput.requests").unwrap();
        assert_eq!(row[1..], ["hyper", "none", "1,000", "30,000", ""]);
        assert!(!table.rows.iter().any(|row| row[0] == "connect" || row[0] == "sync.full"));
    }
}

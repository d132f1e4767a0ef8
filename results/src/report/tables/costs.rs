//! Tables of programming the kernel: syncs, their parts, binding VIPs, and what they cost beside time.

use std::collections::BTreeMap;

use crate::format::{Scale, thousands};
use crate::record::Unit;
use crate::tables::{Matrix, Table, number, text};
use crate::view::Group;

/// Parts of a sync, in the order they happen.
pub(crate) const PARTS: [&str; 4] = ["prepare", "render", "submit", "effective"];

/// Every kind of sync, in total.
pub(crate) fn sync_totals(group: &Group<'_>) -> Option<Table> {
    let kinds = [
        ("full", "sync.full"),
        ("restart", "sync.restart"),
        ("endpoint change", "sync.endpoint_change"),
        ("Service added", "sync.service_add"),
        ("Service removed", "sync.service_remove"),
    ];
    let series: Vec<(String, &str, &str, f64)> = kinds
        .into_iter()
        .filter(|(_, metric)| !group.sizes(metric, "total").is_empty())
        .map(|(head, metric)| (head.to_owned(), metric, "total", 0.5))
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
        .chain(["total"])
        .filter(|part| !group.sizes("sync.full", part).is_empty())
        .map(|part| (part.to_owned(), "sync.full", part, 0.5))
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
        .labels("vip_bind")
        .into_iter()
        .map(|label| (label.to_owned(), "vip_bind", label, 0.5))
        .collect();
    Matrix::of(group, &series).into_table(
        group.unit(),
        "Making all VIPs local",
        "dummy: one address each on a dummy device; local-route: a local route.",
    )
}

/// Metrics that have a table, or a place in one, of their own.
const SHOWN_ELSEWHERE: [&str; 6] =
    ["connect", "request", "close", "keepalive.request", "vip_bind", "rules.walked"];
/// Families of such metrics.
const FAMILIES_SHOWN_ELSEWHERE: [&str; 4] = ["sync.", "http.", "harness.", "layout."];

/// Every other metric (rules, messages, bytes, processor time, memory, throughput), one line each: their units differ.
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
        let family = FAMILIES_SHOWN_ELSEWHERE.iter().any(|family| metric.starts_with(family));
        if family || SHOWN_ELSEWHERE.contains(&metric) {
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
    use crate::record::Metric;
    use crate::view::View;

    #[test]
    fn a_metric_without_a_table_of_its_own_is_still_shown() {
        let mut run = fixture::wall();
        let values = vec![30_000];
        run.cells[0].metrics.push(Metric::of_values(
            "throughput.requests",
            "hyper",
            Unit::Count,
            values,
        ));
        let runs = [run];
        let table = resources(&View::new(&runs).unwrap().groups[0]).unwrap();
        let row = table.rows.iter().find(|row| row[0] == "throughput.requests").unwrap();
        assert_eq!(row[1..], ["hyper", "none", "1,000", "30,000", ""]);
        assert!(!table.rows.iter().any(|row| row[0] == "connect" || row[0] == "sync.full"));
    }
}

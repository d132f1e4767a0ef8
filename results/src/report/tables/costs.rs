//! Tables of programming the kernel: syncs, their parts, binding VIPs, and what they cost beside
//! time.

use std::collections::BTreeMap;

use crate::format::{Scale, thousands};
use crate::metrics::{self, IDLE, PARTS, PAUSE, STANDING, SYNC_FULL, TOTAL, Use, VIP_BIND};
use crate::record::Unit;
use crate::tables::{Columns, Table, Timing, by_size};
use crate::view::Group;

/// Every kind of sync, in total.
pub(crate) fn sync_totals(group: &Group<'_>) -> Option<Table> {
    let syncs = metrics::ALL.iter().filter(|kind| kind.is_sync());
    let columns: Vec<Timing<'_>> = syncs
        .filter(|kind| !group.sizes(kind.name, TOTAL).is_empty())
        .map(|kind| (kind.title.to_owned(), kind.name, TOTAL, 0.5))
        .collect();
    let changes = crate::format::counted(group.shape.changes_per_sync, "change");
    let note = format!(
        "full: the whole Cluster into an empty namespace; restart: onto identical state; the others: {changes}. Median over the seeds."
    );
    by_size(group, "Syncs", &note, &columns)
}

/// The parts of a full sync.
pub(crate) fn sync_parts(group: &Group<'_>) -> Option<Table> {
    let parts = PARTS.into_iter().chain([TOTAL]);
    let columns: Vec<Timing<'_>> = parts
        .filter(|part| !group.sizes(SYNC_FULL.name, part).is_empty())
        .map(|part| (part.to_owned(), SYNC_FULL.name, part, 0.5))
        .collect();
    let note = "prepare: reading what is there; render: making text or messages; submit: handing them over until the kernel returns; \
                of a kube-proxy, start: until its process asks for Services, list: until it has them, sync: until it is done; \
                effective: until a new connection is answered by the right endpoint; aftermath: what the kernel still does for it until the node is quiet.";
    by_size(group, "Parts of a full sync", note, &columns)
}

/// What the node does with the Cluster programmed while nobody asks anything of it.
pub(crate) fn idle_node(group: &Group<'_>) -> Option<Table> {
    let columns: [Timing<'_>; 2] = [
        ("a second".to_owned(), STANDING.name, IDLE, 0.5),
        ("longest pause".to_owned(), PAUSE.name, IDLE, 1.0),
    ];
    let note = "a second: all that interrupts a program there; longest pause: what a connection that comes just then waits at most. \
                `vipbench explain` says what a pause is.";
    by_size(group, "Idle node", note, &columns)
}

/// The strategies of making VIPs local.
pub(crate) fn vip_bind(group: &Group<'_>) -> Option<Table> {
    let labels = group.labels(VIP_BIND.name).into_iter();
    let columns: Vec<Timing<'_>> =
        labels.map(|label| (label.to_owned(), VIP_BIND.name, label, 0.5)).collect();
    let note = "dummy: one address each on a dummy device; local-route: a local route.";
    by_size(group, VIP_BIND.title, note, &columns)
}

/// A number of [`resources`], on the scale of all that share its unit.
struct Amount<'a> {
    metric: &'a str,
    label: &'a str,
    proxy: &'a str,
    services: u64,
    value: f64,
    scale: Scale,
}

/// Every other metric (rules, messages, bytes, processor time, memory, throughput), one line each:
/// their units differ.
pub(crate) fn resources(group: &Group<'_>) -> Option<Table> {
    let has_own =
        |name: &str| metrics::kind(name).is_some_and(|kind| kind.uses.contains(&Use::OwnTable));
    let metrics = group.metrics().into_iter().filter(|metric| !has_own(metric));
    let labels =
        metrics.flat_map(|one| group.labels(one).into_iter().map(move |label| (one, label)));
    Columns::of(labels.flat_map(|(metric, label)| amounts(group, metric, label)))
        .text("what", |row| row.metric.to_owned())
        .text("detail", |row| row.label.to_owned())
        .text("proxy", |row| row.proxy.to_owned())
        .number("Services", |row| thousands(row.services))
        .number("amount", |row| row.scale.number(row.value))
        .text("unit", |row| row.scale.name().to_owned())
        .titled("What else was counted", "Median over the seeds.")
        .cut()
        .unless_empty()
}

/// One row for each proxy and size, those of one unit on one scale.
fn amounts<'a>(group: &'a Group<'_>, metric: &'a str, label: &'a str) -> Vec<Amount<'a>> {
    let mut by_unit: BTreeMap<Unit, Vec<(&str, u64, f64)>> = BTreeMap::new();
    for (unit, proxy, services) in group.amounts(metric, label) {
        if let Some(spread) = group.amount(unit, metric, label, proxy, services) {
            by_unit.entry(unit).or_default().push((proxy, services, spread.median));
        }
    }
    let of_unit = |(unit, values): (Unit, Vec<(&'a str, u64, f64)>)| {
        let scale = Scale::of(unit, values.iter().map(|(.., value)| *value));
        let amount =
            move |(proxy, services, value)| Amount { metric, label, proxy, services, value, scale };
        values.into_iter().map(amount)
    };
    by_unit.into_iter().flat_map(of_unit).collect()
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

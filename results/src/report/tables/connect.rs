//! Tables of connections: by position, by phase, and the keep-alive control.

use std::collections::BTreeSet;

use crate::format;
use crate::metrics::{
    CLOSE, CONNECT, HTTP_CLOSE, HTTP_CONNECT, HTTP_REQUEST, KEEPALIVE_REQUEST, MetricKind, REQUEST,
    RULES_WALKED,
};
use crate::record::Unit;
use crate::tables::{Columns, Table, Timing, by_size};
use crate::view::Group;

/// `connect` at each position, one table for p50 and, where there are connections enough, one for
/// p99.
pub(crate) fn connections(group: &Group<'_>) -> Vec<Table> {
    let note = "Columns: position of the dialled Service in the rules. Median over the seeds.";
    let quantiles = [("p50", 0.5), ("p99", 0.99)].into_iter();
    quantiles.filter_map(|quantile| by_position(group, &CONNECT, quantile, note)).collect()
}

/// The other phases of a connection, and those through the HTTP client: p50 at each position.
pub(crate) fn phases(group: &Group<'_>) -> Vec<Table> {
    let phases = [REQUEST, CLOSE, HTTP_CONNECT, HTTP_REQUEST, HTTP_CLOSE];
    phases.iter().filter_map(|kind| by_position(group, kind, ("p50", 0.5), "")).collect()
}

/// Rules that a new connection's first packet is compared with, a column a position.
pub(crate) fn walked(group: &Group<'_>) -> Option<Table> {
    let metric = RULES_WALKED.name;
    let labels = group.labels(metric);
    let amounts = labels.iter().flat_map(|label| group.amounts(metric, label));
    let rows: BTreeSet<(u64, &str)> = amounts.map(|(_, proxy, size)| (size, proxy)).collect();
    let rows: Vec<(u64, &str)> = rows.into_iter().collect();
    let mut table = Columns::of(&rows)
        .number("Services", |(services, _)| format::thousands(*services))
        .text("proxy", |(_, proxy)| (*proxy).to_owned());
    for label in labels {
        table = table.number(format::position(label), |(services, proxy)| {
            let count = group.amount(Unit::Count, metric, label, proxy, *services);
            count.map_or(String::new(), |count| format::fixed(count.median, 0))
        });
    }
    let note =
        "Counted. Columns: position of the dialled Service in the rules. Median over the seeds.";
    table.titled(RULES_WALKED.title, note).unless_empty()
}

/// The control that should show nothing.
pub(crate) fn keepalive(group: &Group<'_>) -> Option<Table> {
    let note =
        "Only the first packet of a connection meets the rules: these numbers should be equal.";
    by_position(group, &KEEPALIVE_REQUEST, ("p50", 0.5), note)
}

fn by_position(
    group: &Group<'_>,
    kind: &MetricKind,
    (name, quantile): (&str, f64),
    note: &str,
) -> Option<Table> {
    let labels = group.labels(kind.name).into_iter();
    let columns: Vec<Timing<'_>> =
        labels.map(|label| (format::position(label), kind.name, label, quantile)).collect();
    by_size(group, &format!("{}, {name}", kind.title), note, &columns)
}

//! Tables of connections: by position, by phase, and the keep-alive control.

use crate::format;
use crate::metrics::{
    CLOSE, CONNECT, HTTP_CLOSE, HTTP_CONNECT, HTTP_REQUEST, KEEPALIVE_REQUEST, MetricKind, REQUEST,
    RULES_WALKED,
};
use crate::record::Unit;
use crate::tables::{Matrix, Table, number, text};
use crate::view::Group;

/// `connect` at each position, one table for p50 and one for p99.
pub(crate) fn connections(group: &Group<'_>) -> Vec<Table> {
    let quantiles = [("p50", 0.5), ("p99", 0.99)];
    quantiles
        .into_iter()
        .filter_map(|(name, quantile)| {
            let note =
                "Columns: position of the dialled Service in the rules. Median over the seeds.";
            by_position(group, &CONNECT, quantile, name, note)
        })
        .collect()
}

/// The other phases of a connection, and those through the HTTP client: p50 at each position.
pub(crate) fn phases(group: &Group<'_>) -> Vec<Table> {
    let phases = [REQUEST, CLOSE, HTTP_CONNECT, HTTP_REQUEST, HTTP_CLOSE];
    phases.iter().filter_map(|kind| by_position(group, kind, 0.5, "p50", "")).collect()
}

/// Rules that a new connection's first packet is compared with, a column a position.
pub(crate) fn walked(group: &Group<'_>) -> Option<Table> {
    let metric = RULES_WALKED.name;
    let labels = group.labels(metric);
    let heads = labels.iter().map(|label| number(format::position(label)));
    let columns = [number("Services"), text("proxy")].into_iter().chain(heads).collect();
    let mut table = Table::new(
        RULES_WALKED.title,
        "Counted. Columns: position of the dialled Service in the rules. Median over the seeds.",
        columns,
    );
    let mut rows: Vec<(u64, &str)> = labels
        .iter()
        .flat_map(|label| group.amounts(metric, label))
        .map(|(_, proxy, services)| (services, proxy))
        .collect();
    rows.sort_unstable();
    rows.dedup();
    for (services, proxy) in rows {
        let counts = labels.iter().map(|label| {
            let count = group.amount(Unit::Count, metric, label, proxy, services);
            count.map_or(String::new(), |count| format::fixed(count.median, 0))
        });
        let row = [format::thousands(services), proxy.to_owned()].into_iter().chain(counts);
        table.rows.push(row.collect());
    }
    table.unless_empty()
}

/// The control that should show nothing.
pub(crate) fn keepalive(group: &Group<'_>) -> Option<Table> {
    by_position(
        group,
        &KEEPALIVE_REQUEST,
        0.5,
        "p50",
        "Only the first packet of a connection meets the rules: these numbers should be equal.",
    )
}

fn by_position(
    group: &Group<'_>,
    kind: &MetricKind,
    quantile: f64,
    quantile_name: &str,
    note: &str,
) -> Option<Table> {
    let series: Vec<(String, &str, &str, f64)> = group
        .labels(kind.name)
        .into_iter()
        .map(|label| (format::position(label), kind.name, label, quantile))
        .collect();
    let title = format!("{}, {quantile_name}", kind.title);
    Matrix::of(group, &series).into_table(group.unit(), &title, note)
}

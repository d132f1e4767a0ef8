//! Tables of connections: by position, by phase, and the keep-alive control.

use crate::format;
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
            by_position(group, "connect", quantile, &format!("New connection, {name}"), note)
        })
        .collect()
}

/// The other phases of a connection, and those through the HTTP client: p50 at each position.
pub(crate) fn phases(group: &Group<'_>) -> Vec<Table> {
    let phases = [
        ("request", "Request on the new connection: first byte written to first byte read, p50"),
        ("close", "Close of the connection, p50"),
        ("http.connect", "New connection of the HTTP client, p50"),
        ("http.request", "HTTP request on the new connection, p50"),
        ("http.close", "Close of the HTTP connection, p50"),
    ];
    phases
        .into_iter()
        .filter_map(|(metric, title)| by_position(group, metric, 0.5, title, ""))
        .collect()
}

/// Rules that a new connection's first packet is compared with, a column a position.
pub(crate) fn walked(group: &Group<'_>) -> Option<Table> {
    let metric = "rules.walked";
    let labels = group.labels(metric);
    let heads = labels.iter().map(|label| number(format::position(label)));
    let columns = [number("Services"), text("proxy")].into_iter().chain(heads).collect();
    let mut table = Table::new(
        "Rules of the nat table that a new connection is compared with",
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
        "keepalive.request",
        0.5,
        "Control: second request on an open connection, p50",
        "Only the first packet of a connection meets the rules: these numbers should be equal.",
    )
}

fn by_position(
    group: &Group<'_>,
    metric: &str,
    quantile: f64,
    title: &str,
    note: &str,
) -> Option<Table> {
    let series: Vec<(String, &str, &str, f64)> = group
        .labels(metric)
        .into_iter()
        .map(|label| (format::position(label), metric, label, quantile))
        .collect();
    Matrix::of(group, &series).into_table(group.unit(), title, note)
}

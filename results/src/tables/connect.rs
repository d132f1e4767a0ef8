//! Tables of connections: by position, by phase, and the keep-alive control.

use super::{Matrix, Table};
use crate::format;
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

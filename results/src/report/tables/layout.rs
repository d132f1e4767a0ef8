//! Tables of the layout of VIPs: connections under each, and how full the buckets of IPVS are.

use crate::format::{fixed, thousands};
use crate::metrics;
use crate::tables::{Matrix, Table, number, text};
use crate::view::Group;

/// New connections, one column for each layout and position.
pub(crate) fn layout_connects(group: &Group<'_>) -> Option<Table> {
    let metric = metrics::LAYOUT_CONNECT.name;
    let series: Vec<(String, &str, &str, f64)> = group
        .labels(metric)
        .into_iter()
        .map(|label| (label.replace('.', ", "), metric, label, 0.5))
        .collect();
    Matrix::of(group, &series).into_table(
        group.unit(),
        "New connections by layout of the VIPs, p50",
        "strided-256: every VIP 256 addresses after the one before. The same Services otherwise, each layout in a lab of its own.",
    )
}

/// How the services are spread over the hash table.
pub(crate) fn layout_buckets(group: &Group<'_>) -> Option<Table> {
    let metric = metrics::LAYOUT_BUCKET_SERVICES.name;
    let columns = vec![
        number("Services"),
        text("proxy"),
        text("layout"),
        number("buckets"),
        number("in use"),
        number("services in the fullest"),
        number("services a bucket in use"),
    ];
    let mut table = Table::new(
        "Buckets of the IPVS hash table",
        "A new connection walks the services of one bucket. Seeds together.",
        columns,
    );
    for label in group.labels(metric) {
        for (unit, proxy, services) in group.amounts(metric, label) {
            let samples = group.pooled_in(unit, metric, label, proxy, services);
            let used = samples.count() - samples.count_of(0);
            let mean =
                samples.mean().unwrap_or_default() * samples.count() as f64 / used.max(1) as f64;
            table.rows.push(vec![
                thousands(services),
                proxy.to_owned(),
                label.to_owned(),
                thousands(samples.count()),
                thousands(used),
                thousands(samples.max().unwrap_or_default()),
                fixed(mean, 1),
            ]);
        }
    }
    table.unless_empty()
}

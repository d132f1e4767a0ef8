//! Tables of the layout of VIPs: connections under each, and how full the buckets of IPVS are.

use crate::distribution::Samples;
use crate::format::{fixed, thousands};
use crate::metrics::{LAYOUT_BUCKET_SERVICES, LAYOUT_CONNECT};
use crate::tables::{Columns, Table, Timing, by_size};
use crate::view::Group;

/// New connections, one column for each layout and position.
pub(crate) fn layout_connects(group: &Group<'_>) -> Option<Table> {
    let metric = LAYOUT_CONNECT.name;
    let labels = group.labels(metric).into_iter();
    let columns: Vec<Timing<'_>> =
        labels.map(|label| (label.replace('.', ", "), metric, label, 0.5)).collect();
    let note = "strided-256: every VIP 256 addresses after the one before. The same Services otherwise, each layout in a lab of its own.";
    by_size(group, "New connections by layout of the VIPs, p50", note, &columns)
}

/// How the services are spread over the hash table.
pub(crate) fn layout_buckets(group: &Group<'_>) -> Option<Table> {
    let metric = LAYOUT_BUCKET_SERVICES.name;
    let mut rows: Vec<(u64, &str, &str, Samples)> = Vec::new();
    for label in group.labels(metric) {
        rows.extend(group.amounts(metric, label).into_iter().map(|(unit, proxy, services)| {
            (services, proxy, label, group.pooled_in(unit, metric, label, proxy, services))
        }));
    }
    let used = |samples: &Samples| samples.count() - samples.count_of(0);
    let mean = |samples: &Samples| {
        samples.mean().unwrap_or_default() * samples.count() as f64 / used(samples).max(1) as f64
    };
    Columns::of(rows)
        .number("Services", |(services, ..)| thousands(*services))
        .text("proxy", |(_, proxy, ..)| (*proxy).to_owned())
        .text("layout", |(_, _, label, _)| (*label).to_owned())
        .number("buckets", |(.., samples)| thousands(samples.count()))
        .number("in use", |(.., samples)| thousands(used(samples)))
        .number("services in the fullest", |(.., samples)| {
            thousands(samples.max().unwrap_or_default())
        })
        .number("services a bucket in use", |(.., samples)| fixed(mean(samples), 1))
        .titled(
            "Buckets of the IPVS hash table",
            "A new connection walks the services of one bucket. Seeds together.",
        )
        .unless_empty()
}

//! What a node pays beside time: memory, and what somebody else who calls `iptables` waits for.

use crate::format::{Scale, fixed, thousands};
use crate::metrics::{COST_BYSTANDER, COST_MEMORY};
use crate::record::Unit;
use crate::tables::{Columns, Table};
use crate::view::Group;

/// A line for each size and proxy.
pub(crate) fn cost(group: &Group<'_>) -> Option<Table> {
    let kind = COST_MEMORY.usual_label;
    let mut lines: Vec<(u64, &str)> = group
        .amounts(COST_MEMORY.name, kind)
        .into_iter()
        .map(|(_, proxy, services)| (services, proxy))
        .collect();
    // By size; proxies keep their order.
    lines.sort_by_key(|(services, _)| *services);
    let bytes = |metric: &'static str, label: &'static str| {
        move |(services, proxy): &(u64, &str)| {
            let amount = group.amount(Unit::Bytes, metric, label, proxy, *services);
            amount.map_or(String::new(), |bytes| fixed(bytes.median / 1024.0, 0))
        }
    };
    let waited = |label: &'static str, quantile: f64| {
        move |(services, proxy): &(u64, &str)| {
            group.stat(COST_BYSTANDER.name, label, proxy, *services, quantile)
        }
    };
    let longest = |(services, proxy): &(u64, &str)| {
        let (unit, metric) = (group.unit(), COST_BYSTANDER.name);
        group.pooled_in(unit, metric, "syncing", proxy, *services).max()
    };
    let all = lines.iter().filter_map(longest);
    let scale = Scale::of(group.unit(), all.map(|value| value as f64));
    let median = |label| {
        let (value, scale) = (waited(label, 0.5), &scale);
        move |line: &(u64, &str)| {
            value(line).map_or(String::new(), |value| scale.number(value.median))
        }
    };
    Columns::of(lines)
        .number("Services", |(services, _)| thousands(*services))
        .text("proxy", |(_, proxy)| (*proxy).to_owned())
        .number("slab, KiB", bytes(COST_MEMORY.name, "slab"))
        .number("per-CPU, KiB", bytes(COST_MEMORY.name, "per-cpu"))
        .number("vmalloc, KiB", bytes(COST_MEMORY.name, "vmalloc"))
        .number(format!("a bystander, {}", scale.name()), median("quiet"))
        .number("the same while syncing", median("syncing"))
        .number("longest", |line| {
            longest(line).map_or(String::new(), |value| scale.number(value as f64))
        })
        .titled(
            "Memory, and what others wait for",
            "By how much the kernel's memory grew with the Cluster programmed. A bystander is somebody else's call of \
             `iptables -w` that adds a rule to the same table.",
        )
        .unless_empty()
}

//! What a node pays beside time: memory, and what somebody else who calls `iptables` waits for.

use crate::format::{Scale, fixed, thousands};
use crate::metrics::{COST_BYSTANDER, COST_LOCK, COST_MEMORY, COST_PROGRAMS};
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
    let longest = |(services, proxy): &(u64, &str)| {
        let (unit, metric) = (group.unit(), COST_BYSTANDER.name);
        group.pooled_in(unit, metric, "syncing", proxy, *services).max()
    };
    let all = lines.iter().filter_map(longest);
    let scale = &Scale::of(group.unit(), all.map(|value| value as f64));
    let median = |metric: &'static str, label: &'static str| {
        move |(services, proxy): &(u64, &str)| {
            let value = group.stat(metric, label, proxy, *services, 0.5);
            value.map_or(String::new(), |value| scale.number(value.median))
        }
    };
    Columns::of(lines)
        .number("Services", |(services, _)| thousands(*services))
        .text("proxy", |(_, proxy)| (*proxy).to_owned())
        .number("slab, KiB", bytes(COST_MEMORY.name, "slab"))
        .number("per-CPU, KiB", bytes(COST_MEMORY.name, "per-cpu"))
        .number("vmalloc, KiB", bytes(COST_MEMORY.name, "vmalloc"))
        .number("a program, KiB", bytes(COST_PROGRAMS.name, COST_PROGRAMS.usual_label))
        .number(format!("a bystander, {}", scale.name()), median(COST_BYSTANDER.name, "quiet"))
        .number("the same during a sync", median(COST_BYSTANDER.name, "syncing"))
        .number("longest", |line| {
            longest(line).map_or(String::new(), |value| scale.number(value as f64))
        })
        .number("lock held", median(COST_LOCK.name, COST_LOCK.usual_label))
        .titled(
            "Memory, and what others wait for",
            "By how much the kernel's memory grew with the Cluster programmed. A program: the most that one had which the full sync started, such as \
             iptables-restore. A bystander is somebody else's call of \
             `iptables -w` that adds a rule to the same table. Lock held: by a sync of one Change, the lock that all callers of \
             iptables-legacy share; iptables-nft has none.",
        )
        .unless_empty()
}

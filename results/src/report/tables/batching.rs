//! What a shortest time between syncs costs a Change, and saves.

use crate::format::{Scale, fixed, thousands};
use crate::metrics::{BATCHING_LATENCY, BATCHING_SYNCS, BATCHING_WORK};
use crate::record::Unit;
use crate::tables::{Columns, Table};
use crate::view::Group;

/// A line: Services, proxy, and the label of a period.
type Line<'g> = (u64, &'g str, &'g str);

/// A line for each size, proxy and period; the period in which a Change is programmed soonest has a
/// mark.
pub(crate) fn batching(group: &Group<'_>) -> Option<Table> {
    let lines = lines(group);
    let value = |metric: &str, (services, proxy, label): &Line<'_>, quantile: f64| {
        Some(group.stat(metric, label, proxy, *services, quantile)?.median)
    };
    let latency = |line: &Line<'_>| value(BATCHING_LATENCY.name, line, 0.5);
    let scale = Scale::of(group.unit(), lines.iter().filter_map(latency));
    let work = |line: &Line<'_>| value(BATCHING_WORK.name, line, 0.5);
    let of_work = Scale::of(group.unit(), lines.iter().filter_map(work));
    let is_soonest = |line: &Line<'_>| {
        let others = lines.iter().filter(|other| (other.0, other.1) == (line.0, line.1));
        let least = others.filter_map(latency).min_by(f64::total_cmp);
        least.is_some() && latency(line) == least
    };
    let syncs = |(services, proxy, label): &Line<'_>| {
        let syncs = group.amount(Unit::Count, BATCHING_SYNCS.name, label, proxy, *services);
        syncs.map_or(String::new(), |syncs| fixed(syncs.median, 0))
    };
    let max = |(services, proxy, label): &Line<'_>| {
        let all = group.pooled_in(group.unit(), BATCHING_LATENCY.name, label, proxy, *services);
        all.max().map_or(String::new(), |value| scale.number(value as f64))
    };
    let shown = |value: Option<f64>, scale: &Scale| {
        value.map_or(String::new(), |value| scale.number(value))
    };
    Columns::of(lines.iter().copied())
        .number("Services", |(services, ..)| thousands(*services))
        .text("proxy", |(_, proxy, _)| (*proxy).to_owned())
        .number("between syncs", |(.., label)| label.replace("ms", " ms"))
        .number("syncs", syncs)
        .number(format!("until programmed, median, {}", scale.name()), |line| {
            shown(latency(line), &scale)
        })
        .number("longest", max)
        .number(format!("work a Change, {}", of_work.name()), |line| shown(work(line), &of_work))
        .text("soonest", |line| if is_soonest(line) { "yes".to_owned() } else { String::new() })
        .titled(
            "Changes that wait for each other",
            "Changes come at a fixed rate; a sync begins no sooner than so long after the one before, as kube-proxy's \
             minSyncPeriod has it, and programs all that have come.",
        )
        .unless_empty()
}

fn lines<'g>(group: &'g Group<'_>) -> Vec<Line<'g>> {
    let mut lines = Vec::new();
    for proxy in group.all_proxies() {
        for label in group.labels(BATCHING_LATENCY.name) {
            let sizes = group.series(BATCHING_LATENCY.name, label, proxy, 0.5).into_iter();
            lines.extend(sizes.map(|(services, _)| (services, proxy, label)));
        }
    }
    let period = |label: &str| label.trim_end_matches("ms").parse::<u64>().unwrap_or(u64::MAX);
    // By size and period; proxies keep their order among themselves.
    lines.sort_by_key(|(services, proxy, label)| {
        let place = group.all_proxies().iter().position(|one| one == proxy);
        (*services, place, period(label))
    });
    lines
}

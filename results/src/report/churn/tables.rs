//! Tables of load while Services change.

use super::{QUIET, words};
use crate::distribution::Samples;
use crate::format::{Scale, thousands};
use crate::metrics::{
    CHURN_BROKEN, CHURN_FIRST_NEW, CHURN_LAST_OLD, CHURN_LATE_TO_OLD, CHURN_STUCK, CHURN_SYNC,
    LOAD_FAILED, LOAD_LATENESS, LOAD_STALLED, LOAD_TOTAL,
};
use crate::record::Unit;
use crate::tables::{Columns, Table};
use crate::view::Group;

/// A line: Services, proxy, phase.
type Line<'g> = (u64, &'g str, &'g str);

/// What connections took, and what became of those that came to nothing.
pub(super) fn latencies(group: &Group<'_>, phases: &[&str]) -> Option<Table> {
    let lines = lines(group, phases, LOAD_TOTAL.name);
    let unit = group.unit();
    let of = |metric: &str, (services, proxy, phase): &Line<'_>| {
        group.pooled_in(unit, metric, phase, proxy, *services)
    };
    let tails = lines.iter().filter_map(|line| of(LOAD_TOTAL.name, line).max());
    let scale = Scale::of(unit, tails.map(|value| value as f64));
    let at = |metric: &'static str, quantile: f64| {
        let scale = &scale;
        move |line: &Line<'_>| {
            let value = of(metric, line).percentile(quantile);
            value.map_or(String::new(), |value| scale.number(value as f64))
        }
    };
    let count = |kind: &str, line: &Line<'_>| counted(group, kind, line);
    begun(lines)
        .number("connections", |line| thousands(of(LOAD_TOTAL.name, line).count()))
        .number("p50", at(LOAD_TOTAL.name, 0.5))
        .number("p90", at(LOAD_TOTAL.name, 0.9))
        .number("p99", at(LOAD_TOTAL.name, 0.99))
        .number("slowest", |line| {
            let slowest = of(LOAD_TOTAL.name, line).max();
            slowest.map_or(String::new(), |value| scale.number(value as f64))
        })
        .number("late, p99", at(LOAD_LATENESS.name, 0.99))
        .number("failed", |line| count(LOAD_FAILED.name, line))
        .number("stalled", |line| count(LOAD_STALLED.name, line))
        .titled(
            format!("Connections that keep coming, {}", scale.name()),
            "From the moment at which a connection was planned to begin to its end, so that one which waits for a busy \
             processor counts. Late: how late the client began them. Stalled: those of a second or longer. Half of the dialled \
             Services change, half do not.",
        )
        .unless_empty()
}

/// How long syncs took, when they were in effect, and what broke.
pub(super) fn effects(group: &Group<'_>, phases: &[&str]) -> Option<Table> {
    let phases: Vec<&str> = phases.iter().copied().filter(|phase| *phase != QUIET).collect();
    let lines = lines(group, &phases, CHURN_SYNC.name);
    let unit = group.unit();
    let of = |metric: &str, (services, proxy, phase): &Line<'_>| {
        group.pooled_in(unit, metric, phase, proxy, *services)
    };
    let all = lines.iter().filter_map(|line| of(CHURN_SYNC.name, line).max());
    let scale = Scale::of(unit, all.map(|value| value as f64));
    let shown = |metric: &'static str, value: fn(&Samples) -> Option<u64>| {
        let scale = &scale;
        move |line: &Line<'_>| {
            let value = value(&of(metric, line));
            value.map_or(String::new(), |value| scale.number(value as f64))
        }
    };
    let median = |samples: &Samples| samples.percentile(0.5);
    let count = |kind: &str, line: &Line<'_>| counted(group, kind, line);
    begun(lines)
        .number("syncs", |line| thousands(of(CHURN_SYNC.name, line).count()))
        .number("sync, median", shown(CHURN_SYNC.name, median))
        .number("longest", shown(CHURN_SYNC.name, Samples::max))
        .number("last to removed", shown(CHURN_LAST_OLD.name, Samples::max))
        .number("first to added", shown(CHURN_FIRST_NEW.name, Samples::max))
        .number("late to removed", |line| count(CHURN_LATE_TO_OLD.name, line))
        .number("broken", |line| count(CHURN_BROKEN.name, line))
        .number("UDP stuck", |line| count(CHURN_STUCK.name, line))
        .titled(
            format!("Changes under load, {}", scale.name()),
            "Last to removed: from the moment at which a Step is handed over until the last connection began that went to an \
             Endpoint it removes (0 where none did); first to added: until the first to one that it adds. Each is the longest of all \
             Steps, and as exact as connections are dense. Late to removed: such connections that began when the sync had ended. \
             Broken: connections kept open that ended; stuck: flows of UDP that nobody answers, or a removed Endpoint. Endpoints \
             that are removed go on serving, so that what breaks is broken by the proxy.",
        )
        .unless_empty()
}

fn lines<'g>(group: &'g Group<'_>, phases: &[&'g str], metric: &str) -> Vec<Line<'g>> {
    let mut lines = Vec::new();
    for proxy in group.all_proxies() {
        for &phase in phases {
            let sizes = group.series(metric, phase, proxy, 0.5).into_iter();
            lines.extend(sizes.map(|(services, _)| (services, proxy, phase)));
        }
    }
    // By size; proxies and phases keep their order.
    lines.sort_by_key(|(services, ..)| *services);
    lines
}

fn begun(lines: Vec<Line<'_>>) -> Columns<Line<'_>> {
    Columns::of(lines)
        .number("Services", |(services, ..)| thousands(*services))
        .text("proxy", |(_, proxy, _)| (*proxy).to_owned())
        .text("phase", |(.., phase)| words(phase))
}

/// The sum over the seeds of something that is counted.
fn counted(group: &Group<'_>, metric: &str, (services, proxy, phase): &Line<'_>) -> String {
    let replicates = group.replicates_in(Unit::Count, metric, phase, proxy, *services);
    if replicates.is_empty() {
        return String::new();
    }
    thousands(replicates.iter().filter_map(|one| one.samples.max()).sum())
}

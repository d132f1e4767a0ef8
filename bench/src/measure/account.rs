//! What a sync took of a program of somebody else, as metrics: its own word beside what was timed.

use std::time::{Duration, Instant};

use proxies::Account;
use results::metrics::{self, MetricKind};
use results::{Clock, Metric};

/// What a measure of syncs gives of a program of somebody else.
pub(super) const EMITS: [MetricKind; 4] =
    [metrics::OWN_SYNC, metrics::OWN_CPU, metrics::MEMORY_USER, metrics::MEMORY_HEAP];

/// How the first sync of a process began: it started, and was told what to program. On either
/// clock, since a guest's nanosecond is an instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    /// From its start to its first request.
    pub start: u64,
    /// From then until it had all Services and Endpoints.
    pub list: u64,
}

impl Beginning {
    /// Of a process that was started at `begun`; nothing of a later sync.
    pub(super) fn of(account: &Account, begun: Instant) -> Option<Self> {
        let served = account.served?;
        Some(Self {
            start: nanoseconds(served.asked.saturating_duration_since(begun)),
            list: nanoseconds(served.listed.saturating_duration_since(served.asked)),
        })
    }
}

/// Appends what all syncs of one kind took.
pub(super) fn report(
    accounts: &[Account],
    sync: MetricKind,
    clock: Clock,
    metrics: &mut Vec<Metric>,
) {
    if accounts.is_empty() {
        return;
    }
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in accounts.iter().flat_map(|account| &account.syncs) {
        if !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    labels.sort_unstable();
    for label in labels {
        let syncs = accounts.iter().flat_map(|account| &account.syncs);
        let took = syncs.filter(|(found, _)| found == label).map(|(_, took)| nanoseconds(*took));
        let label = format!("{}.{label}", sync.name);
        metrics.push(metrics::OWN_SYNC.of(label.trim_end_matches('.'), clock, took.collect()));
    }
    let mut amount = |kind: MetricKind, value: fn(&Account) -> u64| {
        metrics.push(kind.of(sync.name, clock, accounts.iter().map(value).collect()));
    };
    amount(metrics::OWN_CPU, |account| account.cpu.ns);
    amount(metrics::MEMORY_USER, |account| account.memory_peak_bytes);
    amount(metrics::MEMORY_HEAP, |account| account.heap_bytes);
}

/// A duration as either clock counts it; centuries as the most there are.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use linux::CpuTime;

    use super::*;

    fn account(syncs: &[(&str, u64)]) -> Account {
        let named = |(label, ns): &(&str, u64)| ((*label).to_owned(), Duration::from_nanos(*ns));
        Account {
            served: None,
            syncs: syncs.iter().map(named).collect(),
            cpu: CpuTime { ns: 3 },
            memory_peak_bytes: 4,
            heap_bytes: 5,
        }
    }

    #[test]
    fn each_family_and_kind_has_a_label_of_its_own() {
        let accounts = [account(&[("ipv4.partial", 7)]), account(&[("ipv4.full", 9), ("", 1)])];
        let mut metrics = Vec::new();
        let sync = metrics::SYNC_ENDPOINT_CHANGE;
        report(&accounts, sync, Clock::Instructions, &mut metrics);
        let labels: Vec<&str> = metrics.iter().map(|metric| metric.label.as_str()).collect();
        let own = ["", ".ipv4.full", ".ipv4.partial"].map(|end| sync.name.to_owned() + end);
        assert_eq!(labels[..3], own);
        assert!(labels[3..].iter().all(|label| *label == sync.name));
        assert_eq!(metrics.len(), 6);
        report(&[], sync, Clock::Wall, &mut metrics);
        assert_eq!(metrics.len(), 6, "our own backends give none");
    }
}

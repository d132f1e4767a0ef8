//! What a phase's connections tell of it, as metrics.

use std::collections::HashSet;
use std::net::SocketAddr;

use anyhow::ensure;
use generators::{Cluster, ServiceId};
use results::metrics::{self, MetricKind};
use results::{Clock, Metric};

use super::targets::{Targets, endpoints_of};
use crate::load::Kept;
use crate::load::open::Ended;

/// Parts of a phase, each with its median and its slowest connection: few enough to be stored one by
/// one.
const PARTS: u64 = 16;
/// A connection that took longer waited for a packet to be sent again (`TCP_TIMEOUT_INIT`,
/// include/net/tcp.h, Linux 6.1).
const STALL_NS: u64 = 1_000_000_000;

/// When a Step was handed over, and when its sync had ended; readings of the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub submitted: u64,
    pub done: u64,
}

/// All connections of a phase.
pub(super) struct Seen {
    pub started: u64,
    pub ended: u64,
    pub journal: Vec<Ended>,
}

/// The metrics of a cell, phase by phase.
pub(super) struct Report {
    clock: Clock,
    pub verified: u64,
    pub metrics: Vec<Metric>,
}

impl Report {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, verified: 0, metrics: Vec::new() }
    }

    /// Adds a phase: its Clusters one after the other, and the Steps that led from each to the
    /// next.
    ///
    /// # Errors
    /// Somebody answered who never may.
    pub(super) fn add(
        &mut self,
        label: &str,
        seen: &Seen,
        targets: &Targets,
        clusters: &[Cluster],
        made: &[Made],
    ) -> anyhow::Result<()> {
        let histories: Vec<History> =
            targets.dialled.iter().map(|id| History::of(id, clusters)).collect();
        self.verified += answered(label, seen, &histories)?;
        self.push(metrics::CHURN_LENGTH, label, vec![seen.ended - seen.started]);
        self.latencies(label, seen);
        self.over_time(label, seen);
        if !made.is_empty() {
            let began = made.iter().map(|one| one.submitted - seen.started).collect();
            self.push(metrics::CHURN_BEGAN, label, began);
            let took = made.iter().map(|one| one.done - one.submitted).collect();
            self.push(metrics::CHURN_SYNC, label, took);
            self.effect(label, seen, &histories, made);
        }
        Ok(())
    }

    /// Asks what was kept open who answers now.
    pub(super) fn kept(
        &mut self,
        label: &str,
        connections: &[Kept],
        flows: &[Kept],
        clusters: &[Cluster],
    ) {
        let broken = connections.iter().filter(|one| one.ask().ok() != Some(one.before())).count();
        self.push(metrics::CHURN_BROKEN, label, vec![broken as u64]);
        let Some(last) = clusters.last() else { return };
        let serves = |flow: &Kept, who: SocketAddr| {
            let services = last.services().iter();
            let mut of_vip =
                services.filter(|one| SocketAddr::new(one.vip(), one.port()) == flow.to());
            of_vip.any(|one| endpoints_of(last, &one.id()).contains(&who))
        };
        let stuck = flows.iter().filter(|one| !one.ask().is_ok_and(|who| serves(one, who)));
        let stuck = stuck.count() as u64;
        self.push(metrics::CHURN_STUCK, label, vec![stuck]);
    }

    fn push(&mut self, kind: MetricKind, label: &str, values: Vec<u64>) {
        self.metrics.push(kind.of(label, self.clock, values));
    }

    fn latencies(&mut self, label: &str, seen: &Seen) {
        let good = seen.journal.iter().filter(|entry| entry.outcome.is_ok());
        let totals: Vec<u64> = good.map(Ended::total).collect();
        let failed = seen.journal.len() - totals.len();
        let stalled = totals.iter().filter(|total| **total >= STALL_NS).count();
        if !totals.is_empty() {
            self.push(metrics::LOAD_TOTAL, label, totals);
        }
        let lateness = seen.journal.iter().map(Ended::lateness).collect();
        self.push(metrics::LOAD_LATENESS, label, lateness);
        self.push(metrics::LOAD_FAILED, label, vec![failed as u64]);
        self.push(metrics::LOAD_STALLED, label, vec![stalled as u64]);
    }

    /// Median and slowest connection of each part, by when they were to begin; 0 where none was.
    fn over_time(&mut self, label: &str, seen: &Seen) {
        let part_ns = ((seen.ended - seen.started) / PARTS).max(1);
        let mut parts: Vec<Vec<u64>> = vec![Vec::new(); usize::try_from(PARTS).unwrap_or_default()];
        for entry in &seen.journal {
            let at = entry.planned.saturating_sub(seen.started) / part_ns;
            let at = usize::try_from(at.min(PARTS - 1)).unwrap_or_default();
            if let Some(part) = parts.get_mut(at) {
                part.push(entry.total());
            }
        }
        for part in &mut parts {
            part.sort_unstable();
        }
        let middle = |part: &Vec<u64>| part.get(part.len() / 2).copied().unwrap_or_default();
        let worst = |part: &Vec<u64>| part.last().copied().unwrap_or_default();
        self.push(metrics::LOAD_MIDDLE, label, parts.iter().map(middle).collect());
        self.push(metrics::LOAD_WORST, label, parts.iter().map(worst).collect());
    }

    /// How long connections still went to Endpoints that were removed, and how soon to those that
    /// came.
    fn effect(&mut self, label: &str, seen: &Seen, histories: &[History], made: &[Made]) {
        let (mut last_old, mut first_new, mut late) = (Vec::new(), Vec::new(), 0);
        for (target, history) in histories.iter().enumerate() {
            for (at, step) in made.iter().enumerate().filter(|(at, _)| history.changes(*at)) {
                let until = (at + 1..made.len()).find(|next| history.changes(*next));
                let until = until.and_then(|next| made.get(next)).map_or(u64::MAX, |n| n.submitted);
                let (gone, new) = history.difference(at);
                let after = seen.journal.iter().filter(|entry| {
                    entry.target == target && (step.submitted..until).contains(&entry.sent)
                });
                let (mut last, mut first) = (None, None);
                for entry in after {
                    let Ok(Some(who)) = entry.outcome else { continue };
                    if gone.contains(&who) {
                        last = last.max(Some(entry.sent));
                        late += u64::from(entry.sent > step.done);
                    } else if new.contains(&who) {
                        first =
                            first.map_or(Some(entry.sent), |one: u64| Some(one.min(entry.sent)));
                    }
                }
                if !gone.is_empty() {
                    last_old.push(last.map_or(0, |sent| sent - step.submitted));
                }
                first_new.extend(first.map(|sent| sent - step.submitted));
            }
        }
        for (kind, values) in
            [(metrics::CHURN_LAST_OLD, last_old), (metrics::CHURN_FIRST_NEW, first_new)]
        {
            if !values.is_empty() {
                self.push(kind, label, values);
            }
        }
        self.push(metrics::CHURN_LATE_TO_OLD, label, vec![late]);
    }
}

/// The Endpoints of a Service, before the first Step and after each.
struct History(Vec<HashSet<SocketAddr>>);

impl History {
    fn of(id: &ServiceId, clusters: &[Cluster]) -> Self {
        Self(clusters.iter().map(|one| endpoints_of(one, id).into_iter().collect()).collect())
    }

    /// Whether a Step changes them.
    fn changes(&self, step: usize) -> bool {
        self.0.get(step) != self.0.get(step + 1)
    }

    /// Which a Step removes, and which it adds.
    fn difference(&self, step: usize) -> (HashSet<SocketAddr>, HashSet<SocketAddr>) {
        let none = HashSet::new();
        let (before, after) =
            (self.0.get(step).unwrap_or(&none), self.0.get(step + 1).unwrap_or(&none));
        (before - after, after - before)
    }

    /// Whether an Endpoint is ever one of them.
    fn ever(&self, endpoint: SocketAddr) -> bool {
        self.0.iter().any(|endpoints| endpoints.contains(&endpoint))
    }
}

/// How many connections were answered, each by one who ever may.
fn answered(label: &str, seen: &Seen, histories: &[History]) -> anyhow::Result<u64> {
    let mut answered = 0;
    for entry in &seen.journal {
        let Ok(Some(who)) = entry.outcome else { continue };
        let may = histories.get(entry.target).is_some_and(|history| history.ever(who));
        ensure!(
            may,
            "{label}: connection to target {} was answered by {who}, which never was an Endpoint of \
             its Service; the proxy is wrong",
            entry.target
        );
        answered += 1;
    }
    Ok(answered)
}

#[cfg(test)]
mod tests {
    use crate::load::open::ErrorKind;
    use generators::{EndpointCount, Length, Stream, SyntheticSpec, generate, stream};

    use super::*;

    const STEP: Made = Made { submitted: 1_000, done: 2_000 };

    /// The Clusters before and after one replaced Endpoint, and the Service whose it is.
    fn replaced() -> (Vec<Cluster>, ServiceId) {
        let endpoints = EndpointCount::Fixed(2);
        let spec = SyntheticSpec { services: 3, endpoints, ..SyntheticSpec::default() };
        let before = generate(&spec, 1).unwrap();
        let length = Length { steps: 1, changes_per_step: 1 };
        let steps = stream(&before, &spec, 1, Stream::RollingUpdate, length, |_| true).unwrap();
        let id = steps[0][0].service_id();
        let after = before.step(steps[0].clone()).unwrap().into_after();
        (vec![before, after], id)
    }

    fn connection(sent: u64, took: u64, outcome: Result<Option<SocketAddr>, ErrorKind>) -> Ended {
        Ended { target: 0, planned: sent, sent, ended: sent + took, outcome }
    }

    fn judged(journal: Vec<Ended>) -> anyhow::Result<Vec<Metric>> {
        let (clusters, id) = replaced();
        let targets = Targets {
            dialled: vec![id],
            addresses: Vec::new(),
            changing: 1,
            datagrams: Vec::new(),
        };
        let seen = Seen { started: 0, ended: 16_000, journal };
        let mut report = Report::new(Clock::Wall);
        report.add("scale", &seen, &targets, &clusters, &[STEP])?;
        Ok(report.metrics)
    }

    fn values(metrics: &[Metric], kind: MetricKind) -> Vec<u64> {
        let found = metrics.iter().find(|metric| metric.name == kind.name);
        match found.map(|metric| &metric.data) {
            Some(results::Distribution::Values { values }) => values.clone(),
            other => panic!("{}: {other:?}", kind.name),
        }
    }

    #[test]
    fn connections_to_what_goes_and_to_what_comes_are_told_apart() {
        let (clusters, id) = replaced();
        let [before, after] = [0, 1].map(|at| endpoints_of(&clusters[at], &id));
        let old = *before.iter().find(|one| !after.contains(one)).unwrap();
        let new = *after.iter().find(|one| !before.contains(one)).unwrap();
        let stays = *before.iter().find(|one| after.contains(one)).unwrap();
        let answered = [(500, old), (1_400, old), (1_600, new), (1_700, stays), (2_300, old)];
        let mut journal: Vec<Ended> =
            answered.map(|(sent, who)| connection(sent, 100, Ok(Some(who)))).into();
        journal.push(connection(9_000, STALL_NS, Ok(Some(new))));
        journal.push(connection(9_500, 70, Err(ErrorKind::Refused)));
        let metrics = judged(journal).unwrap();
        assert_eq!(values(&metrics, metrics::CHURN_LAST_OLD), [1_300]);
        assert_eq!(values(&metrics, metrics::CHURN_FIRST_NEW), [600]);
        assert_eq!(values(&metrics, metrics::CHURN_LATE_TO_OLD), [1]);
        assert_eq!(values(&metrics, metrics::CHURN_SYNC), [1_000]);
        assert_eq!(values(&metrics, metrics::LOAD_FAILED), [1]);
        assert_eq!(values(&metrics, metrics::LOAD_STALLED), [1]);
        assert_eq!(values(&metrics, metrics::LOAD_TOTAL).len(), 6, "those that were answered");
        let worst = values(&metrics, metrics::LOAD_WORST);
        assert_eq!((worst[0], worst[3], worst[9]), (100, 0, STALL_NS));
    }

    #[test]
    fn nobody_may_answer_who_never_was_an_endpoint() {
        let stranger = "192.0.2.1:80".parse().unwrap();
        let error = judged(vec![connection(5, 5, Ok(Some(stranger)))]).unwrap_err().to_string();
        assert!(error.contains("192.0.2.1:80, which never was an Endpoint"), "{error}");
        let metrics = judged(vec![connection(5, 5, Err(ErrorKind::TimedOut))]).unwrap();
        assert!(metrics.iter().all(|metric| metric.name != metrics::LOAD_TOTAL.name));
        assert_eq!(values(&metrics, metrics::CHURN_LAST_OLD), [0], "nobody went there");
    }
}

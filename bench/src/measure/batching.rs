//! Changes that wait for each other: what a shortest time between syncs (kube-proxy's
//! minSyncPeriod) costs a Change in waiting, and saves in work.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use generators::{Change, ChangeKind, Position};
use results::metrics;
use serde::{Deserialize, Serialize};

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, audit};
use super::spec::CellSpec;

/// The measure `batching`.
pub(super) const BATCHING: Kind = Kind {
    applies: |proxy| !proxy.is_control() && proxy.binary.is_none(),
    takes_paths: false,
    cost: |cell| cell.sync() * (1 + u64::from(cell.spec().batching.changes) / 4),
    emits: &[metrics::BATCHING_LATENCY, metrics::BATCHING_WORK, metrics::BATCHING_SYNCS],
    emits_of_programs: &[],
    run,
};

/// How Changes come. Every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchingSettings {
    /// Changes a second, on the cell's clock. Default 10.
    pub changes_per_s: u32,
    /// Changes for each period. Default 40.
    pub changes: u32,
    /// Shortest times between the beginnings of two syncs, milliseconds. Default 0, 100, 1000 and
    /// 10000; kube-proxy's own default is 1000.
    pub periods_ms: Vec<u32>,
}

impl Default for BatchingSettings {
    fn default() -> Self {
        Self { changes_per_s: 10, changes: 40, periods_ms: vec![0, 100, 1_000, 10_000] }
    }
}

impl BatchingSettings {
    /// Whether nothing else than usual is asked for.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Finds mistakes.
    ///
    /// # Errors
    /// The first wrong value, with its key and the remedy.
    pub fn check(&self) -> anyhow::Result<()> {
        let values =
            [("changes_per_s", self.changes_per_s, 1, 10_000), ("changes", self.changes, 2, 1_000)];
        for (key, value, least, most) in values {
            anyhow::ensure!(
                (least..=most).contains(&value),
                "batching.{key} = {value}: choose {least} to {most}"
            );
        }
        anyhow::ensure!(
            !self.periods_ms.is_empty() && self.periods_ms.iter().all(|period| *period <= 60_000),
            "batching.periods_ms = {:?}: name one or more, each up to 60000",
            self.periods_ms
        );
        Ok(())
    }
}

fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let settings = &spec.batching;
    let mut backend = lab.open()?;
    backend.start(&lab.cluster)?;
    let mut cluster = lab.cluster.clone();
    let clock = lab.clock;
    let mut metrics = Vec::new();
    for (number, &period_ms) in (0..).zip(&settings.periods_ms) {
        let seed = spec.labels.seed + number;
        let kind = ChangeKind::EndpointChange;
        let count = settings.changes;
        let changes =
            generators::changes(&cluster, &lab.shape, seed, kind, Position::Random, count)?;
        backend.settle(&cluster)?;
        let mut sync = |batch: &[Change]| -> anyhow::Result<()> {
            let step = cluster.step(batch.to_vec())?;
            backend.apply(&step)?;
            cluster = step.into_after();
            Ok(())
        };
        let arrivals = Arrivals {
            started: clock.now(),
            gap_ns: 1_000_000_000 / u64::from(settings.changes_per_s),
        };
        let period_ns = u64::from(period_ms) * 1_000_000;
        let passed = batched(&changes, arrivals, period_ns, || clock.now(), wait, &mut sync)?;
        let label = format!("{period_ms}ms");
        let per_change = passed.work / u64::from(count);
        metrics.extend([
            metrics::BATCHING_LATENCY.of(&label, clock.kind(), passed.latencies),
            metrics::BATCHING_WORK.of(&label, clock.kind(), vec![per_change]),
            metrics::BATCHING_SYNCS.of(&label, clock.kind(), vec![passed.syncs]),
        ]);
    }
    audit(backend.as_mut(), &cluster)?;
    backend.stop()?;
    Ok(Measured { verified: 0, metrics })
}

fn wait(ns: u64) {
    thread::sleep(Duration::from_nanos(ns));
}

/// When Changes come: all with the same gap.
#[derive(Debug, Clone, Copy)]
struct Arrivals {
    started: u64,
    gap_ns: u64,
}

impl Arrivals {
    fn of(self, number: usize) -> u64 {
        self.started + self.gap_ns * number as u64
    }
}

/// What came of Changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Passed {
    /// From each Change's arrival until its sync had ended.
    latencies: Vec<u64>,
    /// In all syncs together.
    work: u64,
    syncs: u64,
}

/// Lets Changes come and syncs those that are there: at once if the last sync began long enough
/// ago, else when it will have (`BoundedFrequencyRunner`, pkg/proxy/runner, Kubernetes 1.35).
fn batched(
    changes: &[Change],
    arrivals: Arrivals,
    period_ns: u64,
    now: impl Fn() -> u64,
    wait: impl Fn(u64),
    sync: &mut dyn FnMut(&[Change]) -> anyhow::Result<()>,
) -> anyhow::Result<Passed> {
    let mut passed = Passed::default();
    let (mut next, mut earliest) = (0, arrivals.started);
    while next < changes.len() {
        let due = arrivals.of(next).max(earliest);
        wait(due.saturating_sub(now()));
        let begun = now();
        let come = (next..changes.len()).take_while(|at| arrivals.of(*at) <= begun).count().max(1);
        sync(changes.get(next..next + come).context("Changes that have come")?)?;
        let ended = now();
        passed.work += ended - begun;
        passed.syncs += 1;
        passed
            .latencies
            .extend((next..next + come).map(|at| ended.saturating_sub(arrivals.of(at))));
        next += come;
        earliest = begun + period_ns;
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use generators::{SyntheticSpec, changes, generate};

    use super::*;

    /// Ten Changes, one every 100, with syncs of 30 each.
    fn passed(period_ns: u64) -> Passed {
        let spec = SyntheticSpec { services: 20, ..SyntheticSpec::default() };
        let cluster = generate(&spec, 1).unwrap();
        let kind = ChangeKind::EndpointChange;
        let changes = changes(&cluster, &spec, 1, kind, Position::Random, 10).unwrap();
        let clock = Cell::new(1_000_u64);
        let mut sync = |_: &[Change]| {
            clock.set(clock.get() + 30);
            Ok(())
        };
        let wait = |ns| clock.set(clock.get() + ns);
        let arrivals = Arrivals { started: 1_000, gap_ns: 100 };
        batched(&changes, arrivals, period_ns, || clock.get(), wait, &mut sync).unwrap()
    }

    #[test]
    fn without_a_period_each_change_waits_for_its_own_sync_alone() {
        let expected = Passed { latencies: vec![30; 10], work: 300, syncs: 10 };
        assert_eq!(passed(0), expected);
    }

    #[test]
    fn with_one_changes_wait_for_each_other_and_share_syncs() {
        let passed = passed(300);
        assert_eq!((passed.syncs, passed.work), (4, 120), "1, 3, 3 and 3 of them");
        assert_eq!(passed.latencies[..4], [30, 230, 130, 30]);
    }

    #[test]
    fn wrong_settings_are_named() {
        let wrong = BatchingSettings { changes: 1, ..BatchingSettings::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("batching.changes = 1"));
        let wrong = BatchingSettings { periods_ms: vec![70_000], ..BatchingSettings::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("periods_ms = [70000]"));
    }
}

//! One phase: load from the client's namespace, Steps from the node's, and what was kept open asked
//! before and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use generators::{Change, Cluster};
use proxies::Backend;
use rustix::net::SocketType;

use super::judge::{Made, Report, Seen};
use super::settings::ChurnSettings;
use super::targets::Targets;
use crate::load::open::{
    self, Arrivals, Client, DatagramServer, Ending, Outcome, Pace, Plan, Question,
};
use crate::load::{Kept, Priority, SOURCE_PORTS, Sources};
use crate::measure::account::nanoseconds;
use crate::measure::lab::{BenchLab, CLIENT_TIMEOUT};

/// Longest phase: Steps whose syncs take longer are left out.
const PHASE_MAX: Duration = Duration::from_mins(1);
/// The same, seconds.
const PHASE_MAX_S: usize = 60;
/// Source ports of what is kept; load has those above.
const KEPT_PORTS: std::ops::RangeInclusive<u16> = 10_000..=10_999;
/// Connections open at a time: fewer than a server takes.
const OPEN_MAX: u32 = 800;

/// A phase of a cell.
pub(super) struct Phase<'a> {
    pub label: &'static str,
    pub lab: &'a BenchLab,
    pub settings: &'a ChurnSettings,
    pub seed: u64,
}

impl Phase<'_> {
    /// The same load as that of `steps`, and none of them is made.
    pub(super) fn quiet(
        &self,
        cluster: &Cluster,
        steps: &[Vec<Change>],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let clusters = [cluster.clone()];
        let targets = Targets::of(self.lab, &clusters, steps, self.settings)?;
        let (seen, ()) = self.loaded(&targets, |started| {
            self.until(started, self.settings.phase_ms);
            Ok(())
        })?;
        report.add(self.label, &seen, &targets, &clusters, &[])
    }

    /// Makes the Steps while load comes; the Cluster after them.
    pub(super) fn churning(
        &self,
        backend: &mut dyn Backend,
        cluster: Cluster,
        steps: &[Vec<Change>],
        report: &mut Report,
    ) -> anyhow::Result<Cluster> {
        let mut clusters = vec![cluster];
        for step in steps {
            let before = clusters.last().context("a Cluster before the first Step")?;
            clusters.push(before.step(step.clone())?.into_after());
        }
        let targets = Targets::of(self.lab, &clusters, steps, self.settings)?;
        let _datagrams = self.datagram_servers(&targets)?;
        let [connections, flows] = self.keep(&targets)?;
        let (seen, made) = self.loaded(&targets, |started| {
            let made = self.make(backend, &clusters, steps, started)?;
            self.until(started, self.settings.phase_ms);
            self.pause();
            Ok(made)
        })?;
        clusters.truncate(made.len() + 1);
        // Nothing is programmed for the control, so nothing comes into effect.
        let in_effect = if self.lab.backend.is_control() { &[] } else { &made[..] };
        report.add(self.label, &seen, &targets, &clusters, in_effect)?;
        report.kept(self.label, &connections, &flows, &clusters);
        clusters.pop().context("a Cluster after the last Step")
    }

    /// The Steps that begin before the phase is over, and when each did.
    fn make(
        &self,
        backend: &mut dyn Backend,
        clusters: &[Cluster],
        steps: &[Vec<Change>],
        started: u64,
    ) -> anyhow::Result<Vec<Made>> {
        let (clock, settings) = (self.lab.clock, self.settings);
        let mut made = Vec::with_capacity(steps.len());
        for ((changes, before), number) in steps.iter().zip(clusters).zip(1..) {
            self.until(started, number * settings.interval_ms);
            let step = before.step(changes.clone())?;
            let submitted = clock.now();
            if submitted - started > nanoseconds(PHASE_MAX) / 2 {
                break;
            }
            backend.apply(&step).with_context(|| format!("{}: a Step", self.label))?;
            made.push(Made { submitted, done: clock.now() });
        }
        ensure!(!made.is_empty(), "{}: no Step was made", self.label);
        Ok(made)
    }

    /// Runs `work` in the node's namespace while load comes from the client's.
    fn loaded<T>(
        &self,
        targets: &Targets,
        work: impl FnOnce(u64) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Seen, T)> {
        let (plan, clock) = (self.plan(targets)?, self.lab.clock);
        let client = self.lab.client()?;
        let stop = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            let stopped = Arc::clone(&stop);
            let started = clock.now();
            let load = scope.spawn(move || {
                client.enter(|| open::run(plan, Client::Sockets, clock, &stopped, &mut |_, _| {}))
            });
            let worked = work(started);
            stop.store(true, Ordering::Relaxed);
            let outcome = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let Outcome { journal, .. } = outcome??;
            Ok((Seen { started, ended: clock.now(), journal }, worked?))
        })
    }

    fn plan(&self, targets: &Targets) -> anyhow::Result<Plan> {
        let per_s = f64::from(self.settings.rate_per_s);
        Ok(Plan {
            targets: targets.for_load(),
            question: Question::Who,
            requests: 1,
            pace: Pace::Rate { per_s, arrivals: Arrivals::Poisson },
            duration: PHASE_MAX,
            timeout: CLIENT_TIMEOUT,
            ending: Ending::Reset,
            from: self.sources()?,
            open_max: OPEN_MAX,
            workers: 1,
            cores: Vec::new(),
            spins: false,
            journal_max: self.settings.rate_per_s as usize * PHASE_MAX_S,
            seed: self.seed,
        })
    }

    /// Where new connections come from: so many ports of one address where the scenario says how
    /// many, else more than a phase takes.
    fn sources(&self) -> anyhow::Result<open::Origin> {
        let (all, first) = (self.lab.source_addresses()?, KEPT_PORTS.end() + 1);
        Ok(match self.settings.source_ports {
            None => open::Origin::Chosen { addresses: all, ports: first..=*SOURCE_PORTS.end() },
            Some(ports) => open::Origin::Chosen {
                addresses: all.hosts().next().context("an address to dial from")?.into(),
                ports: first..=first.saturating_add(ports - 1),
            },
        })
    }

    /// Servers at all Endpoints that Services of UDP ever have: a datagram is answered from the
    /// address it came to by a socket of that address alone.
    fn datagram_servers(&self, targets: &Targets) -> anyhow::Result<Vec<DatagramServer>> {
        let mut servers = Vec::new();
        for host in self.lab.topology.endpoint_hosts() {
            let ever = targets.datagrams.iter().flat_map(|(_, ever)| ever).copied();
            let mut here: Vec<_> = ever.filter(|endpoint| host.has(endpoint.ip())).collect();
            here.sort_unstable();
            here.dedup();
            if !here.is_empty() {
                let start = || DatagramServer::start(&here, Priority::Normal);
                servers.push(host.namespace.enter(start)??);
            }
        }
        Ok(servers)
    }

    /// Connections of TCP to the Services that change, and flows of UDP.
    fn keep(&self, targets: &Targets) -> anyhow::Result<[Vec<Kept>; 2]> {
        let changing = targets.addresses.iter().copied().take(targets.changing).collect();
        let datagrams = targets.datagrams.iter().map(|(vip, _)| *vip).collect();
        let kinds: [(SocketType, Vec<_>); 2] =
            [(SocketType::STREAM, changing), (SocketType::DGRAM, datagrams)];
        let mut sources = Sources::within(self.lab.source_addresses()?, KEPT_PORTS)?;
        let mut kept = [Vec::new(), Vec::new()];
        self.lab.client()?.enter(|| {
            for ((kind, addresses), kept) in kinds.into_iter().zip(&mut kept) {
                let most = if addresses.is_empty() { 0 } else { self.settings.kept as usize };
                for to in addresses.iter().cycle().take(most) {
                    let one = Kept::open(kind, sources.take()?, *to);
                    kept.push(one.with_context(|| format!("{}: keeping {to}", self.label))?);
                }
            }
            anyhow::Ok(())
        })??;
        Ok(kept)
    }

    /// Sleeps until so many milliseconds after `started`.
    fn until(&self, started: u64, after_ms: u64) {
        let wanted = started + nanoseconds(Duration::from_millis(after_ms));
        thread::sleep(Duration::from_nanos(wanted.saturating_sub(self.lab.clock.now())));
    }

    /// Long enough to see what comes of the last Step.
    fn pause(&self) {
        thread::sleep(Duration::from_millis(self.settings.interval_ms));
    }
}

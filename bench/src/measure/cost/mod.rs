//! What a node pays beside time: memory of the kernel by kind and of the programs that a proxy
//! starts, and for how long others who call `iptables` are kept from it while syncs are made.

mod bystander;
mod tool_memory;
mod watch;
mod xtables_lock;

use std::thread;
use std::time::Duration;

use anyhow::Context;
use generators::{Cluster, Length, Stream};
use proxies::Backend;
use results::{Metric, metrics};

use bystander::Bystander;
use tool_memory::largest_child;
use xtables_lock::LockWatch;

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, audit};
use super::memory_kernel::KernelMemory;
use super::spec::CellSpec;

/// The measure `cost`.
pub(super) const COST: Kind = Kind {
    applies: |proxy| !proxy.is_control(),
    takes_paths: false,
    cost: |cell| 4 * cell.sync() + 10_000,
    emits: &[
        metrics::COST_MEMORY,
        metrics::COST_PROGRAMS,
        metrics::COST_BYSTANDER,
        metrics::COST_LOCK,
    ],
    emits_of_programs: &[],
    run,
};

/// What the kernel puts off, such as freeing in batches by RCU, is over by then.
const SETTLE: Duration = Duration::from_secs(1);
/// Syncs during which the bystander calls, and as many during which lock and programs are watched.
const STEPS: u32 = 10;

fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let mut backend = lab.open()?;
    let mut metrics = of_full_sync(lab, backend.as_mut())?;
    let (cluster, seed) = (lab.cluster.clone(), spec.labels.seed);
    let mut syncs = Syncs { backend: backend.as_mut(), lab, cluster, seed };
    if let Some(append) = lab.backend.append {
        let bystander = Bystander { program: append.program, clock: lab.clock };
        let (quiet, syncing) = bystander.beside(&mut syncs)?;
        let clock = lab.clock.kind();
        metrics.push(metrics::COST_BYSTANDER.of("quiet", clock, quiet));
        metrics.push(metrics::COST_BYSTANDER.of("syncing", clock, syncing));
    }
    metrics.extend(of_changes(lab, &mut syncs)?);
    backend.stop()?;
    Ok(Measured { verified: 0, metrics })
}

/// By how much the kernel's memory grows in a full sync, and what its programs have.
fn of_full_sync(lab: &BenchLab, backend: &mut dyn Backend) -> anyhow::Result<Vec<Metric>> {
    let read = || KernelMemory::read().context("/proc/meminfo does not tell what it should");
    thread::sleep(SETTLE);
    let before = read()?;
    let mut largest = 0;
    let look = || {
        largest = largest_child(largest)?;
        Ok(())
    };
    watch::while_at(look, || Ok(backend.start(&lab.cluster)?))?;
    audit(backend, &lab.cluster)?;
    thread::sleep(SETTLE);
    let clock = lab.clock.kind();
    let grown = read()?.grown_since(before);
    let grown = grown.map(|(kind, bytes)| metrics::COST_MEMORY.of(kind, clock, vec![bytes]));
    Ok(grown.into_iter().chain(of_programs("full", lab, largest)).collect())
}

/// How long the lock is held in each of some syncs, and what their programs have.
fn of_changes(lab: &BenchLab, syncs: &mut Syncs<'_>) -> anyhow::Result<Vec<Metric>> {
    let (mut held, mut largest) = (Vec::new(), 0);
    syncs.make(|sync| {
        let mut xtables = LockWatch::new(lab.clock);
        let look = || {
            largest = largest_child(largest)?;
            xtables.look()
        };
        watch::while_at(look, sync)?;
        held.push(xtables.held());
        Ok(())
    })?;
    let has_lock = lab.backend.append.is_some();
    let held = has_lock.then(|| metrics::COST_LOCK.of("sync", lab.clock.kind(), held));
    Ok(held.into_iter().chain(of_programs("change", lab, largest)).collect())
}

/// The most memory of a program that syncs started; nothing where none was seen.
fn of_programs(sync: &str, lab: &BenchLab, largest: u64) -> Option<Metric> {
    (largest > 0).then(|| metrics::COST_PROGRAMS.of(sync, lab.clock.kind(), vec![largest]))
}

/// Changes of one Endpoint each, and the Cluster as they leave it.
struct Syncs<'a> {
    backend: &'a mut dyn Backend,
    lab: &'a BenchLab,
    cluster: Cluster,
    seed: u64,
}

impl Syncs<'_> {
    /// Makes some, each within a call of `around`.
    ///
    /// # Errors
    /// A sync fails, or `around` does.
    fn make(
        &mut self,
        mut around: impl FnMut(&mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (shape, length) = (&self.lab.shape, Length { steps: STEPS, changes_per_step: 1 });
        let stream = Stream::RollingUpdate;
        let steps = generators::stream(&self.cluster, shape, self.seed, stream, length, |_| true)?;
        for changes in steps {
            let step = self.cluster.step(changes)?;
            around(&mut || Ok(self.backend.apply(&step)?))?;
            self.cluster = step.into_after();
        }
        Ok(())
    }
}

//! What a node pays beside time: memory of the kernel by kind, and how long somebody else who calls
//! `iptables` waits while syncs are made.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use generators::{Length, Stream};
use proxies::Backend;
use results::{Metric, metrics};

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, audit};
use super::memory_kernel::KernelMemory;
use super::spec::CellSpec;
use crate::load::MeasureClock;

/// The measure `cost`.
pub(super) const COST: Kind = Kind {
    applies: |proxy| !proxy.is_control(),
    takes_paths: false,
    cost: |cell| 3 * cell.sync() + 10_000,
    emits: &[metrics::COST_MEMORY, metrics::COST_BYSTANDER],
    emits_of_programs: &[],
    run,
};

/// What the kernel puts off, such as freeing in batches by RCU, is over by then.
const SETTLE: Duration = Duration::from_secs(1);
/// Syncs during which the bystander calls.
const STEPS: u32 = 10;
/// Its calls while nothing is programmed.
const QUIET_CALLS: usize = 10;
/// How long it waits for the lock at most, seconds.
const LOCK_S: &str = "60";
/// Its own chain, to which nothing leads.
const CHAIN: &str = "VIPBENCH-BYSTANDER";

fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let clock = lab.clock.kind();
    let mut backend = lab.open()?;
    thread::sleep(SETTLE);
    let before = KernelMemory::read().context("/proc/meminfo does not tell what it should")?;
    backend.start(&lab.cluster)?;
    audit(backend.as_mut(), &lab.cluster)?;
    thread::sleep(SETTLE);
    let after = KernelMemory::read().context("/proc/meminfo does not tell what it should")?;
    let mut metrics: Vec<Metric> = after
        .grown_since(before)
        .map(|(kind, bytes)| metrics::COST_MEMORY.of(kind, clock, vec![bytes]))
        .into();
    if let Some(append) = lab.backend.append {
        let bystander = Bystander { program: append.program, clock: lab.clock };
        let (quiet, syncing) = bystander.beside(backend.as_mut(), lab, spec.labels.seed)?;
        metrics.push(metrics::COST_BYSTANDER.of("quiet", clock, quiet));
        metrics.push(metrics::COST_BYSTANDER.of("syncing", clock, syncing));
    }
    backend.stop()?;
    Ok(Measured { verified: 0, metrics })
}

/// Somebody else on the node who has rules of their own, as a network plugin does.
struct Bystander {
    program: &'static str,
    clock: MeasureClock,
}

impl Bystander {
    /// What its calls take while nothing happens, and while syncs are made.
    fn beside(
        &self,
        backend: &mut dyn Backend,
        lab: &BenchLab,
        seed: u64,
    ) -> anyhow::Result<(Vec<u64>, Vec<u64>)> {
        self.call(&["-N", CHAIN])?;
        let calls = (0..QUIET_CALLS).map(|_| self.timed()).collect::<anyhow::Result<_>>()?;
        let length = Length { steps: STEPS, changes_per_step: 1 };
        let stream = Stream::RollingUpdate;
        let steps = generators::stream(&lab.cluster, &lab.shape, seed, stream, length, |_| true)?;
        let over = AtomicBool::new(false);
        let syncing = thread::scope(|scope| {
            let calling = scope.spawn(|| {
                let mut taken = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    taken.push(self.timed()?);
                }
                anyhow::Ok(taken)
            });
            let mut cluster = lab.cluster.clone();
            let sync = || -> anyhow::Result<()> {
                for changes in steps {
                    let step = cluster.step(changes)?;
                    backend.apply(&step)?;
                    cluster = step.into_after();
                }
                Ok(())
            };
            let synced = sync();
            over.store(true, Ordering::Relaxed);
            let taken = calling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            synced.and(taken)
        })?;
        self.call(&["-F", CHAIN])?;
        self.call(&["-X", CHAIN])?;
        Ok((calls, syncing))
    }

    /// Adds a rule to its chain; what that took.
    fn timed(&self) -> anyhow::Result<u64> {
        let started = self.clock.now();
        self.call(&["-A", CHAIN, "-j", "RETURN"])?;
        Ok(self.clock.now() - started)
    }

    fn call(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(self.program);
        command.args(["-w", LOCK_S, "-t", "nat"]).args(args).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("starting {}", self.program))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let (program, said) = (self.program, said.trim());
        ensure!(output.status.success(), "{program} {}: {said}", args.join(" "));
        Ok(())
    }
}

//! Somebody else on the node who calls `iptables`.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, ensure};

use super::Syncs;
use crate::load::MeasureClock;

/// Its calls while nothing is programmed.
const QUIET_CALLS: usize = 10;
/// How long it waits for the lock at most, seconds.
const LOCK_S: &str = "60";
/// Its own chain, to which nothing leads.
const CHAIN: &str = "VIPBENCH-BYSTANDER";

/// Somebody else on the node who has rules of their own, as a network plugin does.
pub(super) struct Bystander {
    pub program: &'static str,
    pub clock: MeasureClock,
}

impl Bystander {
    /// What its calls take while nothing happens, and while syncs are made.
    ///
    /// # Errors
    /// A call or a sync fails.
    pub(super) fn beside(&self, syncs: &mut Syncs<'_>) -> anyhow::Result<(Vec<u64>, Vec<u64>)> {
        self.call(&["-N", CHAIN])?;
        let calls = (0..QUIET_CALLS).map(|_| self.timed()).collect::<anyhow::Result<_>>()?;
        let over = AtomicBool::new(false);
        let syncing = thread::scope(|scope| {
            let calling = scope.spawn(|| {
                let mut taken = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    taken.push(self.timed()?);
                }
                anyhow::Ok(taken)
            });
            let synced = syncs.make(|sync| sync());
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

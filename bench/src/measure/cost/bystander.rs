//! Somebody else on the node who calls `iptables`.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{STEPS, Syncs};
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
    /// What its calls take while nothing happens, and what those take that begin during a sync:
    /// one a sync, each a bit later into it. More of them would let no sync of iptables-nft come to
    /// its end, which begins anew when somebody else's rules came first.
    ///
    /// # Errors
    /// A call or a sync fails.
    pub(super) fn beside(&self, syncs: &mut Syncs<'_>) -> anyhow::Result<(Vec<u64>, Vec<u64>)> {
        self.call(&["-N", CHAIN])?;
        let quiet = (0..QUIET_CALLS).map(|_| self.timed()).collect::<anyhow::Result<_>>()?;
        let mut syncing = Vec::new();
        let mut sync_alone = None;
        syncs.make(|sync| {
            let Some(alone) = sync_alone else {
                let started = self.clock.now();
                sync()?;
                sync_alone = Some(self.clock.now() - started);
                return Ok(());
            };
            let after = alone * (syncing.len() as u64 + 1) / u64::from(STEPS);
            syncing.push(self.during(Duration::from_nanos(after), sync)?);
            Ok(())
        })?;
        self.call(&["-F", CHAIN])?;
        self.call(&["-X", CHAIN])?;
        Ok((quiet, syncing))
    }

    /// What a call takes that begins so long after `sync`.
    fn during(
        &self,
        after: Duration,
        sync: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        thread::scope(|scope| {
            let calling = scope.spawn(|| {
                thread::sleep(after);
                self.timed()
            });
            let synced = sync();
            let taken = calling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            synced.and(taken)
        })
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

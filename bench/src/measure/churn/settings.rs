//! What a scenario says of churn.

use anyhow::ensure;
use generators::Stream;
use serde::{Deserialize, Serialize};

/// Most Steps of a phase, so that each stays a value of its own where it is stored.
const STEPS_MAX: u64 = 16;

/// Most source ports: fewer than an address has beside those of kept connections.
const SOURCE_PORTS_MAX: u16 = 40_000;

/// Load that keeps coming while Steps are made. Every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChurnSettings {
    /// New connections a second, on the cell's clock (of instructions, a billion are a second).
    /// Default 500.
    pub rate_per_s: u32,
    /// How long a phase is at least, milliseconds on the cell's clock: the quiet one, and one for
    /// each stream. Default 2000.
    pub phase_ms: u64,
    /// From one Step to the next, milliseconds. A sync that takes longer puts the next off. Default
    /// 250.
    pub interval_ms: u64,
    /// Changes of each Step, as kube-proxy's minSyncPeriod makes of those that come within it.
    /// Default 1.
    pub changes_per_step: u32,
    /// What goes on: `rolling_update`, `scale`, `node_loss`, `services`. Default all of them, one
    /// after the other.
    pub streams: Vec<Stream>,
    /// Services that change and are dialled, at most; as many that do not change are too. Default
    /// 4.
    pub targets: u32,
    /// Connections that are kept open through each phase, and flows of UDP. Default 16.
    pub kept: u32,
    /// Source ports of one client, which new connections take in turn: few of them make it come
    /// back from a port that the node still knows. Default so many clients that none comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<u16>,
}

impl Default for ChurnSettings {
    fn default() -> Self {
        Self {
            rate_per_s: 500,
            phase_ms: 2_000,
            interval_ms: 250,
            changes_per_step: 1,
            streams: Stream::ALL.to_vec(),
            targets: 4,
            kept: 16,
            source_ports: None,
        }
    }
}

impl ChurnSettings {
    /// Whether nothing else than usual is asked for.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Steps of a phase: the last one early enough to see what comes of it.
    pub fn steps(&self) -> u32 {
        u32::try_from((self.phase_ms / self.interval_ms.max(1)).saturating_sub(1)).unwrap_or(1)
    }

    /// Finds mistakes.
    ///
    /// # Errors
    /// The first wrong value, with its key and the remedy.
    pub fn check(&self) -> anyhow::Result<()> {
        let values = [
            ("rate_per_s", u64::from(self.rate_per_s), 1, 10_000),
            ("phase_ms", self.phase_ms, 100, 60_000),
            ("interval_ms", self.interval_ms, 1, self.phase_ms / 2),
            ("changes_per_step", self.changes_per_step.into(), 1, 1_000),
            ("targets", self.targets.into(), 1, 1_000),
            ("kept", self.kept.into(), 0, 1_000),
            ("source_ports", self.source_ports.unwrap_or(1).into(), 1, SOURCE_PORTS_MAX.into()),
        ];
        for (key, value, least, most) in values {
            ensure!(
                (least..=most).contains(&value),
                "churn.{key} = {value}: choose {least} to {most}"
            );
        }
        ensure!(
            u64::from(self.steps()) <= STEPS_MAX,
            "churn: phase_ms = {} and interval_ms = {} make {} Steps; the limit is {STEPS_MAX}, \
             take a longer interval",
            self.phase_ms,
            self.interval_ms,
            self.steps()
        );
        ensure!(!self.streams.is_empty(), "churn.streams = []: name at least one");
        Ok(())
    }
}

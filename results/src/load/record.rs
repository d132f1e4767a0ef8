//! What a load stores.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distribution::Samples;
use crate::record::{Clock, Distribution};

/// Format of what `vipbench load --json` prints.
pub const LOAD_SCHEMA: &str = "vipbench.load/1";

/// What was asked for, in the words of the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Whom: addresses, each with its port.
    pub targets: Vec<String>,
    /// What is said: `http`, `connect`, `who` or `udp`.
    pub question: String,
    /// `sockets` or `hyper`.
    pub client: String,
    /// Connections a second; nothing where one begins as another ends.
    pub rate_per_s: Option<f64>,
    /// How they are spread: `constant` or `poisson`; nothing without a rate.
    pub arrivals: Option<String>,
    /// Most connections open at a time.
    pub open_max: u64,
    /// Requests on each connection.
    pub requests: u64,
    /// For how long connections begin, units of the clock.
    pub duration: u64,
    /// Threads.
    pub workers: u64,
    /// Seed of arrivals and targets.
    pub seed: u64,
}

/// From which start a latency counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// When the connection was to begin.
    Planned,
    /// When it did begin.
    Sent,
    /// The phase's own beginning.
    Own,
}

/// The latency of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// `connect`, `first byte`, `total`, `close`, `further request` or `lateness`.
    pub phase: String,
    /// From which start.
    pub start: Start,
    /// All values, units of the clock, to three digits.
    pub data: Distribution,
}

/// How many.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Connections that were due.
    pub due: u64,
    /// Sockets opened for them.
    pub sockets: u64,
    /// Connections with all their answers.
    pub completed: u64,
    /// Answers.
    pub answers: u64,
    /// Connections without, by reason.
    pub errors: BTreeMap<String, u64>,
    /// Open connections on average over time, counted at each change.
    pub open_mean: f64,
    /// The time that all connections were open, units of the clock.
    pub stay: u64,
}

/// A slice of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// When it began, units of the clock after the start.
    pub from: u64,
    /// Connections due.
    pub due: u64,
    /// Connections completed.
    pub completed: u64,
    /// Connections that came to nothing.
    pub failed: u64,
    /// Total latency from the planned start: its median.
    pub p50: u64,
    /// Its 90th percentile, of however many values there are.
    pub p90: u64,
    /// Its 99th percentile, of however many values there are.
    pub p99: u64,
    /// Its maximum.
    pub max: u64,
    /// Longest lateness.
    pub late: u64,
}

/// What the kernel counted in the clients' namespace; nothing for what it does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    /// TCP connections opened.
    pub opened: Option<u64>,
    /// Segments sent again.
    pub sent_again: Option<u64>,
    /// SYN and SYN-ACK sent again.
    pub syn_sent_again: Option<u64>,
    /// Conntrack entries at the end.
    pub conntrack: Option<u64>,
    /// Conntrack entries that could not be made.
    pub conntrack_failed: Option<u64>,
    /// Packets dropped for want of one.
    pub conntrack_dropped: Option<u64>,
}

/// A whole load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// [`LOAD_SCHEMA`].
    pub schema: String,
    /// Version of vipbench.
    pub tool_version: String,
    /// Release of the kernel.
    pub kernel_release: String,
    /// Of all times and latencies.
    pub clock: Clock,
    /// What was asked for.
    pub asked: Asked,
    /// From the first moment until the last connection had ended, units of the clock.
    pub elapsed: u64,
    /// How many.
    pub counts: Counts,
    /// Latencies by phase and start.
    pub latencies: Vec<Latency>,
    /// By time.
    pub intervals: Vec<Interval>,
    /// What the kernel counted.
    pub kernel: Kernel,
    /// Most lateness (p99) with which the numbers are believed, units of the clock.
    pub late_limit: u64,
}

impl Load {
    /// Values of a phase from a start; none if it was not measured.
    pub(crate) fn samples(&self, phase: &str, start: Start) -> Samples {
        let found = self.latencies.iter().find(|one| one.phase == phase && one.start == start);
        found.and_then(|one| one.data.samples().ok()).unwrap_or_default()
    }

    /// Connections without all their answers.
    pub(crate) fn failed(&self) -> u64 {
        self.counts.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// A count by second.
    pub(crate) fn per_s(&self, count: u64) -> f64 {
        if self.elapsed == 0 { 0.0 } else { count as f64 * 1e9 / self.elapsed as f64 }
    }
}

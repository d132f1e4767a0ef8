//! The stored form of a run: `run.json` and one line of `cells.jsonl`. Schema `vipbench.run/1`.
//!
//! Types and their names only; reading and writing folders is in `store`, decoding values in
//! `distribution`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::path::Path;

/// Where a cell ran.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The host's own kernel, in throw-away namespaces.
    Host,
    /// A kernel booted for the purpose.
    Guest,
}

/// What a timing counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Nanoseconds of real time.
    Wall,
    /// Guest instructions executed.
    Instructions,
}

/// Unit of a metric's values.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Nanoseconds (wall clock).
    Ns,
    /// Guest instructions (instructions clock).
    Instructions,
    /// A plain count (rules, messages, entries).
    Count,
    /// Bytes.
    Bytes,
}

/// What identifies a cell: every dimension of the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// Kernel release, for example `6.1.0-56-cloud-amd64`.
    pub kernel: String,
    /// Where it ran.
    pub place: Place,
    /// What the timings count.
    pub clock: Clock,
    /// Proxy name, for example `ipvs`.
    pub proxy: String,
    /// Number of Services.
    pub services: u64,
    /// Endpoints in all Services together.
    pub endpoints: u64,
    /// Seed of the Cluster, the Changes and the guest's random pool.
    pub seed: u64,
    /// Group of metrics measured in one lab, for example `sync` or `connect`.
    pub measure: String,
    /// How connections get to a Service, where that is not the usual way.
    #[serde(default, skip_serializing_if = "Path::is_usual")]
    pub path: Path,
}

/// How a cell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Measured, and the verification beside it passed.
    Measured,
    /// The kernel or the tools lack what the proxy needs.
    Unsupported {
        /// What is missing.
        reason: String,
    },
    /// Longer than the cell's budget.
    Censored {
        /// The budget, seconds on the clock below.
        limit_s: u64,
        /// What the budget counts: real time, or the guest's own, of which a second is a billion
        /// instructions. Runs recorded before this was stored counted real time.
        #[serde(default = "wall")]
        clock: Clock,
    },
    /// Not tried, because of an earlier cell of the same series.
    Skipped {
        /// Which cell, and why.
        reason: String,
    },
    /// Ran, but the numbers must not be used (kernel splat, wrong endpoint answered, control
    /// moved).
    Invalid {
        /// Why.
        reason: String,
    },
    /// The tool failed.
    Failed {
        /// The error chain.
        reason: String,
    },
}

/// The clock of a limit before it was stored.
fn wall() -> Clock {
    Clock::Wall
}

/// Values of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Distribution {
    /// Few values, each kept, in the order they were measured.
    Values {
        /// The values.
        values: Vec<u64>,
    },
    /// Many values: a whole `HdrHistogram` (V2, five significant digits, base64) with exact
    /// extremes and sum.
    Histogram {
        /// `HdrHistogram` V2, base64.
        v2: String,
        /// Number of values.
        count: u64,
        /// Smallest value, exact.
        min: u64,
        /// Largest value, exact.
        max: u64,
        /// Sum of all values, exact.
        sum: u64,
    },
}

/// One metric of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Metric {
    /// Name, as the table of metrics has it, for example `connect` or `sync.full`.
    pub name: String,
    /// Position, part or detail, for example `last` or `submit`.
    pub label: String,
    /// Unit of the values.
    pub unit: Unit,
    /// The values.
    pub data: Distribution,
}

/// One line of `cells.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellRecord {
    /// Stable id, made from the labels.
    pub id: String,
    /// The dimensions.
    pub labels: Labels,
    /// How it ended.
    pub outcome: Outcome,
    /// Connections checked for "the right endpoint answered"; all passed when `outcome` is
    /// `Measured`.
    pub verified: u64,
    /// What was measured; empty unless `outcome` is `Measured`.
    pub metrics: Vec<Metric>,
    /// Things a reader should know about these numbers, each with its remedy.
    pub warnings: Vec<String>,
    /// Host wall time this cell took, milliseconds (never compared, only for planning).
    pub duration_ms: u64,
}

/// The environment block of `run.json`: what a comparison must match or name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Facts by dotted key, for example `tool.nft`, `guest.cpu_model`, `host.cpu`.
    pub facts: BTreeMap<String, String>,
}

/// What one guest kernel took, in wall time of the host: for planning, never compared and never
/// exported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestRecord {
    /// Kernel release, as cells name it.
    pub release: String,
    /// From the start of the emulator to the saved guest, seconds; nothing when it was saved
    /// already.
    pub boot_s: Option<f64>,
    /// Size of the saved guest; nothing for one that boots for each cell.
    pub snapshot_bytes: Option<u64>,
    /// Median over the cells from the start of the emulator to the first instruction, seconds.
    pub restore_s: Option<f64>,
}

/// What a shard knows of the run that it is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardRecord {
    /// Its number, from 1.
    pub index: u32,
    /// How many shards there are.
    pub count: u32,
    /// Ids of the planned cells of all shards together, in the order they would run as one.
    pub planned: Vec<String>,
}

/// What a run tells of one of its proxies, so that tables and plots need to know none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyRecord {
    /// Its name, as in the labels of cells.
    pub name: String,
    /// What it has in common with others, for example `nftables`.
    pub family: String,
    /// The name of its colour in plots, for example `blue`.
    pub colour: String,
    /// Its place in tables and legends; the control has 0.
    pub order: u32,
    /// Of a kube-proxy: the backend of ours that ends in the same state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Always `vipbench.run/1`.
    pub schema: String,
    /// Version of the tool that ran it.
    pub tool_version: String,
    /// The command line, for the report.
    pub command: Vec<String>,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// Name of the scenario.
    pub scenario_name: String,
    /// The scenario as expanded.
    pub scenario: serde_json::Value,
    /// Its proxies; runs from before they were recorded have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<ProxyRecord>,
    /// Ids of all planned cells, in the order they run.
    pub cells: Vec<String>,
    /// Which part of a larger run this is; a whole run has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardRecord>,
    /// Where it ran.
    pub environment: Environment,
    /// What its guests took; empty on the host, and until the run is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<GuestRecord>,
}

/// Schema name of `run.json` that this crate writes and reads.
pub const RUN_SCHEMA: &str = "vipbench.run/1";

impl Clock {
    /// The unit of every timing taken on this clock.
    pub fn unit(self) -> Unit {
        match self {
            Self::Wall => Unit::Ns,
            Self::Instructions => Unit::Instructions,
        }
    }
}

impl Outcome {
    /// The stored `kind`, for example `measured`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Unsupported { .. } => "unsupported",
            Self::Censored { .. } => "censored",
            Self::Skipped { .. } => "skipped",
            Self::Invalid { .. } => "invalid",
            Self::Failed { .. } => "failed",
        }
    }

    /// Why there are no numbers, in words; `None` when there are.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Measured => None,
            Self::Censored { limit_s, clock } => {
                let of = if *clock == Clock::Wall { "" } else { " of guest time" };
                Some(format!("took longer than its budget of {limit_s} s{of}"))
            }
            Self::Unsupported { reason }
            | Self::Skipped { reason }
            | Self::Invalid { reason }
            | Self::Failed { reason } => Some(reason.clone()),
        }
    }
}

/// Shown by their stored names.
macro_rules! shown_as_stored {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}

pub(crate) use shown_as_stored;

shown_as_stored!(Place, Clock, Unit);

impl Labels {
    /// The stable id of a cell, made from every dimension that tells cells of one run apart, for
    /// example `6.1.0-56-cloud-amd64.guest.instructions.ipvs.10000.s1.connect`.
    pub fn cell_id(&self) -> String {
        let Self { kernel, place, clock, proxy, services, endpoints: _, seed, measure, path } =
            self;
        let path = path.suffix();
        format!("{kernel}.{place}.{clock}.{proxy}.{services}.s{seed}.{measure}{path}")
    }
}

impl RunRecord {
    /// Ids of the planned cells of the whole run, of which this may be a shard.
    pub fn whole_plan(&self) -> &[String] {
        self.shard.as_ref().map_or(&self.cells, |shard| &shard.planned)
    }
}

impl CellRecord {
    /// A cell that has no numbers yet, its id made from `labels`.
    pub fn new(labels: Labels, outcome: Outcome) -> Self {
        Self {
            id: labels.cell_id(),
            labels,
            outcome,
            verified: 0,
            metrics: Vec::new(),
            warnings: Vec::new(),
            duration_ms: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_id_names_every_dimension() {
        let labels = Labels {
            kernel: "6.1.0-56-cloud-amd64".into(),
            place: Place::Guest,
            clock: Clock::Instructions,
            proxy: "ipvs".into(),
            services: 10_000,
            endpoints: 10_000,
            seed: 1,
            measure: "connect".into(),
            path: Path::default(),
        };
        let usual = "6.1.0-56-cloud-amd64.guest.instructions.ipvs.10000.s1.connect";
        assert_eq!(labels.cell_id(), usual);
        assert!(!serde_json::to_string(&labels).unwrap().contains("path"));
        let path = Path { source: "node".into(), ..Path::default() };
        let labels = Labels { path, ..labels };
        assert_eq!(labels.cell_id(), format!("{usual}.star.node.cluster-ip.ipv4"));
        let stored = serde_json::to_string(&labels).unwrap();
        assert_eq!(serde_json::from_str::<Labels>(&stored).unwrap(), labels);
    }

    #[test]
    fn the_name_of_an_outcome_is_its_stored_kind() {
        let reason = || "x".to_owned();
        for outcome in [
            Outcome::Measured,
            Outcome::Unsupported { reason: reason() },
            Outcome::Censored { limit_s: 600, clock: Clock::Instructions },
            Outcome::Skipped { reason: reason() },
            Outcome::Invalid { reason: reason() },
            Outcome::Failed { reason: reason() },
        ] {
            let stored = serde_json::to_value(&outcome).unwrap();
            assert_eq!(stored["kind"], outcome.kind());
            assert_eq!(outcome.reason().is_none(), outcome == Outcome::Measured);
        }
        let before: Outcome = serde_json::from_str(r#"{"kind":"censored","limit_s":9}"#).unwrap();
        assert_eq!(before, Outcome::Censored { limit_s: 9, clock: Clock::Wall });
    }

    #[test]
    fn names_of_places_clocks_and_units_are_the_stored_ones() {
        let stored = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        for place in [Place::Host, Place::Guest] {
            assert_eq!(stored(serde_json::to_value(place).unwrap()), place.to_string());
        }
        for clock in [Clock::Wall, Clock::Instructions] {
            assert_eq!(stored(serde_json::to_value(clock).unwrap()), clock.to_string());
        }
        for unit in [Unit::Ns, Unit::Instructions, Unit::Count, Unit::Bytes] {
            assert_eq!(stored(serde_json::to_value(unit).unwrap()), unit.to_string());
        }
    }
}

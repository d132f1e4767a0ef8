//! What a cell is asked and what it answers: plain data that travels as JSON.

use std::sync::Arc;

use generators::{Cluster, Position, SyntheticSpec};
use results::{Labels, Metric, Outcome};
use serde::{Deserialize, Serialize};

use super::batching::BatchingSettings;
use super::churn::settings::ChurnSettings;
use super::node::NodeSettings;
use super::path::PathSpec;
use crate::kube_proxy::KubeProxyFile;

/// A group of metrics measured in one lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Full sync into an empty namespace, and incremental Changes.
    Sync,
    /// Full sync onto identical state, as after a restart of the proxy.
    Restart,
    /// New connections by the bare socket client, and the keep-alive control.
    Connect,
    /// New connections by the tokio and hyper client: real HTTP requests.
    Http,
    /// Making every VIP local, by both strategies.
    VipBind,
    /// New connections with the Cluster's layout of VIPs against consecutive ones, and how full the
    /// buckets of a backend's hash table are.
    VipLayout,
    /// Our own programming against `iptables-restore` or `ipvsadm -R` with the same content.
    Baseline,
    /// One rule added by one call of the `iptables` tool, to tables that hold the whole Cluster.
    Append,
    /// Rules that a new connection's first packet is compared with, counted.
    Walk,
    /// What the node does while nobody asks anything of it.
    Standing,
    /// Load that keeps coming while Changes are programmed.
    Churn,
    /// What comes through at most.
    Throughput,
    /// Memory, and what others wait for.
    Cost,
    /// Changes that wait for each other.
    Batching,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Sync,
        Self::Restart,
        Self::Connect,
        Self::Http,
        Self::VipBind,
        Self::VipLayout,
        Self::Baseline,
        Self::Append,
        Self::Walk,
        Self::Standing,
        Self::Churn,
        Self::Throughput,
        Self::Cost,
        Self::Batching,
    ];

    /// Its name in labels and ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Restart => "restart",
            Self::Connect => "connect",
            Self::Http => "http",
            Self::VipBind => "vip_bind",
            Self::VipLayout => "vip_layout",
            Self::Baseline => "baseline",
            Self::Append => "append",
            Self::Walk => "walk",
            Self::Standing => "standing",
            Self::Churn => "churn",
            Self::Throughput => "throughput",
            Self::Cost => "cost",
            Self::Batching => "batching",
        }
    }
}

/// How load is put on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadSpec {
    /// Measured new connections a position.
    pub connections: u32,
    /// Connections a position before the measured ones.
    pub warmup: u32,
    /// Positions of the dialled Service in the rules.
    pub positions: Vec<Position>,
    /// Further requests on one open connection, the control that should show nothing.
    pub keepalive_requests: u32,
    /// Measured new HTTP connections a position.
    pub http_connections: u32,
    /// Full syncs, each into an empty namespace, and times that VIPs are made local; fewer where
    /// one takes long.
    pub full_syncs: u32,
    /// Changes of each kind.
    pub changes: u32,
    /// How many of them one sync writes, as kube-proxy does with those that come within its
    /// minSyncPeriod.
    pub changes_per_sync: u32,
}

impl Default for LoadSpec {
    fn default() -> Self {
        use Position::{First, Last, P25, P50, P75, Random};
        Self {
            connections: 200,
            warmup: 4,
            positions: vec![First, P25, P50, P75, Last, Random],
            keepalive_requests: 100,
            http_connections: 50,
            full_syncs: 5,
            changes: 5,
            changes_per_sync: 1,
        }
    }
}

/// Slowdowns put in on purpose in the measure `connect` of every proxy but the control.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inject {
    /// Rules that match nothing, at the head of every chain of a proxy that has chains.
    pub rules_per_chain: u32,
    /// Work of the server before each answer, nanoseconds: shows in `request`, and never in
    /// `connect`.
    pub answer_delay_ns: u64,
}

impl Inject {
    /// Whether nothing is put in, as in every run that is not about the gate itself.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What one cell is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// The cell's dimensions.
    pub labels: Labels,
    /// What to measure.
    pub measure: Measure,
    /// Shape of the Cluster; beside an imported one, the lab's ranges and the shape of added
    /// Services.
    pub cluster: SyntheticSpec,
    /// An imported Cluster in place of a generated one. It travels with the spec: a cell needs
    /// nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Arc<Cluster>>,
    /// How load is put on.
    pub load: LoadSpec,
    /// Slowdowns put in on purpose. Nothing is written where there are none: a longer job shifts
    /// the guest's memory, and its counts.
    #[serde(default, skip_serializing_if = "Inject::is_none")]
    pub inject: Inject,
    /// Settings of the node that are not the usual ones; nothing is written where there are none.
    #[serde(default, skip_serializing_if = "NodeSettings::is_none")]
    pub node: NodeSettings,
    /// The file of the kube-proxy that is measured, where the cell runs.
    #[serde(default, skip_serializing_if = "KubeProxyFile::is_none")]
    pub kube_proxy: KubeProxyFile,
    /// How connections get to a Service; nothing is written of the usual way.
    #[serde(default, skip_serializing_if = "PathSpec::is_usual")]
    pub path: PathSpec,
    /// How Changes and load come in the measure `churn`; nothing is written of the usual way.
    #[serde(default, skip_serializing_if = "ChurnSettings::is_usual")]
    pub churn: ChurnSettings,
    /// How Changes come in the measure `batching`; nothing is written of the usual way.
    #[serde(default, skip_serializing_if = "BatchingSettings::is_usual")]
    pub batching: BatchingSettings,
}

impl CellSpec {
    /// The cell's stable id.
    pub fn id(&self) -> String {
        self.labels.cell_id()
    }
}

/// What a cell found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellAnswer {
    /// How it ended.
    pub outcome: Outcome,
    /// Connections that reached the right Endpoint.
    pub verified: u64,
    /// What was measured.
    pub metrics: Vec<Metric>,
    /// What a reader should know.
    pub warnings: Vec<String>,
}

impl CellAnswer {
    /// An answer that only says how the cell ended.
    pub fn without_numbers(outcome: Outcome) -> Self {
        Self { outcome, verified: 0, metrics: Vec::new(), warnings: Vec::new() }
    }
}

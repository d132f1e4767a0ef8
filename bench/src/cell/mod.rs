//! One cell: what it is asked, what it answers, and the dispatch to its measure.
//!
//! The same code runs in a throw-away namespace set of the host and in a guest kernel; where it runs is decided in
//! `place`. A cell reads no file and writes none: a spec comes in as JSON, an answer goes out as JSON.

mod append;
mod baseline;
mod bench_lab;
mod connect;
pub mod dialable;
mod inject;
mod sync;
mod tool;
mod vip_bind;
mod vip_layout;
mod walk;

use std::sync::Arc;

use generators::{Cluster, SyntheticSpec};
use proxies::ProxyError;
use results::metrics::MetricKind;
use results::{Labels, Metric, Outcome};
use serde::{Deserialize, Serialize};

pub use bench_lab::topology_of;
pub(crate) use sync::metric_of;

use crate::scenario::{Inject, LoadSpec, Measure};
use bench_lab::BenchLab;

/// What one cell is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// The cell's dimensions.
    pub labels: Labels,
    /// What to measure.
    pub measure: Measure,
    /// Shape of the Cluster; beside an imported one, the lab's ranges and the shape of added Services.
    pub cluster: SyntheticSpec,
    /// An imported Cluster in place of a generated one. It travels with the spec: a cell needs nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Arc<Cluster>>,
    /// How load is put on.
    pub load: LoadSpec,
    /// Slowdowns put in on purpose. Nothing is written where there are none: a longer job shifts the guest's memory, and its counts.
    #[serde(default, skip_serializing_if = "Inject::is_none")]
    pub inject: Inject,
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

/// Metrics of a measure and how many connections were verified beside them.
pub(crate) struct Measured {
    verified: u64,
    metrics: Vec<Metric>,
}

/// Runs a cell in this kernel; needs root. Whatever goes wrong is in the answer's outcome.
pub fn run(spec: &CellSpec) -> CellAnswer {
    match attempt(spec) {
        Ok(Measured { verified, metrics }) => {
            CellAnswer { outcome: Outcome::Measured, verified, metrics, warnings: Vec::new() }
        }
        Err(error) => CellAnswer::without_numbers(match error.downcast_ref::<ProxyError>() {
            Some(ProxyError::Unsupported { .. }) => {
                Outcome::Unsupported { reason: crate::in_words(&error) }
            }
            _ => Outcome::Failed { reason: crate::in_words(&error) },
        }),
    }
}

fn attempt(spec: &CellSpec) -> anyhow::Result<Measured> {
    let lab = BenchLab::build(spec)?;
    lab.topology.node().enter(|| match spec.measure {
        Measure::Connect => connect::bare(&lab, spec),
        Measure::Http => connect::http(&lab, spec),
        Measure::Sync => sync::full_and_changes(&lab, spec),
        Measure::Restart => sync::restart(&lab),
        Measure::Baseline => baseline::measure(&lab, spec),
        Measure::Append => append::measure(&lab),
        Measure::VipBind => vip_bind::measure(&lab),
        Measure::VipLayout => vip_layout::measure(&lab, spec),
        Measure::Walk => walk::measure(&lab, spec),
    })?
}

/// What a measure gives.
pub fn emits(measure: Measure) -> &'static [MetricKind] {
    match measure {
        Measure::Connect => connect::BARE_EMITS,
        Measure::Http => connect::HTTP_EMITS,
        Measure::Sync => sync::SYNC_EMITS,
        Measure::Restart => sync::RESTART_EMITS,
        Measure::Baseline => baseline::EMITS,
        Measure::Append => append::EMITS,
        Measure::VipBind => vip_bind::EMITS,
        Measure::VipLayout => vip_layout::EMITS,
        Measure::Walk => walk::EMITS,
    }
}

/// The guest's side: a cell as JSON in, its answer as JSON out; or the question what this kernel can do.
///
/// # Errors
/// A payload that is neither.
pub fn handle(payload: &str) -> Result<String, String> {
    if payload == crate::features::QUESTION {
        return crate::features::answer();
    }
    let spec: CellSpec =
        serde_json::from_str(payload).map_err(|error| format!("the cell's job: {error}"))?;
    serde_json::to_string(&run(&spec)).map_err(|error| format!("the cell's answer: {error}"))
}

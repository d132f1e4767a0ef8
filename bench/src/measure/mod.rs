//! The measures, one file each, and the running of one cell.
//!
//! The same code runs in a throw-away namespace set of the host and in a guest kernel; where it
//! runs is decided in `place`. A cell reads no file and writes none: a spec comes in as JSON, an
//! answer goes out as JSON.

mod account;
mod append;
mod baseline;
pub mod batching;
pub mod churn;
mod connect;
mod cost;
pub mod dialable;
mod http;
mod kind;
mod lab;
mod memory;
mod memory_kernel;
pub mod node;
pub mod path;
mod restart;
pub mod spec;
mod standing;
mod sync;
mod throughput;
pub mod vip_bind;
mod vip_layout;
mod walk;

use linux::sysctl::{self, Sysctls};
use proxies::ProxyError;
use results::Outcome;

use kind::Measured;
use lab::BenchLab;
use spec::{CellAnswer, CellSpec, Measure};

pub use kind::{Estimate, Kind};
pub use lab::{options_of, topology_of};
pub(crate) use sync::metric_of;

/// What every cell takes beside its measure, milliseconds.
const GUEST_MS: u64 = 2_000;

/// What a measure tells of itself.
pub fn of(measure: Measure) -> &'static Kind {
    match measure {
        Measure::Sync => &sync::SYNC,
        Measure::Restart => &restart::RESTART,
        Measure::Connect => &connect::CONNECT,
        Measure::Http => &http::HTTP,
        Measure::VipBind => &vip_bind::VIP_BIND,
        Measure::VipLayout => &vip_layout::VIP_LAYOUT,
        Measure::Baseline => &baseline::BASELINE,
        Measure::Append => &append::APPEND,
        Measure::Walk => &walk::WALK,
        Measure::Standing => &standing::STANDING,
        Measure::Churn => &churn::CHURN,
        Measure::Throughput => &throughput::THROUGHPUT,
        Measure::Cost => &cost::COST,
        Measure::Batching => &batching::BATCHING,
    }
}

/// Roughly how long a cell takes, milliseconds on a machine of 2026: good for dividing work, for
/// nothing else.
pub fn cost_ms(spec: &CellSpec) -> u64 {
    GUEST_MS + (of(spec.measure).cost)(&Estimate::of(spec))
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
    spec.kube_proxy.make_known(&spec.labels.proxy)?;
    let lab = BenchLab::build(spec)?;
    lab.topology.node().enter(|| {
        let mut sysctls = Sysctls::default();
        for (name, value) in &spec.node.sysctl {
            sysctls.set(name, &value.to_string())?;
        }
        let measured = (of(spec.measure).run)(&lab, spec)?;
        must_still_hold(spec)?;
        Ok(measured)
    })?
}

/// A proxy may set the same kernel parameter as the scenario; then the scenario's did not hold.
fn must_still_hold(spec: &CellSpec) -> anyhow::Result<()> {
    for (name, value) in &spec.node.sysctl {
        let (found, wanted) = (sysctl::read(name)?, value.to_string());
        let alike = found.split_whitespace().eq(wanted.split_whitespace());
        anyhow::ensure!(
            alike,
            "sysctl.{name:?} was set to {wanted} and is {found}: proxy {} sets it itself; leave it out",
            spec.labels.proxy
        );
    }
    Ok(())
}

/// The guest's side: a cell as JSON in, its answer as JSON out.
///
/// # Errors
/// A payload that is no cell.
pub fn handle(payload: &str) -> Result<String, String> {
    let spec: CellSpec =
        serde_json::from_str(payload).map_err(|error| format!("the cell's job: {error}"))?;
    memory::arrange(&spec).map_err(|error| format!("the cell's memory: {error:#}"))?;
    serde_json::to_string(&run(&spec)).map_err(|error| format!("the cell's answer: {error}"))
}

//! Load that keeps coming while Steps are made: what a Change costs those who connect meanwhile, how
//! long it takes until it is in effect, and what becomes of connections that are there.
//!
//! A quiet phase stands first, with the same load and no Change. In a guest, clients, servers and
//! the proxy share one processor, as the proxy does with everything else on a busy node.

mod judge;
mod phase;
pub mod settings;
mod targets;

use generators::{Cluster, Length, Stream};
use results::metrics;

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, audit};
use super::spec::CellSpec;
use crate::load::Priority;
use judge::Report;
use phase::Phase;

/// The measure `churn`.
pub(super) const CHURN: Kind = Kind {
    applies: |_| true,
    takes_paths: false,
    cost: |cell| {
        let churn = &cell.spec().churn;
        let phases = churn.streams.len() as u64 + 1;
        let steps = phases * u64::from(churn.steps());
        cell.sync() + phases * churn.phase_ms * 2 + steps * cell.sync() / 4
    },
    emits: &[
        metrics::LOAD_TOTAL,
        metrics::LOAD_LATENESS,
        metrics::LOAD_FAILED,
        metrics::LOAD_STALLED,
        metrics::LOAD_MIDDLE,
        metrics::LOAD_WORST,
        metrics::CHURN_BEGAN,
        metrics::CHURN_SYNC,
        metrics::CHURN_LAST_OLD,
        metrics::CHURN_FIRST_NEW,
        metrics::CHURN_LATE_TO_OLD,
        metrics::CHURN_BROKEN,
        metrics::CHURN_STUCK,
        metrics::CHURN_LENGTH,
    ],
    emits_of_programs: &[],
    run,
};

/// Label of the phase without Changes.
const QUIET: &str = "quiet";

fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let settings = &spec.churn;
    let mut backend = lab.open()?;
    backend.start(&lab.cluster)?;
    // Whole connections are timed, and a server at idle priority would wait for every sync.
    let _servers = lab.bare_servers_at(Priority::Normal)?;
    let mut report = Report::new(lab.clock.kind());
    let seed = spec.labels.seed;
    let length = Length { steps: settings.steps(), changes_per_step: settings.changes_per_step };
    let made = |cluster: &Cluster, stream: Stream| {
        let may_change = |service: &_| targets::may_change(lab, service);
        generators::stream(cluster, &lab.shape, seed, stream, length, may_change)
    };
    // The quiet phase dials whom the first stream's does.
    let first = settings.streams.first().copied().unwrap_or(Stream::RollingUpdate);
    let steps = made(&lab.cluster, first)?;
    Phase { label: QUIET, lab, settings, seed }.quiet(&lab.cluster, &steps, &mut report)?;
    let mut cluster = lab.cluster.clone();
    for &stream in &settings.streams {
        let steps = made(&cluster, stream)?;
        let phase = Phase { label: stream.as_str(), lab, settings, seed };
        cluster = phase.churning(backend.as_mut(), cluster, &steps, &mut report)?;
        backend.settle(&cluster)?;
    }
    audit(backend.as_mut(), &cluster)?;
    backend.stop()?;
    Ok(Measured { verified: report.verified, metrics: report.metrics })
}

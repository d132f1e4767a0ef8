//! How many rules the first packet of a connection is compared with, counted, not timed.
//!
//! The kernel counts for each rule which packets matched it. One connection between two readings of
//! the counters tells which rules the packet met (`proxies::Counters`).

use anyhow::Context;
use generators::Position;
use results::metrics;

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, position_draws};
use super::spec::CellSpec;

/// The measure `walk`.
pub(super) const WALK: Kind = Kind {
    applies: |proxy| proxy.counters.is_some(),
    takes_paths: false,
    cost: |cell| cell.sync(),
    emits: &[metrics::RULES_WALKED],
    emits_of_programs: &[],
    run,
};

/// Connections to Services drawn at random.
const RANDOM_CONNECTIONS: usize = 20;

/// One connection to the Service at each position, several where it is drawn.
fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let name = lab.backend.name;
    let counters = lab.backend.counters.with_context(|| format!("{name} counts no packets"))?;
    lab.load()?;
    let _servers = lab.bare_servers()?;
    let mut sources = lab.sources()?;
    let mut draws = position_draws(spec.labels.seed);
    let mut measured = Measured { verified: 0, metrics: Vec::new() };
    for position in &spec.load.positions {
        let times = if *position == Position::Random { RANDOM_CONNECTIONS } else { 1 };
        let mut walked = Vec::new();
        for _ in 0..times {
            let dialled = lab.dialled(*position, draws.next_u64())?;
            let before = counters()?;
            lab.dial(&dialled, &mut sources)?;
            walked.push(counters()?.walked_since(&before)?);
            measured.verified += 1;
        }
        let clock = lab.clock.kind();
        measured.metrics.push(metrics::RULES_WALKED.of(position.as_str(), clock, walked));
    }
    Ok(measured)
}

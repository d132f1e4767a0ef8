//! New connections with real HTTP requests on them, by tokio and hyper.

use results::metrics::{self, MetricKind};

use super::connect::{by_position, rounds};
use super::kind::{Kind, Measured};
use super::lab::{BenchLab, CLIENT_TIMEOUT};
use super::spec::CellSpec;
use crate::load::HttpClient;

/// The measure `http`.
pub(super) const HTTP: Kind = Kind {
    applies: |_| true,
    takes_paths: true,
    cost: |cell| cell.sync() + cell.connections(cell.spec().load.http_connections),
    emits: &PHASES,
    emits_of_programs: &[],
    run,
};
/// Metrics of the phases of a connection, in their order.
const PHASES: [MetricKind; 3] = [metrics::HTTP_CONNECT, metrics::HTTP_REQUEST, metrics::HTTP_CLOSE];

fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let _forwarder = lab.load_forwarder()?;
    let _servers = lab.http_servers()?;
    let rounds = rounds(lab, spec, spec.load.http_connections);
    lab.client()?.enter(|| {
        let mut client = HttpClient::new(lab.clock, CLIENT_TIMEOUT)?;
        by_position(lab, spec, &mut client, &mut lab.sources()?, rounds, &PHASES)
    })?
}

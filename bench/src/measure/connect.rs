//! New connections by position of the Service in the rules, the keep-alive control, and the
//! harness's own cost.

use std::time::Duration;

use generators::Position;
use results::metrics::{self, MetricKind};
use results::{Clock, Metric};

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, CLIENT_TIMEOUT, Dialled, position_draws};
use super::spec::CellSpec;
use crate::load::{BareClient, LoadClient, MeasureClock, Rounds, Sample, Sources, Timing, measure};

/// The measure `connect`.
pub(super) const CONNECT: Kind = Kind {
    applies: |_| true,
    takes_paths: true,
    cost: |cell| cell.sync() + cell.connections(cell.spec().load.connections),
    emits: &[
        metrics::CONNECT,
        metrics::REQUEST,
        metrics::CLOSE,
        metrics::KEEPALIVE_REQUEST,
        metrics::HARNESS_CLOCK,
        metrics::HARNESS_SAMPLE,
    ],
    emits_of_programs: &[],
    run,
};
/// Metrics of the phases of a connection, in their order.
const PHASES: [MetricKind; 3] = [metrics::CONNECT, metrics::REQUEST, metrics::CLOSE];
/// Readings of the clock for the harness's own cost.
const HARNESS_SAMPLES: usize = 200;
/// How long servers get to see the end of the last connections before the control starts.
const SETTLE: Duration = Duration::from_millis(5);

/// The bare socket client, the keep-alive control, and what the harness itself costs.
pub(super) fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let _forwarder = lab.load_forwarder()?;
    slow_down(lab)?;
    let _servers = lab.bare_servers()?;
    let rounds = rounds(lab, spec, spec.load.connections);
    lab.client()?.enter(|| {
        let mut client = BareClient::new(lab.clock, CLIENT_TIMEOUT);
        let mut sources = lab.sources()?;
        let mut measured = by_position(lab, spec, &mut client, &mut sources, rounds, &PHASES)?;
        std::thread::sleep(SETTLE);
        measured.verified += keep_alive(lab, spec, client, &mut sources, &mut measured.metrics)?;
        measured.metrics.extend(harness_cost(lab.clock));
        Ok(measured)
    })?
}

/// Puts the wanted slowdown in; plans want none of a proxy that has no chains.
fn slow_down(lab: &BenchLab) -> anyhow::Result<()> {
    match (lab.inject.rules_per_chain, lab.backend.slow_down) {
        (0, _) | (_, None) => Ok(()),
        (rules, Some(slow_down)) => Ok(slow_down(rules)?),
    }
}

/// How connections are made in this cell.
pub(super) fn rounds(lab: &BenchLab, spec: &CellSpec, measured: u32) -> Rounds {
    let pause = Rounds::pause_of(lab.clock.kind());
    Rounds { warmup: spec.load.warmup, measured, seed: spec.labels.seed, pause }
}

/// The three phases of a position's connections, in the order they were made.
struct Phases {
    connect: Vec<u64>,
    request: Vec<u64>,
    close: Vec<u64>,
}

impl Phases {
    /// Room for `count` connections, so that recording allocates nothing.
    fn new(count: usize) -> Self {
        let room = || Vec::with_capacity(count);
        Self { connect: room(), request: room(), close: room() }
    }

    fn record(&mut self, timing: Timing) {
        self.connect.push(timing.connect);
        self.request.push(timing.request);
        self.close.push(timing.close);
    }

    fn into_metrics(self, kinds: &[MetricKind; 3], label: &str, clock: Clock) -> [Metric; 3] {
        let [connect, request, close] = kinds;
        [(connect, self.connect), (request, self.request), (close, self.close)]
            .map(|(kind, values)| kind.of(label, clock, values))
    }
}

/// Dials every position in turn. `random` dials another Service each time.
pub(super) fn by_position(
    lab: &BenchLab,
    spec: &CellSpec,
    client: &mut impl LoadClient,
    sources: &mut Sources,
    rounds: Rounds,
    kinds: &[MetricKind; 3],
) -> anyhow::Result<Measured> {
    let positions = &spec.load.positions;
    let count = rounds.measured as usize;
    let mut recorders: Vec<Phases> = positions.iter().map(|_| Phases::new(count)).collect();
    let fixed: Vec<(usize, Dialled)> = positions
        .iter()
        .enumerate()
        .filter(|(_, position)| **position != Position::Random)
        .map(|(at, position)| Ok((at, lab.dialled(*position, 0)?)))
        .collect::<anyhow::Result<_>>()?;
    let targets: Vec<_> = fixed.iter().map(|(_, dialled)| dialled.target()).collect();
    let mut verified = 0;
    if !targets.is_empty() {
        verified += measure(client, sources, &targets, rounds, |target, timing| {
            let Some((at, _)) = fixed.get(target) else { return };
            if let (Some(recorder), Some(position)) = (recorders.get_mut(*at), positions.get(*at)) {
                recorder.record(timing);
                Sample::Connection(*position).keep();
            }
        })?;
    }
    if let Some(at) = positions.iter().position(|position| *position == Position::Random) {
        let mut draws = position_draws(spec.labels.seed);
        for _ in 0..rounds.measured {
            let dialled = lab.dialled(Position::Random, draws.next_u64())?;
            let timing = rounds.dial(client, sources, &dialled.target())?;
            verified += 1;
            if let Some(recorder) = recorders.get_mut(at) {
                recorder.record(timing);
            }
            Sample::Connection(Position::Random).keep();
        }
    }
    let mut metrics = Vec::new();
    for (position, recorder) in positions.iter().zip(recorders) {
        metrics.extend(recorder.into_metrics(kinds, position.as_str(), lab.clock.kind()));
    }
    Ok(Measured { verified, metrics })
}

/// Further requests on one open connection to the first and to the last Service: conntrack answers
/// them, not the rules.
fn keep_alive(
    lab: &BenchLab,
    spec: &CellSpec,
    client: BareClient,
    sources: &mut Sources,
    metrics: &mut Vec<Metric>,
) -> anyhow::Result<u64> {
    for position in [Position::First, Position::Last] {
        let dialled = lab.dialled(position, 0)?;
        let requests = spec.load.keepalive_requests;
        let mut taken = Vec::with_capacity(requests as usize);
        client.keep_alive(sources, &dialled.target(), requests, |request| taken.push(request))?;
        let clock = lab.clock.kind();
        metrics.push(metrics::KEEPALIVE_REQUEST.of(position.as_str(), clock, taken));
    }
    Ok(2)
}

/// What every timing contains, and what is done around it.
fn harness_cost(clock: MeasureClock) -> [Metric; 2] {
    let mut phases = Phases::new(HARNESS_SAMPLES);
    let samples = clock.sample_costs(HARNESS_SAMPLES, |timing| phases.record(timing));
    [
        metrics::HARNESS_CLOCK.of("pair", clock.kind(), clock.pair_costs(HARNESS_SAMPLES)),
        metrics::HARNESS_SAMPLE.of("record", clock.kind(), samples),
    ]
}

//! What comes through at most: new connections, requests on open ones, and bytes. Told as what one
//! of them takes, so that less is better.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::ensure;
use generators::Position;
use results::metrics;

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, CLIENT_TIMEOUT, Dialled};
use super::spec::CellSpec;
use crate::load::open::{self, Client, Ending, Pace, Plan, Question, Tally};
use crate::load::{Priority, SOURCE_PORTS, Sink, listen, send};

/// The measure `throughput`.
pub(super) const THROUGHPUT: Kind = Kind {
    applies: |_| true,
    takes_paths: false,
    cost: |cell| cell.sync() + 20_000,
    emits: &[metrics::THROUGHPUT_CONNECTION, metrics::THROUGHPUT_REQUEST, metrics::THROUGHPUT_BULK],
    emits_of_programs: &[],
    run,
};

/// Connections open at a time.
const OPEN: u32 = 32;
/// How long each load is; five of each are made.
const LOAD: Duration = Duration::from_millis(400);
/// Repetitions of each load.
const REPETITIONS: u64 = 5;
/// Requests on each kept connection.
const REQUESTS: u32 = 100;
/// Bytes of a bulk transfer, in units of what it is told by.
const BULK_MIB: u64 = 16;
const MIB: u64 = 1 << 20;

fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let _forwarder = lab.load_forwarder()?;
    let dialled = lab.dialled(Position::Last, 0)?;
    let servers = lab.bare_servers_at(Priority::Normal)?;
    let (mut connections, mut requests, mut verified) = (Vec::new(), Vec::new(), 0);
    for repetition in 0..REPETITIONS {
        let seed = spec.labels.seed + repetition;
        let (total, elapsed) = saturated(lab, &dialled, 1, seed)?;
        connections.push(elapsed / total.completed);
        verified += total.answers;
        let (total, elapsed) = saturated(lab, &dialled, REQUESTS, seed)?;
        requests.push(elapsed / total.answers);
        verified += total.answers;
    }
    drop(servers);
    let bulk = bulk(lab, dialled.vip)?;
    let clock = lab.clock.kind();
    Ok(Measured {
        verified,
        metrics: vec![
            metrics::THROUGHPUT_CONNECTION.of("last", clock, connections),
            metrics::THROUGHPUT_REQUEST.of("last", clock, requests),
            metrics::THROUGHPUT_BULK.of("last", clock, bulk),
        ],
    })
}

/// As many connections as come, each of so many requests: what was counted, and how long it took.
fn saturated(
    lab: &BenchLab,
    dialled: &Dialled,
    requests: u32,
    seed: u64,
) -> anyhow::Result<(Tally, u64)> {
    let target = open::Dialled { address: dialled.vip, allowed: dialled.allowed.clone() };
    let plan = Plan {
        targets: vec![target],
        question: Question::Who,
        requests,
        pace: Pace::Saturated { open: OPEN },
        duration: LOAD,
        timeout: CLIENT_TIMEOUT,
        ending: Ending::Reset,
        from: open::Origin::Chosen { addresses: lab.source_addresses()?, ports: SOURCE_PORTS },
        open_max: OPEN,
        workers: 1,
        cores: Vec::new(),
        spins: false,
        journal_max: 0,
        seed,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let run = || open::run(plan, Client::Sockets, lab.clock, &stop, &mut |_, _| {});
    let outcome = lab.client()?.enter(run)??;
    let failed: u64 = outcome.total.errors.iter().sum();
    ensure!(
        failed == 0 && outcome.total.completed > 0,
        "{failed} of {} connections to {} failed",
        outcome.total.due,
        dialled.vip
    );
    Ok((outcome.total, outcome.elapsed_ns))
}

/// What a mebibyte takes, each time.
fn bulk(lab: &BenchLab, vip: SocketAddr) -> anyhow::Result<Vec<u64>> {
    let _sinks = lab.on_endpoint_hosts(|lab| {
        let sinks = listen(&lab.any_address())?.into_iter().map(Sink::start);
        Ok(sinks.collect::<Result<Vec<_>, _>>()?)
    })?;
    let mut taken = Vec::new();
    for _ in 0..REPETITIONS {
        let started = lab.clock.now();
        lab.client()?.enter(|| send(vip, BULK_MIB * MIB))??;
        taken.push((lab.clock.now() - started) / BULK_MIB);
    }
    Ok(taken)
}

//! `vipbench trace`: one connection in a lab of its own, seen on every device of every host.
//!
//! The same code runs in throw-away namespaces of the host and in a guest kernel. What is seen is
//! put into order, shown and drawn by `results::trace`.

mod counted;
mod dial;
mod known;
mod lab;
pub mod spec;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use results::trace::{Record, TRACE_SCHEMA};

use self::dial::Listener;
use self::lab::TraceLab;
use spec::TraceSpec;
use watch::Watch;

/// What a guest's job begins with; the spec as JSON follows.
pub const QUESTION: &str = "trace ";
/// For what follows the last byte: the ends of the connection.
const AFTERMATH: Duration = Duration::from_millis(100);

/// Traces one connection in this kernel; needs root.
///
/// # Errors
/// A lab that cannot be built. A connection that fails is a finding, and no error.
pub fn run(spec: &TraceSpec) -> anyhow::Result<Record> {
    let (lab, _forwarder) = TraceLab::build(spec)?;
    let [client, endpoint] = [lab.client, lab.endpoint].map(|host| &lab.topology.hosts[host]);
    let listener = endpoint.namespace.enter(|| Listener::open(lab.listening, spec.protocol))??;
    let watch = Watch::begin(&lab, spec.family)?;
    let (dialled, accepted) = std::thread::scope(|threads| {
        let server = threads.spawn(|| listener.answer());
        let dialled = client.namespace.enter(|| dial::dial(lab.dialled, spec.protocol));
        (dialled, server.join().ok().and_then(Result::ok))
    });
    let dialled = dialled??;
    std::thread::sleep(AFTERMATH);
    let mut record = Record {
        schema: TRACE_SCHEMA.to_owned(),
        asked: spec.asked(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        client: dialled.from.unwrap_or(SocketAddr::from(([0; 4], 0))),
        dialled: lab.dialled,
        endpoint: lab.target,
        accepted,
        failure: dialled.failure,
        hosts: lab.topology.hosts.iter().map(|host| host.namespace.label().to_owned()).collect(),
        node: lab.node,
        client_host: lab.client,
        endpoint_host: lab.endpoint,
        packets: Vec::new(),
        lost: 0,
        chains: Vec::new(),
        rules: Vec::new(),
        conntrack: Vec::new(),
        ipvs: Vec::new(),
        notes: Vec::new(),
    };
    watch.end(&mut record)?;
    Ok(record)
}

/// The guest's side: a spec as JSON in, a record as JSON out.
///
/// # Errors
/// A job that is none, or what [`run`] says.
pub fn answer(job: &str) -> Result<String, String> {
    let spec: TraceSpec =
        serde_json::from_str(job).map_err(|error| format!("the trace's job: {error}"))?;
    let record = run(&spec).map_err(|error| crate::in_words(&error))?;
    serde_json::to_string(&record).map_err(|error| format!("the trace's answer: {error}"))
}

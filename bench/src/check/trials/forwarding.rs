//! What NAT, direct routing and tunnels can do: who sees whom, other ports, and the filter of
//! reverse paths.

use std::net::SocketAddr;

use anyhow::Context;
use generators::{Endpoint, Service};
use lab::topology::Source;
use linux::sysctl::Sysctls;
use proxies::Options;
use proxies::ipvs::Forwarding;
use results::check::Trial;

use super::super::expectation::{Answering, Expected, Peer};
use super::super::paths::Path;
use super::super::server::{Listening, Servers};
use super::super::subjects::TARGET;
use super::{Bench, PORT, Question};
use crate::hosts::let_hold_vips;

const FORWARDING: Question = Question {
    name: "forwarding",
    says: "whom does an Endpoint see, and does its answer come back?",
};
const OTHER_PORT: Question = Question {
    name: "other-port",
    says: "may an Endpoint listen at another port than its Service?",
};
const REVERSE_PATH: Question =
    Question { name: "rp-filter", says: "may an Endpoint filter by reverse path?" };

/// What the values of `rp_filter` are called (`Documentation/networking/ip-sysctl.rst`, Linux 6.1).
const FILTERS: [(&str, &str); 3] = [("0", "off"), ("1", "strict"), ("2", "loose")];

/// A machine outside dials by NAT, direct routing and tunnel; the port stays.
pub(super) fn ways(bench: &Bench<'_>) -> anyhow::Result<Vec<Trial>> {
    let ways = [Forwarding::Nat, Forwarding::DirectRoute, Forwarding::Tunnel];
    let trial = |(at, forwarding): (usize, Forwarding)| {
        let service = bench.service((10 + at, TARGET), vec![bench.site.endpoint(0, TARGET)])?;
        let path = kept(bench, &FORWARDING, (&service, forwarding))?;
        let setting = forwarding.as_str();
        held(bench, &service, forwarding, || {
            bench.tried((&FORWARDING, setting), (&service, &path), &options(bench, forwarding))
        })
    };
    ways.into_iter().enumerate().map(trial).collect()
}

/// The Endpoint listens at another port than the Service. Only NAT can write another port: by the
/// others packets come with the Service's, where nobody listens.
pub(super) fn other_port(bench: &Bench<'_>) -> anyhow::Result<Vec<Trial>> {
    let ways = [Forwarding::Nat, Forwarding::DirectRoute, Forwarding::Tunnel];
    let trial = |(at, forwarding): (usize, Forwarding)| {
        let service = bench.service((20 + at, PORT), vec![bench.site.endpoint(1, TARGET)])?;
        let mut path = kept(bench, &OTHER_PORT, (&service, forwarding))?;
        if forwarding != Forwarding::Nat {
            path = Path { expected: Expected::Refused, dials: 1, ..path };
        }
        let mut options = options(bench, forwarding);
        options.ipvs.refuses_other_ports = false;
        held(bench, &service, forwarding, || {
            bench.tried((&OTHER_PORT, forwarding.as_str()), (&service, &path), &options)
        })
    };
    ways.into_iter().enumerate().map(trial).collect()
}

/// The Endpoint filters by reverse path. What comes out of a tunnel has a client's address, to
/// which the way leads by another device.
pub(super) fn reverse_path(bench: &Bench<'_>) -> anyhow::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    let ways = [Forwarding::Nat, Forwarding::Tunnel];
    for (at, forwarding) in ways.into_iter().enumerate() {
        let service = bench.service((30 + at, TARGET), vec![bench.site.endpoint(0, TARGET)])?;
        let host = bench.lab.host_of(service.endpoints()[0].address)?;
        held(bench, &service, forwarding, || {
            for (value, name) in FILTERS {
                let mut path = kept(bench, &REVERSE_PATH, (&service, forwarding))?;
                if forwarding == Forwarding::Tunnel && name == "strict" {
                    path.expected = Expected::Dropped;
                    (path.dials, path.dial.for_silence) = (1, true);
                }
                let setting = format!("{}, the Endpoint's rp_filter {name}", forwarding.as_str());
                let filter = |value: &str| {
                    host.namespace
                        .enter(|| Sysctls::default().set("net.ipv4.conf.all.rp_filter", value))
                };
                filter(value)??;
                let options = options(bench, forwarding);
                let trial = bench.tried((&REVERSE_PATH, &setting), (&service, &path), &options);
                filter("0")??;
                trials.push(trial?);
            }
            Ok(())
        })?;
    }
    Ok(trials)
}

fn options(bench: &Bench<'_>, forwarding: Forwarding) -> Options {
    let mut options = bench.options.clone();
    options.ipvs.forwarding = forwarding;
    // Nobody's address is hidden: an Endpoint that answers by itself must know the client's.
    options.ipvs.masquerade = false;
    options
}

/// A path from outside, on which the Endpoint sees the client's own address.
fn kept(
    bench: &Bench<'_>,
    question: &Question,
    (service, forwarding): (&Service, Forwarding),
) -> anyhow::Result<Path> {
    let answering = Answering { endpoint: answering(service, forwarding)?, sees: Peer::Caller };
    let path = bench.path(Source::Outside, question, service)?;
    Ok(Path { expected: Expected::Answered(vec![answering]), ..path })
}

/// Where the Endpoint answers: only NAT writes its address into packets.
fn answering(service: &Service, forwarding: Forwarding) -> anyhow::Result<SocketAddr> {
    let endpoint: &Endpoint = service.endpoints().first().context("a Service without Endpoint")?;
    let is_translated = forwarding == Forwarding::Nat;
    let address = if is_translated { endpoint.address } else { service.vip() };
    Ok(SocketAddr::new(address, endpoint.port))
}

/// Runs `work` while the Endpoint takes packets to the VIP, where forwarding leaves it in them.
fn held<T>(
    bench: &Bench<'_>,
    service: &Service,
    forwarding: Forwarding,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if forwarding == Forwarding::Nat {
        return work();
    }
    let host = bench.lab.host_of(service.endpoints()[0].address)?;
    let_hold_vips(host, service.vip().into(), forwarding, bench.lab.topology.node())?;
    let at = answering(service, forwarding)?;
    let listening = host.namespace.enter(|| Listening::open(at, service.protocol()))??;
    let _server = Servers::start(vec![listening])?;
    work()
}

//! Every path of a site: who dials what, how often, what must come; and the judgement of what came.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use generators::{Frontend, FrontendKind, Protocol, Service};
use lab::topology::Source;
use proxies::Sees;
use results::check::{Probe, Verdict};

use super::client::{Came, Dial};
use super::expectation::{Caller, Expected, Peer, directly, expected};
use super::lab::{Dialer, Site};
use super::server::Answer;
use super::subjects::{AFFINITY, Case, DIRECT, LARGE, TARGET};

/// Bytes of a large request: three packets of UDP, some seventy of TCP.
const LARGE_BYTES: [usize; 2] = [4_000, 100_000];
/// Dials of a path, where nothing follows from how many.
const DIALS: usize = 3;

/// What is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialled {
    /// A frontend of a Service.
    Frontend(FrontendKind),
    /// An Endpoint itself.
    Endpoint,
}

/// One path.
#[derive(Debug, Clone)]
pub struct Path {
    /// Name of the behaviour.
    pub subject: &'static str,
    /// Who dials.
    pub caller: Caller,
    /// What is dialled.
    pub dialled: Dialled,
    /// The Service.
    pub service: String,
    /// The dial, to be repeated.
    pub dial: Dial,
    /// How often.
    pub dials: usize,
    /// Whether each Endpoint must be among those that answered.
    pub is_thorough: bool,
    /// What must come.
    pub expected: Expected,
}

impl Path {
    /// The path of a dialer to a frontend.
    pub fn to_frontend(case: &Case, site: &Site, dialer: &Dialer, frontend: Frontend) -> Self {
        let (service, caller) = (&case.service, dialer.caller);
        let to = SocketAddr::new(frontend.address.unwrap_or(site.node), frontend.port);
        let expected = expected(service, frontend.kind, caller, &site.node_addresses);
        let natural = site.natural_source(frontend.kind);
        let (dials, is_thorough) = dials_of(&expected, caller.source == natural);
        let protocol = service.protocol();
        let request_bytes = if case.subject == LARGE {
            LARGE_BYTES[usize::from(protocol == Protocol::Tcp)]
        } else {
            0
        };
        let for_silence = matches!(expected, Expected::Dropped);
        Self {
            subject: case.subject,
            caller,
            dialled: Dialled::Frontend(frontend.kind),
            service: service.name().to_string(),
            dial: Dial { from: dialer.address(), to, protocol, request_bytes, for_silence },
            dials,
            is_thorough,
            expected,
        }
    }

    /// The path of a dialer to an Endpoint itself.
    fn to_endpoint(dialer: &Dialer, endpoint: IpAddr, protocol: Protocol) -> Self {
        let to = SocketAddr::new(endpoint, TARGET);
        let from = dialer.address();
        Self {
            subject: DIRECT,
            caller: dialer.caller,
            dialled: Dialled::Endpoint,
            service: String::new(),
            dial: Dial { from, to, protocol, request_bytes: 0, for_silence: false },
            dials: DIALS,
            is_thorough: false,
            expected: directly(to, dialer.caller),
        }
    }

    /// What follows from what came, one a dial.
    pub fn judged(&self, site: &Site, came: &[Came]) -> Probe {
        let fault = came.iter().enumerate().find_map(|(at, one)| {
            let is_good = self.admits(site, one);
            (!is_good).then(|| format!("{one} (dial {} of {})", at + 1, came.len()))
        });
        let fault = fault.or_else(|| self.missing(came));
        let good = || came.first().map_or_else(String::new, ToString::to_string);
        let verdict = if fault.is_some() { Verdict::Unexpected } else { Verdict::Good };
        self.probe(verdict, fault.unwrap_or_else(good))
    }

    /// The probe of this path, with what came in words.
    pub fn probe(&self, verdict: Verdict, came: String) -> Probe {
        let family = if self.dial.to.is_ipv4() { "IPv4" } else { "IPv6" };
        Probe {
            subject: self.subject.to_owned(),
            source: self.caller.source.to_string(),
            frontend: self.dialled.to_string(),
            protocol: self.dial.protocol.to_string(),
            family: family.to_owned(),
            service: self.service.clone(),
            addresses: format!("{} to {}", self.caller.address, self.dial.to),
            expected: self.expected.to_string(),
            came,
            verdict,
            reason: None,
        }
    }

    /// Whether this may come.
    pub fn admits(&self, site: &Site, came: &Came) -> bool {
        let [hides, shows] =
            [matches!(site.sees, Sees::Node(_)), matches!(site.sees, Sees::Client(_))];
        let is_node = |peer: IpAddr| site.node_addresses.contains(&peer);
        match (&self.expected, came) {
            (Expected::Answered(all), Came::Answer(answer)) => {
                let answering = all.iter().find(|one| one.endpoint == answer.endpoint);
                let wanted = self.request_bytes();
                answer.request_bytes == wanted
                    && answering.is_some_and(|one| match one.sees {
                        Peer::Caller if self.is_to_service() && hides => is_node(answer.peer),
                        Peer::Caller => answer.peer == self.caller.address,
                        Peer::Node if self.is_to_service() && shows => {
                            is_node(answer.peer) || answer.peer == self.caller.address
                        }
                        Peer::Node => is_node(answer.peer),
                        Peer::Dialled => answer.peer == self.dial.to.ip(),
                    })
            }
            (Expected::Refused, Came::Refusal)
            | (Expected::Dropped, Came::Nothing)
            | (Expected::Unanswered, Came::Refusal | Came::Nothing | Came::Fault(_)) => true,
            _ => false,
        }
    }

    /// Whether a proxy has anything to do with it.
    fn is_to_service(&self) -> bool {
        self.dialled != Dialled::Endpoint
    }

    /// A datagram has at least one byte.
    fn request_bytes(&self) -> usize {
        let least = usize::from(self.dial.protocol == Protocol::Udp);
        self.dial.request_bytes.max(least)
    }

    /// An Endpoint that never answered, where each must.
    fn missing(&self, came: &[Came]) -> Option<String> {
        let Expected::Answered(all) = &self.expected else { return None };
        let answers_by = |endpoint: SocketAddr| {
            let is_by = |one: &Came| matches!(one, Came::Answer(Answer { endpoint: by, .. }) if *by == endpoint);
            came.iter().any(is_by)
        };
        let missing = all.iter().find(|one| !answers_by(one.endpoint))?;
        self.is_thorough
            .then(|| format!("{} answers, and none by {}", came.len(), missing.endpoint))
    }
}

/// How often a path is dialled, and whether each Endpoint must be among those that answered: then
/// so often that one of them is missed by chance once in a hundred million times.
fn dials_of(expected: &Expected, is_thorough: bool) -> (usize, bool) {
    match expected {
        Expected::Answered(all) => match (all.len(), is_thorough) {
            (0 | 1, _) | (_, false) => (DIALS, false),
            // 2 * (1/2)^28, 3 * (2/3)^48.
            (2, true) => (28, true),
            (_, true) => (48, true),
        },
        Expected::Refused | Expected::Dropped | Expected::Unanswered => (1, false),
    }
}

/// Every path of a site.
pub fn paths(site: &Site, cases: &[Case]) -> Vec<Path> {
    let mut paths = Vec::new();
    for dialer in &site.dialers {
        for case in cases.iter().filter(|case| case.subject != AFFINITY) {
            let frontends = case.service.frontends();
            paths.extend(frontends.map(|one| Path::to_frontend(case, site, dialer, one)));
        }
        if matches!(dialer.caller.source, Source::Pod | Source::OtherNodePod) {
            let endpoints = [site.here[0], site.away[0]];
            paths.extend(endpoints.into_iter().flat_map(|endpoint| {
                [Protocol::Tcp, Protocol::Udp]
                    .map(|protocol| Path::to_endpoint(dialer, endpoint, protocol))
            }));
        }
    }
    paths
}

/// The frontends of a Service, as paths from where they are meant to be dialled from.
///
/// # Errors
/// A site without a pod, or without a machine outside.
pub fn natural_paths(site: &Site, case: &Case) -> anyhow::Result<Vec<Path>> {
    let frontends = case.service.frontends();
    let path = |frontend: Frontend| {
        let dialer = site.dialer(site.natural_source(frontend.kind))?;
        Ok(Path::to_frontend(case, site, dialer, frontend))
    };
    frontends.map(path).collect()
}

/// A Service's cluster IP from a source.
///
/// # Errors
/// A site without that source.
pub fn to_cluster_ip(
    site: &Site,
    source: Source,
    subject: &'static str,
    service: &Service,
) -> anyhow::Result<Path> {
    let case = Case { subject, service: service.clone() };
    let frontend = Frontend {
        kind: FrontendKind::ClusterIp,
        address: Some(service.vip()),
        port: service.port(),
    };
    Ok(Path::to_frontend(&case, site, site.dialer(source)?, frontend))
}

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frontend(FrontendKind::ClusterIp) => "cluster IP",
            Self::Frontend(FrontendKind::ExternalIp) => "external IP",
            Self::Frontend(FrontendKind::LoadBalancerIp) => "load-balancer IP",
            Self::Frontend(FrontendKind::NodePort) => "node port",
            Self::Endpoint => "endpoint",
        })
    }
}

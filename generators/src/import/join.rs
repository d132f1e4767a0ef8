//! Joins Services with their `EndpointSlice`s into a Cluster, the way kube-proxy does. Where a
//! Service has none, its `Endpoints` object counts, of which a cluster would make slices.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use super::collect::{Collector, Fault, SeenEndpoints, SeenPort, SeenService, SeenSlice, State};
use super::summary::{BadObject, Finding, ImportSummary, Place};
use crate::cluster::answers_at;
use crate::service::{Endpoint, Protocol, Service, ServiceName};

/// The Services that can stand together, in the order in which they were read, and what was found
/// on the way.
pub(super) fn join(collected: Collector) -> (Vec<Service>, ImportSummary) {
    let Collector {
        mut summary, services: seen, mut slices, mut endpoints, mut passed_over, ..
    } = collected;
    let mut taken = Taken::new();
    let mut services = Vec::new();
    for (seen, place) in seen {
        let old = endpoints.remove(&seen.name);
        let slices = slices_of(slices.remove(&seen.name), old, &mut summary);
        let made = made(&seen, &slices, &mut summary)
            .and_then(|ports| Ok((added(&taken, &ports)?, ports)));
        match made {
            Ok((added, ports)) => {
                taken.extend(added);
                services.extend(ports);
            }
            Err(fault) => {
                let Fault { field, why } = fault;
                summary.bad.add(BadObject::new("Service", &seen.name, &place, &field, &why));
                passed_over.insert(seen.name);
            }
        }
    }
    for (service, slices) in &slices {
        let finding = if passed_over.contains(service) {
            Finding::SliceOfSkippedService
        } else {
            Finding::SliceOfUnknownService
        };
        summary.count(finding, slices.len());
    }
    summary.count(Finding::OtherEndpoints, endpoints.len());
    leave_out_endpoints_at_vips(&mut services, &mut summary);
    count_kept(&services, &mut summary);
    (services, summary)
}

/// The slices of a Service, or what would be slices.
fn slices_of(
    slices: Option<Vec<SeenSlice>>,
    endpoints: Option<SeenEndpoints>,
    summary: &mut ImportSummary,
) -> Vec<SeenSlice> {
    match (slices, endpoints) {
        (Some(slices), endpoints) => {
            summary.count(Finding::MirroredEndpoints, usize::from(endpoints.is_some()));
            slices
        }
        (None, Some(SeenEndpoints { subsets, is_truncated })) => {
            summary.count(Finding::FromEndpoints, 1);
            summary.count(Finding::TruncatedEndpoints, usize::from(is_truncated));
            subsets
        }
        (None, None) => Vec::new(),
    }
}

/// The ports of a Kubernetes Service, each of which is a Service here.
fn made(
    seen: &SeenService,
    slices: &[SeenSlice],
    summary: &mut ImportSummary,
) -> Result<Vec<Service>, Fault> {
    let mut ports = Vec::with_capacity(seen.ports.len());
    for (at, port) in seen.ports.iter().enumerate() {
        let found = endpoints_of(port, slices);
        let faulty =
            |error: &dyn std::fmt::Display, field: String| Fault::new(field, error.to_string());
        let service =
            Service::new(port.name.clone(), seen.vip, port.port, port.protocol, found.endpoints)
                .map_err(|error| faulty(&error, format!("spec.ports[{at}]")))?
                .with_external_ips(seen.external_ips.clone())
                .map_err(|error| faulty(&error, "spec.externalIPs".to_owned()))?;
        let service = port.node_port.into_iter().try_fold(service, Service::with_node_port);
        ports.push(service.map_err(|error| faulty(&error, format!("spec.ports[{at}].nodePort")))?);
        summary.count(Finding::RepeatedEndpoint, found.repeated);
        summary.count(Finding::Terminating, usize::from(found.is_terminating && at == 0));
    }
    let states = slices.iter().flat_map(|slice| &slice.endpoints);
    summary.count(Finding::NotReady, states.filter(|(_, state)| *state == State::NotReady).count());
    Ok(ports)
}

/// Endpoints of one port.
struct Found {
    endpoints: Vec<Endpoint>,
    /// How many stood in more than one slice.
    repeated: usize,
    is_terminating: bool,
}

/// Those that are ready; if there are none, those that serve until they end.
fn endpoints_of(port: &SeenPort, slices: &[SeenSlice]) -> Found {
    let mut states: HashMap<Endpoint, State> = HashMap::new();
    let mut given = 0;
    for slice in slices {
        let is_ours = |(name, protocol, _): &&(String, Protocol, u16)| {
            name == port.name.port_name() && *protocol == port.protocol
        };
        for (_, _, number) in slice.ports.iter().filter(is_ours) {
            for &(address, state) in &slice.endpoints {
                let endpoint = Endpoint { address, port: *number };
                let known = states.entry(endpoint).or_insert(state);
                *known = state.max(*known);
                given += 1;
            }
        }
    }
    let best = states.values().copied().max().unwrap_or(State::NotReady);
    let usable = states.iter().filter(|(_, state)| **state == best && best != State::NotReady);
    Found {
        endpoints: usable.map(|(endpoint, _)| *endpoint).collect(),
        repeated: given - states.len(),
        is_terminating: best == State::Terminating,
    }
}

/// Who answers at an address (nothing: at every address of a node), port and protocol.
type Taken = HashMap<(Option<Ipv4Addr>, u16, Protocol), ServiceName>;

/// What the ports of a Kubernetes Service take, if they can stand beside those that are there, and
/// beside each other.
fn added(taken: &Taken, ports: &[Service]) -> Result<Taken, Fault> {
    let mut own = Taken::new();
    let mut names = HashSet::new();
    for (at, port) in ports.iter().enumerate() {
        let fault = |field: &str, why: String| Fault::new(format!("spec.ports[{at}]{field}"), why);
        if !names.insert(port.name()) {
            return Err(fault(".name", "another port has this name: rename one".to_owned()));
        }
        let answers = answers_at(port)
            .map(|((address, number, protocol), _)| (Some(address), number, protocol));
        let node_port = port.node_port().map(|number| (None, number, port.protocol()));
        let keys: Vec<_> = answers.chain(node_port).collect();
        for key @ (address, number, protocol) in &keys {
            let Some(other) = taken.get(key).or_else(|| own.get(key)) else { continue };
            return Err(match address {
                Some(address) => {
                    let place = format!("{address}:{number}/{protocol}");
                    fault(".port", format!("{other} answers at {place} too: keep one"))
                }
                None => fault(".nodePort", format!("{other} has node port {number} too: keep one")),
            });
        }
        own.extend(keys.into_iter().map(|key| (key, port.name().clone())));
    }
    Ok(own)
}

/// An Endpoint at a VIP is none: what is translated to a VIP is not translated again. Its Service
/// is at fault.
fn leave_out_endpoints_at_vips(services: &mut Vec<Service>, summary: &mut ImportSummary) {
    let vips: HashSet<Ipv4Addr> = services.iter().map(Service::vip).collect();
    let mut faulty: HashSet<String> = HashSet::new();
    for service in services.iter() {
        let at_vip = service.endpoints().iter().find(|endpoint| vips.contains(&endpoint.address));
        let name = service.name().namespaced_name();
        if let Some(endpoint) = at_vip
            && faulty.insert(name.to_owned())
        {
            let why =
                format!("{endpoint} has the address of a cluster IP: take it out of its slice");
            let place = Place::default();
            summary.bad.add(BadObject::new("Service", name, &place, "endpoints", &why));
        }
    }
    services.retain(|service| !faulty.contains(service.name().namespaced_name()));
}

fn count_kept(services: &[Service], summary: &mut ImportSummary) {
    let mut count = |finding, has: &dyn Fn(&Service) -> usize| {
        summary.count(finding, services.iter().map(has).sum());
    };
    let speaks = |service: &Service, protocol| usize::from(service.protocol() == protocol);
    count(Finding::UdpPort, &|service| speaks(service, Protocol::Udp));
    count(Finding::SctpPort, &|service| speaks(service, Protocol::Sctp));
    count(Finding::NodePort, &|service| usize::from(service.node_port().is_some()));
    count(Finding::ExternalIp, &|service| service.external_ips().len());
    count(Finding::WithoutEndpoints, &|service| usize::from(service.endpoints().is_empty()));
}

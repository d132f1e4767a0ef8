//! Joins Services with their `EndpointSlice`s into a Cluster, the way kube-proxy does. Where a
//! Service has none, its `Endpoints` object counts, of which a cluster would make slices.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::collect::{Collector, Fault, SeenEndpoints, SeenService, SeenSlice};
use super::node::Viewpoint;
use super::summary::{BadObject, Finding, ImportSummary};
use crate::endpoint::{Endpoint, EndpointState, Hint};
use crate::extras::{Extras, TrafficPolicy};
use crate::family::Family;
use crate::frontend::FrontendKey;
use crate::service::{Protocol, Service};
use crate::service_name::ServiceId;

/// The Services that can stand together, in the order in which they were read, what was found on
/// the way, and where they are seen from.
pub(super) fn join(
    collected: Collector,
    from: Viewpoint,
) -> (Vec<Service>, ImportSummary, Viewpoint) {
    let Collector {
        mut summary, services: seen, mut slices, mut endpoints, mut passed_over, ..
    } = collected;
    let subsets = endpoints.values().flat_map(|endpoints| &endpoints.subsets);
    let from = from.or_from(slices.values().flatten().chain(subsets));
    let mut taken = Taken::new();
    let mut services = Vec::new();
    for (seen, place) in seen {
        let old = endpoints.remove(&seen.name);
        let slices = slices_of(slices.remove(&seen.name), old, &mut summary);
        let made = made(&seen, &slices, &from, &mut summary)
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
    if summary.slices + summary.endpoints == 0 {
        summary.count(Finding::NoEndpointObjects, services.len());
    }
    count_kept(&services, &mut summary);
    (services, summary, from)
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

/// The ports of a Kubernetes Service, each of which is a Service here, once for each family.
fn made(
    seen: &SeenService,
    slices: &[SeenSlice],
    from: &Viewpoint,
    summary: &mut ImportSummary,
) -> Result<Vec<Service>, Fault> {
    let faulty =
        |error: &dyn std::fmt::Display, field: String| Fault::new(field, error.to_string());
    let by_port = by_port(slices);
    let mut ports = Vec::with_capacity(seen.ports.len() * seen.families.len());
    for (vip, extras) in &seen.families {
        for (at, port) in seen.ports.iter().enumerate() {
            let key = (Family::of(*vip), port.name.port_name(), port.protocol);
            let found = endpoints_of(by_port.get(&key).map_or(&[], Vec::as_slice), from);
            let service =
                Service::new(port.name.clone(), *vip, port.port, port.protocol, found.endpoints)
                    .map_err(|error| faulty(&error, format!("spec.ports[{at}]")))?
                    .with(|own| own.external_ips.clone_from(&extras.external_ips))
                    .map_err(|error| faulty(&error, "spec.externalIPs".to_owned()))?
                    .with(|own| *own = Extras { node_port: port.node_port, ..extras.clone() })
                    .map_err(|error| faulty(&error, "spec".to_owned()))?;
            ports.push(service);
            summary.count(Finding::RepeatedEndpoint, found.repeated);
        }
    }
    Ok(ports)
}

/// By family, name and protocol of a port, the slices that have it and its number there.
type ByPort<'a> = HashMap<(Family, &'a str, Protocol), Vec<(&'a SeenSlice, u16)>>;

fn by_port(slices: &[SeenSlice]) -> ByPort<'_> {
    let mut by_port = ByPort::new();
    for slice in slices {
        for (name, protocol, number) in &slice.ports {
            by_port.entry((slice.family, name, *protocol)).or_default().push((slice, *number));
        }
    }
    by_port
}

/// Endpoints of one port.
struct Found {
    endpoints: Vec<Endpoint>,
    /// How many stood in more than one slice.
    repeated: usize,
}

/// Each Endpoint once, in the best state that a slice gives it.
fn endpoints_of(slices: &[(&SeenSlice, u16)], from: &Viewpoint) -> Found {
    let mut found: HashMap<SocketAddr, Endpoint> = HashMap::new();
    let mut given = 0;
    for (slice, number) in slices {
        for seen in &slice.endpoints {
            let endpoint = from.endpoint(seen, *number);
            let known = found.entry(endpoint.socket()).or_insert(endpoint);
            known.state = known.state.max(endpoint.state);
            known.is_remote &= endpoint.is_remote;
            given += 1;
        }
    }
    let repeated = given - found.len();
    Found { endpoints: found.into_values().collect(), repeated }
}

/// Who answers at a frontend.
type Taken = HashMap<FrontendKey, ServiceId>;

/// What the ports of a Kubernetes Service take, if they can stand beside those that are there, and
/// beside each other.
fn added(taken: &Taken, ports: &[Service]) -> Result<Taken, Fault> {
    let mut own = Taken::new();
    for (at, port) in ports.iter().enumerate() {
        let fault = |field: &str, why: String| Fault::new(format!("spec.ports[{at}]{field}"), why);
        for key @ (_, address, number, protocol) in port.frontend_keys() {
            let Some(other) = taken.get(&key).or_else(|| own.get(&key)) else {
                own.insert(key, port.id());
                continue;
            };
            return Err(match address {
                Some(address) => {
                    let place = SocketAddr::new(address, number);
                    fault(".port", format!("{other} answers at {place}/{protocol} too: keep one"))
                }
                None => fault(".nodePort", format!("{other} has node port {number} too: keep one")),
            });
        }
    }
    Ok(own)
}

fn count_kept(services: &[Service], summary: &mut ImportSummary) {
    let mut count = |finding, has: &dyn Fn(&Service) -> usize| {
        summary.count(finding, services.iter().map(has).sum());
    };
    let speaks = |service: &Service, protocol| usize::from(service.protocol() == protocol);
    let states = |service: &Service, state| {
        service.endpoints().iter().filter(|endpoint| endpoint.state == state).count()
    };
    count(Finding::UdpPort, &|service| speaks(service, Protocol::Udp));
    count(Finding::SctpPort, &|service| speaks(service, Protocol::Sctp));
    count(Finding::Ipv6Port, &|service| usize::from(service.family() == Family::V6));
    count(Finding::NodePort, &|service| usize::from(service.extras().node_port.is_some()));
    count(Finding::ExternalIp, &|service| service.extras().external_ips.len());
    count(Finding::LoadBalancerIp, &|service| service.extras().load_balancer_ips.len());
    count(Finding::SourceRanges, &|service| {
        usize::from(!service.extras().source_ranges.is_empty())
    });
    count(Finding::SessionAffinity, &|service| usize::from(service.extras().affinity_s.is_some()));
    count(Finding::InternalTrafficPolicyLocal, &|service| {
        usize::from(service.extras().internal_policy == TrafficPolicy::Local)
    });
    count(Finding::ExternalTrafficPolicyLocal, &|service| {
        usize::from(service.extras().external_policy == TrafficPolicy::Local)
    });
    count(Finding::TopologyHints, &|service| {
        let is_hinted = |one: &&Endpoint| [one.node_hint, one.zone_hint] != [Hint::None; 2];
        service.endpoints().iter().filter(is_hinted).count()
    });
    count(Finding::RemoteEndpoint, &|service| {
        service.endpoints().iter().filter(|endpoint| endpoint.is_remote).count()
    });
    count(Finding::NotReady, &|service| states(service, EndpointState::NotReady));
    count(Finding::Terminating, &|service| states(service, EndpointState::Terminating));
    count(Finding::WithoutEndpoints, &|service| usize::from(!service.targets().has_any));
}

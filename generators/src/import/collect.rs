//! From one Kubernetes object to the little of it that a Cluster needs. Objects are looked at one by one; how they fit
//! together is the business of `join`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::de::DeserializeOwned;

use super::objects::{
    Conditions, Head, Metadata, ProtocolName, ServiceObject, ServicePort, ServiceSpec,
    SliceEndpoint, SliceObject, SlicePort,
};
use super::summary::{BadObject, Finding, ImportSummary};
use crate::error::ClusterError;
use crate::service::{Protocol, ServiceName};
use crate::spec::MAX_SERVICES;

/// Why an object cannot be imported: which field, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Fault {
    pub field: String,
    pub why: String,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// A Service object with a cluster IP.
#[derive(Debug)]
pub(super) struct SeenService {
    /// `namespace/name`.
    pub name: String,
    pub vip: Ipv4Addr,
    pub external_ips: Vec<Ipv4Addr>,
    pub ports: Vec<SeenPort>,
}

#[derive(Debug)]
pub(super) struct SeenPort {
    pub name: ServiceName,
    pub port: u16,
    pub protocol: Protocol,
    pub node_port: Option<u16>,
}

/// An `EndpointSlice` of IPv4 addresses.
#[derive(Debug)]
pub(super) struct SeenSlice {
    pub ports: Vec<(String, Protocol, u16)>,
    pub endpoints: Vec<(Ipv4Addr, State)>,
}

/// Whether a proxy sends connections to an Endpoint, worst first (`CategorizeEndpoints`, `pkg/proxy/topology.go`,
/// Kubernetes 1.35).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Never.
    NotReady,
    /// While no Endpoint of the Service is ready: it serves what it has until it ends.
    Terminating,
    Ready,
}

impl State {
    /// A condition that is not given counts as good (`newEndpointSliceInfo`, `pkg/proxy/endpointslicecache.go`).
    fn of(conditions: Conditions) -> Self {
        let Conditions { ready, serving, terminating } = conditions;
        if ready.unwrap_or(true) {
            Self::Ready
        } else if serving.unwrap_or(true) && terminating.unwrap_or(false) {
            Self::Terminating
        } else {
            Self::NotReady
        }
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub summary: ImportSummary,
    pub services: Vec<SeenService>,
    /// By `namespace/name` of their Service.
    pub slices: HashMap<String, Vec<SeenSlice>>,
    /// Services that are not imported, whose slices nobody needs.
    pub passed_over: HashSet<String>,
    /// Names of all Services, to find one that is there twice.
    names: HashSet<String>,
    objects: u64,
    ports: usize,
}

impl Collector {
    /// Takes one object in. `kind` is what its list says of its items; the object's own word comes first.
    ///
    /// # Errors
    /// More Services than a Cluster may have. An object that is wrong is noted in the summary and is no error here.
    pub(super) fn object(&mut self, text: &str, kind: Option<&str>) -> Result<(), String> {
        self.objects += 1;
        let head = match parse::<Head>(text) {
            Ok(head) => head,
            Err(fault) => {
                self.bad(kind.unwrap_or("object"), None, &fault);
                return Ok(());
            }
        };
        let kind = head.kind.as_deref().or(kind);
        let outcome = match kind {
            Some("Service") => {
                self.summary.services += 1;
                parse(text).and_then(|object| self.service(object))
            }
            Some("EndpointSlice") => {
                self.summary.slices += 1;
                parse(text).and_then(|object| self.slice(&object))
            }
            Some(_) => {
                self.summary.count(Finding::OtherKind, 1);
                Ok(())
            }
            None => Err(Fault::new("kind", "is missing: it tells what the object is")),
        };
        if let Err(fault) = outcome {
            let name = head
                .metadata
                .and_then(|identity| Some(format!("{}/{}", identity.namespace?, identity.name?)));
            if let (Some("Service"), Some(name)) = (kind, &name) {
                self.passed_over.insert(name.clone());
            }
            self.bad(kind.unwrap_or("object"), name.as_deref(), &fault);
        }
        if self.ports > MAX_SERVICES as usize {
            return Err(format!("there are more than {MAX_SERVICES} Service ports: import parts"));
        }
        Ok(())
    }

    fn bad(&mut self, kind: &str, name: Option<&str>, fault: &Fault) {
        let number = format!("number {}", self.objects);
        let name = name.unwrap_or(&number);
        self.summary.bad.add(BadObject::new(kind, name, &fault.field, &fault.why));
    }

    fn service(&mut self, object: ServiceObject) -> Result<(), Fault> {
        let ServiceObject { metadata, spec, status } = object;
        let (namespace, name) = names(&metadata)?;
        let namespaced = format!("{namespace}/{name}");
        if !self.names.insert(namespaced.clone()) {
            return Err(Fault::new("metadata.name", "another Service has this name: keep one"));
        }
        let labels = metadata.labels.unwrap_or_default();
        let skipped = if spec.kind.as_deref() == Some("ExternalName") {
            Some(Finding::ExternalName)
        } else if spec.cluster_ip.as_deref() == Some("None") {
            Some(Finding::Headless)
        } else if labels.service_proxy_name.is_some() {
            Some(Finding::OtherProxy)
        } else {
            None
        };
        let vip = match skipped {
            Some(finding) => Err(finding),
            None => vip(&spec)?,
        };
        let (vip, has_ipv6) = match vip {
            Ok(vip) => vip,
            Err(finding) => {
                self.summary.count(finding, 1);
                self.passed_over.insert(namespaced);
                return Ok(());
            }
        };
        let ports = ports(&namespace, &name, spec.ports.as_deref().unwrap_or_default())?;
        let (external_ips, further) = addresses("spec.externalIPs", spec.external_ips.as_deref())?;
        self.count_features(&spec);
        self.summary.count(Finding::Ipv6ClusterIp, usize::from(has_ipv6));
        self.summary.count(Finding::Ipv6ExternalIp, further);
        let ingress = status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
        let ingress = ingress.iter().filter(|ingress| ingress.ip.is_some()).count();
        self.summary.count(Finding::LoadBalancerIp, ingress);
        self.ports += ports.len();
        self.services.push(SeenService { name: namespaced, vip, external_ips, ports });
        Ok(())
    }

    fn count_features(&mut self, spec: &ServiceSpec) {
        let is = |field: &Option<String>, value: &str| field.as_deref() == Some(value);
        let affinity = spec.session_affinity.as_deref().unwrap_or("None") != "None";
        let ranges = spec.load_balancer_source_ranges.as_ref();
        let features = [
            (Finding::SessionAffinity, affinity),
            (Finding::InternalTrafficPolicyLocal, is(&spec.internal_traffic_policy, "Local")),
            (Finding::ExternalTrafficPolicyLocal, is(&spec.external_traffic_policy, "Local")),
            (Finding::TrafficDistribution, spec.traffic_distribution.is_some()),
            (Finding::SourceRanges, ranges.is_some_and(|ranges| !ranges.is_empty())),
        ];
        for (finding, has) in features {
            self.summary.count(finding, usize::from(has));
        }
    }

    fn slice(&mut self, object: &SliceObject) -> Result<(), Fault> {
        let (namespace, _) = names(&object.metadata)?;
        let label =
            object.metadata.labels.as_ref().and_then(|labels| labels.service_name.as_deref());
        let Some(service) = label.filter(|label| !label.is_empty()) else {
            self.summary.count(Finding::SliceWithoutService, 1);
            return Ok(());
        };
        match object.address_type.as_deref() {
            Some("IPv4") => {}
            Some("IPv6") => {
                self.summary.count(Finding::Ipv6Slice, 1);
                return Ok(());
            }
            Some("FQDN") => {
                self.summary.count(Finding::FqdnSlice, 1);
                return Ok(());
            }
            _ => return Err(Fault::new("addressType", "must be IPv4, IPv6 or FQDN")),
        }
        let endpoints = object.endpoints.as_deref().unwrap_or_default();
        let given = endpoints.iter().enumerate().map(|(at, endpoint)| self.endpoint(at, endpoint));
        let endpoints = given.collect::<Result<Vec<_>, Fault>>()?;
        let mut ports = Vec::new();
        for (at, port) in object.ports.iter().flatten().enumerate() {
            let SlicePort { name, protocol, port } = port;
            match port {
                Some(0) => {
                    let why = "is 0: write a port from 1 to 65535";
                    return Err(Fault::new(format!("ports[{at}].port"), why));
                }
                Some(port) => {
                    ports.push((
                        name.clone().unwrap_or_default(),
                        ProtocolName::of(*protocol),
                        *port,
                    ));
                }
                None => self.summary.count(Finding::SlicePortWithoutNumber, 1),
            }
        }
        let slice = SeenSlice { ports, endpoints };
        self.slices.entry(format!("{namespace}/{service}")).or_default().push(slice);
        Ok(())
    }

    /// The first address counts, and must be there (`addEndpoints`, `pkg/proxy/endpointslicecache.go`).
    fn endpoint(
        &mut self,
        at: usize,
        endpoint: &SliceEndpoint,
    ) -> Result<(Ipv4Addr, State), Fault> {
        let field = format!("endpoints[{at}].addresses");
        let addresses = endpoint.addresses.as_deref().unwrap_or_default();
        let Some(first) = addresses.first() else {
            return Err(Fault::new(field, "is empty: an endpoint needs an address"));
        };
        let IpAddr::V4(first) = address(&format!("{field}[0]"), first)? else {
            return Err(Fault::new(field, "is of IPv6 in a slice of IPv4 addresses"));
        };
        self.summary.count(Finding::FurtherAddress, addresses.len() - 1);
        let hinted = endpoint.hints.as_ref().is_some_and(super::objects::Hints::are_given);
        self.summary.count(Finding::TopologyHints, usize::from(hinted));
        Ok((first, State::of(endpoint.conditions.unwrap_or_default())))
    }
}

/// An object from its text; the error names the field.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        // Lines and columns count from where the object begins, which helps nobody.
        let why = error.inner().to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        Fault::new(if field == "." { String::new() } else { field }, why)
    })
}

fn names(metadata: &Metadata) -> Result<(String, String), Fault> {
    let part = |field: &str, value: &Option<String>| {
        let given = value.clone().filter(|text| !text.is_empty());
        given.ok_or_else(|| Fault::new(format!("metadata.{field}"), "is missing"))
    };
    Ok((part("namespace", &metadata.namespace)?, part("name", &metadata.name)?))
}

/// The IPv4 cluster IP and whether there is one of IPv6 beside it, or why a Service is none of ours.
fn vip(spec: &ServiceSpec) -> Result<Result<(Ipv4Addr, bool), Finding>, Fault> {
    let first = spec.cluster_ip.as_deref().filter(|text| !text.is_empty());
    let Some(first) = first else { return Ok(Err(Finding::NoClusterIp)) };
    let first = address("spec.clusterIP", first)?;
    let (all, further) = addresses("spec.clusterIPs", spec.cluster_ips.as_deref())?;
    Ok(match (first, all.first()) {
        (IpAddr::V4(vip), _) => Ok((vip, further > 0)),
        (IpAddr::V6(_), Some(&vip)) => Ok((vip, true)),
        (IpAddr::V6(_), None) => Err(Finding::Ipv6Service),
    })
}

fn ports(namespace: &str, name: &str, ports: &[ServicePort]) -> Result<Vec<SeenPort>, Fault> {
    if ports.is_empty() {
        return Err(Fault::new("spec.ports", "is empty: a Service with a cluster IP needs a port"));
    }
    let seen = |(at, port): (usize, &ServicePort)| {
        let field = |part: &str| format!("spec.ports[{at}].{part}");
        let port_name = port.name.as_deref().unwrap_or_default();
        let name = ServiceName::new(namespace, name, port_name).map_err(|error| {
            let part = match error {
                ClusterError::InvalidLabel { part: "namespace", .. } => {
                    "metadata.namespace".to_owned()
                }
                ClusterError::InvalidLabel { part: "port name", .. } => field("name"),
                _ => "metadata.name".to_owned(),
            };
            Fault::new(part, error.to_string())
        })?;
        let number = port.port.ok_or_else(|| Fault::new(field("port"), "is missing"))?;
        // Node port 0 is how a client asks for any; a stored object does not have it.
        let node_port = port.node_port.filter(|&node_port| node_port != 0);
        Ok(SeenPort { name, port: number, protocol: ProtocolName::of(port.protocol), node_port })
    };
    ports.iter().enumerate().map(seen).collect()
}

fn address(field: &str, text: &str) -> Result<IpAddr, Fault> {
    let shown: String = text.chars().take(60).collect();
    text.parse().map_err(|_| Fault::new(field, format!("{shown:?} is not an IP address")))
}

/// The IPv4 addresses of a list, and how many others it has.
fn addresses(field: &str, list: Option<&[String]>) -> Result<(Vec<Ipv4Addr>, usize), Fault> {
    let mut found = Vec::new();
    let list = list.unwrap_or_default();
    for (at, text) in list.iter().enumerate() {
        if let IpAddr::V4(address) = address(&format!("{field}[{at}]"), text)? {
            found.push(address);
        }
    }
    let further = list.len() - found.len();
    Ok((found, further))
}

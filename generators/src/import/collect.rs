//! From one Kubernetes object to the little of it that a Cluster needs. Objects are looked at one
//! by one; how they fit together is the business of `join`.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use serde::de::DeserializeOwned;

use super::error::K8sError;
use super::json::ListHead;
use super::objects::{
    Conditions, EndpointsObject, Head, Hints, Identity, Ingress, Metadata, ProtocolName,
    ServiceObject, ServicePort, ServiceSpec, SliceEndpoint, SliceObject, SlicePort, StatusObject,
    Subset,
};
use super::summary::{BadObject, Finding, ImportSummary, Place};
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

/// Most objects of an import, of any kind.
const MAX_OBJECTS: u64 = 10_000_000;

/// A Service object with a cluster IP.
#[derive(Debug, Hash)]
pub(super) struct SeenService {
    /// `namespace/name`.
    pub name: String,
    pub vip: Ipv4Addr,
    pub external_ips: Vec<Ipv4Addr>,
    pub ports: Vec<SeenPort>,
}

#[derive(Debug, Hash)]
pub(super) struct SeenPort {
    pub name: ServiceName,
    pub port: u16,
    pub protocol: Protocol,
    pub node_port: Option<u16>,
}

/// An `EndpointSlice` of IPv4 addresses, or a subset of an `Endpoints` object.
#[derive(Debug, Hash)]
pub(super) struct SeenSlice {
    pub ports: Vec<(String, Protocol, u16)>,
    pub endpoints: Vec<(Ipv4Addr, State)>,
}

/// An `Endpoints` object.
#[derive(Debug, Hash)]
pub(super) struct SeenEndpoints {
    pub subsets: Vec<SeenSlice>,
    pub is_truncated: bool,
}

/// Whether a proxy sends connections to an Endpoint, worst first (`CategorizeEndpoints`,
/// `pkg/proxy/topology.go`, Kubernetes 1.35).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum State {
    /// Never.
    NotReady,
    /// While no Endpoint of the Service is ready: it serves what it has until it ends.
    Terminating,
    Ready,
}

impl State {
    /// A condition that is not given counts as good (`newEndpointSliceInfo`,
    /// `pkg/proxy/endpointslicecache.go`).
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

/// A kind, the object's name, and what is wrong with it.
type Wrong = (String, Option<Identity>, Fault);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub summary: ImportSummary,
    pub services: Vec<(SeenService, Place)>,
    /// By `namespace/name` of their Service.
    pub slices: HashMap<String, Vec<SeenSlice>>,
    /// By `namespace/name`, which is that of their Service.
    pub endpoints: HashMap<String, SeenEndpoints>,
    /// Services that are not imported, whose slices nobody needs.
    pub passed_over: HashSet<String>,
    /// Where the current object stands.
    pub place: Place,
    /// The input is a file of a folder, in which other things may lie than objects.
    pub is_of_folder: bool,
    /// A hash of what each object says, by kind and name, to find one that is there twice.
    digests: HashMap<String, u64>,
    objects: u64,
    ports: usize,
}

impl Collector {
    /// Takes one object in. What its list says of its items counts where the object itself says
    /// nothing.
    ///
    /// # Errors
    /// An error of the API in place of objects, or more of them than an import may have. An object
    /// that is wrong is noted in the summary and is no error here.
    pub(super) fn object(&mut self, text: &str, list: ListHead<'_>) -> Result<(), K8sError> {
        self.place.number += 1;
        self.objects += 1;
        if self.objects > MAX_OBJECTS {
            let text = format!("there are more than {MAX_OBJECTS} objects: import parts");
            return Err(K8sError::TooMany(text));
        }
        if let Some((kind, identity, fault)) = self.taken(text, list)? {
            self.bad(&kind, identity, &fault);
        }
        if self.ports > MAX_SERVICES as usize {
            let text = format!("there are more than {MAX_SERVICES} Service ports: import parts");
            return Err(K8sError::TooMany(text));
        }
        Ok(())
    }

    /// Takes the object, or tells what is wrong with it.
    fn taken(&mut self, text: &str, list: ListHead<'_>) -> Result<Option<Wrong>, K8sError> {
        let of_kind = |kind: Option<&str>| kind.unwrap_or("object").to_owned();
        let head = match parse::<Head>(text) {
            Ok(head) => head,
            Err(_) if self.is_of_folder => Head { kind: Some(String::new()), ..Head::default() },
            Err(fault) => return Ok(Some((of_kind(list.kind), None, fault))),
        };
        let Head { api_version, kind, metadata } = head;
        let list = if kind.is_some() { ListHead::default() } else { list };
        let kind = kind.as_deref().or(list.kind);
        // The core group has no name: its versions stand alone.
        let group = api_version
            .as_deref()
            .or(list.api_version)
            .map(|version| version.split_once('/').map_or("", |(group, _)| group));
        let outcome = match (kind, group) {
            (Some("Service"), None | Some("")) => {
                self.summary.services += 1;
                parse(text).and_then(|object| self.service(object))
            }
            (Some("EndpointSlice"), None | Some("discovery.k8s.io")) => {
                self.summary.slices += 1;
                parse(text).and_then(|object| self.slice(&object))
            }
            (Some("Endpoints"), None | Some("")) => {
                self.summary.endpoints += 1;
                parse(text).and_then(|object| self.endpoints(&object))
            }
            (None, _) if !self.is_of_folder => {
                Err(Fault::new("kind", "is missing: it tells what the object is"))
            }
            _ => {
                if let (Some("Status"), Ok(StatusObject { message: Some(message) })) =
                    (kind, parse(text))
                {
                    return Err(K8sError::status(&message));
                }
                self.summary.count(Finding::OtherKind, 1);
                Ok(())
            }
        };
        Ok(outcome.err().map(|fault| (of_kind(kind), metadata, fault)))
    }

    fn bad(&mut self, kind: &str, identity: Option<Identity>, fault: &Fault) {
        let name = identity
            .and_then(|identity| Some(format!("{}/{}", identity.namespace?, identity.name?)));
        if let ("Service", Some(name)) = (kind, &name) {
            self.passed_over.insert(name.clone());
        }
        let name = name.unwrap_or_else(|| format!("number {}", self.place.number));
        self.summary.bad.add(BadObject::new(kind, &name, &self.place, &fault.field, &fault.why));
    }

    /// Whether an object of this kind and name was there before, saying the same.
    fn is_repeated(&mut self, kind: &str, name: &str, said: &impl Hash) -> Result<bool, Fault> {
        let mut hasher = DefaultHasher::new();
        said.hash(&mut hasher);
        let digest = hasher.finish();
        match self.digests.insert(format!("{kind} {name}"), digest) {
            None => Ok(false),
            Some(before) if before == digest => {
                self.summary.count(Finding::RepeatedObject, 1);
                Ok(true)
            }
            Some(_) => {
                let why = format!("another {kind} has this name and says something else: keep one");
                Err(Fault::new("metadata.name", why))
            }
        }
    }

    fn service(&mut self, object: ServiceObject) -> Result<(), Fault> {
        let ServiceObject { metadata, spec, status } = object;
        let (namespace, name) = names(&metadata)?;
        let namespaced = format!("{namespace}/{name}");
        let labels = metadata.labels.unwrap_or_default();
        let vip = if spec.kind.as_deref() == Some("ExternalName") {
            Err(Finding::ExternalName)
        } else if spec.cluster_ip.as_deref() == Some("None") {
            Err(Finding::Headless)
        } else if labels.service_proxy_name.is_some() {
            Err(Finding::OtherProxy)
        } else {
            vip(&spec)?
        };
        let (vip, has_ipv6) = match vip {
            Ok(vip) => vip,
            Err(finding) => {
                if !self.is_repeated("Service", &namespaced, &finding)? {
                    self.summary.count(finding, 1);
                    self.passed_over.insert(namespaced);
                }
                return Ok(());
            }
        };
        let ports = ports(&namespace, &name, spec.ports.as_deref().unwrap_or_default())?;
        let (external_ips, further) = addresses("spec.externalIPs", spec.external_ips.as_deref())?;
        let seen = SeenService { name: namespaced, vip, external_ips, ports };
        if self.is_repeated("Service", &seen.name, &seen)? {
            return Ok(());
        }
        self.count_features(&spec);
        self.summary.count(Finding::Ipv6ClusterIp, usize::from(has_ipv6));
        self.summary.count(Finding::Ipv6ExternalIp, further);
        let ingress = status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
        let is_programmed = |ingress: &&Ingress| {
            ingress.ip.is_some() && ingress.ip_mode.as_deref() != Some("Proxy")
        };
        let ingress = ingress.iter().filter(is_programmed).count();
        self.summary.count(Finding::LoadBalancerIp, ingress);
        self.ports += seen.ports.len();
        self.services.push((seen, self.place.clone()));
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
        let (namespace, name) = names(&object.metadata)?;
        let label =
            object.metadata.labels.as_ref().and_then(|labels| labels.service_name.as_deref());
        let Some(service) = label.filter(|label| !label.is_empty()) else {
            self.summary.count(Finding::SliceWithoutService, 1);
            return Ok(());
        };
        let other = match object.address_type.as_deref() {
            Some("IPv4") => None,
            Some("IPv6") => Some(Finding::Ipv6Slice),
            Some("FQDN") => Some(Finding::FqdnSlice),
            _ => return Err(Fault::new("addressType", "must be IPv4, IPv6 or FQDN")),
        };
        if let Some(finding) = other {
            self.summary.count(finding, 1);
            return Ok(());
        }
        let endpoints = object.endpoints.as_deref().unwrap_or_default();
        let seen = SeenSlice {
            ports: slice_ports("ports", object.ports.as_deref().unwrap_or_default())?,
            endpoints: endpoints.iter().enumerate().map(endpoint).collect::<Result<_, Fault>>()?,
        };
        if self.is_repeated("EndpointSlice", &format!("{namespace}/{name}"), &(service, &seen))? {
            return Ok(());
        }
        let further = |endpoint: &SliceEndpoint| {
            endpoint.addresses.as_ref().map_or(0, |addresses| addresses.len().saturating_sub(1))
        };
        let is_hinted =
            |endpoint: &&SliceEndpoint| endpoint.hints.as_ref().is_some_and(Hints::are_given);
        let without_number = object.ports.iter().flatten().filter(|port| port.port.is_none());
        self.summary.count(Finding::FurtherAddress, endpoints.iter().map(further).sum());
        self.summary.count(Finding::TopologyHints, endpoints.iter().filter(is_hinted).count());
        self.summary.count(Finding::SlicePortWithoutNumber, without_number.count());
        self.slices.entry(format!("{namespace}/{service}")).or_default().push(seen);
        Ok(())
    }

    fn endpoints(&mut self, object: &EndpointsObject) -> Result<(), Fault> {
        let (namespace, name) = names(&object.metadata)?;
        let name = format!("{namespace}/{name}");
        let mut of_ipv6 = 0;
        let subsets = object.subsets.iter().flatten().enumerate();
        let subsets = subsets
            .map(|(at, given)| subset(&format!("subsets[{at}]"), given, &mut of_ipv6))
            .collect::<Result<_, Fault>>()?;
        let annotations = object.metadata.annotations.as_ref();
        let is_truncated =
            annotations.is_some_and(|all| all.over_capacity.as_deref() == Some("truncated"));
        let seen = SeenEndpoints { subsets, is_truncated };
        if !self.is_repeated("Endpoints", &name, &seen)? {
            self.summary.count(Finding::Ipv6Endpoint, of_ipv6);
            self.endpoints.insert(name, seen);
        }
        Ok(())
    }
}

/// The first address counts, and must be there (`addEndpoints`, `pkg/proxy/endpointslicecache.go`).
fn endpoint((at, endpoint): (usize, &SliceEndpoint)) -> Result<(Ipv4Addr, State), Fault> {
    let field = format!("endpoints[{at}].addresses");
    let addresses = endpoint.addresses.as_deref().unwrap_or_default();
    let Some(first) = addresses.first() else {
        return Err(Fault::new(field, "is empty: an endpoint needs an address"));
    };
    let IpAddr::V4(first) = address(&format!("{field}[0]"), first)? else {
        return Err(Fault::new(field, "is of IPv6 in a slice of IPv4 addresses"));
    };
    Ok((first, State::of(endpoint.conditions.unwrap_or_default())))
}

/// Ports of a slice or subset that have a number.
fn slice_ports(field: &str, ports: &[SlicePort]) -> Result<Vec<(String, Protocol, u16)>, Fault> {
    let mut seen = Vec::new();
    for (at, SlicePort { name, protocol, port }) in ports.iter().enumerate() {
        match port {
            Some(0) => {
                let why = "is 0: write a port from 1 to 65535";
                return Err(Fault::new(format!("{field}[{at}].port"), why));
            }
            Some(port) => {
                let name = name.clone().unwrap_or_default();
                seen.push((name, ProtocolName::of(*protocol), *port));
            }
            None => {}
        }
    }
    Ok(seen)
}

/// A subset as the slice that a cluster makes of it (`pkg/controller/endpointslicemirroring`,
/// Kubernetes 1.35).
fn subset(field: &str, subset: &Subset, of_ipv6: &mut usize) -> Result<SeenSlice, Fault> {
    let mut endpoints = Vec::new();
    for (part, list, state) in [
        ("addresses", &subset.addresses, State::Ready),
        ("notReadyAddresses", &subset.not_ready_addresses, State::NotReady),
    ] {
        for (at, given) in list.iter().flatten().enumerate() {
            let field = format!("{field}.{part}[{at}].ip");
            match given.ip.as_deref().map(|ip| address(&field, ip)).transpose()? {
                Some(IpAddr::V4(address)) => endpoints.push((address, state)),
                Some(IpAddr::V6(_)) => *of_ipv6 += 1,
                None => return Err(Fault::new(field, "is missing")),
            }
        }
    }
    let ports = subset.ports.as_deref().unwrap_or_default();
    Ok(SeenSlice { ports: slice_ports(&format!("{field}.ports"), ports)?, endpoints })
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

/// The IPv4 cluster IP and whether there is one of IPv6 beside it, or why a Service is none of
/// ours.
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

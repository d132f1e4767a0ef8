//! From one Kubernetes object to the little of it that a Cluster needs. Objects are looked at one
//! by one; how they fit together is the business of `join`.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::de::DeserializeOwned;

use super::error::K8sError;
use super::json::ListHead;
use super::objects::{
    AffinityConfig, Conditions, EndpointsObject, Head, Hints, Identity, Ingress, Metadata,
    ProtocolName, ServiceObject, ServicePort, ServiceSpec, SliceEndpoint, SliceObject, SlicePort,
    StatusObject, Subset,
};
use super::summary::{BadObject, Finding, ImportSummary, Place};
use crate::endpoint::EndpointState;
use crate::error::ClusterError;
use crate::extras::{Extras, TrafficPolicy};
use crate::family::Family;
use crate::service::Protocol;
use crate::service_name::ServiceName;
use crate::spec::MAX_SERVICES;
use crate::words::in_words;

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

/// How long `ClientIP` affinity lasts where nothing is said
/// (`DefaultClientIPServiceAffinitySeconds`, `pkg/apis/core/types.go`, Kubernetes 1.35).
const AFFINITY_DEFAULT_S: u32 = 10_800;

/// Most objects of an import, of any kind.
const MAX_OBJECTS: u64 = 10_000_000;

/// Most frontends and source ranges of all Service ports, and most Endpoints of all slice ports. An
/// object has ports times addresses of them, so its length alone does not bound memory.
const MAX_FRONTENDS: usize = 10_000_000;
const MAX_ENDPOINTS: usize = 50_000_000;

/// A Service object with a cluster IP.
#[derive(Debug, Hash)]
pub(super) struct SeenService {
    /// `namespace/name`.
    pub name: String,
    /// The cluster IP of each family, and what all ports have beyond it.
    pub families: Vec<(IpAddr, Extras)>,
    pub ports: Vec<SeenPort>,
}

#[derive(Debug, Hash)]
pub(super) struct SeenPort {
    pub name: ServiceName,
    pub port: u16,
    pub protocol: Protocol,
    pub node_port: Option<u16>,
}

/// An `EndpointSlice`, or the addresses of one family in a subset of an `Endpoints` object.
#[derive(Debug, Hash)]
pub(super) struct SeenSlice {
    pub family: Family,
    pub ports: Vec<(String, Protocol, u16)>,
    pub endpoints: Vec<SeenEndpoint>,
}

/// One Endpoint of a slice, before it is known which node is looked from.
#[derive(Debug, Hash)]
pub(super) struct SeenEndpoint {
    pub address: IpAddr,
    pub state: EndpointState,
    pub node: Option<Arc<str>>,
    pub zone: Option<Arc<str>>,
    pub hints: Option<Box<Hints>>,
}

/// An `Endpoints` object.
#[derive(Debug, Hash)]
pub(super) struct SeenEndpoints {
    pub subsets: Vec<SeenSlice>,
    pub is_truncated: bool,
}

/// A condition that is not given counts as good (`newEndpointSliceInfo`,
/// `pkg/proxy/endpointslicecache.go`, Kubernetes 1.35).
fn state_of(conditions: Conditions) -> EndpointState {
    let Conditions { ready, serving, terminating } = conditions;
    if ready.unwrap_or(true) {
        EndpointState::Ready
    } else if serving.unwrap_or(true) && terminating.unwrap_or(false) {
        EndpointState::Terminating
    } else {
        EndpointState::NotReady
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
    /// Names of nodes and zones, each once.
    names: HashSet<Arc<str>>,
    /// A hash of what each object says, by kind and name, to find one that is there twice.
    digests: HashMap<String, u64>,
    objects: u64,
    ports: usize,
    frontends: usize,
    slice_endpoints: usize,
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
        for (count, most, what) in [
            (self.ports, MAX_SERVICES as usize, "Service ports"),
            (self.frontends, MAX_FRONTENDS, "addresses of Service ports"),
            (self.slice_endpoints, MAX_ENDPOINTS, "endpoints of ports"),
        ] {
            if count > most {
                let text = format!("there are more than {most} {what}: import parts");
                return Err(K8sError::TooMany(text));
            }
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
        let finding = if spec.kind.as_deref() == Some("ExternalName") {
            Some(Finding::ExternalName)
        } else if spec.cluster_ip.as_deref() == Some("None") {
            Some(Finding::Headless)
        } else if labels.service_proxy_name.is_some() {
            Some(Finding::OtherProxy)
        } else if spec.cluster_ip.as_deref().is_none_or(str::is_empty) {
            Some(Finding::NoClusterIp)
        } else {
            None
        };
        if let Some(finding) = finding {
            if !self.is_repeated("Service", &namespaced, &finding)? {
                self.summary.count(finding, 1);
                self.passed_over.insert(namespaced);
            }
            return Ok(());
        }
        let ports = ports(&namespace, &name, spec.ports.as_deref().unwrap_or_default())?;
        let ingress = status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
        let (families, repeated) = families(&spec, &ingress)?;
        let seen = SeenService { name: namespaced, families, ports };
        if self.is_repeated("Service", &seen.name, &seen)? {
            return Ok(());
        }
        self.summary.count(Finding::RepeatedAddress, repeated);
        self.ports += seen.ports.len() * seen.families.len();
        let addresses = seen.families.iter().map(|(_, extras)| {
            let Extras { external_ips, load_balancer_ips, source_ranges, .. } = extras;
            1 + external_ips.len() + load_balancer_ips.len() + source_ranges.len()
        });
        self.frontends += addresses.sum::<usize>() * seen.ports.len();
        self.services.push((seen, self.place.clone()));
        Ok(())
    }

    fn slice(&mut self, object: &SliceObject) -> Result<(), Fault> {
        let (namespace, name) = names(&object.metadata)?;
        let label =
            object.metadata.labels.as_ref().and_then(|labels| labels.service_name.as_deref());
        let Some(service) = label.filter(|label| !label.is_empty()) else {
            self.summary.count(Finding::SliceWithoutService, 1);
            return Ok(());
        };
        let family = match object.address_type.as_deref() {
            Some("IPv4") => Family::V4,
            Some("IPv6") => Family::V6,
            Some("FQDN") => {
                self.summary.count(Finding::FqdnSlice, 1);
                return Ok(());
            }
            _ => return Err(Fault::new("addressType", "must be IPv4, IPv6 or FQDN")),
        };
        let endpoints = object.endpoints.as_deref().unwrap_or_default();
        let taken = endpoints.iter().enumerate().map(|(at, one)| self.endpoint(family, at, one));
        let seen = SeenSlice {
            family,
            endpoints: taken.collect::<Result<_, Fault>>()?,
            ports: slice_ports("ports", object.ports.as_deref().unwrap_or_default())?,
        };
        if self.is_repeated("EndpointSlice", &format!("{namespace}/{name}"), &(service, &seen))? {
            return Ok(());
        }
        let further = |endpoint: &SliceEndpoint| {
            endpoint.addresses.as_ref().map_or(0, |addresses| addresses.len().saturating_sub(1))
        };
        let without_number = object.ports.iter().flatten().filter(|port| port.port.is_none());
        self.summary.count(Finding::FurtherAddress, endpoints.iter().map(further).sum());
        self.summary.count(Finding::SlicePortWithoutNumber, without_number.count());
        self.slice_endpoints += seen.ports.len() * seen.endpoints.len();
        self.slices.entry(format!("{namespace}/{service}")).or_default().push(seen);
        Ok(())
    }

    fn endpoints(&mut self, object: &EndpointsObject) -> Result<(), Fault> {
        let (namespace, name) = names(&object.metadata)?;
        let name = format!("{namespace}/{name}");
        let mut subsets = Vec::new();
        for (at, given) in object.subsets.iter().flatten().enumerate() {
            self.subset(&format!("subsets[{at}]"), given, &mut subsets)?;
        }
        let annotations = object.metadata.annotations.as_ref();
        let is_truncated =
            annotations.is_some_and(|all| all.over_capacity.as_deref() == Some("truncated"));
        let seen = SeenEndpoints { subsets, is_truncated };
        if !self.is_repeated("Endpoints", &name, &seen)? {
            self.endpoints.insert(name, seen);
        }
        Ok(())
    }

    /// The first address counts, and must be there (`addEndpoints`,
    /// `pkg/proxy/endpointslicecache.go`).
    fn endpoint(
        &mut self,
        family: Family,
        at: usize,
        endpoint: &SliceEndpoint,
    ) -> Result<SeenEndpoint, Fault> {
        let field = format!("endpoints[{at}].addresses");
        let addresses = endpoint.addresses.as_deref().unwrap_or_default();
        let Some(first) = addresses.first() else {
            return Err(Fault::new(field, "is empty: an endpoint needs an address"));
        };
        let address = address(&format!("{field}[0]"), first)?;
        if Family::of(address) != family {
            let why = format!("is of {} in a slice of {family} addresses", Family::of(address));
            return Err(Fault::new(field, why));
        }
        Ok(SeenEndpoint {
            address,
            state: state_of(endpoint.conditions.unwrap_or_default()),
            node: self.name(endpoint.node_name.as_deref()),
            zone: self.name(endpoint.zone.as_deref()),
            hints: endpoint.hints.clone().map(Box::new),
        })
    }

    /// A subset as the slices that a cluster makes of it (`pkg/controller/endpointslicemirroring`,
    /// Kubernetes 1.35), one a family.
    fn subset(
        &mut self,
        field: &str,
        subset: &Subset,
        slices: &mut Vec<SeenSlice>,
    ) -> Result<(), Fault> {
        let mut endpoints = Vec::new();
        for (part, list, state) in [
            ("addresses", &subset.addresses, EndpointState::Ready),
            ("notReadyAddresses", &subset.not_ready_addresses, EndpointState::NotReady),
        ] {
            for (at, given) in list.iter().flatten().enumerate() {
                let field = format!("{field}.{part}[{at}].ip");
                let ip = given.ip.as_deref().ok_or_else(|| Fault::new(&*field, "is missing"))?;
                let (address, node) = (address(&field, ip)?, self.name(given.node_name.as_deref()));
                endpoints.push(SeenEndpoint { address, state, node, zone: None, hints: None });
            }
        }
        let ports =
            slice_ports(&format!("{field}.ports"), subset.ports.as_deref().unwrap_or_default())?;
        let is_six = |endpoint: &SeenEndpoint| Family::of(endpoint.address) == Family::V6;
        let (six, four): (Vec<_>, Vec<_>) = endpoints.into_iter().partition(is_six);
        self.slice_endpoints += ports.len() * (four.len() + six.len());
        for (family, endpoints) in [(Family::V4, four), (Family::V6, six)] {
            slices.push(SeenSlice { family, ports: ports.clone(), endpoints });
        }
        Ok(())
    }

    /// One of few names that many Endpoints have.
    fn name(&mut self, name: Option<&str>) -> Option<Arc<str>> {
        let name = name.filter(|name| !name.is_empty())?;
        if let Some(there) = self.names.get(name) {
            return Some(there.clone());
        }
        let added: Arc<str> = name.into();
        self.names.insert(added.clone());
        Some(added)
    }
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

/// An object from its text; the error names the field.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    // Keeping track of the field takes longer than reading does.
    if let Ok(object) = serde_json::from_str(text) {
        return Ok(object);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        // Lines and columns count from where the object begins, which helps nobody.
        let why = error.inner().to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        Fault::new(if field == "." { String::new() } else { field }, in_words(why))
    })
}

fn names(metadata: &Metadata) -> Result<(String, String), Fault> {
    let part = |field: &str, value: &Option<String>| {
        let given = value.clone().filter(|text| !text.is_empty());
        given.ok_or_else(|| Fault::new(format!("metadata.{field}"), "is missing"))
    };
    Ok((part("namespace", &metadata.namespace)?, part("name", &metadata.name)?))
}

/// The cluster IPs, one a family (`GetClusterIPByFamily`, `pkg/proxy/util/utils.go`, Kubernetes
/// 1.35).
fn cluster_ips(spec: &ServiceSpec) -> Result<Vec<IpAddr>, Fault> {
    let mut vips = addresses("spec.clusterIPs", spec.cluster_ips.as_deref())?;
    if vips.is_empty() {
        vips = vec![address("spec.clusterIP", spec.cluster_ip.as_deref().unwrap_or_default())?];
    }
    match vips[..] {
        [_] => Ok(vips),
        [first, second] if Family::of(first) != Family::of(second) => Ok(vips),
        _ => Err(Fault::new("spec.clusterIPs", "has more than one address of a family: keep one")),
    }
}

/// The addresses of load balancers that a proxy programs, and how many of them it has anyway:
/// providers name an address twice, or people make an external IP of it.
fn load_balancer_ips(
    ingress: &[Ingress],
    others: &[IpAddr],
) -> Result<(Vec<IpAddr>, usize), Fault> {
    let is_programmed = |ingress: &&Ingress| ingress.ip_mode.as_deref() != Some("Proxy");
    let given = ingress.iter().filter(is_programmed).filter_map(|ingress| ingress.ip.as_deref());
    let given = given.filter(|text| !text.is_empty());
    let given = given.map(|text| address("status.loadBalancer.ingress", text));
    let given: Vec<IpAddr> = given.collect::<Result<_, Fault>>()?;
    let mut there: HashSet<IpAddr> = others.iter().copied().collect();
    let new: Vec<IpAddr> = given.iter().copied().filter(|&one| there.insert(one)).collect();
    let repeated = given.len() - new.len();
    Ok((new, repeated))
}

/// The cluster IP of each family, and what all ports have beyond it; what is of another family goes
/// to that one (`newBaseServiceInfo`, `pkg/proxy/serviceport.go`, Kubernetes 1.35). Then how many
/// addresses were there twice.
fn families(
    spec: &ServiceSpec,
    ingress: &[Ingress],
) -> Result<(Vec<(IpAddr, Extras)>, usize), Fault> {
    let vips = cluster_ips(spec)?;
    let external_ips = addresses("spec.externalIPs", spec.external_ips.as_deref())?;
    let (load_balancer_ips, repeated) =
        load_balancer_ips(ingress, &[&vips[..], &external_ips].concat())?;
    let source_ranges = source_ranges(spec)?;
    let policy = |field: &Option<String>| match field.as_deref() {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    };
    let timeout = |config: &AffinityConfig| config.client_ip.as_ref()?.timeout_seconds;
    let is_sticky = spec.session_affinity.as_deref() == Some("ClientIP");
    let affinity_s = spec.session_affinity_config.as_ref().and_then(timeout);
    let of_family = |vip: IpAddr| {
        let family = Family::of(vip);
        let own = |addresses: &[IpAddr]| -> Vec<IpAddr> {
            addresses.iter().copied().filter(|&one| Family::of(one) == family).collect()
        };
        let is_own = |range: &&IpNet| Family::of(range.addr()) == family;
        let extras = Extras {
            node_port: None,
            external_ips: own(&external_ips),
            load_balancer_ips: own(&load_balancer_ips),
            source_ranges: source_ranges.iter().filter(is_own).copied().collect(),
            affinity_s: is_sticky.then(|| affinity_s.unwrap_or(AFFINITY_DEFAULT_S)),
            internal_policy: policy(&spec.internal_traffic_policy),
            external_policy: policy(&spec.external_traffic_policy),
            // Port 0 is how a client asks for any.
            health_check_node_port: spec.health_check_node_port.filter(|&port| port != 0),
        };
        (vip, extras)
    };
    Ok((vips.into_iter().map(of_family).collect(), repeated))
}

fn source_ranges(spec: &ServiceSpec) -> Result<Vec<IpNet>, Fault> {
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    let range = |(at, text): (usize, &String)| {
        // Blanks around it are allowed (`GetSourceRanges`, `pkg/apis/core/v1/service/util.go`), and
        // what is behind the prefix is not looked at.
        text.trim().parse::<IpNet>().map(|range| range.trunc()).map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            let field = format!("spec.loadBalancerSourceRanges[{at}]");
            Fault::new(field, format!("{shown:?} is not a range of addresses"))
        })
    };
    ranges.iter().enumerate().map(range).collect()
}

fn ports(namespace: &str, name: &str, ports: &[ServicePort]) -> Result<Vec<SeenPort>, Fault> {
    if ports.is_empty() {
        return Err(Fault::new("spec.ports", "is empty: a Service with a cluster IP needs a port"));
    }
    let mut port_names = HashSet::new();
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
        if !port_names.insert(port_name.to_owned()) {
            return Err(Fault::new(field("name"), "another port has this name: rename one"));
        }
        let number = port.port.ok_or_else(|| Fault::new(field("port"), "is missing"))?;
        // Node port 0 is how a client asks for any; a stored object does not have it.
        let node_port = port.node_port.filter(|&node_port| node_port != 0);
        Ok(SeenPort { name, port: number, protocol: ProtocolName::of(port.protocol), node_port })
    };
    ports.iter().enumerate().map(seen).collect()
}

/// An IPv4 address written as an IPv6 one is the former, as to Go.
fn address(field: &str, text: &str) -> Result<IpAddr, Fault> {
    text.parse().map(|address: IpAddr| address.to_canonical()).map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        Fault::new(field, format!("{shown:?} is not an IP address"))
    })
}

fn addresses(field: &str, list: Option<&[String]>) -> Result<Vec<IpAddr>, Fault> {
    let list = list.unwrap_or_default().iter().enumerate();
    list.map(|(at, text)| address(&format!("{field}[{at}]"), text)).collect()
}

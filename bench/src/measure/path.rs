//! The path of a cell's connections: through which topology, from whom, to which frontend, in which
//! family, and how IPVS gets them to an Endpoint.
//!
//! Says which lab a path needs and which Services it can be dialled by; makes neither.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use generators::{Families, Family, FrontendKind, Protocol, Service, SyntheticSpec, TrafficPolicy};
use lab::IpNet;
use lab::topology::{Preset, Ranges, Shape, Source, TopologyError};
use proxies::Descriptor;
use proxies::ipvs::Forwarding;
use serde::{Deserialize, Serialize};

/// Endpoint pods of each node: as many namespaces with Endpoints as the star has.
const ENDPOINT_PODS: usize = 2;

/// What joins the hosts of a lab.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Topology {
    /// A client that stands for the node's pods, the node, hosts with Endpoints; IPv4.
    #[default]
    Star,
    /// A machine outside, a node and its pods.
    OneNode,
    /// The same with another node, whose pods the Endpoints are.
    TwoNodes,
    /// The same with an IPIP tunnel between the nodes for IPv4.
    TwoNodesIpip,
}

impl Topology {
    /// The preset's shape; the star is none.
    const fn shape(self) -> Option<Shape> {
        match self {
            Self::Star => None,
            Self::OneNode => Some(Shape::OneNode),
            Self::TwoNodes => Some(Shape::TwoNodes),
            Self::TwoNodesIpip => Some(Shape::TwoNodesIpip),
        }
    }
}

/// How the connections of a cell get to a Service. Every key has a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathSpec {
    /// What joins the hosts. Default `"star"`.
    pub topology: Topology,
    /// Who dials. Default `"pod"`.
    pub source: Source,
    /// What is dialled: the first of its kind, a node port at the node's own address. Default
    /// `"cluster-ip"`.
    pub frontend: FrontendKind,
    /// Its address family. Default `"ipv4"`.
    pub family: Family,
    /// How IPVS gets packets to Endpoints; by other ways than `"nat"`, which translates, they
    /// answer from the VIP. Default `"nat"`.
    pub forwarding: Forwarding,
}

impl Default for PathSpec {
    fn default() -> Self {
        Self {
            topology: Topology::Star,
            source: Source::Pod,
            frontend: FrontendKind::ClusterIp,
            family: Family::V4,
            forwarding: Forwarding::Nat,
        }
    }
}

impl From<PathSpec> for results::Path {
    fn from(path: PathSpec) -> Self {
        let PathSpec { topology, source, frontend, family, forwarding } = path;
        Self {
            topology: topology.to_string(),
            source: source.to_string(),
            frontend: frontend.to_string(),
            family: family.to_string().to_lowercase(),
            forwarding: forwarding.as_str().to_owned(),
        }
    }
}

impl PathSpec {
    /// Whether it is that of every cell where a scenario names none.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether addresses are translated on it.
    pub fn translates(self) -> bool {
        self.forwarding == Forwarding::Nat
    }

    /// Whether a proxy can have connections take it. The control has no forwarding at all.
    pub fn suits(self, proxy: &Descriptor) -> bool {
        proxy.forwarding.contains(&self.forwarding) || proxy.is_control()
    }

    /// Whether the Endpoints are pods of the other node. With two nodes every connection crosses
    /// the hop between them: towards the Endpoint, or from a client that is there itself.
    const fn has_remote_endpoints(self) -> bool {
        let has_other_node = matches!(self.topology, Topology::TwoNodes | Topology::TwoNodesIpip);
        has_other_node && !matches!(self.source, Source::OtherNodePod)
    }

    /// The preset of the lab, with the ranges of a Cluster; nothing for the star.
    pub fn preset(self, cluster: &SyntheticSpec) -> Option<Preset> {
        let (services, pods) = (cluster.service_cidr.into(), cluster.endpoint_cidr.into());
        let (services_v6, pods_v6) =
            (cluster.service_cidr_v6.into(), cluster.endpoint_cidr_v6.into());
        Some(Preset {
            endpoint_pods: ENDPOINT_PODS,
            ipv4: Ranges { services, pods, ..Ranges::IPV4 },
            ipv6: Ranges { services: services_v6, pods: pods_v6, ..Ranges::IPV6 },
            ..Preset::new(self.topology.shape()?)
        })
    }

    /// A Cluster with its Endpoints where this path's lab has them.
    ///
    /// # Errors
    /// Ranges that the lab cannot carry.
    pub fn fitted(self, cluster: &SyntheticSpec) -> Result<SyntheticSpec, TopologyError> {
        let mut fitted = cluster.clone();
        let Some(preset) = self.preset(cluster) else { return Ok(fitted) };
        let is_remote = self.has_remote_endpoints();
        for range in preset.endpoints(is_remote)? {
            match range {
                IpNet::V4(range) => fitted.endpoint_cidr = range,
                IpNet::V6(range) => fitted.endpoint_cidr_v6 = range,
            }
        }
        fitted.remote_endpoints = if is_remote { 1.0 } else { 0.0 };
        Ok(fitted)
    }

    /// Whether a client can open a connection to a Service by this path.
    pub fn reaches(self, service: &Service) -> bool {
        service.protocol() == Protocol::Tcp
            && service.family() == self.family
            && self.is_answered(service)
            && self.has_frontend(service)
    }

    /// Whether any Endpoint answers there. Asked before each connection, so it takes no memory.
    fn is_answered(self, service: &Service) -> bool {
        !service.targets().under(self.policy(service)).is_empty()
    }

    fn has_frontend(self, service: &Service) -> bool {
        // Not all sources are among those that source ranges admit.
        let admits_all = self.frontend != FrontendKind::LoadBalancerIp
            || service.extras().source_ranges.is_empty();
        admits_all && service.frontends().any(|frontend| frontend.kind == self.frontend)
    }

    /// The Endpoints that traffic may go to: pods of the node and the node itself reach those of
    /// every node at external frontends too ("Redirect pods trying to reach external
    /// loadbalancer VIP to clusterIP", `syncProxyRules` in `pkg/proxy/iptables/proxier.go`,
    /// Kubernetes 1.36).
    fn policy(self, service: &Service) -> TrafficPolicy {
        let is_external = self.frontend != FrontendKind::ClusterIp;
        match self.source {
            Source::Pod | Source::Node if is_external => TrafficPolicy::Cluster,
            _ => service.policy_of(self.frontend),
        }
    }

    /// Where the Endpoints that answer listen.
    pub fn answering(self, service: &Service) -> Vec<SocketAddr> {
        let targets = service.targets();
        let endpoints = targets.under(self.policy(service)).iter();
        endpoints.map(generators::Endpoint::socket).collect()
    }

    /// Checks that there can be such connections with Clusters of this shape.
    ///
    /// # Errors
    /// What does not go together, with the remedy.
    pub fn check(self, cluster: &SyntheticSpec) -> anyhow::Result<()> {
        self.check_source()?;
        self.check_forwarding(cluster)?;
        let wanted = match self.family {
            Family::V4 => Families::Ipv4,
            Family::V6 => Families::Ipv6,
        };
        ensure!(
            [wanted, Families::Dual].contains(&cluster.families),
            "family = \"{}\": the Cluster has no Service of it; write cluster.families = \"dual\"",
            results::Path::from(self).family
        );
        let Some(preset) = self.preset(cluster) else { return Ok(()) };
        ensure!(
            cluster.remote_endpoints == 0.0,
            "topology = \"{}\" has its Endpoints on one node; leave cluster.remote_endpoints out",
            self.topology
        );
        preset.validate().context("[cluster] does not fit into the lab")?;
        self.fitted(cluster)?.validate().with_context(|| {
            format!("[cluster] does not fit into topology {}, whose endpoint pods of one node have a quarter of each range of Endpoints", self.topology)
        })
    }

    /// Endpoints that answer by themselves need the port that was dialled, the VIP that it was
    /// dialled at, and the client's address.
    fn check_forwarding(self, cluster: &SyntheticSpec) -> anyhow::Result<()> {
        if self.translates() {
            return Ok(());
        }
        let name = self.forwarding.as_str();
        ensure!(
            (self.source, self.frontend, self.family)
                == (Source::Pod, FrontendKind::ClusterIp, Family::V4),
            "forwarding = \"{name}\": Endpoints hold cluster IPs of IPv4, and answer pods, which are \
             not masqueraded; leave source, frontend and family out"
        );
        ensure!(
            self.forwarding != Forwarding::DirectRoute || self.topology == Topology::OneNode,
            "forwarding = \"{name}\" reaches Endpoints on a link of the node; write topology = \
             \"one-node\""
        );
        ensure!(
            cluster.port == cluster.target_port,
            "forwarding = \"{name}\" keeps the port; write cluster.target_port = {}",
            cluster.port
        );
        Ok(())
    }

    fn check_source(self) -> anyhow::Result<()> {
        ensure!(
            self.topology != Topology::Star || self.is_usual(),
            "topology = \"star\" has clients that stand for pods, and dials cluster IPs of IPv4; \
             write topology = \"one-node\", \"two-nodes\" or \"two-nodes-ipip\""
        );
        ensure!(
            self.source != Source::Endpoint,
            "source = \"endpoint\": no load comes from Endpoints; write \"outside\", \"pod\", \
             \"node\" or \"other-node-pod\""
        );
        ensure!(
            self.source != Source::OtherNodePod || self.topology != Topology::OneNode,
            "source = \"other-node-pod\": there is one node; write topology = \"two-nodes\" or \
             \"two-nodes-ipip\""
        );
        Ok(())
    }
}

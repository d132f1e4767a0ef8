//! The path of a cell's connections: through which topology, from whom, to which frontend, in which
//! family.
//!
//! Says which lab a path needs and which Services it can be dialled by; makes neither.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use generators::{Extras, Families, Family, Protocol, Service, SyntheticSpec, TrafficPolicy};
use lab::IpNet;
use lab::topology::{Preset, Ranges, Shape, Source, TopologyError};
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

/// One of the addresses and ports at which a Service answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Frontend {
    /// Its cluster IP at its port.
    #[default]
    ClusterIp,
    /// The node's own address at its node port.
    NodePort,
    /// Its first external IP at its port.
    ExternalIp,
    /// Its first load balancer's address at its port.
    LoadBalancerIp,
}

/// How the connections of a cell get to a Service. Every key has a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathSpec {
    /// What joins the hosts. Default `"star"`.
    pub topology: Topology,
    /// Who dials. Default `"pod"`.
    pub source: Source,
    /// What is dialled. Default `"cluster-ip"`.
    pub frontend: Frontend,
    /// Its address family. Default `"ipv4"`.
    pub family: Family,
}

impl Default for PathSpec {
    fn default() -> Self {
        Self {
            topology: Topology::Star,
            source: Source::Pod,
            frontend: Frontend::ClusterIp,
            family: Family::V4,
        }
    }
}

impl From<PathSpec> for results::Path {
    fn from(path: PathSpec) -> Self {
        let PathSpec { topology, source, frontend, family } = path;
        Self {
            topology: topology.to_string(),
            source: source.to_string(),
            frontend: frontend.to_string(),
            family: family.to_string().to_lowercase(),
        }
    }
}

impl PathSpec {
    /// Whether it is that of every cell where a scenario names none.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
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
            && self.has_frontend(service.extras())
    }

    /// Whether any Endpoint answers there. Asked before each connection, so it takes no memory.
    fn is_answered(self, service: &Service) -> bool {
        !service.targets().under(self.policy(service.extras())).is_empty()
    }

    fn has_frontend(self, extras: &Extras) -> bool {
        match self.frontend {
            Frontend::ClusterIp => true,
            Frontend::NodePort => extras.node_port.is_some(),
            Frontend::ExternalIp => !extras.external_ips.is_empty(),
            // Not all sources are among those that source ranges admit.
            Frontend::LoadBalancerIp => {
                !extras.load_balancer_ips.is_empty() && extras.source_ranges.is_empty()
            }
        }
    }

    /// The Endpoints that traffic may go to: pods of the node and the node itself reach those of
    /// every node at external frontends too ("Redirect pods trying to reach external
    /// loadbalancer VIP to clusterIP", `syncProxyRules` in `pkg/proxy/iptables/proxier.go`,
    /// Kubernetes 1.36).
    fn policy(self, extras: &Extras) -> TrafficPolicy {
        match (self.frontend, self.source) {
            (Frontend::ClusterIp, _) => extras.internal_policy,
            (_, Source::Pod | Source::Node) => TrafficPolicy::Cluster,
            _ => extras.external_policy,
        }
    }

    /// Where the Endpoints that answer listen.
    pub fn answering(self, service: &Service) -> Vec<SocketAddr> {
        let targets = service.targets();
        let endpoints = targets.under(self.policy(service.extras())).iter();
        endpoints.map(generators::Endpoint::socket).collect()
    }

    /// What a client dials, on a node of this address.
    ///
    /// # Errors
    /// A Service without this frontend.
    pub fn address(self, service: &Service, node: Option<IpAddr>) -> anyhow::Result<SocketAddr> {
        let extras = service.extras();
        let address = match self.frontend {
            Frontend::ClusterIp => Some((service.vip(), service.port())),
            Frontend::NodePort => node.zip(extras.node_port),
            Frontend::ExternalIp => extras.external_ips.first().map(|ip| (*ip, service.port())),
            Frontend::LoadBalancerIp => {
                extras.load_balancer_ips.first().map(|ip| (*ip, service.port()))
            }
        };
        let missing = || format!("Service {} has no {}", service.id(), self.frontend);
        Ok(address.with_context(missing)?.into())
    }

    /// Checks that there can be such connections with Clusters of this shape.
    ///
    /// # Errors
    /// What does not go together, with the remedy.
    pub fn check(self, cluster: &SyntheticSpec) -> anyhow::Result<()> {
        self.check_source()?;
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

//! Frontends: every address and port at which a Service answers.

use std::net::IpAddr;

use crate::extras::TrafficPolicy;
use crate::family::Family;
use crate::service::{Protocol, Service};

/// What a frontend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrontendKind {
    /// The cluster IP.
    ClusterIp,
    /// An external IP.
    ExternalIp,
    /// An address of a load balancer.
    LoadBalancerIp,
    /// A port at every address of the node.
    NodePort,
}

/// One address and port at which a Service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frontend {
    /// What it is.
    pub kind: FrontendKind,
    /// Its address; nothing for a node port, which is at every address of the node.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

/// What no two frontends of a Cluster have in common.
pub(crate) type FrontendKey = (Family, Option<IpAddr>, u16, Protocol);

impl Service {
    /// Every frontend: the cluster IP first, a node port last.
    pub fn frontends(&self) -> impl Iterator<Item = Frontend> {
        let extras = self.extras();
        let port = self.port();
        let addresses = std::iter::once((FrontendKind::ClusterIp, self.vip()))
            .chain(extras.external_ips.iter().map(|&ip| (FrontendKind::ExternalIp, ip)))
            .chain(extras.load_balancer_ips.iter().map(|&ip| (FrontendKind::LoadBalancerIp, ip)));
        let node_port = extras.node_port;
        addresses.map(move |(kind, address)| Frontend { kind, address: Some(address), port }).chain(
            node_port.map(|port| Frontend { kind: FrontendKind::NodePort, address: None, port }),
        )
    }

    /// The policy for traffic to a frontend.
    pub fn policy_of(&self, kind: FrontendKind) -> TrafficPolicy {
        match kind {
            FrontendKind::ClusterIp => self.extras().internal_policy,
            _ => self.extras().external_policy,
        }
    }

    pub(crate) fn frontend_keys(&self) -> impl Iterator<Item = FrontendKey> {
        let (family, protocol) = (self.family(), self.protocol());
        self.frontends().map(move |one| (family, one.address, one.port, protocol))
    }
}

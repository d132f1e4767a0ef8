//! Frontends: every address and port at which a Service answers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::extras::TrafficPolicy;
use crate::family::Family;
use crate::service::{Protocol, Service};

/// What a frontend is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extras::Extras;

    fn full(vip: &str, [external, balanced]: [&str; 2]) -> Service {
        let (name, vip) = ("ns/a".parse().unwrap(), vip.parse().unwrap());
        let service = Service::new(name, vip, 80, Protocol::Tcp, vec![]).unwrap();
        let set = |extras: &mut Extras| {
            extras.external_ips = vec![external.parse().unwrap()];
            extras.load_balancer_ips = vec![balanced.parse().unwrap()];
            extras.node_port = Some(30_080);
            extras.external_policy = TrafficPolicy::Local;
        };
        service.with(set).unwrap()
    }

    #[test]
    fn a_service_answers_at_its_addresses_and_its_node_port() {
        for (vip, others) in
            [("10.96.0.1", ["192.0.2.1", "192.0.2.2"]), ("fd00::1", ["2001:db8::1", "2001:db8::2"])]
        {
            let service = full(vip, others);
            let frontends: Vec<Frontend> = service.frontends().collect();
            let at = |kind, address: &str| Frontend {
                kind,
                address: Some(address.parse().unwrap()),
                port: 80,
            };
            let node_port = Frontend { kind: FrontendKind::NodePort, address: None, port: 30_080 };
            let expected = [
                at(FrontendKind::ClusterIp, vip),
                at(FrontendKind::ExternalIp, others[0]),
                at(FrontendKind::LoadBalancerIp, others[1]),
                node_port,
            ];
            assert_eq!(frontends, expected);
            let policies = frontends.iter().map(|frontend| service.policy_of(frontend.kind));
            let (inside, outside) = (TrafficPolicy::Cluster, TrafficPolicy::Local);
            assert_eq!(policies.collect::<Vec<_>>(), [inside, outside, outside, outside]);
        }
    }

    #[test]
    fn frontends_of_two_families_are_never_the_same() {
        let four = full("10.96.0.1", ["192.0.2.1", "192.0.2.2"]);
        let six = full("fd00::1", ["2001:db8::1", "2001:db8::2"]);
        let keys: Vec<FrontendKey> = four.frontend_keys().chain(six.frontend_keys()).collect();
        assert_eq!(keys[3], (Family::V4, None, 30_080, Protocol::Tcp));
        assert_eq!(keys[7], (Family::V6, None, 30_080, Protocol::Tcp));
    }
}

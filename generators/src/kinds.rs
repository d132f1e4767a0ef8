//! Kinds of Services of a synthetic Cluster: what each has beyond a cluster IP.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::extras::{Extras, TrafficPolicy};
use crate::family::Family;
use crate::quantiles::Quantiles;

/// Where node ports and health check node ports come from: Kubernetes' usual first one, and as many
/// as there are.
pub(crate) const NODE_PORTS: RangeInclusive<u16> = 30_000..=u16::MAX;

/// How long session affinity lasts, seconds: Kubernetes' default.
const AFFINITY_S: u32 = 10_800;

/// Where external and load balancer addresses come from: what is set aside for benchmarks (RFC
/// 2544, RFC 5180).
pub(crate) const fn external_range(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::new(198, 18, 0, 0), 15)),
        Family::V6 => {
            IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48))
        }
    }
}

/// The clients that a load balancer with source ranges admits: private addresses (RFC 1918, RFC
/// 4193).
const fn admitted(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 0, 0, 0), 8)),
        Family::V6 => {
            IpNet::V6(Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 8))
        }
    }
}

/// Shares of the kinds of Services, as weights. One that is not named has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kinds {
    /// Weight of Services with a cluster IP alone.
    #[serde(default)]
    pub cluster_ip: u32,
    /// Weight of those with a node port.
    #[serde(default)]
    pub node_port: u32,
    /// Weight of those with an external IP.
    #[serde(default)]
    pub external_ip: u32,
    /// Weight of those with a load balancer's address and a node port.
    #[serde(default)]
    pub load_balancer: u32,
    /// Weight of those with a load balancer's address, which private addresses alone may use
    /// (10.0.0.0/8, `fd00::/8`), and a node port.
    #[serde(default)]
    pub source_ranges: u32,
    /// Weight of those with session affinity of three hours.
    #[serde(default)]
    pub affinity: u32,
    /// Weight of those with internalTrafficPolicy Local.
    #[serde(default)]
    pub internal_local: u32,
    /// Weight of those with externalTrafficPolicy Local, a load balancer's address, a node port and
    /// a health check node port.
    #[serde(default)]
    pub external_local: u32,
    /// Weight of those with a cluster IP and no Endpoint.
    #[serde(default)]
    pub without_endpoints: u32,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { cluster_ip: 1, ..Self::NONE }
    }
}

impl Kinds {
    /// Every kind with weight 0, to set those that are wanted.
    pub const NONE: Self = Self {
        cluster_ip: 0,
        node_port: 0,
        external_ip: 0,
        load_balancer: 0,
        source_ranges: 0,
        affinity: 0,
        internal_local: 0,
        external_local: 0,
        without_endpoints: 0,
    };

    /// Every kind with weight 1.
    pub const ONE_EACH: Self = Self {
        cluster_ip: 1,
        node_port: 1,
        external_ip: 1,
        load_balancer: 1,
        source_ranges: 1,
        affinity: 1,
        internal_local: 1,
        external_local: 1,
        without_endpoints: 1,
    };

    /// The distribution, ready to be dealt.
    pub(crate) fn quantiles(self) -> Quantiles<Kind> {
        let weights = [
            (Kind::ClusterIp, self.cluster_ip),
            (Kind::NodePort, self.node_port),
            (Kind::ExternalIp, self.external_ip),
            (Kind::LoadBalancer, self.load_balancer),
            (Kind::SourceRanges, self.source_ranges),
            (Kind::Affinity, self.affinity),
            (Kind::InternalLocal, self.internal_local),
            (Kind::ExternalLocal, self.external_local),
            (Kind::WithoutEndpoints, self.without_endpoints),
        ];
        Quantiles::new(weights.map(|(kind, weight)| (kind, weight.into())))
    }
}

/// What `services` Services of some kinds need of what is limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Node ports and health check node ports.
    pub node_ports: u64,
    /// External and load balancer addresses, of each family.
    pub addresses: u64,
    /// Services without Endpoints.
    pub without_endpoints: u32,
}

impl Needs {
    pub(crate) fn of(kinds: Kinds, services: u32) -> Self {
        // By far the most frequent, and a million ranks take a while.
        if kinds == (Kinds { cluster_ip: kinds.cluster_ip, ..Kinds::NONE }) {
            return Self::default();
        }
        let quantiles = kinds.quantiles();
        let mut needs = Self::default();
        for kind in (0..services).filter_map(|rank| quantiles.at_rank(rank, services)) {
            needs.node_ports += u64::from(kind.has_node_port());
            needs.node_ports += u64::from(kind == Kind::ExternalLocal);
            needs.addresses += u64::from(kind.has_address());
            needs.without_endpoints += u32::from(kind == Kind::WithoutEndpoints);
        }
        needs
    }
}

/// The kind of one Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ClusterIp,
    NodePort,
    ExternalIp,
    LoadBalancer,
    SourceRanges,
    Affinity,
    InternalLocal,
    ExternalLocal,
    WithoutEndpoints,
}

impl Kind {
    /// What it has in every family. `next_port` is asked for each port; nothing if it has none.
    pub(crate) fn extras(self, mut next_port: impl FnMut() -> Option<u16>) -> Option<Extras> {
        let mut extras = Extras::NONE;
        if self.has_node_port() {
            extras.node_port = Some(next_port()?);
        }
        match self {
            Self::Affinity => extras.affinity_s = Some(AFFINITY_S),
            Self::InternalLocal => extras.internal_policy = TrafficPolicy::Local,
            Self::ExternalLocal => {
                extras.external_policy = TrafficPolicy::Local;
                extras.health_check_node_port = Some(next_port()?);
            }
            _ => {}
        }
        Some(extras)
    }

    /// Adds the address that it has, and who may use it.
    pub(crate) fn add_address(self, address: IpAddr, extras: &mut Extras) {
        if self == Self::ExternalIp {
            extras.external_ips = vec![address];
            return;
        }
        extras.load_balancer_ips = vec![address];
        if self == Self::SourceRanges {
            extras.source_ranges = vec![admitted(Family::of(address))];
        }
    }

    /// Whether it has an external IP or a load balancer's address.
    pub(crate) const fn has_address(self) -> bool {
        matches!(
            self,
            Self::ExternalIp | Self::LoadBalancer | Self::SourceRanges | Self::ExternalLocal
        )
    }

    const fn has_node_port(self) -> bool {
        matches!(
            self,
            Self::NodePort | Self::LoadBalancer | Self::SourceRanges | Self::ExternalLocal
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kinds_need_is_counted_before_they_are_dealt() {
        assert_eq!(Needs::of(Kinds::default(), 1_000_000), Needs::default());
        let needs = Needs { node_ports: 5, addresses: 4, without_endpoints: 1 };
        assert_eq!(Needs::of(Kinds::ONE_EACH, 9), needs);
    }

    #[test]
    fn each_kind_has_what_it_is_named_after() {
        let quantiles = Kinds::ONE_EACH.quantiles();
        for family in Family::ALL {
            let mut addresses = external_range(family).hosts();
            let mut ports = NODE_PORTS;
            let mut made: Vec<Extras> = Vec::new();
            for kind in (0..9).filter_map(|rank| quantiles.at_rank(rank, 9)) {
                let mut extras = kind.extras(|| ports.next()).unwrap();
                if kind.has_address() {
                    kind.add_address(addresses.next().unwrap(), &mut extras);
                }
                made.push(extras);
            }
            let [plain, port, external, balanced, ranges, affinity, internal, local, without] =
                &made[..]
            else {
                panic!("nine kinds")
            };
            assert_eq!([plain, without], [&Extras::NONE; 2]);
            assert_eq!(*port, Extras { node_port: Some(30_000), ..Extras::NONE });
            assert_eq!((external.external_ips.len(), external.is_external()), (1, true));
            assert_eq!((balanced.load_balancer_ips.len(), balanced.node_port), (1, Some(30_001)));
            assert_eq!(ranges.source_ranges, [admitted(family)]);
            assert_eq!((ranges.load_balancer_ips.len(), ranges.node_port), (1, Some(30_002)));
            assert_eq!(*affinity, Extras { affinity_s: Some(10_800), ..Extras::NONE });
            let inside = TrafficPolicy::Local;
            assert_eq!(*internal, Extras { internal_policy: inside, ..Extras::NONE });
            assert_eq!((local.external_policy, local.load_balancer_ips.len()), (inside, 1));
            let both = (local.node_port, local.health_check_node_port);
            assert_eq!(both, (Some(30_003), Some(30_004)));
        }
    }

    #[test]
    fn a_kind_without_its_port_is_none() {
        assert_eq!(Kind::NodePort.extras(|| None), None);
        let mut one = [30_000].into_iter();
        assert_eq!(Kind::ExternalLocal.extras(|| one.next()), None);
        assert_eq!(Kind::Affinity.extras(|| None).map(|extras| extras.node_port), Some(None));
    }
}

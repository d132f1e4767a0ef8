//! The 17 sets that kube-proxy's IPVS mode keeps for each family: their names, types and comments,
//! and the entries that a sync wants in them. Runs no tool.
//!
//! `ipsetInfo` in pkg/proxy/ipvs/proxier.go, and pkg/proxy/ipvs/ipset.go, Kubernetes 1.36.

use std::collections::BTreeSet;

use generators::Family;

use crate::ipvs::sets::name_of;

/// One of the sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// Local Endpoints that reach themselves through a VIP.
    LoopBack,
    /// Cluster IPs.
    ClusterIp,
    /// External IPs.
    ExternalIp,
    /// External IPs under the policy Local.
    ExternalIpLocal,
    /// Addresses of load balancers.
    LoadBalancer,
    /// Those that only some clients may use.
    LoadBalancerFirewall,
    /// Those under the policy Local.
    LoadBalancerLocal,
    /// Those that the node may use, with themselves as the source.
    LoadBalancerSourceIp,
    /// Those that only some clients may use, with the ranges of these clients.
    LoadBalancerSourceRange,
    /// Node ports.
    NodePortTcp,
    /// Node ports under the policy Local.
    NodePortLocalTcp,
    /// Node ports.
    NodePortUdp,
    /// Node ports under the policy Local.
    NodePortLocalUdp,
    /// Addresses of the node with node ports.
    NodePortSctp,
    /// Addresses of the node with node ports under the policy Local.
    NodePortLocalSctp,
    /// Where load balancers ask for the health of the node.
    HealthCheckNodePort,
    /// Every address of the dummy link.
    IpvsIps,
}

impl Set {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Self; 17] = [
        Self::LoopBack,
        Self::ClusterIp,
        Self::ExternalIp,
        Self::ExternalIpLocal,
        Self::LoadBalancer,
        Self::LoadBalancerFirewall,
        Self::LoadBalancerLocal,
        Self::LoadBalancerSourceIp,
        Self::LoadBalancerSourceRange,
        Self::NodePortTcp,
        Self::NodePortLocalTcp,
        Self::NodePortUdp,
        Self::NodePortLocalUdp,
        Self::NodePortSctp,
        Self::NodePortLocalSctp,
        Self::HealthCheckNodePort,
        Self::IpvsIps,
    ];

    /// Its name in the kernel.
    pub fn name(self, family: Family) -> String {
        let purpose = match self {
            Self::LoopBack => "LOOP-BACK",
            Self::ClusterIp => "CLUSTER-IP",
            Self::ExternalIp => "EXTERNAL-IP",
            Self::ExternalIpLocal => "EXTERNAL-IP-LOCAL",
            Self::LoadBalancer => "LOAD-BALANCER",
            Self::LoadBalancerFirewall => "LOAD-BALANCER-FW",
            Self::LoadBalancerLocal => "LOAD-BALANCER-LOCAL",
            Self::LoadBalancerSourceIp => "LOAD-BALANCER-SOURCE-IP",
            Self::LoadBalancerSourceRange => "LOAD-BALANCER-SOURCE-CIDR",
            Self::NodePortTcp => "NODE-PORT-TCP",
            Self::NodePortLocalTcp => "NODE-PORT-LOCAL-TCP",
            Self::NodePortUdp => "NODE-PORT-UDP",
            Self::NodePortLocalUdp => "NODE-PORT-LOCAL-UDP",
            Self::NodePortSctp => "NODE-PORT-SCTP-HASH",
            Self::NodePortLocalSctp => "NODE-PORT-LOCAL-SCTP-HASH",
            Self::HealthCheckNodePort => "HEALTH-CHECK-NODE-PORT",
            Self::IpvsIps => "IPVS-IPS",
        };
        name_of(family, purpose)
    }

    /// What the rules that match it say of it.
    pub const fn comment(self) -> &'static str {
        match self {
            Self::LoopBack => {
                "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"
            }
            Self::ClusterIp => "Kubernetes service cluster ip + port for masquerade purpose",
            Self::ExternalIp => {
                "Kubernetes service external ip + port for masquerade and filter purpose"
            }
            Self::ExternalIpLocal => {
                "Kubernetes service external ip + port with externalTrafficPolicy=local"
            }
            Self::LoadBalancer => "Kubernetes service lb portal",
            Self::LoadBalancerFirewall => {
                "Kubernetes service load balancer ip + port for load balancer with sourceRange"
            }
            Self::LoadBalancerLocal => {
                "Kubernetes service load balancer ip + port with externalTrafficPolicy=local"
            }
            Self::LoadBalancerSourceIp => {
                "Kubernetes service load balancer ip + port + source IP for packet filter purpose"
            }
            Self::LoadBalancerSourceRange => {
                "Kubernetes service load balancer ip + port + source cidr for packet filter purpose"
            }
            Self::NodePortTcp => "Kubernetes nodeport TCP port for masquerade purpose",
            Self::NodePortLocalTcp => {
                "Kubernetes nodeport TCP port with externalTrafficPolicy=local"
            }
            Self::NodePortUdp => "Kubernetes nodeport UDP port for masquerade purpose",
            Self::NodePortLocalUdp => {
                "Kubernetes nodeport UDP port with externalTrafficPolicy=local"
            }
            Self::NodePortSctp => {
                "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'"
            }
            Self::NodePortLocalSctp => {
                "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash \
                 ip:port'"
            }
            Self::HealthCheckNodePort => "Kubernetes health check node port",
            Self::IpvsIps => "Addresses on the ipvs interface",
        }
    }

    /// Its type and sizes, as words for `ipset create`. `ipset save` prints the same, and what the
    /// kernel adds.
    pub fn properties(self, family: Family) -> String {
        let hash = match self {
            Self::LoopBack | Self::LoadBalancerSourceIp => "hash:ip,port,ip",
            Self::LoadBalancerSourceRange => "hash:ip,port,net",
            Self::IpvsIps => "hash:ip",
            Self::NodePortTcp
            | Self::NodePortLocalTcp
            | Self::NodePortUdp
            | Self::NodePortLocalUdp
            | Self::HealthCheckNodePort => return "bitmap:port range 0-65535".into(),
            _ => "hash:ip,port",
        };
        let family = match family {
            Family::V4 => "inet",
            Family::V6 => "inet6",
        };
        format!("{hash} family {family} hashsize 1024 maxelem 65536")
    }
}

/// The entries of every set, in the words of `ipset`: `10.96.0.1,tcp:80`.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries([BTreeSet<String>; Set::ALL.len()]);

impl Entries {
    /// Those of one set.
    pub fn of(&self, set: Set) -> &BTreeSet<String> {
        &self.0[set as usize]
    }

    /// Adds one, if it is not there.
    pub fn insert(&mut self, set: Set, entry: impl Into<String>) {
        self.0[set as usize].insert(entry.into());
    }
}

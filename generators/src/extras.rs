//! What a Service may have beyond a cluster IP: further addresses, policies, affinity.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Which Endpoints traffic of one kind may go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficPolicy {
    /// Those of every node.
    #[default]
    Cluster,
    /// Those of this node alone, and their clients' addresses are kept.
    Local,
}

/// What a Service has beyond a cluster IP. All that is not set is as in a plain `ClusterIP`
/// Service. Addresses are of the Service's own family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Extras {
    /// The port at every address of the node.
    pub node_port: Option<u16>,
    /// Further addresses at which it answers at its port.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of load balancers that a proxy answers at (`ipMode: VIP`).
    pub load_balancer_ips: Vec<IpAddr>,
    /// Sources that may use the load balancers' addresses; empty: all.
    pub source_ranges: Vec<IpNet>,
    /// A client that comes again within so many seconds gets the same Endpoint.
    pub affinity_s: Option<u32>,
    /// Endpoints of traffic to the cluster IP.
    pub internal_policy: TrafficPolicy,
    /// Endpoints of traffic to node port, external IPs and load balancers' addresses.
    pub external_policy: TrafficPolicy,
    /// Where load balancers ask the node for how many Endpoints it has, under an external policy
    /// of Local.
    pub health_check_node_port: Option<u16>,
}

impl Extras {
    /// Those of a plain `ClusterIP` Service.
    pub const NONE: Self = Self {
        node_port: None,
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        affinity_s: None,
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
    };

    /// Whether the Service also answers elsewhere than at its cluster IP.
    pub fn is_external(&self) -> bool {
        self.node_port.is_some()
            || !self.external_ips.is_empty()
            || !self.load_balancer_ips.is_empty()
    }
}

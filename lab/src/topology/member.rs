//! What callers of a topology that is up know of each host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use linux::netns::Namespace;

/// A host that is up.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its namespace.
    pub namespace: Namespace,
    /// The addresses of its interfaces, in the order of the graph's links. The first of a family is
    /// its own: that of a pod, or the one at which a node is known.
    pub addresses: Vec<IpAddr>,
    /// Prefixes whose every address is its own as well.
    pub ranges: Vec<IpNet>,
    /// Whether it is on another node, or is one.
    pub is_remote: bool,
}

impl Member {
    /// Its own IPv4 address.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    /// Its own IPv6 address.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        })
    }

    /// Whether an address is its own.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
            || self.ranges.iter().any(|range| range.contains(&address))
    }
}

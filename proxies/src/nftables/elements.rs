//! The sets and maps of the table, and the elements that a Service has in them.
//!
//! Types and comments as in `setupNFTables`, elements as in `syncProxyRules`
//! (pkg/proxy/nftables/proxier.go, Kubernetes 1.33; `hairpin-connections` since 1.36). How elements
//! get there is the business of `render`.

use std::net::Ipv4Addr;

use generators::{Protocol, Service};

use super::layout::Layout;
use crate::text::Text;

/// A set or map of the table that Services have elements in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Container {
    /// VIPs.
    ClusterIps,
    /// Where traffic for a VIP or external IP goes.
    ServiceIps,
    /// Reserved for source ranges, which a Cluster does not have: always empty.
    FirewallIps,
    /// VIPs and external IPs without Endpoints.
    NoEndpointServices,
    /// `NodePort`s without Endpoints.
    NoEndpointNodePorts,
    /// Where traffic for a `NodePort` goes.
    ServiceNodePorts,
    /// Endpoints that talk to themselves.
    HairpinConnections,
}

/// Address, protocol and port: where a packet goes.
const DESTINATION: &str = "ipv4_addr . inet_proto . inet_service : verdict";
const NODE_PORT: &str = "inet_proto . inet_service : verdict";

impl Container {
    const COMMON: [Self; 6] = [
        Self::ClusterIps,
        Self::ServiceIps,
        Self::FirewallIps,
        Self::NoEndpointServices,
        Self::NoEndpointNodePorts,
        Self::ServiceNodePorts,
    ];

    /// Those that a layout has.
    pub(super) fn of(layout: Layout) -> impl Iterator<Item = Self> {
        let hairpin = (!layout.has_endpoint_chains()).then_some(Self::HairpinConnections);
        Self::COMMON.into_iter().chain(hairpin)
    }

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        self.definition().name
    }

    /// How it is made.
    pub(super) const fn definition(self) -> Definition {
        match self {
            Self::ClusterIps => define("set", "cluster-ips", "ipv4_addr", "Active ClusterIPs"),
            Self::ServiceIps => {
                let comment = "ClusterIP, ExternalIP and LoadBalancer IP traffic";
                define("map", "service-ips", DESTINATION, comment)
            }
            Self::FirewallIps => {
                let comment = "destinations that are subject to LoadBalancerSourceRanges";
                define("map", "firewall-ips", DESTINATION, comment)
            }
            Self::NoEndpointServices => {
                let comment = "vmap to drop or reject packets to services with no endpoints";
                define("map", "no-endpoint-services", DESTINATION, comment)
            }
            Self::NoEndpointNodePorts => {
                let comment =
                    "vmap to drop or reject packets to service nodeports with no endpoints";
                define("map", "no-endpoint-nodeports", NODE_PORT, comment)
            }
            Self::ServiceNodePorts => {
                define("map", "service-nodeports", NODE_PORT, "NodePort traffic")
            }
            Self::HairpinConnections => {
                let of = "ipv4_addr . ipv4_addr . inet_proto . inet_service";
                define("set", "hairpin-connections", of, "service hairpin connections")
            }
        }
    }
}

/// How a set or map is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Definition {
    /// `set` or `map`.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What its elements look like.
    pub of: &'static str,
    /// What it is for, in upstream's words.
    pub comment: &'static str,
}

const fn define(
    kind: &'static str,
    name: &'static str,
    of: &'static str,
    comment: &'static str,
) -> Definition {
    Definition { kind, name, of, comment }
}

/// What an element is found by. Each container takes one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// An address.
    Address(Ipv4Addr),
    /// A destination.
    Destination(Ipv4Addr, Protocol, u16),
    /// A port at any address.
    Port(Protocol, u16),
    /// Source and destination address (the same), and the destination's port.
    Hairpin(Ipv4Addr, Protocol, u16),
}

impl Key {
    /// Appends the key as `nft` writes it.
    pub(super) fn write(self, text: &mut Text) {
        let (protocol, port) = match self {
            Self::Address(address) => {
                text.address(address);
                return;
            }
            Self::Destination(address, protocol, port) => {
                text.address(address).str(" . ");
                (protocol, port)
            }
            Self::Hairpin(address, protocol, port) => {
                text.address(address).str(" . ").address(address).str(" . ");
                (protocol, port)
            }
            Self::Port(protocol, port) => (protocol, port),
        };
        text.str(protocol.as_str()).str(" . ").number(port);
    }
}

/// Where an element of a map leads; elements of sets lead nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// Nothing: a set.
    None,
    /// `goto` the Service's chain.
    Service,
    /// `goto` its chain for traffic from outside.
    External,
    /// `goto reject-chain`, with the Service's name as comment.
    Reject,
}

/// One element of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Element {
    /// Where it is.
    pub container: Container,
    /// What it is found by.
    pub key: Key,
    /// Where it leads.
    pub verdict: Verdict,
}

/// All elements of a Service, in the order in which they are written. Several Services may have one
/// element in common: a VIP with several ports, an Endpoint behind several VIPs.
pub(super) fn of_service(service: &Service, layout: Layout, each: &mut impl FnMut(Element)) {
    let (protocol, port) = (service.protocol(), service.port());
    let has_endpoints = !service.endpoints().is_empty();
    let (destinations, node_ports, verdict) = if has_endpoints {
        (Container::ServiceIps, Container::ServiceNodePorts, Verdict::External)
    } else {
        (Container::NoEndpointServices, Container::NoEndpointNodePorts, Verdict::Reject)
    };
    let mut add = |container, key, verdict| each(Element { container, key, verdict });
    if !layout.has_endpoint_chains() {
        for endpoint in service.endpoints() {
            let key = Key::Hairpin(endpoint.address, protocol, endpoint.port);
            add(Container::HairpinConnections, key, Verdict::None);
        }
    }
    add(Container::ClusterIps, Key::Address(service.vip()), Verdict::None);
    let at_vip = if has_endpoints { Verdict::Service } else { Verdict::Reject };
    add(destinations, Key::Destination(service.vip(), protocol, port), at_vip);
    for address in service.external_ips() {
        add(destinations, Key::Destination(*address, protocol, port), verdict);
    }
    if let Some(node_port) = service.node_port() {
        add(node_ports, Key::Port(protocol, node_port), verdict);
    }
}

//! The sets and maps of the table, and the elements that a Service has in them.
//!
//! Types and comments as in `setupNFTables`, elements as in `syncProxyRules`
//! (pkg/proxy/nftables/proxier.go, Kubernetes 1.33; `hairpin-connections` since 1.36). How elements
//! get there is the business of `render`.

use std::net::IpAddr;

use generators::{Family, FrontendKind, Protocol, TrafficPolicy};

use super::layout::Layout;
use super::names::{EXTERNAL, LOCAL, SERVICE};
use crate::routing::{Fate, Routing};
use crate::text::Text;

/// A set or map of the table that Services have elements in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Container {
    /// VIPs.
    ClusterIps,
    /// Where traffic for a VIP or external IP goes.
    ServiceIps,
    /// Addresses of load balancers that admit some clients only.
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
const DESTINATION: &str = "ADDRESS . inet_proto . inet_service : verdict";
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
            Self::ClusterIps => define("set", "cluster-ips", "ADDRESS", "Active ClusterIPs"),
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
                let of = "ADDRESS . ADDRESS . inet_proto . inet_service";
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
    /// What its elements look like, with `ADDRESS` for an address of the table's family.
    of: &'static str,
    /// What it is for, in upstream's words.
    pub comment: &'static str,
}

impl Definition {
    /// What its elements look like.
    pub(super) fn of(&self, family: Family) -> String {
        self.of.replace(
            "ADDRESS",
            match family {
                Family::V4 => "ipv4_addr",
                Family::V6 => "ipv6_addr",
            },
        )
    }
}

pub(super) const fn define(
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
    Address(IpAddr),
    /// A destination.
    Destination(IpAddr, Protocol, u16),
    /// A port at any address.
    Port(Protocol, u16),
    /// Source and destination address (the same), and the destination's port.
    Hairpin(IpAddr, Protocol, u16),
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
    /// `goto` the Service's chain with this prefix.
    Goto(&'static str),
    /// `goto` the chain that admits clients, with the Service's name as comment.
    Firewall,
    /// `goto reject-chain`, with the Service's name as comment.
    Reject,
    /// `drop`, with the Service's name as comment.
    Drop,
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
pub(super) fn of_service(routing: &Routing<'_>, layout: Layout, each: &mut impl FnMut(Element)) {
    let service = routing.service;
    let protocol = service.protocol();
    let mut add = |container, key, verdict| each(Element { container, key, verdict });
    if !layout.has_endpoint_chains() {
        for endpoint in routing.targets.reachable().iter().filter(|one| !one.is_remote) {
            let key = Key::Hairpin(endpoint.address, protocol, endpoint.port);
            add(Container::HairpinConnections, key, Verdict::None);
        }
    }
    add(Container::ClusterIps, Key::Address(service.vip()), Verdict::None);
    for frontend in service.frontends() {
        let (key, served, unserved) = match frontend.address {
            Some(address) => (
                Key::Destination(address, protocol, frontend.port),
                Container::ServiceIps,
                Container::NoEndpointServices,
            ),
            None => (
                Key::Port(protocol, frontend.port),
                Container::ServiceNodePorts,
                Container::NoEndpointNodePorts,
            ),
        };
        let (fate, chain) = match (frontend.kind, service.extras().internal_policy) {
            (FrontendKind::ClusterIp, TrafficPolicy::Cluster) => (routing.internal, SERVICE),
            (FrontendKind::ClusterIp, TrafficPolicy::Local) => (routing.internal, LOCAL),
            _ => (routing.external, EXTERNAL),
        };
        // From outside, Pods and the node itself are served where others are dropped.
        if fate == Fate::Served || (chain == EXTERNAL && routing.has_external_chain()) {
            add(served, key, Verdict::Goto(chain));
        }
        if frontend.kind == FrontendKind::LoadBalancerIp && routing.has_firewall() {
            add(Container::FirewallIps, key, Verdict::Firewall);
        }
        match fate {
            Fate::Served => {}
            Fate::Refused => add(unserved, key, Verdict::Reject),
            Fate::Dropped => add(unserved, key, Verdict::Drop),
        }
    }
}

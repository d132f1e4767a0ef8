//! Which Services a client can open a connection to, and the ports that their Endpoints listen at.

use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};

use generators::{Cluster, Family, Protocol, Service};

/// Whether a client can open a connection to a Service, in a lab of IPv4.
pub fn is_dialable(service: &Service) -> bool {
    service.protocol() == Protocol::Tcp && service.family() == Family::V4 && is_answered(service)
}

/// Whether any Endpoint answers at the VIP of a Service. Asked before each connection, so it takes
/// no memory.
pub fn is_answered(service: &Service) -> bool {
    !service.targets().under(service.extras().internal_policy).is_empty()
}

/// Where the Endpoints that answer at the VIP of a Service listen.
pub fn answering(service: &Service) -> Vec<SocketAddrV4> {
    let targets = service.targets();
    let endpoints = targets.under(service.extras().internal_policy).iter();
    endpoints.filter_map(|endpoint| ipv4(endpoint.socket())).collect()
}

/// The IPv4 socket address.
pub const fn ipv4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

/// Every port at which an Endpoint of the Cluster, or of a Service added to it, is dialled.
pub fn target_ports_of(cluster: &Cluster, added: u16) -> Vec<u16> {
    let dialable = cluster.services().iter().filter(|service| is_dialable(service));
    let ports = dialable.flat_map(answering).map(|socket| socket.port());
    let ports: BTreeSet<u16> = ports.chain([added]).collect();
    ports.into_iter().collect()
}

//! Which Services a client can open a connection to, and the ports that their Endpoints listen at.

use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};

use generators::{Cluster, Endpoint, Family, Protocol, Service};

/// Whether a client can open a connection to a Service, in a lab of IPv4.
pub fn is_dialable(service: &Service) -> bool {
    service.protocol() == Protocol::Tcp
        && service.family() == Family::V4
        && !answering(service).is_empty()
}

/// The Endpoints that answer at the VIP of a Service.
pub fn answering(service: &Service) -> Vec<Endpoint> {
    service.targets().under(service.extras().internal_policy).to_vec()
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
    let ports = dialable.flat_map(answering).map(|endpoint| endpoint.port);
    let ports: BTreeSet<u16> = ports.chain([added]).collect();
    ports.into_iter().collect()
}

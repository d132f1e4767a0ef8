//! Which Services a client can open a connection to, and the ports that their Endpoints listen at.

use std::collections::BTreeSet;

use generators::{Cluster, Protocol, Service};

/// Whether a client can open a connection to a Service.
pub fn is_dialable(service: &Service) -> bool {
    service.protocol() == Protocol::Tcp && !service.endpoints().is_empty()
}

/// Every port at which an Endpoint of the Cluster, or of a Service added to it, is dialled.
pub fn target_ports_of(cluster: &Cluster, added: u16) -> Vec<u16> {
    let dialable = cluster.services().iter().filter(|service| is_dialable(service));
    let ports = dialable.flat_map(Service::endpoints).map(|endpoint| endpoint.port);
    let ports: BTreeSet<u16> = ports.chain([added]).collect();
    ports.into_iter().collect()
}

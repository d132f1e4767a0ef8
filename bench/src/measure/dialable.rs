//! Which Services a client can open a connection to by the usual path, and the ports that their
//! Endpoints listen at.

use std::collections::BTreeSet;

use generators::{Cluster, Service};

use super::path::PathSpec;

/// Whether a client can open a connection to a Service, in a lab of IPv4.
pub fn is_dialable(service: &Service) -> bool {
    PathSpec::default().reaches(service)
}

/// Every port at which an Endpoint of the Cluster, or of a Service added to it, is dialled.
pub fn target_ports_of(cluster: &Cluster, added: u16) -> Vec<u16> {
    let path = PathSpec::default();
    let dialable = cluster.services().iter().filter(|service| path.reaches(service));
    let ports = dialable.flat_map(|service| path.answering(service)).map(|socket| socket.port());
    let ports: BTreeSet<u16> = ports.chain([added]).collect();
    ports.into_iter().collect()
}

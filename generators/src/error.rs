//! Why a Cluster cannot exist: one variant a broken rule. Spec errors are in `synthetic`.

use std::net::Ipv4Addr;

use crate::service::{Endpoint, Protocol, ServiceName};

/// Why a Cluster, or a part of one, cannot exist.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterError {
    /// A namespace, Service name or port name is not a DNS-1123 label.
    #[error(
        "{part} {value:?} is not a DNS-1123 label: write 1 to 63 characters of a-z, 0-9 and '-', \
         beginning and ending with a letter or digit"
    )]
    InvalidLabel {
        /// Which part of the name: `namespace`, `Service name` or `port name`.
        part: &'static str,
        /// The text that was refused, shortened to its first 80 characters.
        value: String,
    },
    /// Text that should name a Service port has no namespace.
    #[error("{text:?} does not name a Service: write namespace/name or namespace/name:port")]
    InvalidServiceName {
        /// The text that was refused, shortened to its first 80 characters.
        text: String,
    },
    /// Port 0 where a port is required.
    #[error("Service {service}: {part} is 0: write a port from 1 to 65535")]
    ZeroPort {
        /// The Service that has the port.
        service: ServiceName,
        /// Which port: `port`, `node port` or `the port of endpoint ADDRESS`.
        part: String,
    },
    /// An address that no packet can be sent to as unicast.
    #[error(
        "Service {service}: {part} {address} is not a unicast address: unspecified, loopback, \
         multicast and broadcast addresses cannot be a VIP or an Endpoint"
    )]
    NotUnicast {
        /// The Service that has the address.
        service: ServiceName,
        /// Which address: `VIP`, `external IP` or `endpoint`.
        part: &'static str,
        /// The address that was refused.
        address: Ipv4Addr,
    },
    /// One Endpoint is given twice in one Service.
    #[error("Service {service}: endpoint {endpoint} is given twice: keep one")]
    DuplicateEndpoint {
        /// The Service that has the Endpoint.
        service: ServiceName,
        /// The Endpoint that is there twice.
        endpoint: Endpoint,
    },
    /// One external IP is given twice in one Service, or is also its VIP.
    #[error("Service {service}: external IP {address} is given twice or is the VIP: keep one")]
    DuplicateExternalIp {
        /// The Service that has the address.
        service: ServiceName,
        /// The address that is there twice.
        address: Ipv4Addr,
    },
    /// A Cluster without a Service has nothing to program.
    #[error("the Cluster has no Service: give it at least one")]
    Empty,
    /// Two Services have one name.
    #[error("two Services are named {name}: rename or remove one")]
    DuplicateName {
        /// The name both have.
        name: ServiceName,
    },
    /// Two Services answer at one address, port and protocol.
    #[error(
        "Services {first} and {second} both answer at {address}:{port}/{protocol}: \
         change the VIP, external IP, port or protocol of one"
    )]
    DuplicateVip {
        /// The Service that comes first in the Cluster.
        first: ServiceName,
        /// The Service that comes later.
        second: ServiceName,
        /// The VIP or external IP both have.
        address: Ipv4Addr,
        /// The port both have.
        port: u16,
        /// The protocol both have.
        protocol: Protocol,
    },
    /// Two Services have one node port.
    #[error("Services {first} and {second} both have node port {node_port}/{protocol}: change one")]
    DuplicateNodePort {
        /// The Service that comes first in the Cluster.
        first: ServiceName,
        /// The Service that comes later.
        second: ServiceName,
        /// The node port both have.
        node_port: u16,
        /// The protocol both have.
        protocol: Protocol,
    },
    /// An Endpoint has the address of a VIP, so translation would not end there.
    #[error(
        "Service {service}: endpoint {endpoint} has the address of a VIP: \
         take endpoints and VIPs from separate ranges"
    )]
    EndpointIsVip {
        /// The Service that has the Endpoint.
        service: ServiceName,
        /// The Endpoint whose address is a VIP.
        endpoint: Endpoint,
    },
    /// A Change names a Service that the Cluster does not have.
    #[error("the Cluster has no Service {name}: was the Change made for another Cluster?")]
    UnknownService {
        /// The name that was looked for.
        name: ServiceName,
    },
    /// A Change names an Endpoint that the Service does not have.
    #[error(
        "Service {service} has no endpoint {endpoint}: was the Change made for another Cluster?"
    )]
    UnknownEndpoint {
        /// The Service that was looked at.
        service: ServiceName,
        /// The Endpoint that was looked for.
        endpoint: Endpoint,
    },
}

//! Why a Cluster cannot exist. Spec errors are in `synthetic`.

use crate::service_name::{ServiceId, ServiceName};

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
    /// One Service is wrong in itself.
    #[error("Service {service}: {problem}")]
    Service {
        /// The Service.
        service: ServiceName,
        /// Which part of it is wrong, and what to write instead.
        problem: String,
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
    /// Two Services answer at one address, port and protocol, or at one node port.
    #[error("Services {first} and {second} both {what}")]
    Clash {
        /// The Service that comes first in the Cluster.
        first: ServiceName,
        /// The Service that comes later.
        second: ServiceName,
        /// Where both answer, and what to change.
        what: String,
    },
    /// What a Change names is not there: a Service, or an Endpoint of one.
    #[error("{0}: was the Change made for another Cluster?")]
    NotThere(String),
}

impl ClusterError {
    pub(crate) fn of_service(service: &ServiceName, problem: impl Into<String>) -> Self {
        Self::Service { service: service.clone(), problem: problem.into() }
    }

    pub(crate) fn no_service(id: &ServiceId) -> Self {
        Self::NotThere(format!("the Cluster has no Service {id}"))
    }
}

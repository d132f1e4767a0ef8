//! Topologies: hosts that are network namespaces, joined by veth pairs and tunnels.
//!
//! A host owns every address of a prefix by one `local` route, so a million addresses cost one
//! kernel object, and every neighbour is permanent, so that no ARP lands in a measurement. What
//! proxies program into the node, and who sends traffic, is not known here.

mod build;
mod graph;
mod star;

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use linux::netlink::RtnlError;
use linux::netns::{Namespace, NamespaceError};
use linux::sysctl::SysctlError;

pub use graph::{End, Graph, Host, Link, Medium, Source};
pub use star::{ENDPOINT_HOSTS_MAX, Star, intended_sysctls};

/// Why a topology could not be built or used.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// Addresses that cannot work together.
    #[error("lab addresses: {reason}")]
    Spec {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A graph that cannot be built.
    #[error("topology `{name}`: {reason}")]
    Graph {
        /// Its name.
        name: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Nobody in the topology dials from there.
    #[error("topology `{name}` has no source `{source_name}`; it has {has}")]
    NoSource {
        /// Its name.
        name: &'static str,
        /// What was asked for.
        source_name: Source,
        /// What there is.
        has: String,
    },
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A link, address, route or neighbour.
    #[error("{host}: {source}")]
    Link {
        /// Which host.
        host: String,
        /// What is wrong.
        source: RtnlError,
    },
    /// A kernel parameter.
    #[error("{host}: {source}")]
    Sysctl {
        /// Which host.
        host: String,
        /// What is wrong.
        source: SysctlError,
    },
}

/// A host with Endpoints.
#[derive(Debug, Clone)]
pub struct EndpointHost {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its addresses: every one answers.
    pub addresses: Ipv4Net,
}

/// A topology that is up. It vanishes, links and all, when the last thread, socket or clone of its
/// namespaces is gone.
#[derive(Debug)]
pub struct Topology {
    name: &'static str,
    hosts: Vec<Namespace>,
    node: usize,
    endpoint_hosts: Vec<EndpointHost>,
    sources: Vec<(Source, usize)>,
    sysctls: BTreeMap<String, String>,
}

impl Topology {
    /// All hosts, in the order of the graph.
    pub fn hosts(&self) -> &[Namespace] {
        &self.hosts
    }

    /// Where the proxy is programmed.
    pub fn node(&self) -> &Namespace {
        &self.hosts[self.node]
    }

    /// Where connections of that source come from.
    ///
    /// # Errors
    /// [`TopologyError::NoSource`].
    pub fn source(&self, source: Source) -> Result<&Namespace, TopologyError> {
        let found = self.sources.iter().find(|(known, _)| *known == source);
        let (_, host) = found.ok_or_else(|| TopologyError::NoSource {
            name: self.name,
            source_name: source,
            has: join(self.sources.iter().map(|(known, _)| known.to_string())),
        })?;
        Ok(&self.hosts[*host])
    }

    /// All hosts with Endpoints, in the order of the graph.
    pub fn endpoint_hosts(&self) -> &[EndpointHost] {
        &self.endpoint_hosts
    }

    /// Every kernel parameter set here, as `node.net.ipv4.ip_forward`, with the value in force.
    pub fn sysctls(&self) -> &BTreeMap<String, String> {
        &self.sysctls
    }
}

fn join(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

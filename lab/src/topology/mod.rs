//! Topologies: hosts that are network namespaces, joined by veth pairs and tunnels.
//!
//! A host owns every address of a prefix by one `local` route, so a million addresses cost one
//! kernel object, and every neighbour is permanent, so that no ARP lands in a measurement. What
//! proxies program into the node, and who sends traffic, is not known here.

mod build;
mod error;
mod graph;
mod holding;
mod member;
mod preset;
mod ranges;
mod star;

use std::collections::BTreeMap;

use linux::netns::Namespace;

pub use error::TopologyError;
pub use graph::{End, Graph, Host, Link, Medium, Source};
pub use holding::Holding;
pub use member::Member;
pub use preset::{Preset, Shape};
pub use ranges::Ranges;
pub use star::{Star, intended_sysctls};

/// A topology that is up. It vanishes, links and all, when the last thread, socket or clone of its
/// namespaces is gone.
#[derive(Debug)]
pub struct Topology {
    name: &'static str,
    node: usize,
    endpoint_hosts: Vec<usize>,
    sources: Vec<(Source, usize)>,
    /// All hosts, in the order of the graph.
    pub hosts: Vec<Member>,
    /// Every kernel parameter set here, as `node.net.ipv4.ip_forward`, with the value in force.
    pub sysctls: BTreeMap<String, String>,
}

impl Topology {
    /// Where the proxy is programmed.
    pub fn node(&self) -> &Namespace {
        &self.node_host().namespace
    }

    /// The node with its addresses, at which node ports and Endpoints of the host network answer.
    pub fn node_host(&self) -> &Member {
        &self.hosts[self.node]
    }

    /// All hosts with Endpoints, in the order of the graph: in a preset each is a pod.
    pub fn endpoint_hosts(&self) -> impl Iterator<Item = &Member> {
        self.endpoint_hosts.iter().map(|host| &self.hosts[*host])
    }

    /// The namespace that connections of that source come from.
    ///
    /// # Errors
    /// [`TopologyError::NoSource`].
    pub fn source(&self, source: Source) -> Result<&Namespace, TopologyError> {
        Ok(&self.source_host(source)?.namespace)
    }

    /// The host that connections of that source come from.
    ///
    /// # Errors
    /// [`TopologyError::NoSource`].
    pub fn source_host(&self, source: Source) -> Result<&Member, TopologyError> {
        let found = self.sources.iter().find(|(known, _)| *known == source);
        let has: Vec<String> = self.sources.iter().map(|(known, _)| known.to_string()).collect();
        let (_, host) = found.ok_or_else(|| TopologyError::NoSource {
            name: self.name,
            source_name: source,
            has: if has.is_empty() { "none".to_owned() } else { has.join(", ") },
        })?;
        Ok(&self.hosts[*host])
    }
}

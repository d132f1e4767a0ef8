//! What can be wrong with a topology.

use std::error::Error;

use linux::netns::NamespaceError;

use super::graph::Source;

/// Why a topology could not be built or used.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// Hosts, links or addresses that cannot work together.
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
    /// A link, address, route, neighbour or kernel parameter.
    #[error("{host}: {source}")]
    Host {
        /// Which host.
        host: String,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

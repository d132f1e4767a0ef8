//! Why the API cannot be served.

use std::io;
use std::net::SocketAddr;

use generators::ExportError;

/// Why a [`Server`](crate::Server) does not start, take a Step or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The address could be reached from elsewhere.
    #[error(
        "{address} can be reached from outside, and the API asks nobody who they are: serve at a \
         loopback address such as 127.0.0.1:{port}, or in a network namespace of its own",
        port = address.port()
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot serve at {address}: {source}; {remedy}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
        /// What can be done.
        remedy: &'static str,
    },
    /// A Cluster that Kubernetes could not have.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The server's thread cannot be started, or ended by itself.
    #[error("the API server cannot go on: {0}; see `ulimit -n` and `ulimit -u`")]
    Run(#[source] io::Error),
}

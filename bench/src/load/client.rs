//! What a client is: whom it dials, what it times, and why there may be no timing.

use std::io;
use std::net::SocketAddr;

use super::source::{SourceError, Sources};

/// Something to dial, and who may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The VIP and port; without a proxy, an Endpoint itself.
    pub vip: SocketAddr,
    /// The Endpoints of the Service behind it.
    pub allowed: &'a [SocketAddr],
}

impl Target<'_> {
    /// An answer counts only if it comes from an Endpoint of the Service that was dialled.
    pub(super) fn verify(&self, answered: SocketAddr) -> Result<(), LoadError> {
        if self.allowed.contains(&answered) {
            return Ok(());
        }
        Err(LoadError::WrongEndpoint { vip: self.vip, answered, endpoints: self.allowed.len() })
    }
}

/// The phases of one connection, in units of the [`MeasureClock`], the cost of reading it included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From just before `connect()` to established.
    pub connect: u64,
    /// From just before the request is written to the first byte of the answer (HTTP: its head)
    /// being read.
    pub request: u64,
    /// From just before `close()` to its return. Connections end by RST, so nothing lingers.
    pub close: u64,
}

/// Why a connection gave no timing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No source address and port is left.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A step of the connection failed.
    #[error(
        "connection {from} -> {to}, while {doing}: {source}; see that the proxy is synced and the server runs"
    )]
    Connection {
        /// Source address and port.
        from: SocketAddr,
        /// What was dialled.
        to: SocketAddr,
        /// Which step.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else's Endpoint answered.
    #[error(
        "{vip} was answered by {answered}, which is none of its {endpoints} Endpoints; the proxy is wrong"
    )]
    WrongEndpoint {
        /// What was dialled.
        vip: SocketAddr,
        /// Who answered.
        answered: SocketAddr,
        /// How many Endpoints the Service has.
        endpoints: usize,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {source}; see `ulimit -n`")]
    Client {
        /// What the system says.
        source: io::Error,
    },
}

/// A client that makes new connections, one in flight.
pub trait LoadClient {
    /// Opens a connection from the next free source, sends one request, verifies the answer, and
    /// closes it by RST.
    ///
    /// # Errors
    /// [`LoadError`]: any step failed or took too long, or the wrong Endpoint answered. Then there
    /// is no timing.
    fn connection(
        &mut self,
        sources: &mut Sources,
        target: &Target<'_>,
    ) -> Result<Timing, LoadError>;
}

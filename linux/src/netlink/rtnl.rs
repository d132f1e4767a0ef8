//! One rtnetlink request after the other, each acknowledged, and the words for a refusal.
//!
//! Which objects there are is in `link` and `host`; many messages at once go out by
//! [`Socket::submit`].

use neli::consts::rtnl::Rtm;

use super::encode::Content;
use super::socket::Family;
use super::{Batch, CREATE, EXCL, Malformed, Message, NetlinkError, Socket};

/// Why one of the kernel's network objects could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RtnlError {
    /// No rtnetlink socket.
    #[error(
        "cannot open an rtnetlink socket: {0}; it takes CAP_NET_ADMIN and a free file descriptor"
    )]
    Socket(NetlinkError),
    /// A parameter that no kernel would accept.
    #[error("{object}: {reason}")]
    Parameter {
        /// What was to be made.
        object: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The kernel refused, or its answer made no sense.
    #[error("{object}: {source}; run as root, and see that the driver of the link is there")]
    Refused {
        /// What was to be made.
        object: String,
        /// The refusal.
        source: NetlinkError,
    },
}

impl RtnlError {
    pub(super) fn parameter(object: String, reason: impl Into<String>) -> Self {
        Self::Parameter { object, reason: reason.into() }
    }
}

/// An rtnetlink socket of the namespace that its opener was in.
#[derive(Debug)]
pub struct Rtnl {
    socket: Socket,
}

impl Rtnl {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// [`RtnlError::Socket`].
    pub fn open() -> Result<Self, RtnlError> {
        Ok(Self { socket: Socket::open(Family::Route).map_err(RtnlError::Socket)? })
    }

    /// Makes an object that is not there yet.
    pub(super) fn create(
        &mut self,
        object: impl FnOnce() -> String,
        kind: Rtm,
        content: impl FnOnce(&mut Content<'_>),
    ) -> Result<(), RtnlError> {
        self.request(object, &Batch::single(kind.into(), CREATE | EXCL, content))
    }

    /// Sends one request and waits for its acknowledgement.
    pub(super) fn request(
        &mut self,
        object: impl FnOnce() -> String,
        request: &Batch,
    ) -> Result<(), RtnlError> {
        self.ask(object, request, |_| Ok(()))
    }

    /// Sends one request and passes each message of the answer to `each`.
    pub(super) fn ask(
        &mut self,
        object: impl FnOnce() -> String,
        request: &Batch,
        each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), RtnlError> {
        self.socket
            .ask(request, each)
            .map_err(|source| RtnlError::Refused { object: object(), source })
    }
}

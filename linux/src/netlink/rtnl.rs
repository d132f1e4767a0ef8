//! One rtnetlink request after the other, each acknowledged, and the words for a refusal.
//!
//! Which objects there are is in `link` and `host`; many messages at once go out by
//! [`Socket::submit`].

use neli::consts::rtnl::Rtm;

use super::decode::{Malformed, Message};
use super::encode::Batch;
use super::encode::Content;
use super::numbers::{CREATE, EXCL};
use super::socket::Family;
use super::socket::{NetlinkError, Socket};

/// Why one of the kernel's network objects could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("{object}: {reason}")]
pub struct RtnlError {
    /// What was to be made.
    pub object: String,
    /// What the kernel refused, or what it would refuse, and what would be right.
    pub reason: String,
}

fn refused(object: String, source: &NetlinkError) -> RtnlError {
    let remedy = "run as root, and see that the driver of the link is there";
    RtnlError { object, reason: format!("{source}; {remedy}") }
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
    /// [`RtnlError`]: no `CAP_NET_ADMIN`, or no file descriptor left.
    pub fn open() -> Result<Self, RtnlError> {
        let socket = Socket::open(Family::Route);
        Ok(Self { socket: socket.map_err(|error| refused("rtnetlink socket".to_owned(), &error))? })
    }

    /// Makes an object that is not there yet.
    pub(super) fn create(
        &mut self,
        object: impl FnOnce() -> String,
        kind: Rtm,
        content: impl FnOnce(&mut Content<'_>),
    ) -> Result<(), RtnlError> {
        let request = Batch::single(kind.into(), CREATE | EXCL, content);
        self.ask(object, &request, |_| Ok(()))
    }

    /// Sends one request and passes each message of the answer to `each`.
    pub(super) fn ask(
        &mut self,
        object: impl FnOnce() -> String,
        request: &Batch,
        each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), RtnlError> {
        self.socket.ask(request, each).map_err(|error| refused(object(), &error))
    }
}

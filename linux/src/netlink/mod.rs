//! Netlink: an encoder for the hot path, a bounds-checked decoder, a socket that hands over
//! many messages at once, and the objects that are made by them: links, addresses, routes, sets.
//!
//! Framing, sequence numbers, acknowledgements and errors are handled here alone. `neli` gives the
//! numbers of rtnetlink and of the controller of generic netlink; what it writes it allocates for
//! each attribute, which is too much for the messages of a sync.

pub mod conntrack;
pub mod decode;
pub mod encode;
mod family;
pub mod genl;
pub mod host;
pub mod ipset;
pub mod link;
pub mod nftables;
mod numbers;
pub mod route;
mod rtnl;
pub mod socket;
pub mod trace;

pub use decode::{Attributes, Malformed, Message};
pub use encode::{Batch, Encoder};
pub use family::AddressFamily;
pub use numbers::{CREATE, DUMP, EXCL, LOOPBACK_INDEX};
pub use rtnl::{Rtnl, RtnlError};
pub use socket::{NetlinkError, Refusal, Socket};

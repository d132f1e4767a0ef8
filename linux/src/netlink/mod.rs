//! Netlink: an encoder for the hot path, a bounds-checked decoder, a socket that hands over
//! many messages at once, and the objects that are made by them: links, addresses, routes, sets.
//!
//! Framing, sequence numbers, acknowledgements and errors are handled here alone. `neli` gives the
//! numbers of rtnetlink and of the controller of generic netlink; what it writes it allocates for
//! each attribute, which is too much for the messages of a sync.

pub mod conntrack;
pub mod decode;
pub mod encode;
pub mod genl;
pub mod host;
pub mod ipset;
pub mod link;
pub mod nftables;
pub mod route;
mod rtnl;
pub mod socket;

pub use decode::{Attributes, Malformed, Message};
pub use encode::{Batch, Encoder};
pub use rtnl::{Rtnl, RtnlError};
pub use socket::{NetlinkError, Refusal, Socket};

/// `NLM_F_REQUEST`: every message to the kernel carries it (include/uapi/linux/netlink.h, Linux
/// 6.1; so are the constants below).
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: answer also when all went well.
const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: list every object.
pub const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`: refuse what is there already.
pub const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`: make what is not there.
pub const CREATE: u16 = 0x400;
/// `NLM_F_DUMP_INTR`: the objects changed while they were listed.
const DUMP_INTR: u16 = 0x10;
/// `NLM_F_CAPPED`: an error carries the header of the refused message only.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow in an error or acknowledgement.
const ACK_TLVS: u16 = 0x200;

/// `NLMSG_ERROR`: a refusal, or with error 0 an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
const DONE: u16 = 3;

/// `NLA_F_NESTED`: the attribute holds attributes.
const NESTED: u16 = 0x8000;
/// `NLA_F_NET_BYTEORDER`: the value is big-endian.
const BIG_ENDIAN: u16 = 0x4000;

/// `sizeof(struct nlmsghdr)`, bytes.
const HEADER_BYTES: usize = 16;
/// `sizeof(struct nlattr)`, bytes.
const ATTRIBUTE_HEADER_BYTES: u16 = 4;
/// `NLMSG_ALIGNTO` and `NLA_ALIGNTO`, bytes.
const ALIGNMENT: usize = 4;

/// The index of `lo` in every namespace: its first device (`loopback_net_init`,
/// drivers/net/loopback.c, Linux 6.1).
pub const LOOPBACK_INDEX: u32 = 1;

//! Numbers of netlink itself, whatever it is about.

/// `NLM_F_REQUEST`: every message to the kernel carries it (include/uapi/linux/netlink.h, Linux
/// 6.1; so are the constants below).
pub(super) const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: answer also when all went well.
pub(super) const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: list every object.
pub const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`: refuse what is there already.
pub const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`: make what is not there.
pub const CREATE: u16 = 0x400;
/// `NLM_F_DUMP_INTR`: the objects changed while they were listed.
pub(super) const DUMP_INTR: u16 = 0x10;
/// `NLM_F_CAPPED`: an error carries the header of the refused message only.
pub(super) const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow in an error or acknowledgement.
pub(super) const ACK_TLVS: u16 = 0x200;

/// `NLMSG_ERROR`: a refusal, or with error 0 an acknowledgement.
pub(super) const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub(super) const DONE: u16 = 3;

/// `NLA_F_NESTED`: the attribute holds attributes.
pub(super) const NESTED: u16 = 0x8000;
/// `NLA_F_NET_BYTEORDER`: the value is big-endian.
pub(super) const BIG_ENDIAN: u16 = 0x4000;

/// `sizeof(struct nlmsghdr)`, bytes.
pub(super) const HEADER_BYTES: usize = 16;
/// `sizeof(struct nlattr)`, bytes.
pub(super) const ATTRIBUTE_HEADER_BYTES: u16 = 4;
/// `NLMSG_ALIGNTO` and `NLA_ALIGNTO`, bytes.
pub(super) const ALIGNMENT: usize = 4;

/// The index of `lo` in every namespace: its first device (`loopback_net_init`,
/// drivers/net/loopback.c, Linux 6.1).
pub const LOOPBACK_INDEX: u32 = 1;

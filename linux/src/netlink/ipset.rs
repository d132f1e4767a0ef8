//! The ipset protocol: sets made, listed and destroyed, and members added and removed in bulk.
//!
//! Protocol version 6 (Linux 2.6.39 to date); constants from
//! `include/uapi/linux/netfilter/ipset/ip_set.h`, Linux 6.1. One message carries many members, as
//! `ipset restore` packs them, and each has a line number by which the kernel says which one it
//! refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::decode::{Attributes, Malformed, Message};
use super::encode::{Batch, Encoder};
use super::family::AddressFamily;
use super::numbers::{BIG_ENDIAN, CREATE, DUMP, EXCL};
use super::socket::{Family, NetlinkError, Socket};
use super::{decode, encode};
use crate::netlink::encode::Content;

/// `NFNL_SUBSYS_IPSET << 8` (include/uapi/linux/netfilter/nfnetlink.h).
const SUBSYSTEM: u16 = 0x600;
/// `IPSET_CMD_CREATE`, `_DESTROY`, `_LIST`, `_ADD`, `_DEL`, `_HEADER`
const CREATE_SET: u16 = SUBSYSTEM | 0x2;
const DESTROY_SET: u16 = SUBSYSTEM | 0x3;
const LIST_SET: u16 = SUBSYSTEM | 0x7;
/// Adds members.
pub const ADD: u16 = SUBSYSTEM | 0x9;
/// Removes members.
pub const REMOVE: u16 = SUBSYSTEM | 0xa;

/// Command attributes: `IPSET_ATTR_PROTOCOL` and on.
const PROTOCOL: u16 = 1;
const SET_NAME: u16 = 2;
const TYPE_NAME: u16 = 3;
const REVISION: u16 = 4;
const FAMILY: u16 = 5;
const DATA: u16 = 7;
const MEMBERS: u16 = 8;
const LINE: u16 = 9;
/// Data attributes: `IPSET_ATTR_IP` and on.
const IP: u16 = 1;
const PORT: u16 = 4;
const PORT_TO: u16 = 5;
const TRANSPORT: u16 = 7;
/// `IPSET_ATTR_HASHSIZE`
const BUCKETS: u16 = 18;
const MAX_ELEMENTS: u16 = 19;
const SECOND_IP: u16 = 20;
/// `IPSET_ATTR_IPADDR_IPV4`, `IPSET_ATTR_IPADDR_IPV6`
const IPV4_ADDRESS: u16 = 1;
const IPV6_ADDRESS: u16 = 2;
/// The version of the protocol that every kernel with ipset speaks.
const PROTOCOL_VERSION: u8 = 6;
/// `sizeof(struct nfgenmsg)`
const FIXED_BYTES: usize = 4;
/// The first error number that is ipset's own (`IPSET_ERR_PRIVATE`).
const PRIVATE_ERRORS: i32 = 4096;

/// What the members of a set look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// `hash:ip`
    Address,
    /// `hash:ip,port`
    AddressPort,
    /// `hash:ip,port,ip`
    AddressPortAddress,
    /// `bitmap:port`
    Port,
}

impl SetKind {
    /// The kernel's name of the type, and the lowest revision that the tool `ipset` knows too.
    const fn name(self) -> (&'static str, u8) {
        match self {
            Self::Address => ("hash:ip", 0),
            Self::AddressPort => ("hash:ip,port", 1),
            Self::AddressPortAddress => ("hash:ip,port,ip", 1),
            Self::Port => ("bitmap:port", 0),
        }
    }
}

/// One member. Which parts count depends on the kind of set; the others are those of
/// [`Member::NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// The first address.
    pub address: IpAddr,
    /// The IP protocol number.
    pub transport: u8,
    /// The port.
    pub port: u16,
    /// The second address.
    pub second: IpAddr,
}

impl Member {
    /// A member with all parts zero.
    pub const NONE: Self = Self {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        transport: 0,
        port: 0,
        second: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
}

impl fmt::Display for Member {
    /// As `ipset` writes it, save the names of protocols: `10.0.0.1,6:80,10.0.0.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.is_unspecified() {
            return write!(f, "{}", self.port);
        }
        write!(f, "{}", self.address)?;
        if self.transport != 0 {
            write!(f, ",{}:{}", self.transport, self.port)?;
        }
        if !self.second.is_unspecified() {
            write!(f, ",{}", self.second)?;
        }
        Ok(())
    }
}

/// How many members one message carries: 52 bytes each at most, or 76 with addresses of IPv6, and
/// the list must stay below 64 KiB.
const MEMBERS_PER_MESSAGE: usize = 1024;
const IPV6_MEMBERS_PER_MESSAGE: usize = 512;
const _: () = assert!(MEMBERS_PER_MESSAGE * 56 < u16::MAX as usize, "a list fits one attribute");
const _: () = assert!(IPV6_MEMBERS_PER_MESSAGE * 80 < u16::MAX as usize, "so does one of IPv6");

/// The two sizes of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSize {
    /// Buckets to begin with.
    pub buckets: u32,
    /// How many members it may have.
    pub max_elements: u32,
}

/// Makes a set: `ipset create NAME TYPE family inet hashsize N maxelem N`, or `... range 0-65535`,
/// which needs no size and is of no family.
pub fn create(
    encoder: &mut Encoder,
    name: &str,
    kind: SetKind,
    family: AddressFamily,
    size: HashSize,
) {
    let (type_name, revision) = kind.name();
    encoder.message(CREATE_SET, CREATE | EXCL, |content| {
        head(content, name);
        content.text(TYPE_NAME, type_name);
        content.small([encode::u8(REVISION, revision), encode::u8(FAMILY, family as u8)]);
        content.nest(DATA, |data| {
            data.small(if kind == SetKind::Port {
                [encode::be16(PORT | BIG_ENDIAN, 0), encode::be16(PORT_TO | BIG_ENDIAN, u16::MAX)]
            } else {
                [
                    encode::be32(BUCKETS | BIG_ENDIAN, size.buckets),
                    encode::be32(MAX_ELEMENTS | BIG_ENDIAN, size.max_elements),
                ]
            });
        });
    });
}

/// Destroys a set, which no rule may name any more.
pub fn destroy(encoder: &mut Encoder, name: &str) {
    encoder.message(DESTROY_SET, 0, |content| head(content, name));
}

/// Adds ([`ADD`]) or removes ([`REMOVE`]) members. A member that is there already, or is not there,
/// is refused.
pub fn change(encoder: &mut Encoder, command: u16, name: &str, kind: SetKind, members: &[Member]) {
    let per_message = match members {
        [Member { address: IpAddr::V6(_), .. }, ..] => IPV6_MEMBERS_PER_MESSAGE,
        _ => MEMBERS_PER_MESSAGE,
    };
    for part in members.chunks(per_message) {
        encoder.message(command, EXCL, |content| {
            head(content, name);
            // The kernel overwrites it with the number of the refused member (`call_ad`,
            // net/netfilter/ipset/ip_set_core.c, Linux 6.1).
            content.small([encode::u32(LINE, 0)]);
            content.nest(MEMBERS, |list| {
                for (line, member) in (1..).zip(part) {
                    list.nest(DATA, |data| write_member(data, kind, member, line));
                }
            });
        });
    }
}

fn head(content: &mut Content<'_>, name: &str) {
    // struct nfgenmsg: a family, which the kernel does not look at, version 0, resource id 0.
    content.fixed([AddressFamily::V4 as u8, 0, 0, 0]);
    content.small([encode::u8(PROTOCOL, PROTOCOL_VERSION)]);
    content.text(SET_NAME, name);
}

fn write_member(data: &mut Content<'_>, kind: SetKind, member: &Member, line: u32) {
    let line = encode::u32(LINE, line);
    let port = encode::be16(PORT | BIG_ENDIAN, member.port);
    let transport = encode::u8(TRANSPORT, member.transport);
    match kind {
        SetKind::Port => data.small([port, line]),
        SetKind::Address => {
            write_address(data, IP, member.address);
            data.small([line]);
        }
        SetKind::AddressPort => {
            write_address(data, IP, member.address);
            data.small([port, transport, line]);
        }
        SetKind::AddressPortAddress => {
            write_address(data, IP, member.address);
            data.small([port, transport]);
            write_address(data, SECOND_IP, member.second);
            data.small([line]);
        }
    }
}

fn write_address(data: &mut Content<'_>, kind: u16, address: IpAddr) {
    data.nest(kind, |nest| match address {
        IpAddr::V4(address) => nest.small([encode::ipv4(IPV4_ADDRESS | BIG_ENDIAN, address)]),
        IpAddr::V6(address) => nest.bytes(IPV6_ADDRESS | BIG_ENDIAN, &address.octets()),
    });
}

/// A set as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// Its members.
    pub members: Vec<Member>,
    /// How many it can hold, if it is a hash.
    pub max_elements: Option<u32>,
}

/// Lists one set; nothing if there is no set of that name.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn list(name: &str) -> Result<Option<Listed>, NetlinkError> {
    let request = Batch::single(LIST_SET, DUMP, |content| head(content, name));
    let mut listed = Listed::default();
    let answer =
        Socket::open(Family::Netfilter)?.ask(&request, |message| read_list(message, &mut listed));
    match answer {
        Ok(()) => Ok(Some(listed)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_list(message: &Message<'_>, listed: &mut Listed) -> Result<(), Malformed> {
    let (_, attributes) = message.fixed::<FIXED_BYTES>()?;
    if let Some(data) = attributes.find(DATA)?
        && let Some(value) = Attributes::of(data).find(MAX_ELEMENTS)?
    {
        listed.max_elements = Some(decode::be32(value)?);
    }
    let Some(members) = attributes.find(MEMBERS)? else { return Ok(()) };
    for member in Attributes::of(members) {
        let (_, data) = member?;
        listed.members.push(read_member(data)?);
    }
    Ok(())
}

fn read_member(data: &[u8]) -> Result<Member, Malformed> {
    let mut member = Member::NONE;
    for attribute in Attributes::of(data) {
        let (kind, value) = attribute?;
        match kind {
            IP => member.address = nested_address(value)?,
            SECOND_IP => member.second = nested_address(value)?,
            PORT => member.port = decode::be16(value)?,
            TRANSPORT => member.transport = decode::u8(value)?,
            _ => {}
        }
    }
    Ok(member)
}

fn nested_address(nest: &[u8]) -> Result<IpAddr, Malformed> {
    let nest = Attributes::of(nest);
    if let Some(value) = nest.find(IPV4_ADDRESS)? {
        return Ok(decode::ipv4(value)?.into());
    }
    let value = nest.find(IPV6_ADDRESS)?.ok_or(Malformed("a set member has no address"))?;
    Ok(decode::ipv6(value)?.into())
}

/// What a message of ours asks for, for an error: verb and object. `refused` is the message as the
/// kernel sent it back, which says which member it stumbled over.
pub fn describe(message: &Message<'_>, refused: &[u8]) -> Option<(&'static str, String)> {
    let (_, attributes) = message.fixed::<FIXED_BYTES>().ok()?;
    let name = decode::text(attributes.find(SET_NAME).ok()??).ok()?;
    let verb = match message.kind {
        ADD => "add",
        REMOVE => "remove",
        CREATE_SET => return Some(("create", format!("ipset {name}"))),
        DESTROY_SET => return Some(("destroy", format!("ipset {name}"))),
        _ => return Some(("list", format!("ipset {name}"))),
    };
    let place = usize::try_from(refused_line(refused)?).ok()?.checked_sub(1)?;
    let (_, data) = Attributes::of(attributes.find(MEMBERS).ok()??).nth(place)?.ok()?;
    Some((verb, format!("member {} of ipset {name}", read_member(data).ok()?)))
}

/// The line number in a refused message that the kernel sent back: which member it is, counted from
/// 1.
fn refused_line(refused: &[u8]) -> Option<u32> {
    let content = refused.get(super::numbers::HEADER_BYTES + FIXED_BYTES..)?;
    // The message may be cut after its first attributes; the line is among them.
    let line = Attributes::of(content).map_while(Result::ok).find(|(kind, _)| *kind == LINE)?;
    decode::u32(line.1).ok()
}

/// What an error number of ipset's own means (`enum ipset_errno` and the type-specific ones).
pub fn own_error(errno: i32) -> Option<&'static str> {
    match errno.checked_sub(PRIVATE_ERRORS)? {
        1 => Some("the kernel speaks another version of the ipset protocol"),
        2 => Some(
            "the kernel has no such set type: load the module ip_set_hash_* or ip_set_bitmap_port",
        ),
        3 => Some("there are too many sets"),
        4 => Some("the set is named by a rule"),
        7 => Some("the member is there already, or is not there"),
        10 => Some("the address family is wrong"),
        // IPSET_ERR_TYPE_SPECIFIC is 4352: hash_full of hash types (ip_set_hash.h).
        256 => Some("the set is full"),
        _ => None,
    }
}

/// Every member that a message of [`change`] adds or removes, one a line.
///
/// # Errors
/// Bytes that are no such message.
pub fn changes_in_words(message: &Message<'_>) -> Result<Vec<String>, Malformed> {
    let mut listed = Listed::default();
    read_list(message, &mut listed)?;
    let (_, attributes) = message.fixed::<FIXED_BYTES>()?;
    let name = attributes.find(SET_NAME)?.map_or(Ok(""), decode::text)?;
    let verb = if message.kind == ADD { "add" } else { "remove" };
    Ok(listed.members.iter().map(|member| format!("{verb} {member} in {name}")).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::decode::Messages;

    fn member(last: u8) -> Member {
        of([10, 96, 0, last].into())
    }

    fn of(address: IpAddr) -> Member {
        Member { address, transport: 6, port: 80, second: address }
    }

    #[test]
    fn an_added_member_is_written_as_ipset_writes_it() {
        // The member is byte for byte that of `ipset add S 10.96.0.1,tcp:80` (strace of ipset
        // 7.17), save for the line, which ipset marks as big-endian and numbers 0.
        let mut encoder = Encoder::default();
        change(&mut encoder, ADD, "KUBE-CLUSTER-IP", SetKind::AddressPort, &[member(1)]);
        #[rustfmt::skip]
        let expected = [
            100, 0, 0, 0,  9, 6,  0x05, 0x02,  1, 0, 0, 0,  0, 0, 0, 0, // IPSET_CMD_ADD, REQUEST | ACK | EXCL
            2, 0, 0, 0,                                                 // AF_INET
            5, 0, 1, 0,  6, 0, 0, 0,                                    // protocol 6
            20, 0, 2, 0,                                                // set name
            b'K', b'U', b'B', b'E', b'-', b'C', b'L', b'U', b'S', b'T', b'E', b'R', b'-', b'I', b'P', 0,
            8, 0, 9, 0,  0, 0, 0, 0,                                    // line, for the kernel to fill in
            44, 0, 8, 0x80,                                             // list of members
            40, 0, 7, 0x80,                                             // one member
            12, 0, 1, 0x80,  8, 0, 1, 0x40,  10, 96, 0, 1,              // address, big-endian
            6, 0, 4, 0x40,  0, 80, 0, 0,                                // port, big-endian
            5, 0, 7, 0,  6, 0, 0, 0,                                    // TCP
            8, 0, 9, 0,  1, 0, 0, 0,                                    // line 1
        ];
        assert_eq!(encoder.finish().bytes(), expected);
    }

    #[test]
    fn what_was_added_is_what_is_listed() {
        for member in [member(9), of([0xfd00, 0, 0, 0, 0, 0, 0, 9].into())] {
            for (kind, expected) in [
                (SetKind::Address, Member { address: member.address, ..Member::NONE }),
                (SetKind::AddressPort, Member { second: Member::NONE.second, ..member }),
                (SetKind::AddressPortAddress, member),
                (SetKind::Port, Member { port: 80, ..Member::NONE }),
            ] {
                let mut encoder = Encoder::default();
                change(&mut encoder, ADD, "S", kind, &[member]);
                let batch = encoder.finish();
                let message = Messages::of(batch.bytes()).next().expect("one").expect("valid");
                let mut listed = Listed::default();
                read_list(&message, &mut listed).expect("valid");
                assert_eq!(listed.members, [expected], "{kind:?}");
            }
        }
    }

    #[test]
    fn many_members_share_a_message_and_its_lists_stay_in_bounds() {
        for (member, messages) in [(member(1), 10), (of([0xfd00; 8].into()), 20)] {
            let mut encoder = Encoder::default();
            let members = vec![member; 10_000];
            change(&mut encoder, ADD, "S", SetKind::AddressPortAddress, &members);
            let batch = encoder.finish();
            assert_eq!(batch.len(), messages);
            let mut listed = Listed::default();
            for message in Messages::of(batch.bytes()) {
                read_list(&message.expect("valid"), &mut listed).expect("valid");
            }
            assert_eq!(listed.members.len(), 10_000);
        }
    }

    #[test]
    fn the_refused_line_is_found_in_a_message_that_is_cut() {
        let mut encoder = Encoder::default();
        change(&mut encoder, ADD, "KUBE-CLUSTER-IP", SetKind::AddressPort, &vec![member(1); 100]);
        let batch = encoder.finish();
        assert_eq!(refused_line(&batch.bytes()[..256]), Some(0));
        assert_eq!(refused_line(&batch.bytes()[..30]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_content_never_panics(content: Vec<u8>) {
            let message = Message { kind: ADD, flags: 0, sequence: 1, content: &content };
            let _ = read_list(&message, &mut Listed::default());
            let _ = refused_line(&content);
        }
    }
}

//! The few rtnetlink messages that make VIPs local: a dummy link, its addresses, and routes of type
//! local.
//!
//! Which messages there are is told in `include/uapi/linux/{rtnetlink,if_addr,if_link}.h`, Linux
//! 6.1.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use neli::consts::rtnl::{Ifa, Ifla, IflaInfo, RtScope, RtTable, Rta, Rtm, Rtn};
use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType};

use super::decode::{Malformed, Message};
use super::encode::{Batch, Content, Encoder};
use super::family::AddressFamily;
use super::numbers::{CREATE, DUMP, EXCL, LOOPBACK_INDEX};
use super::socket::{Family, NetlinkError, list};
use super::{decode, encode};

/// `RTM_NEWADDR`
pub const NEW_ADDRESS: u16 = 20;
/// `RTM_DELADDR`
pub const DELETE_ADDRESS: u16 = 21;
/// `RTM_NEWROUTE`
pub const NEW_ROUTE: u16 = 24;
/// `RTM_DELROUTE`
pub const DELETE_ROUTE: u16 = 25;

/// Marks a route as ours: a routing protocol number that nobody has claimed (values above
/// `RTPROT_STATIC`, 4, are for user space).
const PROTOCOL: u8 = 118;

/// `RTEXT_FILTER_VF`: tell of a link's virtual functions too.
const RTEXT_FILTER_VF: u32 = 1;

/// Table and type of a route to addresses of this host.
fn table_and_kind() -> [u8; 2] {
    [RtTable::Local.into(), Rtn::Local.into()]
}

/// Makes a dummy link of that name; it stays down.
pub fn create_dummy(encoder: &mut Encoder, name: &str) {
    encoder.message(Rtm::Newlink.into(), CREATE | EXCL, |content| {
        content.fixed([0; 16]);
        content.text(Ifla::Ifname.into(), name);
        content.nest(Ifla::Linkinfo.into(), |info| info.bytes(IflaInfo::Kind.into(), b"dummy"));
    });
}

/// Removes a link with all its addresses.
pub fn delete_link(encoder: &mut Encoder, name: &str) {
    encoder.message(Rtm::Dellink.into(), 0, |content| {
        content.fixed([0; 16]);
        content.text(Ifla::Ifname.into(), name);
    });
}

/// Adds ([`NEW_ADDRESS`]) or removes ([`DELETE_ADDRESS`]) one address of a link, /32 or /128.
pub fn address(encoder: &mut Encoder, kind: u16, link: u32, address: IpAddr) {
    let flags = if kind == NEW_ADDRESS { CREATE | EXCL } else { 0 };
    let [a, b, c, d] = link.to_ne_bytes();
    encoder.message(kind, flags, |content| match address {
        IpAddr::V4(address) => {
            content.fixed([AddressFamily::V4 as u8, 32, 0, 0, a, b, c, d]);
            content.small([
                encode::ipv4(Ifa::Local.into(), address),
                encode::ipv4(Ifa::Address.into(), address),
            ]);
        }
        IpAddr::V6(address) => {
            content.fixed([AddressFamily::V6 as u8, 128, 0, 0, a, b, c, d]);
            content.bytes(Ifa::Local.into(), &address.octets());
            content.bytes(Ifa::Address.into(), &address.octets());
        }
    });
}

/// Adds ([`NEW_ROUTE`]) or removes ([`DELETE_ROUTE`]) what `ip route add local PREFIX dev lo` adds.
pub fn local_route(encoder: &mut Encoder, kind: u16, prefix: IpNet) {
    let flags = if kind == NEW_ROUTE { CREATE | EXCL } else { 0 };
    let link = encode::u32(Rta::Oif.into(), LOOPBACK_INDEX);
    encoder.message(kind, flags, |content| match prefix {
        IpNet::V4(prefix) => {
            write_route(content, AddressFamily::V4, prefix.prefix_len());
            content.small([encode::ipv4(Rta::Dst.into(), prefix.addr()), link]);
        }
        IpNet::V6(prefix) => {
            write_route(content, AddressFamily::V6, prefix.prefix_len());
            content.bytes(Rta::Dst.into(), &prefix.addr().octets());
            content.small([link]);
        }
    });
}

/// Writes the `struct rtmsg` of such a route.
fn write_route(content: &mut Content<'_>, family: AddressFamily, length: u8) {
    let ([table, kind], scope) = (table_and_kind(), RtScope::Host.into());
    content.fixed([family as u8, length, 0, 0, table, PROTOCOL, scope, kind, 0, 0, 0, 0]);
}

/// An address of some link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// Index of the link.
    pub link: u32,
    /// The local address.
    pub address: IpAddr,
}

/// Every address of a family in the namespace, save those of `lo`.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn addresses(family: AddressFamily) -> Result<Vec<LinkAddress>, NetlinkError> {
    let request = Batch::single(Rtm::Getaddr.into(), DUMP, |content| {
        content.fixed([family as u8, 0, 0, 0, 0, 0, 0, 0]);
    });
    list(Family::Route, &request, |message| {
        Ok(link_address(message)?.filter(|found| found.link != LOOPBACK_INDEX))
    })
}

/// Every address in the namespace, of both families and of every link.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn addresses_of_both_families() -> Result<Vec<LinkAddress>, NetlinkError> {
    // AF_UNSPEC
    let request = Batch::single(Rtm::Getaddr.into(), DUMP, |content| content.fixed([0; 8]));
    list(Family::Route, &request, link_address)
}

/// Reads an `RTM_NEWADDR`; nothing if it is an address of another kind.
fn link_address(message: &Message<'_>) -> Result<Option<LinkAddress>, Malformed> {
    if message.kind != NEW_ADDRESS {
        return Ok(None);
    }
    let ([.., a, b, c, d], _) = message.fixed::<8>()?;
    let link = u32::from_ne_bytes([*a, *b, *c, *d]);
    Ok(local_address(message)?.map(|address| LinkAddress { link, address }))
}

/// The address that a message is about. That of an IPv6 link without another end is told once only
/// (`inet6_fill_ifaddr`, `net/ipv6/addrconf.c`, Linux 6.1).
fn local_address(message: &Message<'_>) -> Result<Option<IpAddr>, Malformed> {
    let ([family, ..], attributes) = message.fixed::<8>()?;
    let local = attributes.find(Ifa::Local.into())?;
    let family = AddressFamily::of_number(*family);
    let found = match local {
        None if family == Some(AddressFamily::V6) => attributes.find(Ifa::Address.into())?,
        local => local,
    };
    let missing = Malformed("an address has no local part");
    let Some(family) = family else { return Ok(None) };
    read_address(family, found.ok_or(missing)?).map(Some)
}

fn read_address(family: AddressFamily, value: &[u8]) -> Result<IpAddr, Malformed> {
    Ok(match family {
        AddressFamily::V4 => decode::ipv4(value)?.into(),
        AddressFamily::V6 => decode::ipv6(value)?.into(),
    })
}

/// The prefixes of our own routes of a family in table local.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn local_routes(family: AddressFamily) -> Result<Vec<IpNet>, NetlinkError> {
    let request = Batch::single(Rtm::Getroute.into(), DUMP, |content| {
        content.fixed([family as u8, 0, 0, 0, table_and_kind()[0], 0, 0, 0, 0, 0, 0, 0]);
    });
    list(Family::Route, &request, own_route)
}

/// Reads an `RTM_NEWROUTE`; nothing if it is not one that [`local_route`] made.
fn own_route(message: &Message<'_>) -> Result<Option<IpNet>, Malformed> {
    let ([_, _, _, _, table, protocol, _, kind, ..], _) = message.fixed::<12>()?;
    let is_own = (*protocol, [*table, *kind]) == (PROTOCOL, table_and_kind());
    if message.kind != NEW_ROUTE || !is_own { Ok(None) } else { destination(message) }
}

/// Where the route that a message is about leads; nothing if it is of another family.
fn destination(message: &Message<'_>) -> Result<Option<IpNet>, Malformed> {
    let ([family, length, ..], attributes) = message.fixed::<12>()?;
    let Some(family) = AddressFamily::of_number(*family) else { return Ok(None) };
    let address = match (attributes.find(Rta::Dst.into())?, family) {
        (Some(value), family) => read_address(family, value)?,
        (None, AddressFamily::V4) => Ipv4Addr::UNSPECIFIED.into(),
        (None, AddressFamily::V6) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let too_long = |_| Malformed("a prefix is longer than an address");
    IpNet::new(address, *length).map(Some).map_err(too_long)
}

/// A link, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
}

/// Every link in the namespace.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn links() -> Result<Vec<Link>, NetlinkError> {
    let request = Batch::single(Rtm::Getlink.into(), DUMP, |content| content.fixed([0; 16]));
    list(Family::Route, &request, link)
}

/// The link of a name, asked for by that name alone; nothing if there is none.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn link_named(name: &str) -> Result<Option<Link>, NetlinkError> {
    let request = Batch::single(Rtm::Getlink.into(), 0, |content| {
        content.fixed([0; 16]);
        content.small([encode::u32(Ifla::ExtMask.into(), RTEXT_FILTER_VF)]);
        content.text(Ifla::Ifname.into(), name);
    });
    match list(Family::Route, &request, link) {
        Ok(found) => Ok(found.into_iter().next()),
        Err(NetlinkError::Refused { first, .. })
            if first.iter().all(|refusal| refusal.errno == libc::ENODEV) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads an `RTM_NEWLINK`; nothing if it is a message of another kind.
fn link(message: &Message<'_>) -> Result<Option<Link>, Malformed> {
    if message.kind != u16::from(Rtm::Newlink) {
        return Ok(None);
    }
    let ([_, _, _, _, a, b, c, d, ..], attributes) = message.fixed::<16>()?;
    let name = attributes.find(Ifla::Ifname.into())?.ok_or(Malformed("a link has no name"))?;
    let index = u32::from_ne_bytes([*a, *b, *c, *d]);
    Ok(Some(Link { index, name: decode::text(name)?.into() }))
}

/// The index of a link; nothing if there is none of that name.
///
/// # Errors
/// A refused system call.
pub fn link_index(name: &str) -> io::Result<Option<u32>> {
    let (family, kind) = (rustix::net::AddressFamily::INET, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    match rustix::net::netdevice::name_to_index(&socket, name) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What a message of ours asks for, for an error: verb and object.
pub fn describe(message: &Message<'_>) -> Option<(&'static str, String)> {
    let verb = match Rtm::from(message.kind) {
        Rtm::Newlink | Rtm::Newaddr | Rtm::Newroute => "add",
        Rtm::Dellink | Rtm::Deladdr | Rtm::Delroute => "remove",
        _ => "list",
    };
    let object = match message.kind {
        NEW_ADDRESS | DELETE_ADDRESS => {
            format!("address {}", local_address(message).ok()??)
        }
        NEW_ROUTE | DELETE_ROUTE => {
            format!("local route {}", destination(message).ok()??)
        }
        _ => {
            let (_, attributes) = message.fixed::<16>().ok()?;
            format!("link {}", decode::text(attributes.find(Ifla::Ifname.into()).ok()??).ok()?)
        }
    };
    Some((verb, object))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::decode::Messages;

    #[test]
    fn an_address_is_the_message_that_ip_sends() {
        // What `ip addr add 10.96.0.1/32 dev v0` sends (strace, iproute2 6.1), sequence number and
        // all.
        let mut encoder = Encoder::default();
        address(&mut encoder, NEW_ADDRESS, 3, [10, 96, 0, 1].into());
        #[rustfmt::skip]
        let expected = [
            40, 0, 0, 0,  20, 0,  0x05, 0x06,  1, 0, 0, 0,  0, 0, 0, 0, // RTM_NEWADDR, REQUEST | ACK | CREATE | EXCL
            2, 32, 0, 0,  3, 0, 0, 0,                                   // AF_INET, /32, link 3
            8, 0, 2, 0,  10, 96, 0, 1,                                  // IFA_LOCAL
            8, 0, 1, 0,  10, 96, 0, 1,                                  // IFA_ADDRESS
        ];
        assert_eq!(encoder.finish().bytes(), expected);
    }

    #[test]
    fn an_address_of_either_family_is_read_as_it_is_written() {
        for text in ["10.96.0.1", "fd00::1"] {
            let (expected, mut encoder) = (text.parse().expect("an address"), Encoder::default());
            address(&mut encoder, NEW_ADDRESS, 3, expected);
            let batch = encoder.finish();
            let message = Messages::of(batch.bytes()).next().expect("one").expect("valid");
            let read = Ok(Some(LinkAddress { link: 3, address: expected }));
            assert_eq!(link_address(&message), read);
            assert_eq!(describe(&message), Some(("add", format!("address {text}"))));
        }
    }

    #[test]
    fn a_link_is_read_with_its_index_and_its_name() {
        let mut content = vec![0; 16];
        content[4] = 7;
        content.extend([8, 0, 3, 0]);
        content.extend(b"lo0\0");
        let kind = u16::from(Rtm::Newlink);
        let message = |kind, content| Message { kind, flags: 0, sequence: 1, content };
        let expected = Link { index: 7, name: "lo0".into() };
        assert_eq!(link(&message(kind, &content)), Ok(Some(expected)));
        assert_eq!(link(&message(kind, &content[..16])), Err(Malformed("a link has no name")));
        assert_eq!(link(&message(NEW_ADDRESS, &content)), Ok(None));
    }

    #[test]
    fn a_route_that_is_listed_is_the_one_that_was_added() {
        for text in ["10.96.0.0/12", "fd00:96::/108"] {
            let (prefix, mut encoder) = (text.parse().expect("a prefix"), Encoder::default());
            local_route(&mut encoder, NEW_ROUTE, prefix);
            let batch = encoder.finish();
            let message = Messages::of(batch.bytes()).next().expect("one").expect("valid");
            assert_eq!(own_route(&message), Ok(Some(prefix)));
            assert_eq!(describe(&message), Some(("add", format!("local route {text}"))));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_content_never_panics(kind in 16_u16..30, content: Vec<u8>) {
            let message = Message { kind, flags: 0, sequence: 1, content: &content };
            let _ = (link_address(&message), own_route(&message), describe(&message));
            let _ = link(&message);
        }
    }
}

//! The few rtnetlink messages that make VIPs local: a dummy link, its addresses, and routes of type
//! local.
//!
//! All constants are from `include/uapi/linux/{rtnetlink,if_addr,if_link}.h`, Linux 6.1.

use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::socket::{Family, NetlinkError, Socket};
use super::{
    Batch, CREATE, DUMP, EXCL, Encoder, LOOPBACK_INDEX, Malformed, Message, decode, encode,
};

/// `RTM_NEWLINK`
const NEW_LINK: u16 = 16;
/// `RTM_DELLINK`
const DELETE_LINK: u16 = 17;
/// `RTM_NEWADDR`
pub const NEW_ADDRESS: u16 = 20;
/// `RTM_DELADDR`
pub const DELETE_ADDRESS: u16 = 21;
/// `RTM_GETADDR`
const GET_ADDRESS: u16 = 22;
/// `RTM_NEWROUTE`
pub const NEW_ROUTE: u16 = 24;
/// `RTM_DELROUTE`
pub const DELETE_ROUTE: u16 = 25;
/// `RTM_GETROUTE`
const GET_ROUTE: u16 = 26;

/// `IFLA_IFNAME`, `IFLA_LINKINFO`, `IFLA_INFO_KIND`
const LINK_NAME: u16 = 3;
const LINK_INFO: u16 = 18;
const LINK_INFO_KIND: u16 = 1;
/// `IFA_ADDRESS`, `IFA_LOCAL`
const ADDRESS_PEER: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
/// `RTA_DST`, `RTA_OIF`
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_LINK: u16 = 4;

/// `AF_INET`
const IPV4: u8 = 2;
/// `RT_TABLE_LOCAL`
const TABLE_LOCAL: u8 = 255;
/// `RT_SCOPE_HOST`
const SCOPE_HOST: u8 = 254;
/// `RTN_LOCAL`
const KIND_LOCAL: u8 = 2;
/// Marks a route as ours: a routing protocol number that nobody has claimed (values above
/// `RTPROT_STATIC`, 4, are for user space).
const PROTOCOL: u8 = 118;
/// Makes a dummy link of that name; it stays down.
pub fn create_dummy(encoder: &mut Encoder, name: &str) {
    encoder.message(NEW_LINK, CREATE | EXCL, |content| {
        content.fixed([0; 16]);
        content.text(LINK_NAME, name);
        content.nest(LINK_INFO, |info| info.bytes(LINK_INFO_KIND, b"dummy"));
    });
}

/// Removes a link with all its addresses.
pub fn delete_link(encoder: &mut Encoder, name: &str) {
    encoder.message(DELETE_LINK, 0, |content| {
        content.fixed([0; 16]);
        content.text(LINK_NAME, name);
    });
}

/// Adds ([`NEW_ADDRESS`]) or removes ([`DELETE_ADDRESS`]) one /32 address of a link.
pub fn address(encoder: &mut Encoder, kind: u16, link: u32, address: Ipv4Addr) {
    let flags = if kind == NEW_ADDRESS { CREATE | EXCL } else { 0 };
    let [a, b, c, d] = link.to_ne_bytes();
    encoder.message(kind, flags, |content| {
        content.fixed([IPV4, 32, 0, 0, a, b, c, d]);
        content.small([encode::ipv4(ADDRESS_LOCAL, address), encode::ipv4(ADDRESS_PEER, address)]);
    });
}

/// Adds ([`NEW_ROUTE`]) or removes ([`DELETE_ROUTE`]) what `ip route add local PREFIX dev lo` adds.
pub fn local_route(encoder: &mut Encoder, kind: u16, prefix: Ipv4Net) {
    let flags = if kind == NEW_ROUTE { CREATE | EXCL } else { 0 };
    encoder.message(kind, flags, |content| {
        let header = [
            IPV4,
            prefix.prefix_len(),
            0,
            0,
            TABLE_LOCAL,
            PROTOCOL,
            SCOPE_HOST,
            KIND_LOCAL,
            0,
            0,
            0,
            0,
        ];
        content.fixed(header);
        content.small([
            encode::ipv4(ROUTE_DESTINATION, prefix.addr()),
            encode::u32(ROUTE_LINK, LOOPBACK_INDEX),
        ]);
    });
}

/// An address of some link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// Index of the link.
    pub link: u32,
    /// The local address.
    pub address: Ipv4Addr,
}

/// Every IPv4 address in the namespace, save those of `lo`.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn addresses() -> Result<Vec<LinkAddress>, NetlinkError> {
    let request =
        Batch::single(GET_ADDRESS, DUMP, |content| content.fixed([IPV4, 0, 0, 0, 0, 0, 0, 0]));
    let mut found = Vec::new();
    Socket::open(Family::Route)?.ask(&request, |message| {
        found.extend(link_address(message)?.filter(|address| address.link != LOOPBACK_INDEX));
        Ok(())
    })?;
    Ok(found)
}

/// Reads an `RTM_NEWADDR`; nothing if it is no IPv4 address.
fn link_address(message: &Message<'_>) -> Result<Option<LinkAddress>, Malformed> {
    let ([family, _, _, _, link @ ..], attributes) = message.fixed::<8>()?;
    if message.kind != NEW_ADDRESS || *family != IPV4 {
        return Ok(None);
    }
    let address =
        attributes.find(ADDRESS_LOCAL)?.ok_or(Malformed("an address has no local part"))?;
    Ok(Some(LinkAddress { link: u32::from_ne_bytes(*link), address: decode::ipv4(address)? }))
}

/// The prefixes of our own routes in table local.
///
/// # Errors
/// A failed socket or a malformed answer.
pub fn local_routes() -> Result<Vec<Ipv4Net>, NetlinkError> {
    let request = Batch::single(GET_ROUTE, DUMP, |content| {
        content.fixed([IPV4, 0, 0, 0, TABLE_LOCAL, 0, 0, 0, 0, 0, 0, 0]);
    });
    let mut found = Vec::new();
    Socket::open(Family::Route)?.ask(&request, |message| {
        found.extend(own_route(message)?);
        Ok(())
    })?;
    Ok(found)
}

/// Reads an `RTM_NEWROUTE`; nothing if it is not one that [`local_route`] made.
fn own_route(message: &Message<'_>) -> Result<Option<Ipv4Net>, Malformed> {
    let (header, attributes) = message.fixed::<12>()?;
    let [family, length, _, _, table, protocol, _, kind, ..] = *header;
    let own = [family, table, protocol, kind] == [IPV4, TABLE_LOCAL, PROTOCOL, KIND_LOCAL];
    if message.kind != NEW_ROUTE || !own {
        return Ok(None);
    }
    let address = match attributes.find(ROUTE_DESTINATION)? {
        Some(value) => decode::ipv4(value)?,
        None => Ipv4Addr::UNSPECIFIED,
    };
    let prefix =
        Ipv4Net::new(address, length).map_err(|_| Malformed("a prefix is longer than 32"))?;
    Ok(Some(prefix))
}

/// The index of a link; nothing if there is none of that name.
///
/// # Errors
/// A refused system call.
pub fn link_index(name: &str) -> io::Result<Option<u32>> {
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    match rustix::net::netdevice::name_to_index(&socket, name) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What a message of ours asks for, for an error: verb and object.
pub fn describe(message: &Message<'_>) -> Option<(&'static str, String)> {
    let verb = match message.kind {
        NEW_LINK | NEW_ADDRESS | NEW_ROUTE => "add",
        DELETE_LINK | DELETE_ADDRESS | DELETE_ROUTE => "remove",
        _ => "list",
    };
    let object = match message.kind {
        NEW_ADDRESS | DELETE_ADDRESS => {
            let (_, attributes) = message.fixed::<8>().ok()?;
            format!("address {}", decode::ipv4(attributes.find(ADDRESS_LOCAL).ok()??).ok()?)
        }
        NEW_ROUTE | DELETE_ROUTE => {
            let ([_, length, ..], attributes) = message.fixed::<12>().ok()?;
            let address = decode::ipv4(attributes.find(ROUTE_DESTINATION).ok()??).ok()?;
            format!("local route {address}/{length}")
        }
        _ => {
            let (_, attributes) = message.fixed::<16>().ok()?;
            format!("link {}", decode::text(attributes.find(LINK_NAME).ok()??).ok()?)
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
        address(&mut encoder, NEW_ADDRESS, 3, Ipv4Addr::new(10, 96, 0, 1));
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
    fn a_route_that_is_listed_is_the_one_that_was_added() {
        let prefix: Ipv4Net = "10.96.0.0/12".parse().expect("a prefix");
        let mut encoder = Encoder::default();
        local_route(&mut encoder, NEW_ROUTE, prefix);
        let batch = encoder.finish();
        let message = Messages::of(batch.bytes()).next().expect("one").expect("valid");
        assert_eq!(own_route(&message), Ok(Some(prefix)));
        assert_eq!(prefix.to_string(), "10.96.0.0/12");
    }

    proptest! {
        #[test]
        fn arbitrary_content_never_panics(kind in 16_u16..30, content: Vec<u8>) {
            let message = Message { kind, flags: 0, sequence: 1, content: &content };
            let _ = (link_address(&message), own_route(&message));
        }
    }
}

//! Connection tracking: lists the connections of a namespace, and forgets some.
//!
//! Constants from `include/uapi/linux/netfilter/nfnetlink_conntrack.h`, Linux 6.1. It needs the
//! module `nf_conntrack_netlink`.

use std::net::IpAddr;

use super::decode::{Attributes, Malformed, Message};
use super::encode::Batch;
use super::encode::Content;
use super::family::AddressFamily;
use super::numbers::DUMP;
use super::socket::{Family, NetlinkError, Socket, list};
use super::{decode, encode};

/// `NFNL_SUBSYS_CTNETLINK << 8` with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
/// `sizeof(struct nfgenmsg)`
const FIXED_BYTES: usize = 4;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
/// `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`
const ADDRESSES: u16 = 1;
const TRANSPORT: u16 = 2;
/// `CTA_IP_V4_SRC`, `CTA_IP_V4_DST`; those of IPv6 are two higher.
const SOURCE: u16 = 1;
const DESTINATION: u16 = 2;
const IPV6_STEP: u16 = 2;
/// `CTA_PROTO_NUM`, `CTA_PROTO_SRC_PORT`, `CTA_PROTO_DST_PORT`
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

/// The packets of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go.
    pub destination: IpAddr,
    /// The IP protocol number.
    pub transport: u8,
    /// Source port; 0 if the protocol has none.
    pub source_port: u16,
    /// Destination port; 0 if the protocol has none.
    pub destination_port: u16,
}

/// A tracked connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The first packet's direction.
    pub original: Tuple,
    /// The direction of answers, which tells what NAT made of it.
    pub reply: Tuple,
}

/// Every connection of the namespace that `is_wanted`, of one family or of both.
///
/// # Errors
/// A failed socket, a kernel without the module, or a malformed answer.
pub fn connections(
    family: Option<AddressFamily>,
    is_wanted: impl Fn(&Connection) -> bool,
) -> Result<Vec<Connection>, NetlinkError> {
    // AF_UNSPEC
    let family = family.map_or(0, |family| family as u8);
    let request = Batch::single(GET, DUMP, |content| content.fixed([family, 0, 0, 0]));
    list(Family::Netfilter, &request, |message| Ok(Some(read(message)?).filter(&is_wanted)))
}

/// Forgets the connections with these original directions, and tells how many of them there were:
/// one that ended meanwhile is no error.
///
/// # Errors
/// A failed socket, or any other refusal by the kernel.
pub fn forget<'a>(originals: impl IntoIterator<Item = &'a Tuple>) -> Result<usize, NetlinkError> {
    let mut socket = Socket::open(Family::Netfilter)?;
    let mut count = 0;
    for original in originals {
        match socket.submit(&Batch::single(DELETE, 0, |content| write(content, original))) {
            Ok(()) => count += 1,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn write(content: &mut Content<'_>, tuple: &Tuple) {
    // struct nfgenmsg: family, version 0, resource id 0.
    content.fixed([AddressFamily::of(tuple.source) as u8, 0, 0, 0]);
    content.nest(ORIGINAL, |tuple_content| {
        tuple_content.nest(ADDRESSES, |addresses| {
            for (kind, address) in [(SOURCE, tuple.source), (DESTINATION, tuple.destination)] {
                match address {
                    IpAddr::V4(address) => addresses.bytes(kind, &address.octets()),
                    IpAddr::V6(address) => addresses.bytes(kind + IPV6_STEP, &address.octets()),
                }
            }
        });
        tuple_content.nest(TRANSPORT, |transport| {
            transport.small([
                encode::u8(NUMBER, tuple.transport),
                encode::be16(SOURCE_PORT, tuple.source_port),
                encode::be16(DESTINATION_PORT, tuple.destination_port),
            ]);
        });
    });
}

fn read(message: &Message<'_>) -> Result<Connection, Malformed> {
    let (_, attributes) = message.fixed::<FIXED_BYTES>()?;
    let tuple = |kind| {
        let nest = attributes.find(kind)?.ok_or(Malformed("a connection lacks a direction"))?;
        read_tuple(&Attributes::of(nest))
    };
    Ok(Connection { original: tuple(ORIGINAL)?, reply: tuple(REPLY)? })
}

fn read_tuple(tuple: &Attributes<'_>) -> Result<Tuple, Malformed> {
    let nest = |kind| {
        let nest = tuple.find(kind)?.ok_or(Malformed("a direction lacks addresses or protocol"))?;
        Ok(Attributes::of(nest))
    };
    let (addresses, transport) = (nest(ADDRESSES)?, nest(TRANSPORT)?);
    let address = |kind| match (addresses.find(kind)?, addresses.find(kind + IPV6_STEP)?) {
        (Some(value), _) => Ok(decode::ipv4(value)?.into()),
        (None, Some(value)) => <[u8; 16]>::try_from(value)
            .map(IpAddr::from)
            .map_err(|_| Malformed("an IPv6 address is not 16 bytes long")),
        (None, None) => Err(Malformed("a direction lacks an address")),
    };
    let port = |kind| transport.find(kind)?.map_or(Ok(0), decode::be16);
    Ok(Tuple {
        source: address(SOURCE)?,
        destination: address(DESTINATION)?,
        transport: transport.find(NUMBER)?.map_or(Ok(0), decode::u8)?,
        source_port: port(SOURCE_PORT)?,
        destination_port: port(DESTINATION_PORT)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::decode::Messages;

    #[test]
    fn a_direction_that_is_written_is_read() {
        for [source, destination] in [["10.0.0.1", "10.96.0.1"], ["fd00::1", "fd00::2"]] {
            let tuple = Tuple {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                transport: 6,
                source_port: 40_000,
                destination_port: 80,
            };
            let batch = Batch::single(DELETE, 0, |content| write(content, &tuple));
            let message = Messages::of(batch.bytes()).next().unwrap().unwrap();
            let (_, attributes) = message.fixed::<FIXED_BYTES>().unwrap();
            let nest = attributes.find(ORIGINAL).unwrap().unwrap();
            assert_eq!(read_tuple(&Attributes::of(nest)), Ok(tuple));
            assert!(read(&message).is_err(), "the reply is missing");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_content_never_panics(content: Vec<u8>) {
            let _ = read(&Message { kind: GET, flags: 0, sequence: 1, content: &content });
        }
    }
}

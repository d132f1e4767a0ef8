//! Programs links, addresses, routes and neighbours of one network namespace by rtnetlink.
//!
//! Knows single kernel objects only; which of them make a lab is decided in `topology`. Interface indices and MAC
//! addresses are chosen by the caller, so that the same lab is the same to the last bit each time.

use std::fmt;
use std::io::{self, Cursor};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use neli::consts::nl::NlmF;
use neli::consts::rtnl::{
    Arphrd, Ifa, IfaF, Iff, Ifla, IflaInfo, Nda, Ntf, Nud, RtAddrFamily, RtScope, RtTable, Rta,
    RtaType, Rtm, Rtn, Rtprot,
};
use neli::consts::socket::{Msg, NlFamily};
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::rtnl::{
    IfaddrmsgBuilder, Ifinfomsg, IfinfomsgBuilder, NdmsgBuilder, Rtattr, RtattrBuilder,
    RtmsgBuilder,
};
use neli::socket::NlSocket;
use neli::types::{Buffer, RtBuffer};
use neli::utils::Groups;
use neli::{Size, ToBytes};

/// Index of `lo` in every namespace (`include/net/net_namespace.h`, `LOOPBACK_IFINDEX`, Linux 6.1).
pub const LOOPBACK_INDEX: i32 = 1;
/// `enum { VETH_INFO_PEER = 1 }` of `include/uapi/linux/veth.h`, Linux 6.1.
const VETH_INFO_PEER: u16 = 1;
/// Longest interface name: `IFNAMSIZ` less the closing NUL (`include/uapi/linux/if.h`).
const NAME_BYTES_MAX: usize = 15;
/// The longest reply describes a link, in 2 KiB at most; an acknowledgement echoes a request of some hundred bytes.
const REPLY_BYTES_MAX: usize = 8192;
/// `struct nlmsghdr`: length (4 bytes), type (2), flags (2), sequence (4), port (4).
const HEADER_BYTES: usize = 16;

/// Why the kernel's network objects could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No rtnetlink socket.
    #[error(
        "cannot open an rtnetlink socket: {source}; the kernel needs CONFIG_NET and a free descriptor"
    )]
    Socket {
        /// What the system says.
        source: io::Error,
    },
    /// A parameter that no kernel would accept.
    #[error("{object}: {reason}")]
    Parameter {
        /// What was to be made.
        object: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A message could not be built.
    #[error("{object}: cannot encode the rtnetlink message: {reason}")]
    Encode {
        /// What was to be made.
        object: String,
        /// What the encoder says.
        reason: String,
    },
    /// The kernel refused.
    #[error(
        "{object}: the kernel refuses: {source}{detail}; run as root, and see that the driver `veth` is there"
    )]
    Refused {
        /// What was to be made.
        object: String,
        /// The kernel's error.
        source: io::Error,
        /// The kernel's own words, if any, after a separator.
        detail: String,
    },
    /// The kernel's reply made no sense.
    #[error("{object}: {reason} in the rtnetlink reply")]
    Reply {
        /// What was to be made.
        object: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

/// One end of a veth pair.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Name, 1 to 15 bytes.
    pub name: &'a str,
    /// Index, free in its namespace, from 2 on.
    pub index: i32,
    /// Hardware address, unicast.
    pub mac: Mac,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Delivered here: every address of the prefix belongs to this host (`ip route add local PREFIX dev lo`).
    Local,
    /// Sent to a neighbour on an interface.
    Gateway {
        /// Address of the neighbour.
        address: Ipv4Addr,
        /// Index of the interface.
        index: i32,
    },
}

/// An rtnetlink socket of the namespace that its opener was in.
pub struct Rtnl {
    socket: NlSocket,
    sequence: u32,
}

impl Rtnl {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// [`LinkError`]: a refusal, or a parameter that no kernel would accept.
    pub fn open() -> Result<Self, LinkError> {
        let socket = NlSocket::connect(NlFamily::Route, None, Groups::empty())
            .map_err(|source| LinkError::Socket { source })?;
        // Only makes errors tell more; kernels from 4.12 on have it.
        let _ = socket.enable_ext_ack(true);
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes a veth pair, `peer` being born in `peer_namespace`: `ip link add NAME type veth peer name PEER netns FD`.
    ///
    /// One transmit and one receive queue an end, on every kernel: the default became one a possible processor
    /// (`drivers/net/veth.c`, `veth_get_num_queues`, since 5.17).
    ///
    /// # Errors
    /// [`LinkError`]: a refusal, or a parameter that no kernel would accept.
    pub fn add_veth(
        &mut self,
        end: VethEnd<'_>,
        peer: VethEnd<'_>,
        peer_namespace: BorrowedFd<'_>,
    ) -> Result<(), LinkError> {
        let object = || format!("veth `{}`, peer `{}`", end.name, peer.name);
        for end in [end, peer] {
            check_end(end).map_err(|reason| LinkError::Parameter { object: object(), reason })?;
        }
        let build = || -> Result<Ifinfomsg, Unencodable> {
            let mut peer_attributes = end_attributes(peer)?;
            peer_attributes.push(attribute(Ifla::NetNsFd, peer_namespace.as_raw_fd())?);
            let data = attribute(VETH_INFO_PEER, link_message(peer.index, peer_attributes)?)?;
            let mut info = RtBuffer::new();
            info.push(attribute(IflaInfo::Kind, "veth")?);
            info.push(attribute(IflaInfo::Data, data)?);
            let mut attributes = end_attributes(end)?;
            attributes.push(attribute(Ifla::Linkinfo, info)?);
            link_message(end.index, attributes)
        };
        self.create(object, Rtm::Newlink, build)
    }

    /// Brings a link up: `ip link set dev INDEX up`.
    ///
    /// # Errors
    /// [`LinkError`]: a refusal, or a parameter that no kernel would accept.
    pub fn set_up(&mut self, index: i32) -> Result<(), LinkError> {
        let build = || {
            let message = IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified);
            Ok(message.ifi_index(index).up().build()?)
        };
        self.request(|| format!("link {index}"), Rtm::Newlink, NlmF::empty(), build)
    }

    /// Gives a link an address and the route to its network: `ip address add ADDRESS dev INDEX`.
    ///
    /// # Errors
    /// [`LinkError`]: a refusal, or a parameter that no kernel would accept.
    pub fn add_address(&mut self, index: i32, address: Ipv4Net) -> Result<(), LinkError> {
        let object = || format!("address {address} of link {index}");
        let build = || {
            let mut attributes = RtBuffer::new();
            attributes.push(attribute(Ifa::Local, address.addr().octets())?);
            attributes.push(attribute(Ifa::Address, address.addr().octets())?);
            let message = IfaddrmsgBuilder::default()
                .ifa_family(RtAddrFamily::Inet)
                .ifa_prefixlen(address.prefix_len())
                .ifa_flags(IfaF::empty())
                .ifa_scope(RtScope::Universe)
                .ifa_index(index.unsigned_abs());
            Ok(message.rtattrs(attributes).build()?)
        };
        self.create(object, Rtm::Newaddr, build)
    }

    /// Adds a route: `ip route add PREFIX via ADDRESS dev INDEX`, or `ip route add local PREFIX dev lo`.
    ///
    /// # Errors
    /// [`LinkError`]: a refusal, or a parameter that no kernel would accept.
    pub fn add_route(&mut self, prefix: Ipv4Net, via: Via) -> Result<(), LinkError> {
        let object = || format!("route to {prefix}");
        if prefix != prefix.trunc() {
            let reason = format!("address bits beyond the prefix; write {}", prefix.trunc());
            return Err(LinkError::Parameter { object: object(), reason });
        }
        let (table, scope, kind, index) = match via {
            Via::Local => (RtTable::Local, RtScope::Host, Rtn::Local, LOOPBACK_INDEX),
            Via::Gateway { index, .. } => (RtTable::Main, RtScope::Universe, Rtn::Unicast, index),
        };
        let build = || {
            let mut attributes = RtBuffer::new();
            attributes.push(attribute(Rta::Dst, prefix.addr().octets())?);
            attributes.push(attribute(Rta::Oif, index)?);
            if let Via::Gateway { address, .. } = via {
                attributes.push(attribute(Rta::Gateway, address.octets())?);
            }
            let message = RtmsgBuilder::default()
                .rtm_family(RtAddrFamily::Inet)
                .rtm_dst_len(prefix.prefix_len())
                .rtm_src_len(0)
                .rtm_tos(0)
                .rtm_table(table)
                .rtm_protocol(Rtprot::Static)
                .rtm_scope(scope)
                .rtm_type(kind);
            Ok(message.rtattrs(attributes).build()?)
        };
        self.create(object, Rtm::Newroute, build)
    }

    /// Adds a neighbour that never expires: `ip neighbour add ADDRESS lladdr MAC dev INDEX nud permanent`.
    ///
    /// # Errors
    /// [`LinkError`]: a refusal, or a parameter that no kernel would accept.
    pub fn add_neighbour(
        &mut self,
        index: i32,
        address: Ipv4Addr,
        mac: Mac,
    ) -> Result<(), LinkError> {
        let build = || {
            let mut attributes = RtBuffer::new();
            attributes.push(attribute(Nda::Dst, address.octets())?);
            attributes.push(attribute(Nda::Lladdr, mac.0)?);
            let message = NdmsgBuilder::default()
                .ndm_family(RtAddrFamily::Inet)
                .ndm_index(index)
                .ndm_state(Nud::PERMANENT)
                .ndm_flags(Ntf::empty())
                .ndm_type(Rtn::Unicast);
            Ok(message.rtattrs(attributes).build()?)
        };
        let object = || format!("neighbour {address} at {mac} on link {index}");
        self.create(object, Rtm::Newneigh, build)
    }

    /// Waits until a link has a carrier and its queue is active: before that, the kernel drops what is sent.
    ///
    /// A carrier comes by the link watch's work queue, which may put it off for a second
    /// (`net/core/link_watch.c`, `linkwatch_schedule_work`, Linux 6.1).
    ///
    /// # Errors
    /// [`LinkError`]: a refusal, or a parameter that no kernel would accept.
    pub fn wait_up(&mut self, index: i32, limit: Duration) -> Result<(), LinkError> {
        const POLL: Duration = Duration::from_micros(100);
        let object = || format!("link {index}");
        let started = Instant::now();
        while started.elapsed() < limit {
            let build = || {
                let message = IfinfomsgBuilder::default().ifi_family(RtAddrFamily::Unspecified);
                Ok(message.ifi_index(index).build()?)
            };
            let reply = self.exchange(&object, Rtm::Getlink, NlmF::empty(), build)?;
            match decode_operstate(&reply, self.sequence) {
                Ok(true) => return Ok(()),
                Ok(false) => std::thread::sleep(POLL),
                Err(reason) => return Err(LinkError::Reply { object: object(), reason }),
            }
        }
        Err(LinkError::Parameter {
            object: object(),
            reason: format!("no carrier within {limit:?}"),
        })
    }

    fn create<P: Size + ToBytes>(
        &mut self,
        object: impl Fn() -> String,
        kind: Rtm,
        build: impl FnOnce() -> Result<P, Unencodable>,
    ) -> Result<(), LinkError> {
        self.request(object, kind, NlmF::CREATE | NlmF::EXCL, build)
    }

    fn request<P: Size + ToBytes>(
        &mut self,
        object: impl Fn() -> String,
        kind: Rtm,
        flags: NlmF,
        build: impl FnOnce() -> Result<P, Unencodable>,
    ) -> Result<(), LinkError> {
        let reply = self.exchange(&object, kind, flags | NlmF::ACK, build)?;
        match decode_ack(&reply, self.sequence) {
            Ok(Ack { errno: 0, .. }) => Ok(()),
            Ok(Ack { errno, text }) => {
                let source = io::Error::from_raw_os_error(errno);
                let detail = text.map(|text| format!(" ({text})")).unwrap_or_default();
                Err(LinkError::Refused { object: object(), source, detail })
            }
            Err(reason) => Err(LinkError::Reply { object: object(), reason }),
        }
    }

    /// Sends one message and reads its reply.
    ///
    /// rtnetlink answers before `send` returns (`net/netlink/af_netlink.c`, `netlink_unicast_kernel`, Linux 6.1), so
    /// there is nothing to wait for.
    fn exchange<P: Size + ToBytes>(
        &mut self,
        object: &impl Fn() -> String,
        kind: Rtm,
        flags: NlmF,
        build: impl FnOnce() -> Result<P, Unencodable>,
    ) -> Result<Vec<u8>, LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = build()
            .and_then(|payload| encode(self.sequence, kind, flags, payload))
            .map_err(|Unencodable(reason)| LinkError::Encode { object: object(), reason })?;
        let mut reply = vec![0; REPLY_BYTES_MAX];
        let (length, _) = self
            .socket
            .send(&bytes, Msg::empty())
            .and_then(|_| self.socket.recv(&mut reply[..], Msg::DONTWAIT))
            .map_err(|source| LinkError::Refused {
                object: object(),
                source,
                detail: String::new(),
            })?;
        reply.truncate(length);
        Ok(reply)
    }
}

/// What an encoder of the library says; each of its builders has an error type of its own.
struct Unencodable(String);

impl<E: std::error::Error> From<E> for Unencodable {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn encode<P: Size + ToBytes>(
    sequence: u32,
    kind: Rtm,
    flags: NlmF,
    payload: P,
) -> Result<Vec<u8>, Unencodable> {
    let message = NlmsghdrBuilder::default()
        .nl_type(kind)
        .nl_flags(flags | NlmF::REQUEST)
        .nl_seq(sequence)
        .nl_payload(NlPayload::Payload(payload))
        .build()?;
    let mut bytes = Cursor::new(Vec::new());
    message.to_bytes(&mut bytes)?;
    Ok(bytes.into_inner())
}

fn attribute<T: RtaType, P: Size + ToBytes>(
    kind: T,
    payload: P,
) -> Result<Rtattr<T, Buffer>, Unencodable> {
    Ok(RtattrBuilder::default().rta_type(kind).rta_payload(payload).build()?)
}

fn end_attributes(end: VethEnd<'_>) -> Result<RtBuffer<Ifla, Buffer>, Unencodable> {
    let mut attributes = RtBuffer::new();
    attributes.push(attribute(Ifla::Ifname, end.name)?);
    attributes.push(attribute(Ifla::Address, end.mac.0)?);
    attributes.push(attribute(Ifla::NumTxQueues, 1_u32)?);
    attributes.push(attribute(Ifla::NumRxQueues, 1_u32)?);
    Ok(attributes)
}

fn link_message(index: i32, attributes: RtBuffer<Ifla, Buffer>) -> Result<Ifinfomsg, Unencodable> {
    let message = IfinfomsgBuilder::default()
        .ifi_family(RtAddrFamily::Unspecified)
        .ifi_type(Arphrd::from(0))
        .ifi_index(index)
        .ifi_flags(Iff::empty())
        .ifi_change(Iff::empty());
    Ok(message.rtattrs(attributes).build()?)
}

/// The rules of `dev_valid_name` (`net/core/dev.c`, Linux 6.1) and `is_valid_ether_addr`.
fn check_end(end: VethEnd<'_>) -> Result<(), String> {
    let name = end.name;
    let bad = |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0;
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name == "."
        || name == ".."
        || name.bytes().any(bad)
    {
        return Err(format!(
            "`{name}` is no interface name; take 1 to {NAME_BYTES_MAX} letters and digits"
        ));
    }
    if end.index <= LOOPBACK_INDEX {
        return Err(format!("index {} is taken by `lo`; take 2 or more", end.index));
    }
    if end.mac.0[0] & 1 == 1 || end.mac.0 == [0; 6] {
        return Err(format!("{} is no unicast hardware address; begin it with 02", end.mac));
    }
    Ok(())
}

/// What the kernel says to one request.
#[derive(Debug, PartialEq, Eq)]
struct Ack {
    /// 0, or a positive error number.
    errno: i32,
    /// The extended acknowledgement's message.
    text: Option<String>,
}

/// Reads one `NLMSG_ERROR` message (`include/uapi/linux/netlink.h`, `struct nlmsgerr`, Linux 6.1):
/// header (16 bytes: length, type, flags, sequence, port), error (4), the request's header (16) and, unless the
/// flag `CAPPED` is set, the rest of the request; then, if the flag `ACK_TLVS` is set, attributes.
fn decode_ack(reply: &[u8], sequence: u32) -> Result<Ack, &'static str> {
    const NLMSG_ERROR: u16 = 2;
    const CAPPED: u16 = 0x100;
    const ACK_TLVS: u16 = 0x200;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    const TEXT_BYTES_MAX: usize = 300;

    let message = decode_header(reply, NLMSG_ERROR, sequence)?;
    let code = u32_at(message, HEADER_BYTES).ok_or("no error code")?.cast_signed();
    let errno = code.checked_neg().filter(|errno| *errno >= 0).ok_or("a positive error code")?;
    let flags = u16_at(message, 6).unwrap_or_default();
    let echoed = if flags & CAPPED == 0 { u32_at(message, HEADER_BYTES + 4) } else { Some(16) };
    let attributes = echoed
        .and_then(|echoed| usize::try_from(echoed).ok())
        .and_then(|echoed| echoed.checked_next_multiple_of(4)?.checked_add(HEADER_BYTES + 4))
        .and_then(|start| message.get(start..))
        .filter(|_| flags & ACK_TLVS != 0)
        .unwrap_or_default();
    let text = find_attribute(attributes, NLMSGERR_ATTR_MSG).map(|bytes| {
        let shown = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(shown.get(..TEXT_BYTES_MAX).unwrap_or(shown)).into_owned()
    });
    Ok(Ack { errno, text })
}

/// Whether the link in a reply to `RTM_GETLINK` is operational: header, `struct ifinfomsg` (16 bytes), attributes.
fn decode_operstate(reply: &[u8], sequence: u32) -> Result<bool, &'static str> {
    const RTM_NEWLINK: u16 = 16;
    const IFLA_OPERSTATE: u16 = 16;
    const IF_OPER_UP: u8 = 6;
    let message = decode_header(reply, RTM_NEWLINK, sequence)?;
    let attributes = message.get(HEADER_BYTES + 16..).ok_or("no link")?;
    let state = find_attribute(attributes, IFLA_OPERSTATE).ok_or("no operational state")?;
    Ok(state == [IF_OPER_UP])
}

/// The first message of a reply, header included, if it is of this type and answers this request.
fn decode_header(reply: &[u8], kind: u16, sequence: u32) -> Result<&[u8], &'static str> {
    let length =
        u32_at(reply, 0).and_then(|length| usize::try_from(length).ok()).ok_or("no header")?;
    let message = reply.get(..length).ok_or("a length beyond the end")?;
    if u16_at(message, 4) != Some(kind) {
        return Err("a message of another type");
    }
    if u32_at(message, 8) != Some(sequence) {
        return Err("another request's sequence number");
    }
    Ok(message)
}

/// Payload of the first attribute of this kind: length (2 bytes, header included), kind (2), payload, padding to 4.
fn find_attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    const KIND_MASK: u16 = 0x3fff;
    while let (Some(length), Some(found)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let payload = attributes.get(4..usize::from(length))?;
        if found & KIND_MASK == kind {
            return Some(payload);
        }
        attributes = attributes.get(usize::from(length).next_multiple_of(4)..)?;
    }
    None
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    /// Laid out by hand: a link that exists is to be made again, extended acknowledgements on.
    fn refusal() -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&[0, 0, 0, 0, 2, 0, 0, 2, 7, 0, 0, 0, 0x39, 0x30, 0, 0]); // NLMSG_ERROR, ACK_TLVS, seq 7
        bytes.extend_from_slice(&(-17_i32).to_ne_bytes()); // -EEXIST
        bytes.extend_from_slice(&[20, 0, 0, 0, 16, 0, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0]); // the request: RTM_NEWLINK, 20 bytes
        bytes.extend_from_slice(&[1, 2, 3, 4]); // its payload
        bytes.extend_from_slice(&[8, 0, 2, 0, 4, 0, 0, 0]); // NLMSGERR_ATTR_OFFS
        bytes.extend_from_slice(&[9, 0, 1, 0, b't', b'h', b'e', b'r', b'e', 0, 0, 0]); // NLMSGERR_ATTR_MSG
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_refusal_is_decoded_with_the_words_of_the_kernel() {
        let ack = decode_ack(&refusal(), 7).unwrap();
        assert_eq!(ack, Ack { errno: libc::EEXIST, text: Some("there".to_owned()) });
    }

    #[test]
    fn a_reply_to_another_request_is_refused() {
        assert_eq!(decode_ack(&refusal(), 8), Err("another request's sequence number"));
        assert_eq!(decode_ack(&refusal()[..30], 7), Err("a length beyond the end"));
        assert_eq!(decode_ack(&[], 7), Err("no header"));
    }

    #[test]
    fn a_veth_message_is_encoded_byte_for_byte() {
        let attributes = end_attributes(VethEnd { name: "eth0", index: 2, mac: MAC }).ok().unwrap();
        let message = link_message(2, attributes).ok().unwrap();
        let bytes =
            encode(9, Rtm::Newlink, NlmF::CREATE | NlmF::EXCL | NlmF::ACK, message).ok().unwrap();
        #[rustfmt::skip]
        let expected = [
            72, 0, 0, 0,  16, 0,  5, 6,  9, 0, 0, 0,  0, 0, 0, 0, // length, RTM_NEWLINK, flags, sequence, port
            0, 0,  0, 0,  2, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,   // ifinfomsg: family, type, index 2, flags, change
            9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0,       // IFLA_IFNAME
            10, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 0,                  // IFLA_ADDRESS
            8, 0, 31, 0, 1, 0, 0, 0,                              // IFLA_NUM_TX_QUEUES
            8, 0, 32, 0, 1, 0, 0, 0,                              // IFLA_NUM_RX_QUEUES
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn an_end_that_no_kernel_takes_is_refused_with_a_remedy() {
        let good = VethEnd { name: "eth0", index: 2, mac: MAC };
        assert_eq!(check_end(good), Ok(()));
        for name in ["", "..", "a/b", "a b", "sixteen-bytes-xy"] {
            assert!(
                check_end(VethEnd { name, ..good }).unwrap_err().contains("no interface name"),
                "{name}"
            );
        }
        assert!(check_end(VethEnd { index: 1, ..good }).unwrap_err().contains("take 2 or more"));
        let multicast = VethEnd { mac: Mac([1, 0, 0, 0, 0, 1]), ..good };
        assert!(check_end(multicast).unwrap_err().contains("begin it with 02"));
    }

    proptest! {
        #[test]
        fn no_reply_makes_the_decoder_panic(bytes: Vec<u8>, sequence: u32) {
            let _ = decode_ack(&bytes, sequence);
            let _ = decode_operstate(&bytes, sequence);
        }

        #[test]
        fn no_flipped_byte_makes_the_decoder_panic(at in 0_usize..60, value: u8) {
            let mut bytes = refusal();
            if let Some(byte) = bytes.get_mut(at) { *byte = value; }
            let _ = decode_ack(&bytes, 7);
        }
    }
}

//! The headers of one packet: addresses, ports, what carries it, and what it is, whatever the bytes
//! are.
//!
//! What tells a packet on all its way is what no translation changes: the IPv4 identification,
//! sequence numbers, flags, lengths, and what a datagram begins with.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket};

use super::record::Framing;

/// `IPPROTO_IPIP`, `IPPROTO_IPV6`: a packet in a packet.
const IN_IP: [u8; 2] = [4, 41];
/// More tunnels in one another than any topology has.
const TUNNELS_MAX: usize = 4;
/// `IPPROTO_TCP`, `_UDP`, `_SCTP`
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// How much data of a datagram the kernel tells with the chains that it meets: of transport header
/// and data 20 bytes (`NFT_TRACETYPE_TRANSPORT_HSIZE`, `net/netfilter/nf_tables_trace.c`, Linux
/// 6.1).
const UDP_START: usize = 12;

/// Headers of a packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Addresses of the ends of each tunnel that it is in, the outermost first.
    pub tunnels: Vec<[IpAddr; 2]>,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// The IPv4 identification.
    pub identification: Option<u16>,
    /// What it is.
    pub content: Content,
}

/// What a packet is, by its transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A TCP segment.
    Tcp {
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number.
        acknowledgment: u32,
        /// FIN, SYN, RST, PSH, ACK and so on, from the lowest bit.
        flags: u8,
        /// Bytes of data.
        length: usize,
    },
    /// A UDP datagram.
    Udp {
        /// Bytes, header and all.
        length: u16,
        /// What its data begins with. In IPv6 nothing else tells a request from an answer.
        start: [u8; UDP_START],
    },
    /// An SCTP packet.
    Sctp {
        /// Verification tag.
        tag: u32,
        /// Type of its first chunk; nothing if that was cut off.
        chunk: Option<u8>,
        /// Bytes, header and all.
        length: usize,
    },
}

/// One IP header and what it carries.
struct Ip<'a> {
    addresses: [IpAddr; 2],
    identification: Option<u16>,
    protocol: u8,
    /// As the header tells; what was captured may be less.
    length: usize,
    payload: &'a [u8],
}

impl Headers {
    /// Reads a packet. Nothing for what is no TCP, UDP or SCTP packet, plain or in up to four
    /// tunnels, or is cut off before its ports.
    pub fn of(bytes: &[u8], framing: Framing) -> Option<Self> {
        let packet = match framing {
            Framing::Ethernet => LaxSlicedPacket::from_ethernet(bytes).ok()?,
            Framing::Ip => LaxSlicedPacket::from_ip(bytes).ok()?,
        };
        let mut ip = Ip::of(&packet)?;
        let mut tunnels = Vec::new();
        while IN_IP.contains(&ip.protocol) && tunnels.len() < TUNNELS_MAX {
            tunnels.push(ip.addresses);
            ip = Ip::of(&LaxSlicedPacket::from_ip(ip.payload).ok()?)?;
        }
        ip.headers(tunnels)
    }

    /// Whether both are the same packet at different places.
    pub fn is_same_packet(&self, other: &Self) -> bool {
        self.content == other.content && self.identification == other.identification
    }
}

impl<'a> Ip<'a> {
    fn of(packet: &LaxSlicedPacket<'a>) -> Option<Self> {
        let carried = packet.ip_payload()?;
        let (addresses, identification, length) = match packet.net.as_ref()? {
            LaxNetSlice::Ipv4(slice) => {
                let header = slice.header();
                let addresses = [header.source_addr().into(), header.destination_addr().into()];
                (addresses, Some(header.identification()), usize::from(header.payload_len().ok()?))
            }
            LaxNetSlice::Ipv6(slice) => {
                let header = slice.header();
                let addresses = [header.source_addr().into(), header.destination_addr().into()];
                (addresses, None, usize::from(header.payload_length()))
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let (protocol, payload) = (carried.ip_number.0, carried.payload);
        Some(Self { addresses, identification, protocol, length, payload })
    }

    fn headers(&self, tunnels: Vec<[IpAddr; 2]>) -> Option<Headers> {
        let content = self.content()?;
        let port = |at| self.payload.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
        let [source, destination] = self.addresses;
        Some(Headers {
            tunnels,
            source: SocketAddr::new(source, port(0)?),
            destination: SocketAddr::new(destination, port(2)?),
            identification: self.identification,
            content,
        })
    }

    /// Reads the fixed part of the transport header alone, since that is all that the kernel tells
    /// with the chains that a packet meets.
    fn content(&self) -> Option<Content> {
        let number = |at| self.payload.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        match self.protocol {
            TCP => {
                let header = self.payload.get(..20)?;
                let header_bytes = usize::from(header[12] >> 4) * 4;
                Some(Content::Tcp {
                    sequence: number(4)?,
                    acknowledgment: number(8)?,
                    flags: header[13],
                    length: self.length.saturating_sub(header_bytes),
                })
            }
            UDP => {
                let length = self.payload.get(4..6)?.try_into().ok()?;
                let mut start = [0; UDP_START];
                let data = self.payload.get(8..).unwrap_or_default();
                start.iter_mut().zip(data).for_each(|(kept, byte)| *kept = *byte);
                Some(Content::Udp { length: u16::from_be_bytes(length), start })
            }
            SCTP => Some(Content::Sctp {
                tag: number(4)?,
                chunk: self.payload.get(12).copied(),
                length: self.length,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use etherparse::{IpNumber, Ipv4Header, PacketBuilder};
    use proptest::prelude::*;

    use super::*;

    /// A TCP segment in an Ethernet frame: from, to, flags SYN or ACK, data.
    pub(in super::super) fn frame(
        [from, to]: [&str; 2],
        syn: bool,
        ack: bool,
        sequence: u32,
        data: &[u8],
    ) -> Vec<u8> {
        let [from, to]: [SocketAddr; 2] = [from, to].map(|text| text.parse().unwrap());
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let ip = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
            _ => panic!("one family"),
        };
        let mut tcp = ip.tcp(from.port(), to.port(), sequence, 1024);
        tcp = if syn { tcp.syn() } else { tcp };
        tcp = if ack { tcp.ack(77) } else { tcp };
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, data).unwrap();
        bytes
    }

    /// The same frame with its IP packet in an IPIP tunnel.
    pub(in super::super) fn tunnelled(frame: &[u8], [from, to]: [&str; 2]) -> Vec<u8> {
        let (ethernet, inner) = frame.split_at(14);
        let [from, to] = [from, to].map(|text| text.parse::<std::net::Ipv4Addr>().unwrap());
        let length = inner.len().try_into().unwrap();
        let outer =
            Ipv4Header::new(length, 64, IpNumber::IPV4, from.octets(), to.octets()).unwrap();
        [ethernet, &outer.to_bytes(), inner].concat()
    }

    const ENDS: [&str; 2] = ["10.0.0.1:40000", "10.96.0.1:80"];

    #[test]
    fn a_segment_is_read_in_ethernet_in_ip_and_in_a_tunnel() {
        let bytes = frame(ENDS, true, false, 5, b"");
        let headers = Headers::of(&bytes, Framing::Ethernet).unwrap();
        assert_eq!([headers.source, headers.destination].map(|one| one.to_string()), ENDS);
        let syn = Content::Tcp { sequence: 5, acknowledgment: 0, flags: 2, length: 0 };
        assert_eq!((headers.content, headers.tunnels.len()), (syn, 0));
        assert_eq!(Headers::of(&bytes[14..], Framing::Ip), Some(headers.clone()));

        let ends = ["192.0.2.1", "192.0.2.2"];
        let mut carried = bytes.clone();
        for tunnels in 1..=TUNNELS_MAX {
            carried = tunnelled(&carried, ends);
            let read = Headers::of(&carried, Framing::Ethernet).unwrap();
            assert_eq!(read.tunnels, vec![ends.map(|end| end.parse::<IpAddr>().unwrap()); tunnels]);
            assert!(read.is_same_packet(&headers));
        }
        assert_eq!(Headers::of(&tunnelled(&carried, ends), Framing::Ethernet), None);
    }

    #[test]
    fn data_is_counted_though_only_headers_were_kept() {
        for ends in [ENDS, ["[fd00::1]:40000", "[fd00::2]:80"]] {
            let bytes = frame(ends, false, true, 5, b"request");
            let cut = Headers::of(&bytes[14..bytes.len() - 7], Framing::Ip).unwrap();
            let Content::Tcp { length, .. } = cut.content else { panic!("{cut:?}") };
            assert_eq!(length, 7);
            assert!(cut.is_same_packet(&Headers::of(&bytes, Framing::Ethernet).unwrap()));
        }
    }

    #[test]
    fn udp_and_sctp_have_ports_and_anything_else_is_left_out() {
        let build = |number: u8, payload: &[u8]| {
            let length = payload.len().try_into().unwrap();
            let ip = Ipv4Header::new(length, 64, IpNumber(number), [10, 0, 0, 1], [10, 0, 0, 2]);
            Headers::of(&[&ip.unwrap().to_bytes()[..], payload].concat(), Framing::Ip)
        };
        let udp = build(UDP, &[0, 53, 0, 99, 0, 9, 0, 0, 1]).unwrap();
        assert_eq!((udp.source.port(), udp.destination.port()), (53, 99));
        let mut start = [0; UDP_START];
        start[0] = 1;
        assert_eq!(udp.content, Content::Udp { length: 9, start });
        let sctp = build(SCTP, &[0, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 1, 0, 0, 4]).unwrap();
        assert_eq!(sctp.content, Content::Sctp { tag: 7, chunk: Some(1), length: 16 });
        assert_eq!(build(1, &[8, 0, 0, 0]), None);
        assert_eq!(build(TCP, &[0, 1, 0, 2]), None, "cut off");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Headers::of(&bytes, Framing::Ethernet);
            let _ = Headers::of(&bytes, Framing::Ip);
        }

        #[test]
        fn a_damaged_packet_never_panics(at in 0_usize..90, byte: u8, kept in 0_usize..100) {
            let mut bytes =
                tunnelled(&frame(ENDS, false, true, 5, b"request"), ["192.0.2.1", "192.0.2.2"]);
            let length = bytes.len();
            bytes[at % length] = byte;
            let _ = Headers::of(&bytes[..kept.min(length)], Framing::Ethernet);
        }
    }
}

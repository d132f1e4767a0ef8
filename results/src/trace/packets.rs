//! Captured packets in order: which sightings at devices are one packet on its way, what it is, and
//! what changed between one sighting and the next.

use std::net::{IpAddr, SocketAddr};

use super::headers::{Content, Headers};
use super::record::{Captured, Record};

/// FIN, SYN, RST and ACK among the flags of TCP.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// One packet on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedPacket<'r> {
    /// What it is.
    pub kind: Kind,
    /// Whether it goes from the client to the Endpoint; else back.
    pub is_forward: bool,
    /// Where it was seen, in order.
    pub sightings: Vec<Sighting<'r>>,
    /// What the last sighting does not show: the change between the last device and the program.
    pub on_delivery: Vec<Change>,
}

/// A packet at a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting<'r> {
    /// The capture.
    pub captured: &'r Captured,
    /// Its headers.
    pub headers: Headers,
    /// What changed since the sighting before; at the first, since the program sent it.
    pub changes: Vec<Change>,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP asks for a connection.
    Syn,
    /// TCP grants it.
    SynAck,
    /// TCP confirms what came.
    Ack,
    /// So many bytes of data.
    Data(usize),
    /// TCP ends its direction.
    Fin,
    /// TCP breaks off.
    Reset,
    /// A chunk of SCTP, by its type.
    Chunk(Option<u8>),
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its destination became another.
    Destination {
        /// Before.
        from: SocketAddr,
        /// After.
        to: SocketAddr,
    },
    /// Its source became another.
    Source {
        /// Before.
        from: SocketAddr,
        /// After.
        to: SocketAddr,
    },
    /// It was put into a tunnel between these addresses.
    Encapsulated([IpAddr; 2]),
    /// It was taken out of one.
    Decapsulated([IpAddr; 2]),
}

impl Kind {
    fn of(content: &Content) -> Self {
        match *content {
            Content::Tcp { flags, .. } if flags & RST != 0 => Self::Reset,
            Content::Tcp { flags, .. } if flags & (SYN | ACK) == SYN | ACK => Self::SynAck,
            Content::Tcp { flags, .. } if flags & SYN != 0 => Self::Syn,
            Content::Tcp { length, .. } if length > 0 => Self::Data(length),
            Content::Tcp { flags, .. } if flags & FIN != 0 => Self::Fin,
            Content::Tcp { .. } => Self::Ack,
            // Its header has 8 bytes.
            Content::Udp { length, .. } => Self::Data(usize::from(length).saturating_sub(8)),
            Content::Sctp { chunk, .. } => Self::Chunk(chunk),
        }
    }
}

/// Every packet of the connection, in the order in which they were first seen. What else was on the
/// devices is left out.
pub fn traced_packets(record: &Record) -> Vec<TracedPacket<'_>> {
    let mut sightings: Vec<Sighting<'_>> = record.packets.iter().filter_map(seen).collect();
    // Stable: at the same moment the kernel's own order counts.
    sightings.sort_by_key(|sighting| sighting.captured.time_ns);
    // What copies between two connections answers from what was dialled.
    let answering = [record.at_endpoint().1, record.dialled];
    let mut packets: Vec<TracedPacket<'_>> = Vec::new();
    for sighting in sightings {
        match packets.iter_mut().rev().find(|packet| packet.continues_with(&sighting)) {
            Some(packet) => packet.sightings.push(sighting),
            None => packets.push(TracedPacket {
                kind: Kind::of(&sighting.headers.content),
                is_forward: !answering.contains(&sighting.headers.source),
                sightings: vec![sighting],
                on_delivery: Vec::new(),
            }),
        }
    }
    for packet in &mut packets {
        packet.note_changes(record);
    }
    packets
}

fn seen(captured: &Captured) -> Option<Sighting<'_>> {
    let headers = Headers::of(&captured.bytes, captured.framing)?;
    Some(Sighting { captured, headers, changes: Vec::new() })
}

impl TracedPacket<'_> {
    /// One that passes the same device in the same direction again was sent again.
    fn continues_with(&self, next: &Sighting<'_>) -> bool {
        let is_there = |known: &Sighting<'_>| {
            let (known, next) = (known.captured, next.captured);
            (known.host, known.is_outgoing, &known.device)
                == (next.host, next.is_outgoing, &next.device)
        };
        self.sightings.first().is_some_and(|first| first.headers.is_same_packet(&next.headers))
            && !self.sightings.iter().any(is_there)
    }

    fn note_changes(&mut self, record: &Record) {
        let back = |(source, destination)| (destination, source);
        let (at_client, at_endpoint) = ((record.client, record.dialled), record.at_endpoint());
        let (sent, received, goal) = if self.is_forward {
            (at_client, at_endpoint, record.endpoint_host)
        } else {
            (back(at_endpoint), back(at_client), record.client_host)
        };
        let (mut before, mut tunnels): (_, &[_]) = (sent, &[]);
        for sighting in &mut self.sightings {
            let headers = &sighting.headers;
            let after = (headers.source, headers.destination);
            sighting.changes = changes([before, after], [tunnels, &headers.tunnels]);
            (before, tunnels) = (after, &headers.tunnels);
        }
        let is_delivered = self.sightings.last().is_some_and(|last| {
            let Captured { host, is_outgoing, .. } = *last.captured;
            host == goal && !is_outgoing && last.headers.tunnels.is_empty()
        });
        if is_delivered {
            self.on_delivery = changes([before, received], [&[], &[]]);
        }
    }
}

/// What became of source and destination, and of the tunnels around them, the outermost first.
fn changes(
    [before, after]: [(SocketAddr, SocketAddr); 2],
    [tunnels, new_tunnels]: [&[[IpAddr; 2]]; 2],
) -> Vec<Change> {
    let mut all = Vec::new();
    let left = tunnels.iter().filter(|tunnel| !new_tunnels.contains(tunnel));
    all.extend(left.map(|ends| Change::Decapsulated(*ends)));
    if before.1 != after.1 {
        all.push(Change::Destination { from: before.1, to: after.1 });
    }
    if before.0 != after.0 {
        all.push(Change::Source { from: before.0, to: after.0 });
    }
    let entered = new_tunnels.iter().rev().filter(|tunnel| !tunnels.contains(tunnel));
    all.extend(entered.map(|ends| Change::Encapsulated(*ends)));
    all
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::trace::fixture::{self, BACK, DIALLED, MASQUERADED, SOURCE, TRANSLATED};
    use crate::trace::headers::tests::frame;

    fn addresses(packet: &TracedPacket<'_>) -> Vec<String> {
        let all = packet.sightings.iter().map(|sighting| &sighting.headers);
        all.map(|headers| format!("{} {}", headers.source, headers.destination)).collect()
    }

    #[test]
    fn sightings_of_one_packet_are_one_whatever_the_order_of_the_captures() {
        let mut record = fixture::record();
        record.packets.reverse();
        let packets = traced_packets(&record);
        let kinds: Vec<Kind> = packets.iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds, [Kind::Syn, Kind::SynAck, Kind::Ack, Kind::Data(7)]);
        let forward: Vec<bool> = packets.iter().map(|packet| packet.is_forward).collect();
        assert_eq!(forward, [true, false, true, true]);
        assert_eq!(packets[0].sightings.len(), 6);
        let way = [DIALLED, DIALLED, TRANSLATED, MASQUERADED, MASQUERADED, MASQUERADED];
        assert_eq!(addresses(&packets[0]), way.map(|[from, to]| format!("{from} {to}")));
    }

    #[test]
    fn each_translation_and_the_tunnel_are_marked_where_they_show() {
        let record = fixture::record();
        let packets = traced_packets(&record);
        let at = |text: &str| text.parse().unwrap();
        let ends = fixture::ENDS.map(|end| end.parse().unwrap());
        let [syn, answer, ..] = &packets[..] else { panic!("{packets:?}") };
        let marked: Vec<&[Change]> = syn.sightings.iter().map(|one| &one.changes[..]).collect();
        let translated = Change::Destination { from: at(DIALLED[1]), to: at(TRANSLATED[1]) };
        let masqueraded = Change::Source { from: at(SOURCE), to: at(MASQUERADED[0]) };
        let expected: [&[Change]; 6] = [
            &[],
            &[],
            &[translated],
            &[masqueraded, Change::Encapsulated(ends)],
            &[],
            &[Change::Decapsulated(ends)],
        ];
        assert_eq!(marked, expected);
        let undone = Change::Source { from: at(BACK[0]), to: at(DIALLED[1]) };
        assert!(answer.sightings.iter().any(|one| one.changes.contains(&undone)), "{answer:?}");
        assert!(packets.iter().all(|packet| packet.on_delivery.is_empty()));
    }

    #[test]
    fn a_client_on_the_node_is_translated_before_and_behind_every_device() {
        let mut record = fixture::record();
        record.packets.retain(|packet| packet.host != 0);
        record.client_host = record.node;
        let packets = traced_packets(&record);
        assert_eq!(packets[1].sightings.last().unwrap().captured.host, record.node);
        // The fixture's last sighting on the node is a sent one, as it forwards.
        assert_eq!(packets[1].on_delivery, []);
        record.packets.retain(|packet| packet.host != 1 || !packet.is_outgoing);
        let packets = traced_packets(&record);
        let [destination, source] = packets[1].on_delivery[..] else { panic!("{packets:?}") };
        assert!(matches!(destination, Change::Destination { .. }));
        assert!(matches!(source, Change::Source { .. }));
    }

    #[test]
    fn an_answer_of_what_copies_between_two_connections_goes_back() {
        let mut record = fixture::record();
        let vip_to_client = [DIALLED[1], SOURCE];
        let bytes = frame(vip_to_client, true, true, 31, b"");
        record.packets = vec![Captured { bytes, ..record.packets[0].clone() }];
        let packets = traced_packets(&record);
        assert!(!packets[0].is_forward, "{packets:?}");
    }

    #[test]
    fn a_packet_that_is_sent_again_is_another_and_what_is_no_packet_is_left_out() {
        let mut record = fixture::record();
        let mut again = record.packets[0].clone();
        again.time_ns = 1_000_000_000;
        record.packets.extend([again, Captured { bytes: vec![0; 9], ..record.packets[0].clone() }]);
        let packets = traced_packets(&record);
        let kinds: Vec<Kind> = packets.iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds[4..], [Kind::Syn]);
        assert_eq!(packets[4].sightings.len(), 1);
    }
}

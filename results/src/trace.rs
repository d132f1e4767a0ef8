//! One connection through a proxy, as it was captured: its packets put into order over all hosts,
//! what became of each on its way, as text, as a picture, as a file of packets.
//!
//! Captures nothing itself. What was captured came from a kernel, and is believed as little as any
//! other input.

mod chains;
#[cfg(test)]
mod fixture;
mod headers;
mod packets;
mod pcapng;
mod picture;
mod record;
mod text;

pub use headers::{Content, Headers};
pub use packets::{Change, Kind, Sighting, TracedPacket, traced_packets};
pub use pcapng::{PcapngError, pcapng};
pub use picture::picture;
pub use record::{Asked, Captured, ChainStep, Framing, Record, TRACE_SCHEMA};
pub use text::text;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any packets at any place, and any step of any chain.
    fn any_record() -> impl Strategy<Value = Record> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
        let packet = (0_usize..9, any::<(bool, bool, u64, u32)>(), bytes(), ".{0,20}").prop_map(
            |(host, (is_outgoing, is_ip, time_ns, length), bytes, device)| Captured {
                host,
                device,
                is_outgoing,
                time_ns,
                framing: if is_ip { Framing::Ip } else { Framing::Ethernet },
                length,
                bytes,
            },
        );
        let step = (0_u32..3, ".{0,20}", ".{0,20}", bytes()).prop_map(
            |(packet, chain, verdict, header)| ChainStep {
                packet,
                table: "ip nat".into(),
                chain,
                by_rule: true,
                verdict,
                header,
            },
        );
        let packets = proptest::collection::vec(packet, 0..9);
        let steps = proptest::collection::vec(step, 0..9);
        (packets, steps, 0_usize..9).prop_map(|(packets, steps, node)| {
            let mut record = Record { node, client_host: node, ..fixture::record() };
            record.packets.extend(packets);
            record.chains.extend(steps);
            record
        })
    }

    #[test]
    fn a_record_survives_as_json_and_is_what_its_schema_says() {
        let record = fixture::record();
        let json = serde_json::to_value(&record).unwrap();
        assert!(crate::schema::validator(TRACE_SCHEMA).is_valid(&json));
        assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
    }

    proptest! {
        #[test]
        fn any_record_can_be_shown_drawn_and_written(record in any_record()) {
            prop_assert!(text(&record).contains("iptables-nft"));
            prop_assert!(picture(&record).unwrap().ends_with("</svg>\n"));
            prop_assert!(!pcapng(&record).unwrap().is_empty());
        }
    }
}

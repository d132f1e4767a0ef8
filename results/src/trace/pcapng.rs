//! A trace as a file of packets that Wireshark and tshark read: one interface a device, called
//! `HOST/DEVICE`.

use std::borrow::Cow;
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

use super::record::{Captured, Framing, Record};

/// `if_tsresol`: nanoseconds.
const NANOSECONDS: u8 = 9;

/// The file cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a file of packets: {0}")]
pub struct PcapngError(#[from] PcapError);

/// The bytes of the file: every packet that was captured, in order of time.
///
/// # Errors
/// [`PcapngError`].
pub fn pcapng(record: &Record) -> Result<Vec<u8>, PcapngError> {
    let mut devices: Vec<(usize, &str, Framing)> = Vec::new();
    for packet in &record.packets {
        if !devices.contains(&device_of(packet)) {
            devices.push(device_of(packet));
        }
    }
    devices.sort_unstable_by_key(|(host, name, _)| (*host, *name));
    let mut writer = PcapNgWriter::new(Vec::new())?;
    for (host, name, framing) in &devices {
        let name = format!("{}/{name}", record.host_name(*host));
        writer.write_pcapng_block(interface(name, *framing))?;
    }
    let mut packets: Vec<&Captured> = record.packets.iter().collect();
    packets.sort_by_key(|packet| packet.time_ns);
    for packet in packets {
        let at = devices.iter().position(|device| *device == device_of(packet)).unwrap_or(0);
        writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: u32::try_from(at).unwrap_or(0),
            timestamp: Duration::from_nanos(packet.time_ns),
            original_len: packet.length,
            data: Cow::Borrowed(&packet.bytes),
            options: Vec::new(),
        })?;
    }
    Ok(writer.into_inner())
}

fn device_of(packet: &Captured) -> (usize, &str, Framing) {
    (packet.host, &packet.device, packet.framing)
}

fn interface(name: String, framing: Framing) -> InterfaceDescriptionBlock<'static> {
    let linktype = match framing {
        Framing::Ethernet => DataLink::ETHERNET,
        Framing::Ip => DataLink::RAW,
    };
    let options = vec![
        InterfaceDescriptionOption::IfName(name.into()),
        InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
    ];
    // No limit: what was cut tells its length.
    InterfaceDescriptionBlock { linktype, snaplen: 0, options }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::trace::fixture;

    #[test]
    fn what_is_written_is_read_back_with_devices_and_times() {
        let record = fixture::record();
        let bytes = pcapng(&record).unwrap();
        let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
        let (mut names, mut packets) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(interface) => names.push(format!("{interface:?}")),
                Block::EnhancedPacket(packet) => {
                    packets.push((packet.timestamp, packet.data.to_vec()));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(names.len(), 6);
        assert!(names[3].contains("node/tunl0") && names[3].contains("RAW"), "{names:?}");
        let expected: Vec<(Duration, Vec<u8>)> = record
            .packets
            .iter()
            .map(|packet| (Duration::from_nanos(packet.time_ns), packet.bytes.clone()))
            .collect();
        assert_eq!(packets, expected);
    }

    #[test]
    fn tshark_reads_it_without_complaint() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("trace.pcapng");
        let record = fixture::record();
        std::fs::write(&file, pcapng(&record).unwrap()).unwrap();
        let fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "tcp.dstport"];
        let Ok(output) = Command::new("tshark").arg("-r").arg(&file).args(fields).output() else {
            eprintln!("skipped: tshark_reads_it_without_complaint: there is no tshark here");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let complaints: Vec<&str> =
            said.lines().filter(|line| !line.contains("Running as user")).collect();
        assert!(output.status.success() && complaints.is_empty(), "{said}");
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines.lines().count(), record.packets.len());
        assert!(lines.lines().next().unwrap().starts_with("outside/eth0\t80"), "{lines}");
    }
}

//! A trace as text, at most 100 columns wide: one line a packet at a device, grouped by packet.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::chains::{Walk, walks};
use super::packets::{Change, Kind, Sighting, TracedPacket, traced_packets};
use super::record::Record;
use crate::format::{counted, plain};

const COLUMNS: usize = 100;
/// What stands before continued lines.
const INDENT: &str = "              ";

/// The whole trace.
pub fn text(record: &Record) -> String {
    let packets = traced_packets(record);
    let walks = walks(&record.chains);
    let places = packets.iter().flat_map(|packet| &packet.sightings);
    let width = places.clone().map(|one| place(record, one).len()).max().unwrap_or(0);
    let began = places.map(|one| one.captured.time_ns).min().unwrap_or(0);
    let mut out = head(record, &packets);
    for (number, packet) in (1..).zip(&packets) {
        let way = if packet.is_forward { "to the Service" } else { "back" };
        let _ = writeln!(out, "\n{number}. {}, {way}", name_of(packet.kind));
        let mut own: Vec<&Walk<'_>> = walks.iter().filter(|walk| walk.is_of(packet)).collect();
        for sighting in &packet.sightings {
            let is_on_node = sighting.captured.host == record.node;
            // A packet that the node receives meets its chains behind the device at which it comes
            // out of its tunnel; one that the node makes, before the first.
            let is_plain = sighting.headers.tunnels.is_empty();
            if is_on_node && sighting.captured.is_outgoing {
                tell(&mut out, std::mem::take(&mut own));
            }
            let micros = sighting.captured.time_ns.saturating_sub(began) as f64 / 1e3;
            let place = place(record, sighting);
            let start = format!("{micros:>9.1} us  {place:<width$}  ");
            line(&mut out, &start, packet, sighting);
            if is_on_node && is_plain {
                tell(&mut out, std::mem::take(&mut own));
            }
        }
        tell(&mut out, own);
        if !packet.on_delivery.is_empty() {
            let changes = words_of(&packet.on_delivery, packet.is_forward);
            wrapped(&mut out, INDENT, &format!("behind the last device: {changes}"), ", ");
        }
    }
    tail(&mut out, record);
    // What was captured must not command the terminal.
    out.retain(|symbol| !symbol.is_control() || symbol == '\n');
    out
}

/// What was asked for, and what came of it.
fn head(record: &Record, packets: &[TracedPacket<'_>]) -> String {
    let asked = &record.asked;
    let forwarding = asked.forwarding.as_ref().map(|way| format!(" ({way})")).unwrap_or_default();
    let mut out = format!(
        "{}{forwarding}, kernel {}, {}: from {} to {}, {}, {}\n",
        plain(&asked.proxy),
        plain(&record.kernel),
        asked.topology,
        asked.source,
        asked.frontend,
        asked.family,
        asked.protocol
    );
    let end = match (&record.failure, record.accepted) {
        (Some(reason), _) => format!("no answer: {reason}"),
        (None, Some([from, _])) if from == record.client => {
            format!("answers, and sees the client's own address {from}")
        }
        (None, Some([from, _])) => format!("answers, and sees the source {from}"),
        (None, None) => "answers".to_owned(),
    };
    let _ = writeln!(out, "{} dials {}", record.client, record.dialled);
    let _ = writeln!(out, "Endpoint {} {end}", record.endpoint);
    let seen = packets.iter().map(|packet| packet.sightings.len() as u64).sum();
    let (packets, seen) = (counted(packets.len() as u64, "packet"), counted(seen, "time"));
    let hosts = counted(record.hosts.len() as u64, "namespace");
    let _ = writeln!(out, "{packets}, seen {seen} on the devices of {hosts}");
    out
}

/// What a packet is, in words.
pub(super) fn name_of(kind: Kind) -> String {
    match kind {
        Kind::Syn => "SYN".to_owned(),
        Kind::SynAck => "SYN+ACK".to_owned(),
        Kind::Ack => "ACK".to_owned(),
        Kind::Data(length) => format!("data, {}", counted(length as u64, "byte")),
        Kind::Fin => "FIN".to_owned(),
        Kind::Reset => "RST".to_owned(),
        Kind::Chunk(Some(number)) => format!("SCTP chunk {number}"),
        Kind::Chunk(None) => "SCTP".to_owned(),
    }
}

fn place(record: &Record, sighting: &Sighting<'_>) -> String {
    format!("{}/{}", record.host_name(sighting.captured.host), sighting.captured.device)
}

/// One packet at one device. What changed stands behind it where there is room, else below.
fn line(out: &mut String, start: &str, packet: &TracedPacket<'_>, sighting: &Sighting<'_>) {
    let direction = if sighting.captured.is_outgoing { "out" } else { "in" };
    let line = format!("{start}{direction:<3}  {}", addresses(sighting));
    let is_new = |ends: &&[IpAddr; 2]| sighting.changes.contains(&Change::Encapsulated(**ends));
    let known = sighting.headers.tunnels.iter().filter(|ends| !is_new(ends));
    let known = known.map(|[from, to]| format!("in {} {from} -> {to}", tunnel_of(*from)));
    let changes = sighting.changes.iter().map(|change| words(change, packet.is_forward));
    let words = known.chain(changes).collect::<Vec<_>>().join(", ");
    if line.len() + 3 + words.len() <= COLUMNS {
        let _ = writeln!(out, "{}", format!("{line}   {words}").trim_end());
    } else {
        let _ = writeln!(out, "{line}");
        wrapped(out, INDENT, &words, ", ");
    }
}

/// Source and destination; of a packet in a tunnel, those inside.
pub(super) fn addresses(sighting: &Sighting<'_>) -> String {
    let headers = &sighting.headers;
    format!("{} > {}", headers.source, headers.destination)
}

fn words_of(changes: &[Change], is_forward: bool) -> String {
    let all: Vec<String> = changes.iter().map(|change| words(change, is_forward)).collect();
    all.join(", ")
}

/// A change in words. What a packet to the Service gets, the packets back lose again.
pub(super) fn words(change: &Change, is_forward: bool) -> String {
    match (change, is_forward) {
        (Change::Destination { from, to }, true) => format!("DNAT {from} -> {to}"),
        (Change::Source { from, to }, true) => format!("source masqueraded {from} -> {to}"),
        (Change::Source { from, to }, false) => format!("DNAT undone {from} -> {to}"),
        (Change::Destination { from, to }, false) => format!("masquerade undone {from} -> {to}"),
        (Change::Encapsulated([from, to]), _) => {
            format!("encapsulated {} {from} -> {to}", tunnel_of(*from))
        }
        (Change::Decapsulated([from, to]), _) => {
            format!("decapsulated {} {from} -> {to}", tunnel_of(*from))
        }
    }
}

pub(super) fn tunnel_of(end: IpAddr) -> &'static str {
    if end.is_ipv4() { "IPIP" } else { "IP6IP6" }
}

fn tell(out: &mut String, walks: Vec<&Walk<'_>>) {
    for walk in walks {
        wrapped(out, INDENT, &walk.words(), " > ");
    }
}

/// Adds a line behind `indent`, broken at `joint` where it is too long.
fn wrapped(out: &mut String, indent: &str, line: &str, joint: &str) {
    let mut at = 0;
    for (number, piece) in line.split(joint).enumerate() {
        let length = piece.chars().count() + joint.len();
        if number == 0 {
            out.push_str(indent);
            at = indent.len();
        } else if at + length > COLUMNS {
            let _ = write!(out, "{}\n{indent}  ", joint.trim_end());
            at = indent.len() + 2;
        } else {
            out.push_str(joint);
        }
        out.push_str(piece);
        at += length;
    }
    out.push('\n');
}

/// What the node knows of the connection, and what could not be had.
fn tail(out: &mut String, record: &Record) {
    let parts = [
        ("Rules that counted packets", &record.rules),
        ("Connection tracking on the node", &record.conntrack),
        ("IPVS on the node", &record.ipvs),
    ];
    for (title, lines) in parts.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(out, "\n{title}:");
        for line in lines {
            wrapped(out, "  ", line, " ");
        }
    }
    if record.lost > 0 {
        let _ = writeln!(out, "\n{} lost for lack of room", counted(record.lost, "packet"));
    }
    for note in &record.notes {
        out.push('\n');
        wrapped(out, "", &format!("note: {note}"), " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::fixture;

    #[test]
    fn a_trace_reads_as_a_way_and_fits_100_columns() {
        let text = text(&fixture::record());
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS));
    }

    #[test]
    fn a_failure_is_told_with_its_reason_and_nothing_commands_the_terminal() {
        let mut record = fixture::record();
        record.failure = Some("connecting: timed out".into());
        record.lost = 2;
        record.notes = vec!["\u{1b}[2Jchains cannot be had".into()];
        let text = text(&record);
        assert!(text.contains("no answer: connecting: timed out"), "{text}");
        assert!(text.contains("2 packets lost for lack of room"), "{text}");
        assert!(text.contains("note: [2Jchains cannot be had"), "{text}");
    }
}

//! A connection that tests of this folder look at: from outside to an Endpoint on another node,
//! through an IPIP tunnel.

use super::headers::tests::{frame, tunnelled};
use super::record::{Asked, Captured, ChainStep, Framing, Record, TRACE_SCHEMA};

pub const SOURCE: &str = "172.20.0.1:40000";
pub const DIALLED: [&str; 2] = [SOURCE, "10.96.0.1:80"];
pub const TRANSLATED: [&str; 2] = [SOURCE, "10.128.0.5:8080"];
pub const MASQUERADED: [&str; 2] = ["10.128.0.1:40000", "10.128.0.5:8080"];
/// What the Endpoint answers.
pub const BACK: [&str; 2] = [MASQUERADED[1], MASQUERADED[0]];
pub const ENDS: [&str; 2] = ["192.0.2.10", "192.0.2.11"];

/// Host, device, whether it sends, and how the packet looks there: bytes of a frame.
type Place = (usize, &'static str, bool, Vec<u8>);

fn reversed([from, to]: [&'static str; 2]) -> [&'static str; 2] {
    [to, from]
}

/// A packet from the client on its whole way.
fn forward(syn: bool, ack: bool, sequence: u32, data: &[u8]) -> Vec<Place> {
    let at = |ends| frame(ends, syn, ack, sequence, data);
    vec![
        (0, "eth0", true, at(DIALLED)),
        (1, "outside", false, at(DIALLED)),
        (1, "tunl0", true, at(TRANSLATED)[14..].to_vec()),
        (1, "node1", true, tunnelled(&at(MASQUERADED), ENDS)),
        (2, "node0", false, tunnelled(&at(MASQUERADED), ENDS)),
        (2, "tunl0", false, at(MASQUERADED)[14..].to_vec()),
    ]
}

/// The SYN+ACK back.
fn back() -> Vec<Place> {
    let at = |ends| frame(ends, true, true, 900, b"");
    let masqueraded = reversed(MASQUERADED);
    vec![
        (2, "node0", true, tunnelled(&at(masqueraded), reversed(ENDS))),
        (1, "node1", false, tunnelled(&at(masqueraded), reversed(ENDS))),
        (1, "tunl0", false, at(masqueraded)[14..].to_vec()),
        (1, "outside", true, at(reversed(DIALLED))),
        (0, "eth0", false, at(reversed(DIALLED))),
    ]
}

fn captured(place: Place, number: usize) -> Captured {
    let (host, device, is_outgoing, bytes) = place;
    let is_tunnel = device == "tunl0";
    Captured {
        host,
        device: device.to_owned(),
        is_outgoing,
        time_ns: 5_000 + 12_345 * number as u64,
        framing: if is_tunnel { Framing::Ip } else { Framing::Ethernet },
        length: u32::try_from(bytes.len()).unwrap(),
        bytes,
    }
}

fn step(chain: &str, by_rule: bool, verdict: &str, header: &[u8]) -> ChainStep {
    ChainStep {
        packet: 9,
        table: "ip nat".to_owned(),
        chain: chain.to_owned(),
        by_rule,
        verdict: verdict.to_owned(),
        header: header.to_vec(),
    }
}

fn chains() -> Vec<ChainStep> {
    let syn = frame(DIALLED, true, false, 5, b"");
    vec![
        step("PREROUTING", true, "jump KUBE-SERVICES", &syn[14..54]),
        step("KUBE-SERVICES", true, "jump KUBE-SVC-NPX46M4PTMTKRN6Y", b""),
        step("KUBE-SVC-NPX46M4PTMTKRN6Y", true, "jump KUBE-MARK-MASQ", b""),
        step("KUBE-MARK-MASQ", true, "continue", b""),
        step("KUBE-MARK-MASQ", false, "continue", b""),
        step("KUBE-SVC-NPX46M4PTMTKRN6Y", true, "jump KUBE-SEP-WW5GTTMGZCQXYBEF", b""),
        step("KUBE-SEP-WW5GTTMGZCQXYBEF", true, "accept", b""),
    ]
}

pub fn record() -> Record {
    let ways = [
        forward(true, false, 5, b""),
        back(),
        forward(false, true, 6, b""),
        forward(false, true, 6, b"request"),
    ];
    let places = ways.into_iter().flatten().enumerate();
    Record {
        schema: TRACE_SCHEMA.to_owned(),
        asked: Asked {
            proxy: "iptables-nft".into(),
            forwarding: None,
            topology: "two-nodes-ipip".into(),
            source: "outside".into(),
            frontend: "cluster-ip".into(),
            family: "ipv4".into(),
            protocol: "tcp".into(),
        },
        kernel: "6.1.0".into(),
        client: SOURCE.parse().unwrap(),
        dialled: DIALLED[1].parse().unwrap(),
        endpoint: TRANSLATED[1].parse().unwrap(),
        accepted: Some(MASQUERADED.map(|end| end.parse().unwrap())),
        failure: None,
        hosts: ["outside", "node", "other-node"].map(str::to_owned).to_vec(),
        node: 1,
        client_host: 0,
        endpoint_host: 2,
        packets: places.map(|(number, place)| captured(place, number)).collect(),
        lost: 0,
        chains: chains(),
        rules: Vec::new(),
        conntrack: vec!["tcp 172.20.0.1:40000 > 10.96.0.1:80".into()],
        ipvs: Vec::new(),
        notes: Vec::new(),
    }
}

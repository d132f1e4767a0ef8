//! Traces in a real kernel: what each proxy does to a connection shows in its packets. Needs root.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as the test does")]

use generators::{Family, FrontendKind, Protocol};
use lab::topology::{Shape, Source};
use proxies::ipvs::Forwarding;
use results::trace::{Change, Kind, Record, TracedPacket, pcapng, picture, text, traced_packets};
use vipbench::kube_proxy::KubeProxyFile;
use vipbench::trace::run;
use vipbench::trace::spec::TraceSpec;

fn spec(proxy: &str) -> TraceSpec {
    TraceSpec {
        proxy: proxy.to_owned(),
        kube_proxy: KubeProxyFile::default(),
        forwarding: Forwarding::Nat,
        topology: Shape::OneNode,
        source: Source::Pod,
        frontend: FrontendKind::ClusterIp,
        family: Family::V4,
        protocol: Protocol::Tcp,
    }
}

/// The trace of a connection that must be answered, and shown in every form.
fn answered(spec: &TraceSpec) -> Record {
    let record = run(spec).unwrap();
    assert_eq!(record.failure, None, "{}", text(&record));
    assert_eq!(record.lost, 0);
    assert!(picture(&record).unwrap().ends_with("</svg>\n"));
    assert!(!pcapng(&record).unwrap().is_empty());
    record
}

/// The first packet of a kind.
fn first<'a, 'r>(packets: &'a [TracedPacket<'r>], kind: Kind) -> &'a TracedPacket<'r> {
    packets.iter().find(|packet| packet.kind == kind).unwrap()
}

/// What became of a packet on a host, by its devices there.
fn changes_on(packet: &TracedPacket<'_>, host: usize) -> Vec<Change> {
    let there = packet.sightings.iter().filter(|one| one.captured.host == host);
    there.flat_map(|sighting| sighting.changes.clone()).collect()
}

/// The node translates to the Endpoint and back, and nobody else does.
fn translates_both_ways(record: &Record) {
    let packets = traced_packets(record);
    let (vip, endpoint) = (record.dialled, record.endpoint);
    let (syn, back) = (first(&packets, Kind::Syn), first(&packets, Kind::SynAck));
    let shown = text(record);
    assert!(syn.is_forward && !back.is_forward, "{shown}");
    let there = [Change::Destination { from: vip, to: endpoint }];
    assert_eq!(changes_on(syn, record.node), there, "{shown}");
    let undone = [Change::Source { from: endpoint, to: vip }];
    assert_eq!(changes_on(back, record.node), undone, "{shown}");
    for host in (0..record.hosts.len()).filter(|host| *host != record.node) {
        let all = packets.iter().flat_map(|packet| changes_on(packet, host));
        assert_eq!(all.count(), 0, "{shown}");
    }
    assert_eq!(record.conntrack.len(), 1, "{shown}");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn iptables_nft_translates_in_its_nat_chains_and_back_without_them() {
    for family in Family::ALL {
        let record = answered(&TraceSpec { family, ..spec("iptables-nft") });
        translates_both_ways(&record);
        let met = |chain: &str| record.chains.iter().filter(|one| one.chain == chain).count();
        // Only the first packet of a connection meets the nat table.
        let nat = record.chains.iter().filter(|one| one.table.ends_with(" nat"));
        let packets = nat.filter(|one| one.chain == "PREROUTING" && !one.header.is_empty());
        assert_eq!(packets.count(), 1);
        assert!(met("KUBE-SERVICES") >= 1 && met("FORWARD") > 8, "{:?}", record.chains);
        assert!(text(&record).contains(" nat PREROUTING > KUBE-SERVICES > KUBE-SVC-"));
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn nftables_translates_in_its_maps_and_masquerades_who_comes_from_outside() {
    let record = answered(&spec("nftables-1.36"));
    translates_both_ways(&record);
    let shown = text(&record).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("ip kube-proxy nat-prerouting > services > service-"), "{shown}");

    let asked = TraceSpec {
        source: Source::Outside,
        frontend: FrontendKind::NodePort,
        topology: Shape::TwoNodes,
        ..spec("nftables-1.36")
    };
    let record = answered(&asked);
    let packets = traced_packets(&record);
    let syn = changes_on(first(&packets, Kind::Syn), record.node);
    let [from, _] = record.accepted.unwrap();
    let masqueraded = Change::Source { from: record.client, to: from };
    assert!(from != record.client && syn.contains(&masqueraded), "{}", text(&record));
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn legacy_iptables_tells_by_counters_which_rules_met_the_connection() {
    let record = answered(&spec("iptables-legacy"));
    translates_both_ways(&record);
    assert!(record.rules.iter().any(|rule| rule.contains("-A KUBE-SEP-")), "{:?}", record.rules);
    assert!(record.notes.iter().any(|note| note.contains("TRACE")), "{:?}", record.notes);
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn an_endpoint_that_dials_its_own_vip_comes_back_masqueraded() {
    for proxy in ["iptables-nft", "nftables-1.36"] {
        let record = answered(&TraceSpec { source: Source::Endpoint, ..spec(proxy) });
        let packets = traced_packets(&record);
        let syn = first(&packets, Kind::Syn);
        assert_eq!(syn.sightings.first().unwrap().captured.host, record.endpoint_host);
        assert_eq!(syn.sightings.last().unwrap().captured.host, record.endpoint_host);
        assert!(record.accepted.unwrap()[0].ip() != record.client.ip());
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn the_node_itself_is_translated_before_any_device() {
    let record = answered(&TraceSpec { source: Source::Node, ..spec("iptables-nft") });
    let packets = traced_packets(&record);
    let syn = first(&packets, Kind::Syn);
    assert_eq!(syn.sightings[0].headers.destination, record.endpoint);
    let back = first(&packets, Kind::SynAck);
    let undone = Change::Source { from: record.endpoint, to: record.dialled };
    assert!(back.on_delivery.contains(&undone), "{}", text(&record));
}

#[test]
#[ignore = "needs root and the module ipip; run by scripts/test"]
fn an_ipip_tunnel_between_nodes_shows_on_both_ways() {
    let asked = TraceSpec { topology: Shape::TwoNodesIpip, ..spec("iptables-nft") };
    let record = answered(&asked);
    let packets = traced_packets(&record);
    for kind in [Kind::Syn, Kind::SynAck] {
        let all = first(&packets, kind).sightings.iter().flat_map(|one| one.changes.iter());
        let all: Vec<&Change> = all.collect();
        let entered = all.iter().any(|change| matches!(change, Change::Encapsulated(_)));
        let left = all.iter().any(|change| matches!(change, Change::Decapsulated(_)));
        assert!(entered && left, "{}", text(&record));
    }
}

#[test]
#[ignore = "needs root and the module ip_vs; run by scripts/test"]
fn ipvs_translates_by_nat_and_leaves_addresses_alone_by_dr_and_tun() {
    translates_both_ways(&answered(&spec("ipvs")));
    for (forwarding, tunnels) in [(Forwarding::DirectRoute, 0), (Forwarding::Tunnel, 2)] {
        let asked = TraceSpec {
            forwarding,
            source: Source::Outside,
            topology: Shape::TwoNodesIpip,
            ..spec("ipvs")
        };
        let record = answered(&asked);
        assert_eq!(record.accepted, Some([record.client, record.dialled]));
        let packets = traced_packets(&record);
        let deepest = packets.iter().flat_map(|packet| &packet.sightings);
        let deepest = deepest.map(|one| one.headers.tunnels.len()).max();
        assert_eq!(deepest, Some(tunnels), "{}", text(&record));
        assert_eq!(record.ipvs.len(), 2, "{}", text(&record));
    }
}

/// A datagram goes to the Endpoint, and the answer comes back from the VIP.
fn translates_a_datagram(asked: &TraceSpec) -> Record {
    let record = answered(&TraceSpec { protocol: Protocol::Udp, ..asked.clone() });
    let [there, back] = <[TracedPacket<'_>; 2]>::try_from(traced_packets(&record)).unwrap();
    assert!(there.is_forward && !back.is_forward, "{}", text(&record));
    let (vip, endpoint) = (record.dialled, record.endpoint);
    let translated = [Change::Destination { from: vip, to: endpoint }];
    assert_eq!(changes_on(&there, record.node), translated, "{}", text(&record));
    let undone = [Change::Source { from: endpoint, to: vip }];
    assert_eq!(changes_on(&back, record.node), undone, "{}", text(&record));
    assert!(record.conntrack.iter().all(|entry| entry.starts_with("udp ")), "{}", text(&record));
    record
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_datagram_and_its_answer_are_told_apart_in_both_families() {
    for family in Family::ALL {
        for proxy in ["iptables-legacy", "iptables-nft", "nftables-1.36"] {
            let record = translates_a_datagram(&TraceSpec { family, ..spec(proxy) });
            assert_eq!(record.conntrack.len(), 1, "{}", text(&record));
            let chains = if proxy == "iptables-legacy" { &record.rules } else { &chains(&record) };
            assert!(chains.iter().any(|one| one.to_lowercase().contains("ervices")), "{chains:?}");
        }
    }
}

fn chains(record: &Record) -> Vec<String> {
    record.chains.iter().map(|step| step.chain.clone()).collect()
}

#[test]
#[ignore = "needs root and the module ip_vs; run by scripts/test"]
fn ipvs_knows_of_datagrams_and_of_ipv6() {
    for (proxy, family) in
        [("ipvs", Family::V4), ("ipvs", Family::V6), ("ipvs-kube-proxy", Family::V6)]
    {
        let asked = TraceSpec { family, ..spec(proxy) };
        for record in [answered(&asked), translates_a_datagram(&asked)] {
            let [server, connection] = &record.ipvs[..] else { panic!("{}", text(&record)) };
            let ends = format!("> {}", record.endpoint);
            assert!(server.contains(&ends) && server.contains("Masq"), "{server}");
            assert!(connection.contains(&ends) && !connection.contains("Masq"), "{connection}");
        }
    }
    for forwarding in [Forwarding::DirectRoute, Forwarding::Tunnel] {
        let source = Source::Outside;
        let protocol = Protocol::Udp;
        let record = answered(&TraceSpec { forwarding, source, protocol, ..spec("ipvs") });
        assert_eq!(record.accepted, Some([record.client, record.dialled]));
        let refused = run(&TraceSpec { forwarding, family: Family::V6, ..spec("ipvs") });
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("take --family ipv4"), "{error}");
    }
}

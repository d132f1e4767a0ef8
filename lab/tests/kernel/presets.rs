//! The presets in a real kernel: who reaches whom, through what.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, spawn};

use lab::topology::{Member, Preset, Shape, Source, Topology};
use linux::netns::Namespace;

use super::{PORT, TIMEOUT, printed_in};

/// More than any packet holds, so that segments are full and several go at once.
const PAYLOAD_BYTES: usize = 200_000;

fn build(shape: Shape) -> Topology {
    Topology::build(&Preset::new(shape).graph().unwrap()).unwrap()
}

fn sources(shape: Shape) -> Vec<Source> {
    let mut sources = vec![Source::Outside, Source::Pod, Source::Node, Source::Endpoint];
    if shape != Shape::OneNode {
        sources.push(Source::OtherNodePod);
    }
    sources
}

/// Answers so many connections: reads the payload, writes the peer's address and the payload.
fn answer(host: &Namespace, any: IpAddr, connections: usize) -> JoinHandle<()> {
    let (listening, ready) = channel();
    let host = host.clone();
    let server = spawn(move || {
        let serve = || {
            let listener = TcpListener::bind((any, PORT)).unwrap();
            listening.send(()).unwrap();
            for _ in 0..connections {
                let (mut stream, peer) = listener.accept().unwrap();
                stream.set_read_timeout(Some(TIMEOUT)).unwrap();
                let mut payload = vec![0; PAYLOAD_BYTES];
                stream.read_exact(&mut payload).unwrap();
                writeln!(stream, "{}", peer.ip()).unwrap();
                stream.write_all(&payload).unwrap();
            }
        };
        host.enter(serve).unwrap();
    });
    ready.recv_timeout(TIMEOUT).unwrap();
    server
}

/// Dials with the address that the kernel chooses, and returns the one that the server saw.
fn exchange(from: &Namespace, to: IpAddr) -> IpAddr {
    let said = from.enter(|| {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(to, PORT), TIMEOUT).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(&vec![b'x'; PAYLOAD_BYTES]).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    let said = said.unwrap();
    let (peer, payload) = said.split_once('\n').unwrap();
    assert_eq!(payload.len(), PAYLOAD_BYTES);
    peer.parse().unwrap()
}

/// The own addresses of a host, IPv4 and IPv6.
fn own(host: &Member) -> [IpAddr; 2] {
    [host.ipv4().unwrap().into(), host.ipv6().unwrap().into()]
}

/// Every source exchanges a payload with every endpoint pod, at the pod's own address, in both
/// families. Whoever dials from a pod or from outside is seen with his own address.
fn assert_everybody_reaches_every_endpoint(shape: Shape) {
    let lab = build(shape);
    let sources = sources(shape);
    let pods: Vec<&Member> = lab.endpoint_hosts().collect();
    assert_eq!(pods.len(), if shape == Shape::OneNode { 4 } else { 8 });
    assert_eq!(pods.iter().filter(|pod| pod.is_remote).count(), pods.len() - 4);
    for pod in pods {
        let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        for (family, any) in families.into_iter().enumerate() {
            let server = answer(&pod.namespace, any, sources.len());
            for source in &sources {
                let client = lab.source_host(*source).unwrap();
                let seen = exchange(&client.namespace, own(pod)[family]);
                let label = pod.namespace.label();
                assert!(client.addresses.contains(&seen), "{source} to {label}: {seen}");
                if *source != Source::Node {
                    assert_eq!(seen, own(client)[family], "{source} to {label}");
                }
            }
            server.join().unwrap();
        }
    }
    assert_no_neighbour_is_learnt(&lab);
}

fn assert_no_neighbour_is_learnt(lab: &Topology) {
    for host in lab.hosts.iter().map(|host| &host.namespace) {
        let neighbours = printed_in(host, "ip", "neighbour show");
        // Multicast needs no neighbour and is listed all the same.
        let learnt = |line: &&str| !line.contains("PERMANENT") && !line.starts_with("ff02:");
        assert_eq!(neighbours.lines().find(learnt), None, "{}", host.label());
    }
}

/// Sends one datagram, which nobody on the way may cut up, and waits until it has arrived whole.
fn send_datagram(from: &Namespace, host: &Namespace, to: SocketAddr, bytes: usize) {
    let socket = |host: &Namespace, port| {
        let bound = host.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
        bound.unwrap()
    };
    let (client, server) = (socket(from, 0), socket(host, to.port()));
    server.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.send_to(&vec![b'x'; bytes], to).unwrap();
    assert_eq!(server.recv(&mut vec![0; bytes + 1]).unwrap(), bytes);
}

/// Packets that an interface of the node has sent.
fn sent(lab: &Topology, interface: &str) -> u64 {
    let counters = printed_in(lab.node(), "ip", &format!("-s link show dev {interface}"));
    let row = counters.lines().skip_while(|line| !line.trim_start().starts_with("TX:")).nth(1);
    row.unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn everybody_reaches_every_endpoint_of_one_node() {
    assert_everybody_reaches_every_endpoint(Shape::OneNode);
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn everybody_reaches_every_endpoint_of_two_nodes() {
    assert_everybody_reaches_every_endpoint(Shape::TwoNodes);
}

#[test]
#[ignore = "needs root and the module ipip; run by scripts/test"]
fn everybody_reaches_every_endpoint_through_an_ipip_tunnel() {
    assert_everybody_reaches_every_endpoint(Shape::TwoNodesIpip);
}

#[test]
#[ignore = "needs root and the module ipip; run by scripts/test"]
fn an_ipip_tunnel_takes_20_bytes_of_each_packet_and_ipv4_alone() {
    let lab = build(Shape::TwoNodesIpip);
    let pod = lab.source_host(Source::Pod).unwrap();
    let remote = lab.endpoint_hosts().find(|host| host.is_remote).unwrap();
    for (host, interface, mtu) in [
        (lab.node(), "tunnel", 1_480),
        (lab.node(), "other-node", 1_500),
        (lab.node(), "pod", 1_480),
        (&pod.namespace, "node", 1_480),
    ] {
        let shown = printed_in(host, "ip", &format!("-o link show dev {interface}"));
        assert!(shown.contains(&format!(" mtu {mtu} ")), "{shown}");
    }
    let before = sent(&lab, "tunnel");
    let header_bytes = 20 + 8;
    let target = SocketAddr::new(remote.ipv4().unwrap().into(), PORT);
    send_datagram(&pod.namespace, &remote.namespace, target, 1_480 - header_bytes);
    assert_eq!(sent(&lab, "tunnel"), before + 1, "it fits into one packet");
    let server = answer(&remote.namespace, Ipv6Addr::UNSPECIFIED.into(), 1);
    exchange(&pod.namespace, remote.ipv6().unwrap().into());
    server.join().unwrap();
    assert_eq!(sent(&lab, "tunnel"), before + 1, "IPv6 goes past the tunnel");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn vips_and_external_addresses_arrive_at_the_node_from_everywhere_else() {
    let lab = build(Shape::TwoNodes);
    for (source, host) in
        sources(Shape::TwoNodes).into_iter().map(|source| (source, lab.source(source).unwrap()))
    {
        for address in ["10.96.0.1", "198.18.0.1", "fd00:10:96::1", "2001:2::1"] {
            let route = printed_in(host, "ip", &format!("route get {address}"));
            let node = lab.node_host();
            let gateways = [node.ipv4().unwrap().to_string(), node.ipv6().unwrap().to_string()];
            match source {
                Source::Outside => {
                    assert!(
                        gateways.iter().any(|own| route.contains(&format!("via {own} "))),
                        "{route}"
                    );
                }
                // There it waits for the proxy's rules.
                Source::Node => assert!(route.contains(" dev outside "), "{route}"),
                Source::OtherNodePod => assert!(route.contains(" dev other-node "), "{route}"),
                Source::Pod | Source::Endpoint => assert!(route.contains(" dev node "), "{route}"),
            }
        }
    }
}

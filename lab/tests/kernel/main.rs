//! The lab in a real kernel, with iproute2 and nft as independent witnesses. Needs root; makes its
//! own namespaces only.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

mod presets;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use lab::topology::{
    End, Graph, Host, Link, Medium, Member, Source, Star, Topology, TopologyError,
};
use linux::netlink::link::Mac;
use linux::netns::{Namespace, NamespaceError};
use linux::process::{Limits, run};
use linux::procnet::counter;
use linux::sysctl::read as read_sysctl;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), output_bytes_max: 1 << 20 };
const TIMEOUT: Duration = Duration::from_secs(5);
const PORT: u16 = 8080;
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn spec() -> Star {
    Star {
        clients: "172.16.0.0/12".parse().unwrap(),
        services: "10.96.0.0/12".parse().unwrap(),
        endpoints: "10.128.0.0/9".parse().unwrap(),
        links: "198.18.0.0/24".parse().unwrap(),
        endpoint_hosts: 2,
        node_has_ipv6: false,
    }
}

fn client(lab: &Topology) -> &Namespace {
    lab.source(Source::Outside).unwrap()
}

fn endpoint_host(lab: &Topology, address: Ipv4Addr) -> &Member {
    lab.endpoint_hosts().find(|host| host.has(address.into())).unwrap()
}

/// What a program prints in the calling thread's namespace.
fn printed(program: &str, arguments: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments.split(' '));
    String::from_utf8(run(command, LIMITS).unwrap().stdout).unwrap()
}

fn printed_in(host: &Namespace, program: &str, arguments: &str) -> String {
    host.enter(|| printed(program, arguments)).unwrap()
}

/// How many links of a host are a lab's, by their hardware addresses.
fn lab_links(host: &Namespace) -> usize {
    printed_in(host, "ip", "-o link show")
        .lines()
        .filter(|line| line.contains("link/ether 02:00:00:00:"))
        .count()
}

/// Accepts one connection, writes "local peer" to it, and ends.
fn answer_once(host: &Namespace, any: IpAddr) -> JoinHandle<Result<(), NamespaceError>> {
    let (listening, ready) = channel();
    let host = host.clone();
    let server = spawn(move || {
        host.enter(|| {
            let listener = TcpListener::bind((any, PORT)).unwrap();
            listening.send(()).unwrap();
            let (mut stream, peer) = listener.accept().unwrap();
            write!(stream, "{} {peer}", stream.local_addr().unwrap()).unwrap();
        })
    });
    ready.recv_timeout(TIMEOUT).unwrap();
    server
}

/// Dials from a chosen source address and returns what the other side says.
fn dial(from: &Namespace, source: impl Into<IpAddr>, to: impl Into<SocketAddr>) -> String {
    let (source, to) = (SocketAddr::from((source.into(), 20_000)), to.into());
    from.enter(|| {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let dialling = socket(family, SocketType::STREAM, None).unwrap();
        bind(&dialling, &source).unwrap();
        set_socket_timeout(&dialling, Timeout::Send, Some(TIMEOUT)).unwrap();
        connect(&dialling, &to).unwrap();
        let mut stream = TcpStream::from(dialling);
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    })
    .unwrap()
}

/// Packets that a host has passed on.
fn forwarded(host: &Namespace) -> u64 {
    host.enter(|| counter("snmp", "Ip", "ForwDatagrams").unwrap().unwrap()).unwrap()
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn any_client_address_reaches_any_endpoint_address_through_the_node() {
    let lab = Topology::build(&spec().graph().unwrap()).unwrap();
    for (source, target) in
        [([172, 16, 0, 1], [10, 128, 0, 1]), ([172, 31, 255, 254], [10, 255, 255, 254])]
    {
        let (source, target) = (Ipv4Addr::from(source), Ipv4Addr::from(target));
        let server = answer_once(&endpoint_host(&lab, target).namespace, ANY);
        let before = forwarded(lab.node());
        let said = dial(client(&lab), source, SocketAddrV4::new(target, PORT));
        server.join().unwrap().unwrap();
        assert_eq!(said, format!("{target}:{PORT} {source}:20000"));
        // At least SYN, SYN-ACK, ACK, data.
        assert!(forwarded(lab.node()) >= before + 4);
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn one_endpoint_dials_another_through_the_node() {
    let lab = Topology::build(&spec().graph().unwrap()).unwrap();
    let [first, second] = lab.endpoint_hosts().collect::<Vec<_>>()[..] else {
        panic!("two endpoint hosts")
    };
    let (source, target) = (Ipv4Addr::new(10, 128, 0, 9), Ipv4Addr::new(10, 192, 0, 9));
    let server = answer_once(&second.namespace, ANY);
    let said = dial(&first.namespace, source, SocketAddrV4::new(target, PORT));
    server.join().unwrap().unwrap();
    assert_eq!(said, format!("{target}:{PORT} {source}:20000"));
    assert!(forwarded(lab.node()) >= 4);
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn an_endpoint_that_dials_its_own_service_gets_itself_behind_the_node() {
    let lab = Topology::build(&spec().graph().unwrap()).unwrap();
    let (vip, endpoint) = (Ipv4Addr::new(10, 96, 0, 1), Ipv4Addr::new(10, 128, 0, 7));
    for rule in [
        "add table ip nat".to_owned(),
        "add chain ip nat pre { type nat hook prerouting priority -100 ; }".to_owned(),
        "add chain ip nat post { type nat hook postrouting priority 100 ; }".to_owned(),
        format!("add rule ip nat pre ip daddr {vip} tcp dport 80 dnat to {endpoint}:{PORT}"),
        format!("add rule ip nat post ip saddr {endpoint} ip daddr {endpoint} masquerade"),
    ] {
        printed_in(lab.node(), "nft", &rule);
    }
    let host = endpoint_host(&lab, endpoint);
    let server = answer_once(&host.namespace, ANY);
    let said = dial(&host.namespace, endpoint, SocketAddrV4::new(vip, 80));
    server.join().unwrap().unwrap();
    // The server sees the node's address on its link in place of its own.
    assert!(said.starts_with(&format!("{endpoint}:{PORT} 198.18.0.5:")), "{said}");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn iproute2_sees_the_lab_as_specified_and_no_neighbour_is_ever_learnt() {
    let lab = Topology::build(&spec().graph().unwrap()).unwrap();
    let target = Ipv4Addr::new(10, 128, 0, 1);
    let server = answer_once(&endpoint_host(&lab, target).namespace, ANY);
    dial(client(&lab), Ipv4Addr::new(172, 16, 0, 1), SocketAddrV4::new(target, PORT));
    server.join().unwrap().unwrap();

    let links = printed_in(lab.node(), "ip", "-o link show");
    for (name, mac) in [
        ("client", "02:00:00:00:00:01"),
        ("endpoints0", "02:00:00:00:01:01"),
        ("endpoints1", "02:00:00:00:02:01"),
    ] {
        let line = links.lines().find(|line| line.contains(&format!(": {name}@"))).unwrap();
        assert!(
            line.contains("LOWER_UP") && line.contains("state UP") && line.contains(mac),
            "{line}"
        );
    }
    let local = printed_in(client(&lab), "ip", "route show table local");
    assert!(local.contains("local 172.16.0.0/12 dev lo proto static scope host"), "{local}");
    let routes = printed_in(client(&lab), "ip", "route show");
    for prefix in ["10.96.0.0/12", "10.128.0.0/9"] {
        assert!(routes.contains(&format!("{prefix} via 198.18.0.1 dev node")), "{routes}");
    }
    let routes = printed_in(lab.node(), "ip", "route show");
    for route in [
        "10.128.0.0/10 via 198.18.0.6 dev endpoints0",
        "10.192.0.0/10 via 198.18.0.10 dev endpoints1",
    ] {
        assert!(routes.contains(route), "{routes}");
    }
    let endpoint_hosts = lab.endpoint_hosts().map(|host| &host.namespace);
    for host in [client(&lab), lab.node()].into_iter().chain(endpoint_hosts) {
        let neighbours = printed_in(host, "ip", "neighbour show");
        assert!(
            neighbours.lines().all(|line| line.trim_end().ends_with("PERMANENT")),
            "{}: {neighbours}",
            host.label()
        );
        assert!(!neighbours.is_empty(), "{}", host.label());
        let ipv6 = printed_in(host, "ip", "-6 address show");
        assert_eq!(ipv6, "", "{}", host.label());
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn the_same_spec_gives_the_same_lab() {
    let seen = || {
        let lab = Topology::build(&spec().graph().unwrap()).unwrap();
        let endpoint_hosts = lab.endpoint_hosts().map(|host| &host.namespace);
        let hosts = [client(&lab), lab.node()].into_iter().chain(endpoint_hosts);
        let mut lines = Vec::new();
        for (host, what) in hosts.flat_map(|host| {
            ["address", "route show table all", "neighbour"].map(|what| (host, what))
        }) {
            let printed = printed_in(host, "ip", &format!("-o {what}"));
            lines.extend(printed.lines().map(|line| format!("{}: {line}", host.label())));
        }
        // The kernel lists neighbours by a hash with a random seed.
        lines.sort();
        (lines, lab.sysctls.clone())
    };
    let (lines, shown) = seen();
    assert_eq!(seen(), (lines, shown.clone()));
    // A kernel without IPv6 shows fewer.
    let intended = lab::topology::intended_sysctls();
    assert!(shown.len() > 15, "{shown:?}");
    assert!(shown.iter().all(|(name, value)| intended.get(name) == Some(value)), "{shown:?}");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_dropped_lab_vanishes_and_the_host_is_as_before() {
    let host_state = || {
        ["-o link show", "-o address show", "route show table all", "rule show"]
            .map(|what| printed("ip", what))
            .join("\n")
            + &printed("nft", "list ruleset")
    };
    let before = host_state();
    let lab = Topology::build(&spec().graph().unwrap()).unwrap();
    assert_eq!(host_state(), before);
    let node = lab.node().clone();
    assert_eq!(lab_links(&node), 3);
    drop(lab);
    // A veth goes when the namespace of its other end does, which the kernel's cleanup work does in
    // its own time.
    let started = Instant::now();
    while lab_links(&node) > 0 {
        assert!(started.elapsed() < TIMEOUT, "the links are still there");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(host_state(), before);
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn recorded_sysctls_are_those_in_force() {
    let mut graph = spec().graph().unwrap();
    graph.hosts[1].sysctls.push(("net.ipv4.ip_default_ttl", "99"));
    let lab = Topology::build(&graph).unwrap();
    assert_eq!(lab.sysctls.get("node.net.ipv4.ip_default_ttl").map(String::as_str), Some("99"));
    for (host, label) in [(client(&lab), "client."), (lab.node(), "node.")] {
        let recorded: Vec<_> = lab
            .sysctls
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(label)?, value)))
            .collect();
        assert!(recorded.len() >= 6);
        for (name, value) in recorded {
            assert_eq!(&host.enter(|| read_sysctl(name)).unwrap().unwrap(), value, "{label}{name}");
        }
    }
    graph.hosts[1].sysctls.push(("net.ipv4.ip_forward", "maybe"));
    let error = Topology::build(&graph).unwrap_err().to_string();
    assert!(
        error.contains("node: kernel parameter `net.ipv4.ip_forward`, setting `maybe`"),
        "{error}"
    );
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_source_that_the_star_lacks_is_an_error_that_says_what_there_is() {
    let lab = Topology::build(&spec().graph().unwrap()).unwrap();
    let error = lab.source(Source::OtherNodePod).unwrap_err();
    assert!(matches!(error, TopologyError::NoSource { .. }));
    let expected = "topology `star` has no source `other-node-pod`; it has outside";
    assert_eq!(error.to_string(), expected);
}

fn nets(written: &[&str]) -> Vec<IpNet> {
    written.iter().map(|net| net.parse().unwrap()).collect()
}

fn end(host: usize, name: &str, index: u32, addresses: &[&str]) -> End {
    let addresses = nets(addresses);
    End { host, name: name.to_owned(), index, addresses, owns: Vec::new(), reaches: Vec::new() }
}

fn wire(number: u8, ends: [End; 2]) -> Link {
    let macs = [1, 2].map(|side| Mac([2, 0, 0, 0, number, side]));
    Link { medium: Medium::Veth { macs, mtu_bytes: None }, ends }
}

/// pod 0 - node 1 - node 2 - pod 3. IPv6 is routed between the nodes, IPv4 as well or through a
/// tunnel.
fn two_nodes(with_tunnel: bool) -> Graph {
    let host = |name: &str, kind, sysctls| Host {
        name: name.to_owned(),
        kind,
        sysctls,
        ipv6: true,
        is_remote: false,
    };
    let node = |name| {
        let sysctls = vec![("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")];
        host(name, "node", sysctls)
    };
    let pod = |at, number: u8| End {
        owns: nets(&[&format!("10.244.{number}.0/24"), &format!("fd00:244:{number}::/64")]),
        reaches: nets(&["0.0.0.0/0", "::/0"]),
        ..end(at, "node", 32, &[&format!("10.1.{number}.2/30"), &format!("fd00:1:{number}::2/126")])
    };
    let port = |at, number: u8| {
        end(at, "pod", 33, &[&format!("10.1.{number}.1/30"), &format!("fd00:1:{number}::1/126")])
    };
    // What the first node sends to the second is the second pod's, and the other way round.
    let [mut first, mut second] = [
        end(1, "other", 34, &["192.168.0.1/30", "fd00:9::1/126"]),
        end(2, "other", 34, &["192.168.0.2/30", "fd00:9::2/126"]),
    ];
    first.reaches = nets(&["fd00:244:2::/64"]);
    second.reaches = nets(&["fd00:244:1::/64"]);
    let mut ipv4 = [end(1, "tunnel", 35, &["10.9.0.1/30"]), end(2, "tunnel", 35, &["10.9.0.2/30"])];
    ipv4[0].reaches = nets(&["10.244.2.0/24"]);
    ipv4[1].reaches = nets(&["10.244.1.0/24"]);
    if !with_tunnel {
        first.reaches.append(&mut ipv4[0].reaches);
        second.reaches.append(&mut ipv4[1].reaches);
    }
    let mut links = vec![
        wire(0, [port(1, 1), pod(0, 1)]),
        wire(1, [port(2, 2), pod(3, 2)]),
        wire(2, [first, second]),
    ];
    if with_tunnel {
        let outer = [1, 2].map(|last| Ipv4Addr::new(192, 168, 0, last));
        links.push(Link { medium: Medium::Ipip { outer }, ends: ipv4 });
    }
    Graph {
        name: "two nodes",
        hosts: vec![
            host("pod", "pod", vec![]),
            node("node"),
            node("other-node"),
            host("other-pod", "pod", vec![]),
        ],
        links,
        node: 1,
        endpoints: vec![(3, "10.244.2.0/24".parse().unwrap())],
        sources: vec![(Source::Pod, 0)],
    }
}

/// Dials from the first pod to the second, by IPv4 and by IPv6.
fn assert_pods_reach_each_other(lab: &Topology) {
    let server = &lab.endpoint_hosts().next().unwrap().namespace;
    let pairs: [(IpAddr, IpAddr, IpAddr); 2] = [
        (ANY, [10, 244, 1, 7].into(), [10, 244, 2, 5].into()),
        (
            Ipv6Addr::UNSPECIFIED.into(),
            "fd00:244:1::7".parse().unwrap(),
            "fd00:244:2::5".parse().unwrap(),
        ),
    ];
    for (any, source, target) in pairs {
        let server = answer_once(server, any);
        let to = SocketAddr::from((target, PORT));
        let said = dial(lab.source(Source::Pod).unwrap(), source, to);
        server.join().unwrap().unwrap();
        assert_eq!(said, format!("{to} {}", SocketAddr::from((source, 20_000))));
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_graph_of_two_nodes_carries_ipv4_and_ipv6() {
    let lab = Topology::build(&two_nodes(false)).unwrap();
    assert_pods_reach_each_other(&lab);
    for host in lab.hosts.iter().map(|host| &host.namespace) {
        let neighbours = printed_in(host, "ip", "neighbour show");
        // Multicast needs no neighbour and is listed all the same.
        let learnt = |line: &&str| !line.contains("PERMANENT") && !line.starts_with("ff02:");
        assert_eq!(neighbours.lines().find(learnt), None, "{}", host.label());
    }
}

#[test]
#[ignore = "needs root and the module ipip; run by scripts/test"]
fn an_ipip_tunnel_carries_ipv4_between_two_nodes() {
    let lab = Topology::build(&two_nodes(true)).unwrap();
    assert_pods_reach_each_other(&lab);
    let counters = printed_in(lab.node(), "ip", "-o -s link show dev tunnel");
    let received: u64 = counters
        .split("bytes")
        .nth(1)
        .and_then(|row| row.split('\\').nth(1))
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(received >= 3, "SYN-ACK, data, FIN: {counters}");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_lab_with_as_many_endpoint_hosts_as_allowed_comes_up() {
    let spec = Star { links: "198.18.0.0/22".parse().unwrap(), endpoint_hosts: 64, ..spec() };
    let lab = Topology::build(&spec.graph().unwrap()).unwrap();
    assert_eq!(lab.endpoint_hosts().count(), 64);
    assert_eq!(lab_links(lab.node()), 65);
}

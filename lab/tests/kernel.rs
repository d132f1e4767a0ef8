//! The lab in a real kernel, with iproute2 and nft as independent witnesses. Needs root; makes its own namespaces only.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::topology::{EndpointHost, Topology, TopologySpec};
use linux::netns::{Namespace, NamespaceError};
use linux::process::{Limits, run};
use linux::sysctl::{SysctlGuard, read as read_sysctl};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), output_bytes_max: 1 << 20 };
const TIMEOUT: Duration = Duration::from_secs(5);
const PORT: u16 = 8080;

fn spec() -> TopologySpec {
    TopologySpec {
        clients: "172.16.0.0/12".parse().unwrap(),
        services: "10.96.0.0/12".parse().unwrap(),
        endpoints: "10.128.0.0/9".parse().unwrap(),
        links: "198.18.0.0/24".parse().unwrap(),
        endpoint_hosts: 2,
    }
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
fn answer_once(host: &EndpointHost) -> JoinHandle<Result<(), NamespaceError>> {
    let (listening, ready) = channel();
    let server = host.namespace.spawn_thread("server", move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        listening.send(()).unwrap();
        let (mut stream, peer) = listener.accept().unwrap();
        write!(stream, "{} {peer}", stream.local_addr().unwrap()).unwrap();
    });
    ready.recv_timeout(TIMEOUT).unwrap();
    server.unwrap()
}

/// Dials from a chosen source address and returns what the other side says.
fn dial(from: &Namespace, source: Ipv4Addr, to: SocketAddrV4) -> String {
    from.enter(|| {
        let dialling = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&dialling, &SocketAddr::from((source, 20_000))).unwrap();
        set_socket_timeout(&dialling, Timeout::Send, Some(TIMEOUT)).unwrap();
        connect(&dialling, &SocketAddr::V4(to)).unwrap();
        let mut stream = TcpStream::from(dialling);
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    })
    .unwrap()
}

/// Packets that a host has passed on (`Ip: ... ForwDatagrams`).
fn forwarded(host: &Namespace) -> u64 {
    let table =
        host.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap()).unwrap();
    let mut rows = table.lines().filter(|line| line.starts_with("Ip:")).map(str::split_whitespace);
    let column = rows.next().unwrap().position(|name| name == "ForwDatagrams").unwrap();
    rows.next().unwrap().nth(column).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn any_client_address_reaches_any_endpoint_address_through_the_node() {
    let lab = Topology::build(&spec()).unwrap();
    for (source, target) in
        [([172, 16, 0, 1], [10, 128, 0, 1]), ([172, 31, 255, 254], [10, 255, 255, 254])]
    {
        let (source, target) = (Ipv4Addr::from(source), Ipv4Addr::from(target));
        let server = answer_once(lab.endpoint_host(target).unwrap());
        let before = forwarded(lab.node());
        let said = dial(lab.client(), source, SocketAddrV4::new(target, PORT));
        server.join().unwrap().unwrap();
        assert_eq!(said, format!("{target}:{PORT} {source}:20000"));
        // At least SYN, SYN-ACK, ACK, data.
        assert!(forwarded(lab.node()) >= before + 4);
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn one_endpoint_dials_another_through_the_node() {
    let lab = Topology::build(&spec()).unwrap();
    let [first, second] = lab.endpoint_hosts() else { panic!("two endpoint hosts") };
    let (source, target) = (Ipv4Addr::new(10, 128, 0, 9), Ipv4Addr::new(10, 192, 0, 9));
    let server = answer_once(second);
    let said = dial(&first.namespace, source, SocketAddrV4::new(target, PORT));
    server.join().unwrap().unwrap();
    assert_eq!(said, format!("{target}:{PORT} {source}:20000"));
    assert!(forwarded(lab.node()) >= 4);
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn an_endpoint_that_dials_its_own_service_gets_itself_behind_the_node() {
    let lab = Topology::build(&spec()).unwrap();
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
    let host = lab.endpoint_host(endpoint).unwrap();
    let server = answer_once(host);
    let said = dial(&host.namespace, endpoint, SocketAddrV4::new(vip, 80));
    server.join().unwrap().unwrap();
    // The server sees the node's address on its link in place of its own.
    assert!(said.starts_with(&format!("{endpoint}:{PORT} 198.18.0.5:")), "{said}");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn iproute2_sees_the_lab_as_specified_and_no_neighbour_is_ever_learnt() {
    let lab = Topology::build(&spec()).unwrap();
    let target = Ipv4Addr::new(10, 128, 0, 1);
    let server = answer_once(lab.endpoint_host(target).unwrap());
    dial(lab.client(), Ipv4Addr::new(172, 16, 0, 1), SocketAddrV4::new(target, PORT));
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
    let local = printed_in(lab.client(), "ip", "route show table local");
    assert!(local.contains("local 172.16.0.0/12 dev lo proto static scope host"), "{local}");
    let routes = printed_in(lab.client(), "ip", "route show");
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
    let endpoint_hosts = lab.endpoint_hosts().iter().map(|host| &host.namespace);
    for host in [lab.client(), lab.node()].into_iter().chain(endpoint_hosts) {
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
        let lab = Topology::build(&spec()).unwrap();
        let endpoint_hosts = lab.endpoint_hosts().iter().map(|host| &host.namespace);
        let hosts = [lab.client(), lab.node()].into_iter().chain(endpoint_hosts);
        let mut lines = Vec::new();
        for (host, what) in hosts.flat_map(|host| {
            ["address", "route show table all", "neighbour"].map(|what| (host, what))
        }) {
            let printed = printed_in(host, "ip", &format!("-o {what}"));
            lines.extend(printed.lines().map(|line| format!("{}: {line}", host.label())));
        }
        // The kernel lists neighbours by a hash with a random seed.
        lines.sort();
        (lines, lab.sysctls().clone())
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
    let lab = Topology::build(&spec()).unwrap();
    assert_eq!(host_state(), before);
    let node = lab.node().clone();
    assert_eq!(lab_links(&node), 3);
    drop(lab);
    // A veth goes when the namespace of its other end does, which the kernel's cleanup work does in its own time.
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
    let mut lab = Topology::build(&spec()).unwrap();
    lab.set_node_sysctl("net.ipv4.ip_default_ttl", "99").unwrap();
    assert_eq!(lab.sysctls().get("node.net.ipv4.ip_default_ttl").map(String::as_str), Some("99"));
    for (host, label) in [(lab.client(), "client."), (lab.node(), "node.")] {
        let recorded: Vec<_> = lab
            .sysctls()
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(label)?, value)))
            .collect();
        assert!(recorded.len() >= 6);
        for (name, value) in recorded {
            assert_eq!(&host.enter(|| read_sysctl(name)).unwrap().unwrap(), value, "{label}{name}");
        }
    }
    let error = lab.set_node_sysctl("net.ipv4.ip_forward", "maybe").unwrap_err().to_string();
    assert!(
        error.contains("node: kernel parameter `net.ipv4.ip_forward`, setting `maybe`"),
        "{error}"
    );
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_sysctl_guard_restores_the_value() {
    let host = Namespace::new("guarded").unwrap();
    host.enter(|| {
        let before = read_sysctl("net.ipv4.ip_default_ttl").unwrap();
        let guard = SysctlGuard::set("net.ipv4.ip_default_ttl", "7").unwrap();
        assert_eq!(read_sysctl("net.ipv4.ip_default_ttl").unwrap(), "7");
        drop(guard);
        assert_eq!(read_sysctl("net.ipv4.ip_default_ttl").unwrap(), before);
    })
    .unwrap();
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_panic_inside_a_namespace_reaches_the_caller() {
    let host = Namespace::new("panicking").unwrap();
    let caught = std::panic::catch_unwind(|| host.enter(|| panic!("inside")));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_lab_with_as_many_endpoint_hosts_as_allowed_comes_up() {
    let spec =
        TopologySpec { links: "198.18.0.0/22".parse().unwrap(), endpoint_hosts: 64, ..spec() };
    let lab = Topology::build(&spec).unwrap();
    assert_eq!(lab.endpoint_hosts().len(), 64);
    assert_eq!(lab_links(lab.node()), 65);
}

//! The load clients through a lab in a real kernel. Needs root; makes its own namespaces only.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use lab::topology::{Source, Star, Topology};
use linux::netns::Namespace;
use linux::process::{Limits, run};
use results::Clock;
use vipbench::load::{
    BareClient, BareServer, HttpClient, HttpServer, LoadClient, LoadError, MeasureClock, Priority,
    Rounds, SOURCE_PORTS, Sources, Target, listen, measure,
};

const TIMEOUT: Duration = Duration::from_secs(5);
const ROUNDS: Rounds = Rounds { warmup: 2, measured: 30, seed: 1, pause: Duration::ZERO };
const PORT: u16 = 8080;
const VIP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)), PORT);
const FIRST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 128, 0, 1)), PORT);
const SECOND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 192, 0, 1)), PORT);
/// Each Endpoint directly, and the VIP with both behind it.
const TARGETS: [Target<'_>; 3] = [
    Target { vip: FIRST, allowed: &[FIRST] },
    Target { vip: SECOND, allowed: &[SECOND] },
    Target { vip: VIP, allowed: &[FIRST, SECOND] },
];

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

/// A lab whose node translates the VIP to both Endpoints in turn, as a proxy would.
fn lab() -> Topology {
    let lab = Topology::build(&spec().graph().unwrap()).unwrap();
    let (vip, first, second) = (VIP.ip(), FIRST.ip(), SECOND.ip());
    for command in [
        "add table ip nat".to_owned(),
        "add chain ip nat pre { type nat hook prerouting priority -100 ; }".to_owned(),
        format!(
            "add rule ip nat pre ip daddr {vip} dnat to numgen inc mod 2 map {{ 0 : {first} , 1 : {second} }}"
        ),
    ] {
        let mut nft = Command::new("nft");
        nft.args(command.split(' '));
        let limits = Limits { deadline: TIMEOUT, output_bytes_max: 1 << 20 };
        lab.node().enter(|| run(nft, limits)).unwrap().unwrap();
    }
    lab
}

fn outside(lab: &Topology) -> &Namespace {
    lab.source(Source::Outside).unwrap()
}

/// Listening sockets of every endpoint host.
fn listeners(lab: &Topology) -> Vec<TcpListener> {
    let everywhere = [SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT)];
    let hosts = lab.endpoint_hosts();
    hosts.flat_map(|host| host.namespace.enter(|| listen(&everywhere)).unwrap().unwrap()).collect()
}

fn sources() -> Sources {
    Sources::new(spec().clients.into(), SOURCE_PORTS).unwrap()
}

fn bare_client() -> BareClient {
    BareClient::new(MeasureClock::open(Clock::Wall).unwrap(), TIMEOUT)
}

/// How often each target was recorded, and how many connections were verified.
fn counted(client: &mut impl LoadClient) -> ([u32; 3], u64) {
    let mut counts = [0; 3];
    let verified = measure(client, &mut sources(), &TARGETS, ROUNDS, |at, _| counts[at] += 1);
    (counts, verified.unwrap())
}

/// TCP sockets in use and in `TIME_WAIT` in a namespace (`TCP: inuse 0 orphan 0 tw 0 ...`).
fn leftovers(host: &Namespace) -> String {
    let table =
        host.enter(|| std::fs::read_to_string("/proc/thread-self/net/sockstat").unwrap()).unwrap();
    let line = table.lines().find(|line| line.starts_with("TCP:")).unwrap();
    line.split(" alloc").next().unwrap().to_owned()
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn bare_connections_reach_endpoints_directly_and_by_vip_and_leave_nothing() {
    let lab = lab();
    let server = BareServer::start(listeners(&lab), Priority::Normal).unwrap();
    let counted = outside(&lab).enter(|| counted(&mut bare_client())).unwrap();
    assert_eq!(counted, ([30; 3], 96));
    assert_eq!(server.stop().unwrap(), 96);
    for host in lab.endpoint_hosts().map(|host| &host.namespace).chain([outside(&lab)]) {
        assert_eq!(leftovers(host), "TCP: inuse 0 orphan 0 tw 0", "{}", host.label());
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn http_connections_reach_endpoints_directly_and_by_vip_and_leave_nothing() {
    let lab = lab();
    let server = HttpServer::start(listeners(&lab), Priority::Normal).unwrap();
    let client = || HttpClient::new(MeasureClock::open(Clock::Wall).unwrap(), TIMEOUT).unwrap();
    let counted = outside(&lab).enter(|| counted(&mut client())).unwrap();
    assert_eq!(counted, ([30; 3], 96));
    assert_eq!(server.stop().unwrap(), 96);
    for host in lab.endpoint_hosts().map(|host| &host.namespace).chain([outside(&lab)]) {
        assert_eq!(leftovers(host), "TCP: inuse 0 orphan 0 tw 0", "{}", host.label());
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_connection_kept_alive_stays_with_its_endpoint() {
    let lab = lab();
    let server = BareServer::start(listeners(&lab), Priority::Background).unwrap();
    let mut count = 0;
    let target = Target { vip: VIP, allowed: &[FIRST] };
    let kept = outside(&lab)
        .enter(|| bare_client().keep_alive(&mut sources(), &target, 25, |_| count += 1));
    kept.unwrap().unwrap();
    assert_eq!((count, server.stop().unwrap()), (25, 26));
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_vip_that_leads_to_a_foreign_endpoint_is_found_out() {
    let lab = lab();
    let server = BareServer::start(listeners(&lab), Priority::Normal).unwrap();
    let targets = [Target { vip: VIP, allowed: &[FIRST] }];
    let measured = outside(&lab)
        .enter(|| measure(&mut bare_client(), &mut sources(), &targets, ROUNDS, |_, _| ()));
    let error = measured.unwrap().unwrap_err();
    assert!(matches!(error, LoadError::WrongEndpoint { answered: SECOND, .. }), "{error}");
    server.stop().unwrap();
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_vip_that_nobody_programmed_is_an_error_with_both_ends_named() {
    let lab = lab();
    let unknown = Target {
        vip: SocketAddr::new(Ipv4Addr::new(10, 96, 7, 7).into(), PORT),
        allowed: &[FIRST],
    };
    let dialled = outside(&lab).enter(|| bare_client().connection(&mut sources(), &unknown));
    let error = dialled.unwrap().unwrap_err().to_string();
    assert!(
        error.starts_with("connection 172.16.0.1:10000 -> 10.96.7.7:8080, while connecting: "),
        "{error}"
    );
}

//! What becomes of a flow of UDP when its Endpoint goes, in a real kernel.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use generators::{Change, Cluster, Protocol, Service};

use crate::contract::Subject;
use crate::golden;
use crate::netns::make_network_10_local;

/// How often a client sends until it must have arrived: IPVS drops the packet by which it notices
/// that a real server is gone (`expire_nodest_conn`).
const SENDS_MAX: usize = 20;
const VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 1), 53);

/// A client that keeps its port goes on to the new Endpoint: the kernel would send the flow to the
/// old one for as long as it lasts.
pub fn a_udp_flow_leaves_an_endpoint_that_is_gone(subject: Subject) {
    if subject.backend.is_control() {
        return;
    }
    make_network_10_local();
    let [old, new] = [1, 2].map(|host| SocketAddr::from(([10, 180, 3, host], 5353)));
    let [old_server, new_server] = [old, new].map(listening);
    let client = UdpSocket::bind("10.0.0.1:4000").expect("a client");
    let dns = golden::service("ns/dns:udp", "10.96.0.1", &["10.180.3.1:5353"]);
    let endpoints = dns.endpoints().to_vec();
    let dns = Service::new(dns.name().clone(), dns.vip(), VIP.port(), Protocol::Udp, endpoints);
    let cluster = Cluster::new(vec![dns.expect("a Service")]).expect("a Cluster");
    let mut proxy = subject.open();
    proxy.start(&cluster).expect("a full sync");
    assert!(reaches(&client, &old_server), "before the Change");
    let service = "ns/dns:udp".parse().expect("a name");
    let change = Change::EndpointReplaced { service, old: old.into(), new: new.into() };
    let step = cluster.step(vec![change]).expect("it fits");
    proxy.apply(&step).expect("an incremental sync");
    assert!(reaches(&client, &new_server), "after the Change");
    assert!(!hears(&old_server), "the old Endpoint heard of it too");
}

fn listening(address: SocketAddr) -> UdpSocket {
    let server = UdpSocket::bind(address).expect("a server");
    server.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    server
}

/// Whether a packet that the client sends to the VIP gets there.
fn reaches(client: &UdpSocket, server: &UdpSocket) -> bool {
    (0..SENDS_MAX).any(|_| {
        // An ICMP error of an earlier packet is told by the next send.
        let _ = client.send_to(b"a", VIP);
        hears(server)
    })
}

fn hears(server: &UdpSocket) -> bool {
    server.recv_from(&mut [0; 8]).is_ok()
}

//! The backend `ebpf`: what a socket sees of a Service, and that sockets of namespaces that it was
//! not told of are left alone.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use generators::{Cluster, Protocol, Service};
use linux::netns::Namespace;
use proxies::{Backend, Options};

use crate::drive::{full_sync, open};
use crate::golden;
use crate::netns::{in_new_namespace, make_network_10_local};

const NAME: &str = "ebpf";
const ENDPOINT: &str = "10.180.2.1:8080";

fn vip(port: u16) -> SocketAddr {
    ([10, 96, 0, 1], port).into()
}

/// A Service of TCP at port 80 with one Endpoint, one at 81 with none, one of UDP at 53.
fn cluster() -> Cluster {
    let tcp = golden::service("ns/a:p80", "10.96.0.1", &[ENDPOINT]);
    let of = |name: &str, port, protocol, endpoints| {
        Service::new(name.parse().expect("a name"), tcp.vip(), port, protocol, endpoints)
            .expect("a Service")
    };
    let silent = of("ns/a:p81", 81, Protocol::Tcp, vec![]);
    let udp = of("ns/a:dns", 53, Protocol::Udp, tcp.endpoints().to_vec());
    Cluster::new(vec![tcp, silent, udp]).expect("a Cluster")
}

fn synced(options: &Options) -> Box<dyn Backend> {
    make_network_10_local();
    let mut proxy = open(NAME, options);
    full_sync(&mut *proxy, &cluster());
    proxy
}

/// Accepts one connection and greets.
fn greet(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.write_all(b"a").expect("a reader");
}

fn is_greeted() -> bool {
    let stream = TcpStream::connect_timeout(&vip(80), Duration::from_secs(10));
    stream.is_ok_and(|mut stream| {
        stream.peer_addr().is_ok_and(|peer| peer == vip(80)) && stream.read(&mut [0]).is_ok()
    })
}

#[test]
#[ignore = "needs root and eBPF; run by scripts/test"]
fn a_socket_sees_the_service_as_its_peer() {
    in_new_namespace(|| {
        let mut proxy = synced(&Options::default());
        let listener = TcpListener::bind(ENDPOINT).expect("a listener");
        thread::scope(|scope| {
            scope.spawn(|| greet(&listener));
            assert!(is_greeted());
        });
        let server = UdpSocket::bind(ENDPOINT).expect("a server");
        for connected in [false, true] {
            let client = UdpSocket::bind("10.0.0.1:0").expect("a client");
            client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            if connected {
                client.connect(vip(53)).expect("a socket");
                client.send(b"a").expect("sent");
            } else {
                client.send_to(b"a", vip(53)).expect("sent");
            }
            let (_, from) = server.recv_from(&mut [0]).expect("a datagram");
            server.send_to(b"b", from).expect("sent");
            let (_, peer) = client.recv_from(&mut [0]).expect("an answer");
            assert_eq!(peer, vip(53), "connected: {connected}");
        }
        let refused = TcpStream::connect(vip(81)).expect_err("it has no Endpoint");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        proxy.stop().expect("it stops");
        assert!(TcpStream::connect_timeout(&vip(80), Duration::from_secs(1)).is_err());
    });
}

/// In a namespace of its own, where the Endpoint is.
fn is_greeted_in(pod: &Namespace) -> bool {
    let dialled = pod.enter(|| {
        let listener = TcpListener::bind(ENDPOINT).expect("a listener");
        listener.set_nonblocking(true).expect("a setting");
        let stream = TcpStream::connect_timeout(&vip(80), Duration::from_secs(1));
        // The kernel has accepted it already.
        stream.is_ok() && listener.accept().is_ok()
    });
    dialled.expect("the namespace")
}

#[test]
#[ignore = "needs root and eBPF; run by scripts/test"]
fn pods_are_served_and_strangers_are_not() {
    let [pod, stranger] = ["pod", "stranger"].map(|label| Namespace::new(label).expect("made"));
    for namespace in [&pod, &stranger] {
        let ready = namespace.enter(|| {
            crate::netns::set_loopback_up();
            make_network_10_local();
        });
        ready.expect("the namespace");
    }
    let pod_cookie = pod.enter(linux::netns::cookie).expect("the namespace").expect("a cookie");
    in_new_namespace(|| {
        let options = Options { pod_namespaces: vec![pod_cookie], ..Options::default() };
        let mut proxy = synced(&options);
        assert!(is_greeted_in(&pod));
        assert!(!is_greeted_in(&stranger));
        proxy.stop().expect("it stops");
        assert!(!is_greeted_in(&pod));
    });
}

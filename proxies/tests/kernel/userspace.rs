//! The backend `userspace`: what it does to bytes, what its audit sees, and that there is one of it
//! in a namespace.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use generators::{Change, Cluster};
use proxies::{Backend, Options};

use crate::drive::{Drive, full_sync, open};
use crate::golden;
use crate::netns::{in_new_namespace, make_network_10_local};

const NAME: &str = "userspace";
const VIP: ([u8; 4], u16) = ([10, 96, 0, 1], 80);

fn cluster(endpoints: &[&str]) -> Cluster {
    Cluster::new(vec![golden::service("ns/a:p80", "10.96.0.1", endpoints)]).expect("a Cluster")
}

fn synced(cluster: &Cluster) -> Box<dyn Backend> {
    make_network_10_local();
    let mut proxy = open(NAME, &Options::default());
    full_sync(&mut *proxy, cluster);
    proxy
}

fn dial() -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::from(VIP)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// Sends back all that came, once everything has.
fn answer_at_the_end(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("bytes");
    stream.write_all(&all).expect("a reader");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn bytes_arrive_both_ways_and_the_end_of_each_way_too() {
    in_new_namespace(|| {
        let _proxy = synced(&cluster(&["10.180.2.1:8080"]));
        let listener = TcpListener::bind("10.180.2.1:8080").expect("a listener");
        let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251).to_le_bytes()[0]).collect();
        thread::scope(|scope| {
            scope.spawn(|| answer_at_the_end(&listener));
            let mut stream = dial();
            stream.write_all(&sent).expect("a reader");
            stream.shutdown(Shutdown::Write).expect("an end");
            let mut came = Vec::new();
            stream.read_to_end(&mut came).expect("an answer");
            assert!(came == sent, "{} bytes came of {}", came.len(), sent.len());
        });
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn an_endpoint_that_refuses_is_passed_over_and_where_all_do_the_client_is_reset() {
    in_new_namespace(|| {
        let _proxy = synced(&cluster(&["10.180.2.1:8080", "10.180.2.2:8080"]));
        let listener = TcpListener::bind("10.180.2.2:8080").expect("a listener");
        for _ in 0..4 {
            thread::scope(|scope| {
                scope.spawn(|| answer_at_the_end(&listener));
                let mut stream = dial();
                stream.write_all(b"a").expect("a reader");
                stream.shutdown(Shutdown::Write).expect("an end");
                let mut came = String::new();
                stream.read_to_string(&mut came).expect("an answer");
                assert_eq!(came, "a");
            });
        }
        drop(listener);
        assert!(dial().read(&mut [0]).is_err(), "nobody answers");
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn an_audit_sees_a_route_that_is_gone_and_a_program_that_has_ended() {
    in_new_namespace(|| {
        let cluster = cluster(&["10.180.2.1:8080"]);
        let mut proxy = synced(&cluster);
        proxy.verify(&cluster).expect("all is there");
        let gone = ["route", "del", "local", "10.96.0.1", "dev", "lo", "proto", "118"];
        assert!(Command::new("ip").args(gone).status().expect("it runs").success());
        let error = proxy.verify(&cluster).expect_err("a route is missing").to_string();
        assert!(error.contains("1 local routes are missing"), "{error}");
        full_sync(&mut *proxy, &cluster);
        proxy.verify(&cluster).expect("a full sync repairs it");
        drop(proxy);
        let error = open(NAME, &Options::default()).verify(&cluster).expect_err("it has ended");
        assert!(error.to_string().contains("10.96.0.1:80/tcp"), "{error}");
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_second_one_takes_over_and_the_first_is_told() {
    in_new_namespace(|| {
        let cluster = cluster(&["10.180.2.1:8080"]);
        let mut first = synced(&cluster);
        let mut second = open(NAME, &Options::default());
        full_sync(&mut *second, &cluster);
        second.verify(&cluster).expect("it listens");
        let change = Change::ServiceAdded(golden::service("ns/b:p80", "10.96.0.2", &[]));
        let step = cluster.step(vec![change]).expect("it fits");
        let error = first.apply(&step).expect_err("it has ended").to_string();
        assert!(error.contains("a full sync starts one"), "{error}");
        second.apply(&step).expect("the second goes on");
    });
}

/// A child process has its parent's files until it executes its program: the name of a proxy that
/// has ended among them.
#[test]
#[ignore = "needs root; run by scripts/test"]
fn one_takes_over_while_other_threads_start_programs() {
    let over = AtomicBool::new(false);
    let start_programs = || {
        while !over.load(Ordering::Relaxed) {
            assert!(Command::new("true").status().expect("it runs").success());
        }
    };
    thread::scope(|scope| {
        scope.spawn(start_programs);
        scope.spawn(start_programs);
        let takes_over = || {
            let cluster = cluster(&["10.180.2.1:8080"]);
            let mut proxy = synced(&cluster);
            for _ in 0..200 {
                let mut next = open(NAME, &Options::default());
                full_sync(&mut *next, &cluster);
                proxy = next;
            }
            proxy.verify(&cluster).expect("it listens");
        };
        let done = catch_unwind(AssertUnwindSafe(|| in_new_namespace(takes_over)));
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_port_that_somebody_has_is_named() {
    in_new_namespace(|| {
        make_network_10_local();
        let _taken = TcpListener::bind("10.96.0.1:80").expect("a listener");
        let mut proxy = open(NAME, &Options::default());
        let error = proxy.start(&cluster(&["10.180.2.1:8080"])).expect_err("it is taken");
        assert!(error.to_string().contains("a listener at 10.96.0.1:80/tcp"), "{error}");
        proxy.stop().expect("it stops");
    });
}

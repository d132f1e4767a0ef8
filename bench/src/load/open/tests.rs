//! Loads against servers on loopback: what is counted is what happened.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use results::Clock;

use super::*;
use crate::load::{BareServer, HttpServer, MeasureClock, Priority, listen};

/// A plan for some hundred connections, from ports that no other test uses.
fn plan(address: SocketAddr, question: Question, first_port: u16) -> Plan {
    Plan {
        targets: vec![Dialled { address, allowed: vec![address] }],
        question,
        requests: 1,
        pace: Pace::Rate { per_s: 1_000.0, arrivals: Arrivals::Constant },
        duration: Duration::from_millis(300),
        timeout: Duration::from_secs(5),
        ending: Ending::Reset,
        from: Origin::Chosen {
            addresses: address.ip().into(),
            ports: first_port..=first_port + 499,
        },
        open_max: 100,
        workers: 1,
        cores: Vec::new(),
        spins: false,
        journal_max: 0,
        seed: 1,
    }
}

fn http() -> Question {
    Question::Http { path: "/".into(), host: "vip".into() }
}

fn load(plan: Plan, client: Client) -> Outcome {
    let clock = MeasureClock::open(Clock::Wall).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    run(plan, client, clock, &stop, &mut |_, _| {}).unwrap()
}

fn bound(address: &str) -> (Vec<TcpListener>, SocketAddr) {
    let listeners = listen(&[address.parse().unwrap()]).unwrap();
    let address = listeners[0].local_addr().unwrap();
    (listeners, address)
}

/// All were completed, and every number agrees with every other.
fn assert_complete(outcome: &Outcome, due: u64, requests: u64) {
    let total = &outcome.total;
    assert_eq!(total.errors, [0; 9]);
    assert_eq!((total.due, total.sockets, total.completed), (due, due, due));
    assert_eq!(total.answers, due * requests);
    for since in [&total.planned, &total.sent] {
        let counts =
            [&since.connect, &since.first_byte, &since.total].map(hdrhistogram::Histogram::len);
        assert_eq!(counts, [due; 3]);
    }
    assert_eq!((total.lateness.len(), total.close.len()), (due, due));
    assert_eq!(total.further.len(), due * (requests - 1));
    assert!(total.planned.total.max() >= total.sent.total.max());
    let of_intervals: u64 = outcome.intervals.iter().map(|interval| interval.completed).sum();
    assert_eq!(of_intervals, due);
    assert!(outcome.intervals.is_sorted_by_key(|interval| interval.from));
    let (open, stay) = (total.open_ns as f64, total.stay_ns as f64);
    assert!((open - stay).abs() <= 0.02 * stay, "Little's law: {open} against {stay}");
    assert!(outcome.lateness_log.starts_with(b"#[Histogram log format version 1.3]"));
}

#[test]
fn every_connection_of_bare_sockets_is_counted_and_answered() {
    let (listeners, address) = bound("127.70.0.1:0");
    let server = BareServer::start(listeners, Priority::Normal).unwrap();
    let outcome = load(plan(address, Question::Who, 20_000), Client::Sockets);
    assert_complete(&outcome, 300, 1);
    let requests = Plan { requests: 3, ..plan(address, Question::Who, 20_500) };
    assert_complete(&load(requests, Client::Sockets), 300, 3);
    assert_eq!(server.stop().unwrap(), 300 + 900);
}

#[test]
fn http_is_spoken_by_bare_sockets_and_by_hyper() {
    let (listeners, address) = bound("127.70.0.2:0");
    let server = HttpServer::start(listeners, Priority::Normal).unwrap();
    let anybody = |plan: Plan| {
        let targets = vec![Dialled { address, allowed: Vec::new() }];
        Plan { targets, ..plan }
    };
    for (client, port) in [(Client::Sockets, 20_000), (Client::Hyper, 21_000)] {
        assert_complete(&load(anybody(plan(address, http(), port)), client), 300, 1);
        let requests = Plan { requests: 3, ..anybody(plan(address, http(), port + 500)) };
        assert_complete(&load(requests, client), 300, 3);
    }
    assert_eq!(server.stop().unwrap(), 2 * (300 + 900));
}

#[test]
fn datagrams_and_mere_connections_are_counted_alike() {
    let address: SocketAddr = "127.70.0.3:20999".parse().unwrap();
    let _server = DatagramServer::start(&[address], Priority::Normal).unwrap();
    let outcome = load(plan(address, Question::WhoByDatagram, 20_000), Client::Sockets);
    assert_complete(&outcome, 300, 1);
    let (_listeners, address) = bound("127.70.0.4:0");
    let outcome = load(plan(address, Question::Nothing, 20_000), Client::Sockets);
    assert_eq!((outcome.total.completed, outcome.total.errors), (300, [0; 9]));
}

#[test]
fn several_workers_make_one_rate_and_ipv6_is_dialled_alike() {
    let (listeners, address) = bound("[::1]:0");
    let _server = BareServer::start(listeners, Priority::Normal).unwrap();
    let workers = Plan { workers: 3, ..plan(address, Question::Who, 20_000) };
    assert_complete(&load(workers, Client::Sockets), 300, 1);
}

#[test]
fn saturation_keeps_so_many_open_and_a_full_table_makes_connections_late() {
    let (listeners, address) = bound("127.70.0.5:0");
    let _server =
        BareServer::start_slowed(listeners, Priority::Normal, Duration::from_millis(2)).unwrap();
    let saturated =
        Plan { pace: Pace::Saturated { open: 4 }, ..plan(address, Question::Who, 20_000) };
    let outcome = load(saturated, Client::Sockets);
    let mean = outcome.total.open_ns as f64 / outcome.elapsed_ns as f64;
    assert!(outcome.total.completed > 0 && (2.0..=4.0).contains(&mean), "{mean} open");
    let narrow = Plan { open_max: 1, ..plan(address, Question::Who, 20_500) };
    let outcome = load(narrow, Client::Sockets);
    assert_eq!(outcome.total.due, 300, "what was planned is made, however late");
    assert!(outcome.total.lateness.max() > outcome.total.sent.total.min());
}

#[test]
fn each_error_is_told_by_its_kind() {
    let kinds = |outcome: &Outcome| -> Vec<(ErrorKind, u64)> {
        use strum::VariantArray;
        let kinds = ErrorKind::VARIANTS.iter().map(|kind| (*kind, outcome.total.failed(*kind)));
        kinds.filter(|(_, count)| *count > 0).collect()
    };
    let (listeners, nobody) = bound("127.70.0.6:0");
    drop(listeners);
    for client in [Client::Sockets, Client::Hyper] {
        let outcome = load(plan(nobody, http(), 20_000), client);
        assert_eq!(kinds(&outcome), [(ErrorKind::Refused, 300)], "{client:?}");
    }
    let (_silent, address) = bound("127.70.0.7:0");
    for (client, port) in [(Client::Sockets, 20_000), (Client::Hyper, 20_500)] {
        let impatient = Plan { timeout: Duration::from_millis(50), ..plan(address, http(), port) };
        assert_eq!(kinds(&load(impatient, client)), [(ErrorKind::TimedOut, 300)], "{client:?}");
    }
    let (listeners, address) = bound("127.70.0.8:0");
    let _server = BareServer::start(listeners, Priority::Normal).unwrap();
    let other = Dialled { address, allowed: vec!["127.70.0.9:1".parse().unwrap()] };
    let wrong = Plan { targets: vec![other], ..plan(address, Question::Who, 20_000) };
    assert_eq!(kinds(&load(wrong, Client::Sockets)), [(ErrorKind::WrongEndpoint, 300)]);
    for (client, port) in [(Client::Sockets, 20_500), (Client::Hyper, 21_000)] {
        let outcome = load(plan(address, http(), port), client);
        assert_eq!(kinds(&outcome), [(ErrorKind::BadAnswer, 300)], "{client:?}");
    }
    let ports = Origin::Chosen { addresses: address.ip().into(), ports: 22_000..=22_000 };
    let taken = TcpListener::bind("127.70.0.8:22000").unwrap();
    let outcome =
        load(Plan { from: ports, ..plan(address, Question::Who, 22_000) }, Client::Sockets);
    assert_eq!(kinds(&outcome), [(ErrorKind::NoPort, 300)]);
    drop(taken);
}

#[test]
fn a_raised_stop_ends_it_and_what_was_done_is_told() {
    let (listeners, address) = bound("127.70.0.10:0");
    let _server = BareServer::start(listeners, Priority::Normal).unwrap();
    let long = Plan { duration: Duration::from_hours(1), ..plan(address, Question::Who, 20_000) };
    // An hour's intervals take 12 s: it is not the watcher who stops it.
    let stop = Arc::new(AtomicBool::new(true));
    let clock = MeasureClock::open(Clock::Wall).unwrap();
    let outcome = run(long, Client::Sockets, clock, &stop, &mut |_, _| {}).unwrap();
    assert_eq!(outcome.total.due, 0);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let refused = |plan: Plan, client| {
        let clock = MeasureClock::open(Clock::Wall).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        run(plan, client, clock, &stop, &mut |_, _| {}).unwrap_err().to_string()
    };
    let address = "127.70.0.11:1".parse().unwrap();
    let usual = || plan(address, Question::Who, 20_000);
    assert!(refused(Plan { targets: Vec::new(), ..usual() }, Client::Sockets).contains("needs"));
    assert!(refused(usual(), Client::Hyper).contains("HTTP alone"));
    let rate = Pace::Rate { per_s: f64::NAN, arrivals: Arrivals::Poisson };
    assert!(refused(Plan { pace: rate, ..usual() }, Client::Sockets).contains("rate above 0"));
    let unknown = refused(Plan { cores: vec![1_000], ..usual() }, Client::Sockets);
    assert!(unknown.contains("no processor has the number 1000"), "{unknown}");
}

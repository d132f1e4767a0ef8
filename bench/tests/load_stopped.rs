//! A client, or a server, that stands still for a moment shows in the latency from the planned
//! start, and a program that waits for it does not hide it.
//!
//! The only test that holds a time against another, since that is what it is about. In a guest both
//! are counts of instructions, and come out alike each time; on a machine's own clock it needs one
//! that does nothing else, and gets further tries.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use linux::netlink::{LOOPBACK_INDEX, Rtnl};
use linux::netns::Namespace;
use results::load::{Load, Start};
use rustix::process::{Pid, Signal, kill_process, setpriority_process};

/// For how long a process stands still.
const STOP: Duration = Duration::from_millis(50);
/// Connections a second, and seconds of them: more than a p99.9 is told from, and few enough that
/// those which waited are not in each other's way.
const RATE: u32 = 2_000;
const SECONDS: u32 = 6;
/// Until the load has begun, and some of it is over.
const LEAD: Duration = Duration::from_secs(2);
/// How far p99.9 may be from what the stop makes it.
const TOLERANCE: f64 = 0.05;
/// How often it is tried.
const TRIES: u32 = 8;

/// A child that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program: the one that was built with this test, or in a guest the one that its first process
/// is.
fn vipbench(arguments: &[&str]) -> Command {
    let built = env!("CARGO_BIN_EXE_vipbench");
    let program = if Path::new(built).exists() { built } else { "/proc/1/exe" };
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// A port that is free now.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server in a process of its own: that of a load which dials once a second.
fn server() -> (Ended, SocketAddr) {
    let address = free_port();
    let text = address.to_string();
    let serve = ["load", &text, "--serve", "--rate", "1", "--duration", "1h", "--sleep"];
    // On one processor a client that has to catch up would keep it from serving.
    setpriority_process(None, -20).unwrap();
    let child = Ended(vipbench(&serve).spawn().unwrap());
    setpriority_process(None, 0).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "no server at {address}");
        sleep(Duration::from_millis(10));
    }
    (child, address)
}

/// Stops a process and lets it go on; how long it stood still.
fn stand_still(child: &Child) -> Duration {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).unwrap();
    let stopped = Instant::now();
    sleep(STOP);
    // Before: whom the signal wakes may go first.
    let stood_still = stopped.elapsed();
    kill_process(pid, Signal::CONT).unwrap();
    stood_still
}

/// Loads a server, stops one of the two, and gives what p99.9 was and what the stop makes it,
/// nanoseconds.
fn tried(stops_client: bool) -> (f64, f64) {
    let (server, address) = server();
    let (target, rate, seconds) = (address.to_string(), RATE.to_string(), format!("{SECONDS}s"));
    let mut load = vipbench(&[
        "load",
        &target,
        "--question",
        "who",
        "--rate",
        &rate,
        "--duration",
        &seconds,
        "--arrivals",
        "constant",
        "--ports",
        "20000-59999",
        "--json",
    ]);
    let load = load.spawn().unwrap();
    sleep(LEAD);
    let stopped = stand_still(if stops_client { &load } else { &server.0 });
    let output = load.wait_with_output().unwrap();
    let load: Load = serde_json::from_slice(&output.stdout).unwrap();
    let samples = |start| {
        let mut totals = load.latencies.iter().filter(|one| one.phase == "total");
        totals.find(|one| one.start == start).unwrap().data.samples().unwrap()
    };
    let planned = samples(Start::Planned);
    let p999 = planned.percentile(0.999).unwrap() as f64;
    // Those planned while it stood still waited from the whole of it down to nothing, and were then
    // served one after the other. So many of them lie beyond the percentile.
    let beyond = planned.count() as f64 * 0.001;
    let gap_ns = 1e9 / f64::from(RATE);
    let service_ns = samples(Start::Sent).percentile(0.5).unwrap() as f64;
    (p999, stopped.as_nanos() as f64 - beyond * (gap_ns - service_ns))
}

fn is_seen(stops_client: bool) {
    let namespace = Namespace::new("loopback").unwrap();
    let seen = namespace.enter(|| {
        Rtnl::open().unwrap().set_up(LOOPBACK_INDEX).unwrap();
        tried_until_seen(stops_client);
    });
    seen.unwrap();
}

fn tried_until_seen(stops_client: bool) {
    let mut off = Vec::new();
    for _ in 0..TRIES {
        let (p999, expected) = tried(stops_client);
        println!("p99.9 {:.2} ms, by the stop {:.2} ms", p999 / 1e6, expected / 1e6);
        off.push((p999 / expected - 1.0).abs());
        if off.last().is_some_and(|off| *off <= TOLERANCE) {
            return;
        }
    }
    assert!(off.is_empty(), "p99.9 is off by {off:.2?} of what the stop makes it");
}

#[test]
#[ignore = "needs a guest, or a machine that does nothing else"]
fn a_client_that_stands_still_shows_in_its_own_latencies() {
    is_seen(true);
}

#[test]
#[ignore = "needs a guest, or a machine that does nothing else"]
fn a_server_that_stands_still_shows_in_the_latencies() {
    is_seen(false);
}

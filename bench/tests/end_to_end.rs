//! The main job from outside, on real kernels in guests: repeatable to the byte, resumable, and
//! gone without a trace.
//!
//! Needs root, QEMU and a kernel package; `scripts/test` runs it. Nothing here asserts a timing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vipbench::measure;
use vipbench::measure::spec::Measure;

const SCENARIO: &str = "
name = 'tiny'
services = [30]
proxies = ['none', 'iptables-legacy', 'iptables-nft', 'ipvs', 'nftables-1.37']
[cluster]
endpoints = { fixed = 2 }
[load]
connections = 10
http_connections = 3
keepalive_requests = 5
changes = 1
";
const WAIT_MAX: Duration = Duration::from_mins(5);

/// A scenario file in a directory of its own.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("tiny.toml"), SCENARIO).unwrap();
        Self { dir }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vipbench"));
        command.current_dir(self.dir.path()).args(arguments).stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the scenario on the instructions clock.
    fn run(&self, folder: &str, more: &[&str]) -> Output {
        let mut arguments = vec!["run", "tiny.toml", "--clock", "instructions", "-o", folder];
        arguments.extend(more);
        self.call(&arguments)
    }

    fn start(&self, folder: &str) -> Child {
        self.command(&["run", "tiny.toml", "--clock", "instructions", "-o", folder, "--jobs", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn export(&self, folder: &str) -> String {
        succeeded(self.call(&["export", folder]))
    }
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until a run has stored at least `count` cells.
fn wait_for_cells(folder: &Path, count: usize) {
    let cells = folder.join("cells.jsonl");
    let started = Instant::now();
    while fs::read_to_string(&cells).unwrap_or_default().lines().count() < count {
        assert!(started.elapsed() < WAIT_MAX, "no cell was stored within {WAIT_MAX:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything of the host's network that a run could have touched.
fn host_state() -> String {
    let listings = [
        "iptables-legacy-save",
        "iptables-nft-save",
        "nft list ruleset",
        "ipset list",
        "ip address",
        "ip rule",
        "ip route show table all",
        "ip netns list",
    ];
    let said = listings.map(|line| {
        let mut words = line.split(' ');
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // iptables-save stamps its output with the date.
        text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    });
    said.join("\n")
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn the_same_scenario_gives_the_same_bytes_on_an_idle_and_on_a_busy_machine() {
    let desk = Desk::new();
    let before = host_state();
    succeeded(desk.run("idle", &["--jobs", "1"]));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box(0);
                }
            });
        }
        let busy = desk.run("busy", &[]);
        stop.store(true, Ordering::Relaxed);
        succeeded(busy);
    });
    let rows = desk.export("idle");
    assert_eq!(rows, desk.export("busy"));
    assert!(!rows.contains("outcome"), "every cell is measured: {rows}");
    for wanted in [
        ",ipvs,30,60,1,connect,last,instructions,10,",
        ",nftables-1.37,30,60,1,connect,last,instructions,10,",
        "sync.full,submit",
        "vip_bind,local-route",
    ] {
        assert!(rows.contains(wanted), "`{wanted}` is missing in {rows}");
    }
    // The scenario's measures are those that need not be named.
    let five = [Measure::Sync, Measure::Restart, Measure::Connect, Measure::Http, Measure::VipBind];
    for kind in five.into_iter().flat_map(|one| measure::of(one).emits) {
        assert!(rows.contains(&format!(",{},", kind.name)), "{} is missing in {rows}", kind.name);
    }
    assert_eq!(host_state(), before, "a run must leave the host as it was");
}

#[test]
#[ignore = "needs root and netfilter; run by scripts/test"]
fn a_run_on_the_host_leaves_the_hosts_own_rules_alone() {
    let desk = Desk::new();
    let before = host_state();
    let arguments = [
        "run",
        "tiny.toml",
        "--place",
        "host",
        "-o",
        "host",
        "--proxy",
        "none",
        "--proxy",
        "iptables-nft",
    ];
    succeeded(desk.call(&arguments));
    let rows = desk.export("host");
    assert!(rows.contains(",host,wall,iptables-nft,30,60,1,connect,last,ns,10,"), "{rows}");
    assert_eq!(host_state(), before);
}

/// Services without Endpoints refuse connections and are in the way of others; a sync writes
/// several Changes.
#[test]
#[ignore = "needs root and netfilter; run by scripts/test"]
fn services_without_endpoints_and_batches_of_changes_are_measured() {
    let desk = Desk::new();
    let scenario = "name = 'odd'\nservices = [20]\nproxies = ['none', 'iptables-nft', 'nftables-1.37']\n\
                    measures = ['sync', 'connect']\n[cluster]\nendpoints = { uniform = { min = 0, max = 2 } }\n\
                    [load]\nconnections = 10\nkeepalive_requests = 2\nfull_syncs = 1\nchanges = 8\nchanges_per_sync = 4\n";
    fs::write(desk.folder("odd.toml"), scenario).unwrap();
    succeeded(desk.call(&["run", "odd.toml", "--place", "host", "-o", "odd"]));
    let rows = desk.export("odd");
    for proxy in ["iptables-nft", "nftables-1.37"] {
        // Twenty Services with 20 Endpoints, a connection to the last that has any, and two syncs
        // of four Changes each.
        let begin = format!(",host,wall,{proxy},20,20,1,");
        assert!(rows.contains(&format!("{begin}connect,last,ns,10,")), "{rows}");
        assert!(rows.contains(&format!("{begin}sync.endpoint_change,total,ns,2,")), "{rows}");
    }
    assert!(!rows.contains("outcome"), "every cell is measured: {rows}");
}

/// The tool's text is of one family, and so is what it is set against.
#[test]
#[ignore = "needs root and netfilter; run by scripts/test"]
fn ours_is_set_against_the_tool_of_each_proxy() {
    let desk = Desk::new();
    let scenario = "name = 'tools'\nservices = [20]\nproxies = ['iptables-legacy', 'iptables-nft', 'nftables-1.37']\n\
                    measures = ['baseline', 'append']\n[cluster]\nendpoints = { fixed = 1 }\n";
    fs::write(desk.folder("tools.toml"), scenario).unwrap();
    succeeded(desk.call(&["run", "tools.toml", "--place", "host", "-o", "tools"]));
    let rows = desk.export("tools");
    for proxy in ["iptables-legacy", "iptables-nft", "nftables-1.37"] {
        for side in ["vipbench", "tool"] {
            let begin = format!(",host,wall,{proxy},20,20,1,baseline,{side},ns,1,");
            assert!(rows.contains(&begin), "{rows}");
        }
    }
    assert!(!rows.contains("outcome"), "every cell is measured: {rows}");
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn a_killed_run_is_readable_resumes_to_the_same_bytes_and_is_cleaned_up() {
    let desk = Desk::new();
    succeeded(desk.run("whole", &[]));
    let mut run = desk.start("killed");
    wait_for_cells(&desk.folder("killed"), 2);
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(desk.export("killed").lines().count() > 2, "finished cells stay readable");
    let cleaned = succeeded(desk.call(&["clean"]));
    assert!(cleaned.contains("removed"), "a killed run leaves its working files: {cleaned}");
    succeeded(desk.run("killed", &["--resume"]));
    assert_eq!(desk.export("killed"), desk.export("whole"));
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn an_interrupt_ends_the_run_in_good_order() {
    let desk = Desk::new();
    let mut run = desk.start("stopped");
    wait_for_cells(&desk.folder("stopped"), 1);
    send("INT", &run);
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert!(desk.export("stopped").lines().count() > 1, "finished cells stay readable");
    let leftovers = succeeded(desk.call(&["clean", "--dry-run"]));
    let own = format!("vipbench-{}-", run.id());
    assert!(!leftovers.contains(&own), "an interrupted run cleans up after itself: {leftovers}");
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn a_terminal_that_goes_away_ends_the_run_in_good_order_and_a_second_signal_at_once() {
    let desk = Desk::new();
    let begin = |folder: &str, options: &[&str]| {
        let mut command = desk.command(&["run", "tiny.toml", "-o", folder]);
        command.args(options).stdout(Stdio::null()).stderr(Stdio::piped());
        let run = command.spawn().unwrap();
        let started = Instant::now();
        while !desk.folder(folder).join("run.json").exists() {
            assert!(started.elapsed() < WAIT_MAX);
            std::thread::sleep(Duration::from_millis(50));
        }
        run
    };
    let ended = |mut run: Child| {
        assert_eq!(run.wait().unwrap().code(), Some(1));
        std::io::read_to_string(run.stderr.take().unwrap()).unwrap()
    };
    for signal in ["HUP", "QUIT"] {
        let run = begin(signal, &["--place", "host", "--proxy", "none", "--proxy", "iptables-nft"]);
        send(signal, &run);
        let said = ended(run);
        assert!(said.contains("cells left") && said.contains("--resume"), "{signal}: {said}");
    }
    // While a guest boots, nothing looks whether the first one came.
    let run = begin("boot", &["--clock", "instructions", "--kernel-cmdline", "vipbench.test=anew"]);
    send("INT", &run);
    std::thread::sleep(Duration::from_secs(1));
    send("INT", &run);
    let own = format!("vipbench-{}-", run.id());
    let said = ended(run);
    assert!(said.contains("ended at once") && said.contains("--resume -o boot"), "{said}");
    let leftovers = succeeded(desk.call(&["clean", "--dry-run"]));
    assert!(!leftovers.contains(&own), "{leftovers}");
}

fn send(signal: &str, run: &Child) {
    let id = run.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
}

#[test]
#[ignore = "needs QEMU and a source of kernel packages; run by scripts/test"]
fn a_dry_run_fetches_no_kernel() {
    let desk = Desk::new();
    let cache = desk.folder("cache");
    let mut dry =
        desk.command(&["run", "tiny.toml", "--place", "guest", "--kernel", "6.1", "--dry-run"]);
    let said = succeeded(dry.env("VIPBENCH_CACHE", &cache).output().unwrap());
    assert!(said.contains("cells on the") && said.contains("\n  6.1."), "{said}");
    assert_eq!(fs::read_dir(cache.join("kernels")).unwrap().count(), 0, "{said}");
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn a_full_disk_is_reported_and_finished_cells_stay_readable() {
    let desk = Desk::new();
    let tool = env!("CARGO_BIN_EXE_vipbench");
    let script = format!(
        "mkdir small && mount -t tmpfs -o size=48k small small && \
         {tool} run tiny.toml --clock instructions -o small/out; code=$?; \
         {tool} export small/out | wc -l; exit $code"
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .current_dir(desk.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    let rows: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!(rows > 1, "finished cells stay readable: {said}");
}

#[test]
#[ignore = "needs root for a small file system; run by scripts/test"]
fn a_full_cache_is_reported_with_a_remedy_and_holds_nothing_half_written() {
    let desk = Desk::new();
    let dir = desk.dir.path();
    // Looks like a kernel of a megabyte: the head of an x86-64 ELF file, and the words by which a
    // kernel tells its release.
    let mut kernel = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    kernel.resize(64, 0);
    kernel.extend(b"Linux version 6.1.0-test ");
    kernel.resize(1 << 20, 0);
    fs::write(dir.join("vmlinux"), kernel).unwrap();
    fs::create_dir(dir.join("modules")).unwrap();
    fs::write(dir.join("modules/modules.builtin"), "kernel/net/ipv6/ipv6.ko\n").unwrap();
    let tool = env!("CARGO_BIN_EXE_vipbench");
    let fetch = |size: &str| {
        let script = format!(
            "mkdir -p small && mount -t tmpfs -o size={size} small small && \
             VIPBENCH_CACHE=$PWD/small {tool} kernels fetch vmlinuz=vmlinux,modules=modules; \
             code=$?; find small/kernels small/partial small/answers -mindepth 1; exit $code"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).current_dir(dir).output().unwrap()
    };
    let full = fetch("256k");
    let said = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.contains("VIPBENCH_CACHE"), "{said}");
    assert!(full.stdout.is_empty(), "left: {}", String::from_utf8_lossy(&full.stdout));
    let enough = fetch("4m");
    assert!(enough.status.success(), "{}", String::from_utf8_lossy(&enough.stderr));
    assert!(String::from_utf8_lossy(&enough.stdout).contains("6.1.0-test"));
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn one_rule_more_in_every_chain_is_found_in_one_run_and_the_control_does_not_move() {
    let desk = Desk::new();
    let three = ["--proxy", "none", "--proxy", "iptables-nft", "--proxy", "nftables-1.33"];
    succeeded(desk.run("base", &three));
    succeeded(desk.run("slowed", &[&three[..], &["--inject-rules", "1"]].concat()));
    let refused = desk.call(&["gate", "base", "slowed"]);
    assert_eq!(refused.status.code(), Some(4), "a slowdown on purpose is another environment");
    let judged = desk.call(&["gate", "base", "slowed", "--across", "injection"]);
    let said = String::from_utf8(judged.stdout).unwrap();
    assert_eq!(judged.status.code(), Some(2), "{said}");
    assert!(said.contains("Control: none is exactly equal"), "{said}");
    assert!(said.starts_with("REGRESSION: ") && said.contains("iptables-nft connect"), "{said}");
    assert!(said.contains("nftables-1.33 connect"), "{said}");
    let same = desk.call(&["gate", "base", "base", "--format", "json"]);
    assert_eq!(same.status.code(), Some(0));
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn a_connection_to_the_last_service_is_compared_with_every_services_rule() {
    let desk = Desk::new();
    let scenario = "name = 'walk'\nservices = [30]\nproxies = ['iptables-legacy', 'iptables-nft']\nmeasures = ['walk']\n\
                    [cluster]\nendpoints = { fixed = 1 }\n";
    fs::write(desk.folder("walk.toml"), scenario).unwrap();
    succeeded(desk.call(&["run", "walk.toml", "--clock", "instructions", "-o", "walk"]));
    let rows = desk.export("walk");
    // The rules of all Services, then two of the Service's own chain and two of its Endpoint's,
    // before them the jump from PREROUTING, after them the jump from POSTROUTING and the first rule
    // there.
    for proxy in ["iptables-legacy", "iptables-nft"] {
        for (position, rules) in [("first", 1 + 7), ("last", 30 + 7)] {
            let wanted = format!(",{proxy},30,30,1,rules.walked,{position},count,1,{rules},");
            assert!(rows.contains(&wanted), "`{wanted}` is missing in {rows}");
        }
    }
}

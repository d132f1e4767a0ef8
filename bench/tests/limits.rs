//! Limits of guests count the guest's own time: which cells come out, and with which numbers, does
//! not depend on how busy this machine is. And a guest ends with its program.
//!
//! Needs QEMU and a kernel package; `scripts/test` runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;
use tempfile::TempDir;

/// A large sync of iptables-nft needs more than three seconds of guest time (10 in recorded runs),
/// small cells do not.
const SCENARIO: &str = "
name = 'limits'
services = [10, 4000]
proxies = ['none', 'iptables-nft']
measures = ['sync', 'connect']
[load]
connections = 10
keepalive_requests = 5
positions = ['last']
changes = 1
[limits]
cell_guest_s = 3
";

/// Runs the scenario in `desk`; gives each cell without what the host's time decides.
fn cells(desk: &Path, folder: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_vipbench"))
        .current_dir(desk)
        .args(["run", "limits.toml", "--clock", "instructions", "-o", folder])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = fs::read_to_string(desk.join(folder).join("cells.jsonl")).unwrap();
    let cell = |line: &str| {
        let mut cell: Value = serde_json::from_str(line).unwrap();
        cell["duration_ms"] = 0.into();
        cell
    };
    let mut cells: Vec<Value> = lines.lines().map(cell).collect();
    cells.sort_by_key(|cell| cell["id"].as_str().unwrap().to_owned());
    cells
}

/// Programs that take every core there is; ended when dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn new(programs: usize) -> Self {
        let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..programs).map(|_| spin()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn the_same_cells_come_out_on_a_busy_machine() {
    let desk = TempDir::new().unwrap();
    fs::write(desk.path().join("limits.toml"), SCENARIO).unwrap();
    let idle = cells(desk.path(), "idle");
    let of = |cells: &[Value], kind: &str| {
        let ids = cells.iter().filter(|cell| cell["outcome"]["kind"] == kind);
        ids.map(|cell| cell["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let censored = of(&idle, "censored");
    assert!(censored.iter().any(|id| id.contains("iptables-nft")), "{censored:?}");
    assert!(of(&idle, "measured").len() >= 3, "{idle:?}");
    assert_eq!(idle.len(), censored.len() + of(&idle, "measured").len(), "{idle:?}");
    for cell in idle.iter().filter(|cell| cell["outcome"]["kind"] == "censored") {
        assert_eq!(cell["outcome"]["limit_s"], 3);
        assert_eq!(cell["outcome"]["clock"], "instructions");
    }
    let busy = Busy::new(4);
    let again = cells(desk.path(), "busy");
    drop(busy);
    assert_eq!(idle, again);
}

#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn a_guest_ends_with_its_program_though_a_daemon_is_left() {
    let desk = TempDir::new().unwrap();
    let program = desk.path().join("leaves-a-daemon");
    build(&program);
    let output = Command::new(env!("CARGO_BIN_EXE_vipbench"))
        .args(["guest", "--limit-s", "120", "--"])
        .arg(&program)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "started\n", "what the program said before it ended is there");
}

/// A guest has no shell: a program that starts another one, which holds its output open for ever.
fn build(program: &Path) {
    let source = program.with_extension("rs");
    let text = "fn main() {
        let own = std::env::current_exe().unwrap();
        if std::env::args().len() > 1 {
            loop { std::thread::sleep(std::time::Duration::from_secs(1)); }
        }
        std::process::Command::new(own).arg(\"daemon\").spawn().unwrap();
        println!(\"started\");
    }";
    fs::write(&source, text).unwrap();
    let built = Command::new("rustc").arg(&source).arg("-o").arg(program).status().unwrap();
    assert!(built.success());
}

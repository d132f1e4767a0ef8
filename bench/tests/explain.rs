//! `vipbench explain` from outside, on real kernels in guests: the profile adds up, names the
//! function that everybody knows to be it, and changes no digit of what it looks at.
//!
//! Needs QEMU, a compiler and a kernel package; `scripts/test` runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use results::explain::Explanation;
use tempfile::TempDir;

const SCENARIO: &str = "
name = 'tiny'
services = [100]
proxies = ['none', 'iptables-legacy']
measures = ['connect', 'sync']
[load]
connections = 20
keepalive_requests = 5
positions = ['first', 'last']
changes = 1
";

fn vipbench(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipbench"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn explained(dir: &Path, arguments: &[&str]) -> Explanation {
    let arguments = [&["explain", "out", "--json"], arguments].concat();
    serde_json::from_str(&succeeded(vipbench(dir, &arguments))).unwrap()
}

#[test]
#[ignore = "boots guests: scripts/test runs it"]
fn a_difference_is_explained_by_function_and_adds_up() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(dir.join("tiny.toml"), SCENARIO).unwrap();
    succeeded(vipbench(dir, &["run", "tiny.toml", "--clock", "instructions", "-o", "out"]));

    let connect = explained(dir, &["--cell", "proxy=iptables-legacy", "--against", "proxy=none"]);
    let of = |name: &str| {
        let parts = connect.cell.parts.iter();
        parts.filter(|part| part.function == name).map(|part| part.instructions).sum::<u64>()
    };
    // Some twenty instructions a rule and one rule a Service before the last, on every connection.
    assert!(of("ipt_do_table") > 20 * 100 * 20, "{}", of("ipt_do_table"));
    assert!(of("tcp_v4_connect") > 0 && of("nf_conntrack_in") > 0);
    let against = connect.against.as_ref().unwrap();
    assert!(against.parts.iter().all(|part| part.function != "ipt_do_table"));
    assert!(connect.adds_up(), "{} off", connect.sum_error());
    assert!(connect.measured() > 0.0);
    assert_eq!((connect.cell.measured.len(), against.measured.len()), (20, 20));
    assert!(connect.cell.as_stored && against.as_stored, "the profiler disturbed the guest");

    let sync = explained(dir, &["--cell", "measure=sync", "--label", "submit"]);
    let tables = |part: &results::explain::Part| part.module.as_deref() == Some("ip_tables");
    assert!(sync.cell.parts.iter().any(tables), "a submit goes through ip_tables");
    assert!(sync.adds_up(), "{} off", sync.sum_error());

    let text = succeeded(vipbench(dir, &["explain", "out", "--cell", "none", "--label", "first"]));
    assert!(text.contains("check passed") && text.contains("tcp_v4_rcv"), "{text}");
    let files = fs::read_dir(dir.join("out/explain")).unwrap().count();
    assert_eq!(files, 3 * 3, "a plot, a text and the numbers each time");
}

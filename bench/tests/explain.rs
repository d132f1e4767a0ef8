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
proxies = ['none', 'iptables-legacy', 'ipvs']
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

    let connect = explained(dir, &["--cell", "proxy=none", "--against", "proxy=iptables-legacy"]);
    let (none, legacy) = (&connect.cell, connect.against.as_ref().unwrap());
    let of = |name: &str| {
        let parts = legacy.parts.iter();
        parts.filter(|part| part.function == name).map(|part| part.instructions).sum::<u64>()
    };
    // Some twenty instructions a rule and one rule a Service before the last, on every connection.
    assert!(of("ipt_do_table") > 20 * 100 * 20, "{}", of("ipt_do_table"));
    assert!(of("tcp_v4_connect") > 0 && of("nf_conntrack_in") > 0);
    assert!(none.parts.iter().all(|part| part.function != "ipt_do_table"));
    assert!(connect.adds_up(), "{} off", connect.sum_error());
    assert!(connect.measured() > 0.0, "from the cheaper to the dearer, as compare has it");
    assert_eq!((none.measured.len(), legacy.measured.len()), (20, 20));
    assert!(none.as_stored && legacy.as_stored, "the profiler disturbed the guest");

    let sync =
        explained(dir, &["--cell", "proxy=iptables-legacy,measure=sync", "--label", "submit"]);
    let tables = |part: &results::explain::Part| part.module.as_deref() == Some("ip_tables");
    assert!(sync.cell.parts.iter().any(tables), "a submit goes through ip_tables");
    assert!(sync.adds_up(), "{} off", sync.sum_error());

    // IPVS looks for connections to what was removed once the removal has returned.
    let after = ["--metric", "sync.service_remove", "--label", "aftermath"];
    let after = explained(dir, &[&["--cell", "proxy=ipvs,measure=sync"], &after[..]].concat());
    assert!(after.measured() > 0.0 && after.adds_up(), "{} off", after.sum_error());
    let conn_flush = |part: &results::explain::Part| part.module.as_deref() == Some("ip_vs");
    assert!(after.cell.parts.iter().any(conn_flush), "ip_vs does it");

    let text = succeeded(vipbench(dir, &["explain", "out", "--cell", "none", "--label", "first"]));
    assert!(text.contains("check passed") && text.contains("tcp_v4_rcv"), "{text}");
    let files = fs::read_dir(dir.join("out/explain")).unwrap().map(|file| file.unwrap().path());
    let mut endings: Vec<String> =
        files.map(|file| file.extension().unwrap().to_str().unwrap().to_owned()).collect();
    endings.sort_unstable();
    let each_time = ["html", "json", "md", "svg"];
    assert_eq!(endings, each_time.map(|ending| [ending; 4]).concat());
}

#[test]
#[ignore = "boots guests: scripts/test runs it"]
fn the_estimators_of_ipvs_are_the_longest_pause_of_its_node() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let scenario = "name = 'idle'\nservices = [1000]\nproxies = ['none', 'ipvs']\nmeasures = ['standing']\n\
                    [cluster]\nendpoints = { fixed = 4 }\n";
    fs::write(dir.join("idle.toml"), scenario).unwrap();
    let arguments = ["run", "idle.toml", "--kernel", "6.1", "--clock", "instructions", "-o", "out"];
    succeeded(vipbench(dir, &arguments));

    let run = results::Run::read(&dir.join("out")).unwrap();
    let longest = |proxy: &str, metric: &str| {
        let cell = run.cells.iter().find(|cell| cell.labels.proxy == proxy).unwrap();
        let metric = cell.metrics.iter().find(|one| one.name == metric).unwrap();
        metric.data.samples().unwrap().max().unwrap()
    };
    // Hundreds of instructions a Service and its Endpoints, every two seconds.
    assert!(longest("ipvs", "pause") > 20 * longest("none", "pause"));
    assert!(longest("ipvs", "standing") > longest("none", "standing"));

    let between = format!("{}..", longest("ipvs", "pause") / 2);
    let pause = explained(dir, &["--cell", "proxy=ipvs", "--between", &between]);
    assert_eq!(pause.metric, "pause");
    assert!(pause.adds_up(), "{} off", pause.sum_error());
    let total: u64 = pause.cell.parts.iter().map(|part| part.instructions).sum();
    let estimator = |part: &&results::explain::Part| part.function == "estimation_timer";
    let part = pause.cell.parts.iter().find(estimator).unwrap();
    assert!(2 * part.instructions > total, "{} of {total}", part.instructions);
}

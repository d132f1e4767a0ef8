//! A kube-proxy in a run: how files and names are given, and, with a real one that
//! `VIPBENCH_KUBE_PROXY` names, the whole of it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const SCENARIO: &str = "name = 'proxies'\nservices = [20]\nproxies = ['none']\n\
                        measures = ['sync', 'restart', 'connect']\n\
                        [load]\nconnections = 8\nfull_syncs = 1\nchanges = 2\n";

/// A folder with a scenario, and files that tell the versions of kube-proxies.
fn desk(versions: &[&str]) -> (TempDir, Vec<PathBuf>) {
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("scenario.toml"), SCENARIO).expect("a file");
    let file = |(number, version): (usize, &&str)| {
        let path = desk.path().join(format!("kube-proxy-{number}"));
        fs::write(&path, format!("#!/bin/sh\necho Kubernetes v{version}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path
    };
    let files = versions.iter().enumerate().map(file).collect();
    (desk, files)
}

fn run(desk: &Path, files: &[PathBuf], more: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipbench"));
    command.current_dir(desk).args(["run", "scenario.toml", "--place", "host"]).args(more);
    for file in files {
        command.arg("--kube-proxy").arg(file);
    }
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
#[ignore = "needs root to look at the host; run by scripts/test"]
fn every_file_is_a_proxy_in_two_modes_unless_others_are_named() {
    let (desk, files) = desk(&["1.36.3", "1.33.13"]);
    let planned = |more: &[&str]| {
        let (is_good, planned, said) = run(desk.path(), &files, &[&["--dry-run"], more].concat());
        assert!(is_good, "{said}");
        planned
    };
    let usual = planned(&[]);
    for name in ["iptables@1.36.3", "iptables@1.33.13", "nftables@1.36.3", "nftables@1.33.13"] {
        assert!(usual.contains(&format!(".kube-proxy-{name}.20.s1.sync")), "{name}: {usual}");
    }
    assert!(!usual.contains("ipvs") && usual.contains(".none.20.s1.connect"), "{usual}");
    let named = planned(&["--proxy", "kube-proxy-ipvs", "--proxy", "kube-proxy-nftables@1.33.13"]);
    for name in ["ipvs@1.36.3", "ipvs@1.33.13", "nftables@1.33.13"] {
        assert!(named.contains(&format!(".kube-proxy-{name}.20.s1.restart")), "{name}: {named}");
    }
    assert!(!named.contains("nftables@1.36.3") && !named.contains("iptables"), "{named}");
}

#[test]
fn what_cannot_be_is_told_before_anything_runs() {
    let (desk, files) = desk(&["1.36.3", "1.36.3"]);
    let missing = vec![desk.path().join("nowhere")];
    let scenario = vec![desk.path().join("scenario.toml")];
    for (files, more, words) in [
        (&missing, &[][..], "nowhere: No such file"),
        (
            &scenario,
            &[],
            "scenario.toml is not available: it is not executable; make it so: chmod +x",
        ),
        (&files, &[], "there is another file of version 1.36.3; leave one out"),
        (
            &Vec::new(),
            &["--proxy", "kube-proxy-nftables"],
            "\"kube-proxy-nftables\" needs the file of that kube-proxy; name it with --kube-proxy PATH",
        ),
    ] {
        let (is_good, _, said) = run(desk.path(), files, more);
        assert!(!is_good && said.contains(words), "{said}");
        assert!(!desk.path().join("runs").exists());
    }
}

#[test]
#[ignore = "needs root and a kube-proxy; run by scripts/test"]
fn real_a_kube_proxy_is_measured_and_recorded() {
    let file = std::env::var_os("VIPBENCH_KUBE_PROXY").expect("VIPBENCH_KUBE_PROXY names one");
    let (desk, _) = desk(&[]);
    let (is_good, _, said) = run(desk.path(), &[file.into()], &["-o", "out"]);
    assert!(is_good, "{said}");
    let read = |name: &str| fs::read_to_string(desk.path().join("out").join(name)).expect(name);
    let record: Value = serde_json::from_str(&read("run.json")).expect("JSON");
    let facts = record["environment"]["facts"].as_object().expect("facts");
    let is_hash = |(key, value): (&String, &Value)| {
        key.starts_with("kube-proxy.") && value.as_str().is_some_and(|hash| hash.len() == 64)
    };
    assert!(facts.iter().any(is_hash), "{facts:?}");
    let config = facts.iter().find(|(key, _)| key.starts_with("proxy.kube-proxy-nftables@"));
    assert!(config.is_some_and(|(_, text)| text.to_string().contains("minSyncPeriod")));
    let cells: Vec<Value> =
        read("cells.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(cells.len(), 1 + 2 * 3, "the control's connections, and all of two proxies");
    for cell in &cells {
        assert_eq!(cell["outcome"]["kind"], "measured", "{cell}");
        assert!(cell["verified"].as_u64().is_some_and(|count| count > 0), "{cell}");
    }
}

#[test]
#[ignore = "needs root and a kube-proxy; run by scripts/test"]
fn real_a_kube_proxy_is_checked_and_traced() {
    let file = std::env::var_os("VIPBENCH_KUBE_PROXY").expect("VIPBENCH_KUBE_PROXY names one");
    let json = |command: &str| -> Value {
        let mut vipbench = Command::new(env!("CARGO_BIN_EXE_vipbench"));
        vipbench.args([command, "--proxy", "kube-proxy-nftables", "--json", "--kube-proxy"]);
        let output = vipbench.arg(&file).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let proxy = &json("check")["proxies"][0];
    assert!(proxy["name"].as_str().is_some_and(|name| name.starts_with("kube-proxy-nftables@")));
    assert!(
        proxy["failed"].is_null() && proxy["probes"].as_array().is_some_and(|all| all.len() > 100)
    );
    let trace = json("trace");
    assert!(trace["failure"].is_null() && trace.to_string().contains("service-"), "{trace}");
}

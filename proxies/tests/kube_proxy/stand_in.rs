//! Errors, and what is left behind, by a script that speaks as a kube-proxy does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use generators::{Change, Cluster};
use proxies::kube_proxy::{know, version_of};
use proxies::{Backend, Options, ProxyError};
use tempfile::TempDir;

use crate::golden;
use crate::netns::in_new_namespace;

const SCRIPT: &str = include_str!("stand-in.sh");

/// A stand-in of its own folder that behaves so.
fn stand_in(behaviour: &str) -> (TempDir, PathBuf) {
    file(&format!("#!/usr/bin/env bash\nbehaviour={behaviour}\n{SCRIPT}"))
}

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kube-proxy");
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    (folder, path)
}

/// It in mode nftables. The name is the behaviour's own, since tests share what is known.
fn open(path: &std::path::Path, behaviour: &str) -> Box<dyn Backend> {
    let known = know(path, &format!("9.9.9-{behaviour}"));
    let options = Options { sync_limit: Duration::from_secs(5), ..Options::default() };
    known[1].open(&options)
}

fn cluster() -> Cluster {
    let service = |name, vip, endpoint| golden::service(name, vip, &[endpoint]);
    let one = service("ns1/svc1:p80", "172.30.0.41", "10.180.0.1:80");
    let other = service("ns2/svc2:p80", "172.30.0.42", "10.180.0.2:80");
    Cluster::new(vec![one, other]).expect("a Cluster")
}

fn tables() -> String {
    let listed = std::process::Command::new("nft").args(["list", "tables"]).output();
    String::from_utf8(listed.expect("nft").stdout).expect("text")
}

/// The command lines of processes whose program is in this folder.
fn alive(folder: &TempDir) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("processes").flatten();
    let lines = all.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&*folder.path().to_string_lossy())).collect()
}

#[test]
#[ignore = "needs root and nft; run by scripts/test"]
fn it_is_started_fed_and_ended_and_nothing_is_left() {
    let (folder, path) = stand_in("good");
    in_new_namespace(|| {
        let mut proxy = open(&path, "good");
        let cluster = cluster();
        proxy.start(&cluster).expect("a full sync");
        assert_eq!(tables(), "table ip stand-in\n");
        let added = golden::service("ns7/new:p80", "172.30.0.47", &["10.180.0.7:80"]);
        let step = cluster.step(vec![Change::ServiceAdded(added)]).expect("it fits");
        proxy.apply(&step).expect("it is told of the new Service");
        let grown = step.into_after();
        let removed = "ns1/svc1:p80".parse().expect("a name");
        let step = grown.step(vec![Change::ServiceRemoved(removed)]).expect("it fits");
        proxy.apply(&step).expect("and of one that goes");
        proxy.settle(step.after()).expect("it rests");
        assert!(!alive(&folder).is_empty());
        proxy.stop().expect("it cleans up");
        proxy.stop().expect("again");
        assert_eq!(tables(), "");
        proxy.start(&cluster).expect("another full sync, at the same port");
    });
    // Killed, at the latest with its thread; the kernel needs a moment to bury it.
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        alive(&folder).is_empty()
    });
    assert!(gone, "{:?}", alive(&folder));
}

#[test]
#[ignore = "needs root and nft; run by scripts/test"]
fn one_that_does_not_work_is_told_with_the_end_of_its_log() {
    for (behaviour, words) in [
        ("dies", &["ended by itself (exit status: 1)", "no such mode here"][..]),
        ("silent", &["never syncs within 5 s", "it is empty"]),
        ("fails", &["could not sync", "\"Sync failed\""]),
    ] {
        let (_folder, path) = stand_in(behaviour);
        let error =
            in_new_namespace(|| open(&path, behaviour).start(&cluster()).expect_err(behaviour));
        let text = error.to_string();
        assert!(matches!(error, ProxyError::Program { .. }), "{text}");
        let name = format!("kube-proxy-nftables@9.9.9-{behaviour} ");
        assert!(text.starts_with(&name), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[test]
#[ignore = "needs root and nft; run by scripts/test"]
fn one_that_dies_later_is_noticed_by_the_next_sync() {
    let (_folder, path) = stand_in("dies-later");
    let error = in_new_namespace(|| {
        let mut proxy = open(&path, "dies-later");
        let cluster = cluster();
        proxy.start(&cluster).expect("a full sync");
        let removed = Change::ServiceRemoved("ns1/svc1:p80".parse().expect("a name"));
        proxy.apply(&cluster.step(vec![removed]).expect("it fits")).expect_err("it is dead")
    });
    let text = error.to_string();
    assert!(text.contains("ended by itself (exit status: 7)"), "{text}");
}

#[test]
#[ignore = "needs root and nft; run by scripts/test"]
fn a_teardown_that_fails_is_told() {
    let (_folder, path) = stand_in("dirty");
    let error = in_new_namespace(|| open(&path, "dirty").stop().expect_err("it cannot"));
    let text = error.to_string();
    assert!(text.contains("--cleanup failed") && text.contains("cannot clean up"), "{text}");
}

#[test]
fn a_file_that_is_no_kube_proxy_is_refused_with_the_remedy() {
    let (folder, stranger) = file("#!/bin/sh\necho other 1.0\n");
    let other_machine = folder.path().join("other-machine");
    // An ELF file for a processor of the year 1990 (EM_860).
    let mut elf = vec![0_u8; 64];
    elf[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    (elf[16], elf[18]) = (2, 7);
    fs::write(&other_machine, elf).expect("a file");
    fs::set_permissions(&other_machine, fs::Permissions::from_mode(0o755)).expect("executable");
    let not_executable = folder.path().join("text");
    fs::write(&not_executable, "text").expect("a file");
    for (path, words) in [
        (folder.path().join("none"), "No such file"),
        (folder.path().to_owned(), "it is no file"),
        (not_executable, "chmod +x"),
        (other_machine, "built for this machine's processor"),
        (stranger, "but with `other 1.0`; name the file of a kube-proxy"),
    ] {
        let error = version_of(&path).expect_err("it is none").to_string();
        assert!(error.contains(&*path.to_string_lossy()) && error.contains(words), "{error}");
    }
    let (_folder, good) = stand_in("good");
    assert_eq!(version_of(&good).expect("a version"), "9.9.9");
}

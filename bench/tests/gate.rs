//! `vipbench gate` and `calibrate` as a pipeline uses them: exit codes, forms, and the baseline. No
//! root, no guest.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference").join(name)
}

/// Exit code, standard output, standard error.
fn vipbench(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vipbench")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = text(output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code().unwrap(), text(output.stdout), said)
}

fn gate(arguments: &[&str]) -> (i32, String, String) {
    vipbench(&[&["gate"], arguments].concat())
}

/// The files of a stored run without its report, so that a copy is quick.
fn copy_of(name: &str, into: &Path) {
    fs::create_dir(into).unwrap();
    for file in ["run.json", "cells.jsonl"] {
        fs::copy(reference(name).join(file), into.join(file)).unwrap();
    }
}

#[test]
fn each_verdict_has_its_exit_code() {
    let (quick, kernels) = (reference("quick-6.1"), reference("kernels-5.10-7.3"));
    let (quick, kernels) = (quick.to_str().unwrap(), kernels.to_str().unwrap());
    let (code, said, _) = gate(&[quick, quick]);
    assert!(code == 0 && said.starts_with("PASS: "), "{said}");
    let pair = ["--base-kernel", "6.12", "--new-kernel", "6.18"];
    let (code, said, _) = gate(&[&[kernels, "--across", "kernel"], &pair[..]].concat());
    assert!(code == 2 && said.contains("iptables-nft connect"), "{said}");
    assert!(said.contains("the floor differs by +6.7%"), "{said}");
    let (code, said, _) = gate(&[&[kernels], &pair[..]].concat());
    assert!(code == 4 && said.contains("--across names one thing"), "{said}");
    let (code, _, said) = gate(&[quick, quick, "--threshold", "connect"]);
    assert!(code == 1 && said.contains("connect=0.5%"), "{said}");
    let (code, _, said) = gate(&[quick, "nowhere"]);
    assert!(code == 1 && said.contains("nowhere holds no run"), "{said}");
}

#[test]
fn recorded_runs_have_the_verdict_that_is_known_of_them() {
    let (exact, wall) = (reference("gate-instructions-6.1"), reference("gate-wall-6.18"));
    let judged = |folder: &Path, base: &str, new: &str, more: &[&str]| {
        let (base, new) = (folder.join(base), folder.join(new));
        let (code, said, _) =
            gate(&[&[base.to_str().unwrap(), new.to_str().unwrap()], more].concat());
        (code, said)
    };
    let (code, said) = judged(&exact, "same-1", "same-21", &[]);
    assert!(code == 0 && said.contains("none is equal to the digit"), "{said}");
    let (code, said) = judged(&exact, "same-1", "rules-1", &["--across", "injection"]);
    assert!(code == 2 && said.contains("iptables-legacy connect first, 100 Services"), "{said}");
    assert!(said.contains("none is equal to the digit"), "only what was slowed down moved: {said}");
    let (code, said) = judged(&exact, "same-1", "rules-1", &[]);
    assert!(code == 4 && said.contains("scenario.inject.rules_per_chain"), "{said}");
    let delayed = ["--across", "injection"];
    let (code, said) = judged(&wall, "delay-0-round-0", "delay-3200-round-0", &delayed);
    assert!(code == 2 && said.contains("iptables-nft request last"), "{said}");
    let (code, said) = judged(&wall, "delay-0-round-0", "delay-0-round-1", &[]);
    assert!(code == 4 && said.contains("have no metric"), "other seeds have no partner: {said}");
}

#[test]
fn every_form_is_written_to_a_file_and_the_verdict_stays_the_exit_code() {
    let desk = TempDir::new().unwrap();
    let run = reference("kernels-5.10-7.3");
    let pair = ["--across", "kernel", "--base-kernel", "7.2", "--new-kernel", "7.3"];
    for (format, begins) in [
        ("text", "REGRESSION: "),
        ("markdown", "## vipbench gate: regression"),
        ("junit", "<?xml version=\"1.0\""),
        ("json", "{\n  \"schema\": \"vipbench.gate/1\""),
        ("annotations", "::error title=vipbench gate%3A regression::"),
    ] {
        let file = desk.path().join(format);
        let form = ["--format", format, "-o", file.to_str().unwrap()];
        let (code, out, _) = gate(&[&[run.to_str().unwrap()], &pair[..], &form[..]].concat());
        assert_eq!((code, out.as_str()), (2, ""));
        let written = fs::read_to_string(&file).unwrap();
        assert!(written.starts_with(begins), "{format}: {written}");
    }
}

#[test]
fn thresholds_of_a_file_hold_unless_the_command_line_says_otherwise() {
    let desk = TempDir::new().unwrap();
    let file = desk.path().join("t.toml");
    fs::write(&file, "[thresholds]\nconnect = '90%'\nrequest = 0.9\n'sync.full' = 0.9\n").unwrap();
    let run = reference("kernels-5.10-7.3");
    let args = [
        run.to_str().unwrap(),
        "--across=kernel",
        "--base-kernel=7.2",
        "--new-kernel=7.3",
        "--thresholds",
        file.to_str().unwrap(),
        "--format=json",
    ];
    let lines = |more: &[&str]| {
        let (_, out, said) = gate(&[&args[..], more].concat());
        let verdict: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{said}"));
        let lines = verdict["lines"].as_array().unwrap().clone();
        let slower = |line: &&serde_json::Value| {
            line["metric"] == "connect" && line["verdict"] == "regression"
        };
        lines.iter().filter(slower).count()
    };
    assert_eq!(lines(&[]), 0);
    assert!(lines(&["--threshold", "connect=0.1%"]) > 0);
    fs::write(&file, "[threshold]\nconnect = 1\n").unwrap();
    let (code, _, said) = gate(&args);
    assert!(code == 1 && said.contains("t.toml") && said.contains("[thresholds]"), "{said}");
}

#[test]
fn an_update_replaces_the_baseline_whole_and_keeps_what_is_not_its_own() {
    let desk = TempDir::new().unwrap();
    let (base, new) = (desk.path().join("base"), desk.path().join("new"));
    copy_of("quick-6.1", &base);
    copy_of("default-6.1", &new);
    fs::write(base.join("README.md"), "mine").unwrap();
    fs::write(base.join("report.md"), "of the old run").unwrap();
    let (base_name, new_name) = (base.to_str().unwrap(), new.to_str().unwrap());
    let (code, _, said) = gate(&[base_name, new_name, "--update"]);
    assert_eq!((code, said.contains("now holds")), (0, true), "{said}");
    let read = |dir: &Path, file: &str| fs::read(dir.join(file)).unwrap();
    for file in ["run.json", "cells.jsonl"] {
        assert_eq!(read(&base, file), read(&new, file));
    }
    assert_eq!(read(&base, "README.md"), b"mine");
    assert!(!base.join("report.md").exists(), "a report of another run");
    let left: Vec<_> =
        fs::read_dir(desk.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_update_with_a_run_that_is_not_whole_changes_nothing() {
    let desk = TempDir::new().unwrap();
    let (base, new) = (desk.path().join("base"), desk.path().join("new"));
    copy_of("quick-6.1", &base);
    copy_of("quick-6.1", &new);
    let cells = fs::read_to_string(new.join("cells.jsonl")).unwrap();
    let fewer: Vec<&str> = cells.lines().skip(1).collect();
    fs::write(new.join("cells.jsonl"), fewer.join("\n") + "\n").unwrap();
    let (code, _, said) = gate(&[base.to_str().unwrap(), new.to_str().unwrap(), "--update"]);
    assert!(code == 1 && said.contains("1 planned cell missing"), "{said}");
    assert_eq!(fs::read_to_string(base.join("cells.jsonl")).unwrap(), cells);
    let (code, _, said) = gate(&[desk.path().to_str().unwrap(), new.to_str().unwrap(), "--update"]);
    assert!(code == 1 && said.contains("holds no run"), "{said}");
}

#[test]
fn a_calibration_needs_more_than_one_run() {
    let run = reference("quick-6.1");
    let (code, _, said) = vipbench(&["calibrate", run.to_str().unwrap()]);
    assert!(code == 1 && said.contains("scripts/calibrate-instructions"), "{said}");
    let (code, _, said) = vipbench(&["calibrate"]);
    assert!(code == 1 && said.contains("RUN"), "{said}");
}

#[test]
fn a_mistyped_option_is_no_regression() {
    let (code, _, said) = gate(&["a", "b", "--treshold", "connect=1%"]);
    assert!(code == 1 && said.contains("--threshold"), "{said}");
    assert_eq!(gate(&["--help"]).0, 0);
}

//! A run spread over processes by the scripts that engines call, merged, and compared byte for byte
//! with the same run in one piece.
//!
//! The guests need QEMU and a kernel package; `scripts/test` runs them. The files for engines are
//! read without.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

const SCENARIO: &str = "
name = 'spread'
services = [10, 100]
proxies = ['none', 'iptables-legacy', 'ipvs']
measures = ['sync', 'connect', 'vip_bind']
[load]
connections = 5
positions = ['first', 'last']
keepalive_requests = 2
changes = 1
";
const VIPBENCH: &str = env!("CARGO_BIN_EXE_vipbench");

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn deploy(name: &str) -> PathBuf {
    project().join("scripts/deploy").join(name)
}

/// A desk with the scenario on it.
fn desk() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("s.toml"), SCENARIO).unwrap();
    dir
}

fn vipbench(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(VIPBENCH).current_dir(dir).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A script of `scripts/deploy` with the variables that its engine sets, and no other engine's.
fn script(dir: &Path, name: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(deploy(name));
    command.current_dir(dir).env("VIPBENCH", VIPBENCH).env("OUT", dir.join("shards"));
    for foreign in ["JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID", "SHARD", "SHARDS"] {
        command.env_remove(foreign);
    }
    command.envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn start(mut command: Command) -> Child {
    command.args(["s.toml", "--jobs", "1"]).spawn().unwrap()
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn three_processes_merge_into_the_bytes_of_one_run_and_a_lost_shard_can_be_made_up() {
    let desk = desk();
    let dir = desk.path();
    let setting = ["--place", "guest", "--clock", "instructions"];
    succeeded(vipbench(dir, &[&["run", "s.toml", "-o", "whole"], &setting[..]].concat()));
    let whole = succeeded(vipbench(dir, &["export", "whole"]));

    let shards = [
        script(dir, "shard", &[("JOB_COMPLETION_INDEX", "0"), ("SHARDS", "3")]),
        script(dir, "shard", &[("SHARD", "2"), ("SHARDS", "3")]),
        {
            let project = project();
            let task = [("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "3")];
            let mut command = script(dir, "slurm.sh", &task);
            // Slurm starts the script in the folder it was submitted from, which is the project's.
            command.env("SLURM_ARRAY_JOB_ID", "7").env("SLURM_SUBMIT_DIR", &project);
            command.arg(dir.join("s.toml"));
            command
        },
    ];
    let [first, second, mut third] = shards;
    let running = [start(first), start(second), third.spawn().unwrap()];
    for child in running {
        succeeded(child.wait_with_output().unwrap());
    }
    succeeded(script(dir, "merge", &[("SHARDS", "3")]).output().unwrap());
    assert_eq!(succeeded(vipbench(dir, &["export", "shards/merged"])), whole);
    assert!(dir.join("shards/merged/report.html").is_file());

    let part = vipbench(dir, &["merge", "shards/shard-3", "shards/shard-1", "-o", "part"]);
    assert_eq!(part.status.code(), Some(1), "a run that lacks cells is not whole");
    let said = String::from_utf8(part.stdout).unwrap();
    assert!(said.contains("planned cells\n  6."), "missing cells are named: {said}");
    succeeded(vipbench(
        dir,
        &[&["run", "s.toml", "-o", "part", "--resume"], &setting[..]].concat(),
    ));
    assert_eq!(succeeded(vipbench(dir, &["export", "part"])), whole);

    let other =
        vipbench(dir, &["run", "s.toml", "-o", "part", "--resume", "--kernel-cmdline", "nosmt"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && said.contains("kernel_cmdline"), "{said}");
}

#[test]
fn a_merge_without_all_shards_fails_and_names_the_one_that_is_missing() {
    let desk = desk();
    let output = script(desk.path(), "merge", &[("SHARDS", "2")]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("shard 1 of 2 is missing"), "{said}");
}

#[test]
fn a_shard_that_no_engine_started_says_what_to_set() {
    let desk = desk();
    let output = script(desk.path(), "shard", &[]).arg("s.toml").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("set SHARD"), "{said}");
}

fn yaml(name: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&fs::read_to_string(deploy(name)).unwrap()).unwrap()
}

#[test]
fn the_jobs_of_kubernetes_agree_on_the_number_of_shards_and_ask_for_no_privilege() {
    let documents = yaml("kubernetes.yaml");
    let (shard, merge) = (&documents[1]["spec"], &documents[2]["spec"]);
    let count = shard["completions"].as_i64().unwrap().to_string();
    assert_eq!(shard["completionMode"].as_str(), Some("Indexed"));
    for job in [shard, merge] {
        let pod = &job["template"]["spec"];
        let container = &pod["containers"][0];
        let shards = container["env"].as_vec().unwrap();
        let shards = shards.iter().find(|entry| entry["name"].as_str() == Some("SHARDS")).unwrap();
        assert_eq!(shards["value"].as_str(), Some(count.as_str()));
        let rights = &container["securityContext"];
        assert_eq!(rights["allowPrivilegeEscalation"].as_bool(), Some(false));
        assert!(rights["privileged"].is_badvalue());
        assert_eq!(rights["capabilities"]["drop"][0].as_str(), Some("ALL"));
        let added = rights["capabilities"]["add"].as_vec().into_iter().flatten();
        assert!(added.map(|name| name.as_str().unwrap()).all(|name| name == "SYS_NICE"));
        assert_eq!(container["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
        assert!(job["activeDeadlineSeconds"].as_i64().is_some(), "every wait has a deadline");
    }
    assert_eq!(documents[0]["spec"]["accessModes"][0].as_str(), Some("ReadWriteMany"));
}

#[test]
fn the_matrix_of_the_workflow_has_as_many_jobs_as_there_are_shards() {
    let workflow = &yaml("github-actions.yml")[0];
    let matrix = workflow["jobs"]["shard"]["strategy"]["matrix"]["shard"].as_vec().unwrap();
    let shards: Vec<i64> = matrix.iter().filter_map(Yaml::as_i64).collect();
    let count: i64 = workflow["env"]["SHARDS"].as_str().unwrap().parse().unwrap();
    assert_eq!(shards, (1..=count).collect::<Vec<_>>());
    assert_eq!(workflow["jobs"]["merge"]["needs"].as_str(), Some("shard"));
}

#[test]
fn the_workflow_of_the_gate_calls_the_script_with_what_it_needs() {
    let workflow = &yaml("gate-github-actions.yml")[0];
    let steps = workflow["jobs"]["gate"]["steps"].as_vec().unwrap();
    let judged = steps.iter().find(|step| {
        step["run"].as_str().is_some_and(|command| command.starts_with("scripts/deploy/gate "))
    });
    let judged = judged.unwrap();
    assert_eq!(judged["run"].as_str(), Some("scripts/deploy/gate tool"));
    assert!(judged["timeout-minutes"].as_i64().unwrap() <= 10);
    for variable in ["BASE_VIPBENCH", "VIPBENCH", "OUT"] {
        assert!(judged["env"][variable].as_str().is_some(), "{variable}");
    }
    assert_eq!(workflow["jobs"]["comment"]["needs"].as_str(), Some("gate"));
}

#[test]
fn a_gate_that_is_not_told_what_changes_says_what_to_set() {
    let desk = desk();
    for (what, wanted) in
        [(&[][..], "say what changes"), (&["cpu"], "not cpu"), (&["tool"], "BASE_VIPBENCH")]
    {
        let output = script(desk.path(), "gate", &[]).args(what).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(wanted), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let help =
        script(desk.path(), "gate", &[]).arg("--help").stdout(Stdio::piped()).output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("BASE_VIPBENCH"));
}

#[test]
fn a_gate_leaves_an_earlier_measurement_alone() {
    let desk = desk();
    let earlier = desk.path().join("shards/base");
    fs::create_dir_all(&earlier).unwrap();
    fs::write(earlier.join("run.json"), "kept").unwrap();
    let variables = [("BASE_VIPBENCH", VIPBENCH)];
    let output = script(desk.path(), "gate", &variables).arg("tool").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("RESUME=1"), "{said}");
    assert_eq!(fs::read(earlier.join("run.json")).unwrap(), b"kept");
}

//! `scripts/deploy/bisect` under a real `git bisect run`: a throw-away repository whose commits
//! stand for recorded runs. No root, no guest.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// What each commit's "kernel" measures; the second does not build, the fourth is slower.
const COMMITS: [&str; 8] =
    ["same-1", "broken", "same-2", "rules-5", "rules-5", "broken", "rules-10", "rules-10"];
const FIRST_BAD: usize = 3;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap()
}

fn runs() -> PathBuf {
    project().join("results/reference/gate-instructions-6.1")
}

fn git(repository: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(repository)
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("VIPBENCH", env!("CARGO_BIN_EXE_vipbench"))
        .env("RUNS", runs())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(all).unwrap()
}

/// A repository with one commit each; their hashes.
fn repository(dir: &Path) -> Vec<String> {
    assert!(git(dir, &["init", "--quiet"]).status.success());
    let commit = |(at, run): (usize, &&str)| {
        fs::write(dir.join("run"), format!("{run}\n")).unwrap();
        fs::write(dir.join("number"), at.to_string()).unwrap();
        assert!(git(dir, &["add", "--all"]).status.success());
        assert!(git(dir, &["commit", "--quiet", "--message", run]).status.success());
        text(&git(dir, &["rev-parse", "HEAD"])).trim().to_owned()
    };
    COMMITS.iter().enumerate().map(commit).collect()
}

const BUILD: &str = "! grep -q broken run";
const MEASURE: &str = r#"mkdir "$RUN" && cp "$RUNS/$(cat run)"/*.json* "$RUN""#;

#[test]
fn the_first_bad_commit_is_found_past_one_that_does_not_build() {
    let dir = TempDir::new().unwrap();
    let commits = repository(dir.path());
    let script = project().join("scripts/deploy/bisect");
    let base = runs().join("same-1");
    let (script, base) = (script.to_str().unwrap(), base.to_str().unwrap());
    let start = git(dir.path(), &["bisect", "start", commits.last().unwrap(), &commits[0]]);
    assert!(start.status.success(), "{}", text(&start));
    let arguments = ["bisect", "run", script, base, BUILD, MEASURE, "--across", "injection"];
    let found = git(dir.path(), &arguments);
    let said = text(&found);
    assert!(found.status.success(), "{said}");
    let wanted = format!("{} is the first bad commit", commits[FIRST_BAD]);
    assert!(said.contains(&wanted), "{said}");
    assert!(text(&git(dir.path(), &["status", "--short"])).is_empty(), "the tree stays clean");
}

#[test]
fn each_end_has_the_exit_code_that_git_wants() {
    let dir = TempDir::new().unwrap();
    repository(dir.path());
    let ended = |run: &str, arguments: &[&str]| {
        fs::write(dir.path().join("run"), format!("{run}\n")).unwrap();
        let output = Command::new(project().join("scripts/deploy/bisect"))
            .current_dir(dir.path())
            .args(arguments)
            .env("VIPBENCH", env!("CARGO_BIN_EXE_vipbench"))
            .env("RUNS", runs())
            .env("OUT", TempDir::new().unwrap().path())
            .output()
            .unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    let base = runs().join("same-1");
    let base = base.to_str().unwrap();
    let injection = [base, BUILD, MEASURE, "--across", "injection"];
    for (run, arguments, wanted, words) in [
        ("same-3", &injection[..], 0, "PASS"),
        ("rules-5", &injection, 2, "REGRESSION"),
        ("broken", &injection, 125, "does not build"),
        ("rules-5", &injection[..3], 125, "cannot be judged"),
        ("nothing", &injection, 255, "nothing was measured"),
        ("same-3", &[base, BUILD, "true"], 255, "left no run"),
        ("same-3", &["nowhere", BUILD, MEASURE], 255, "nowhere holds no run"),
        ("same-3", &[base], 255, "name BASE, BUILD and MEASURE"),
        ("same-3", &[base, BUILD, MEASURE, "--across", "everything"], 255, "gate failed"),
    ] {
        let (code, said) = ended(run, arguments);
        assert!(code == wanted && said.contains(words), "{run}: {code} {said}");
    }
}

//! The commands of README and docs: each is one that the program understands, and each runs and
//! ends as its page says.
//!
//! Commands stand in fenced blocks marked `sh`; those in blocks marked `sh guest` need QEMU and a
//! kernel. Those in blocks marked `sh shown` need what is not here, such as a cluster or a
//! kube-proxy: they are parsed, and not run. `vipbench run` is run with `--dry-run`. A comment
//! `# exit code N` at the end of a line tells another end than 0.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory, Parser};
use tempfile::TempDir;
use vipbench::cli::Cli;

/// What a block of commands needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Guest,
    /// Something that no test has.
    More,
}

/// One command of a page.
struct Line {
    page: PathBuf,
    text: String,
    needs: Needs,
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(project().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    pages.push(project().join("README.md"));
    pages.sort();
    pages
}

/// The commands of the blocks marked `sh`; a backslash at the end of a line joins the next to it.
fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for page in pages() {
        let mut block = None;
        let text = fs::read_to_string(&page).unwrap().replace("\\\n", "");
        for text in text.lines() {
            match (block, text) {
                (None, "```sh") => block = Some(Needs::Nothing),
                (None, "```sh guest") => block = Some(Needs::Guest),
                (None, "```sh shown") => block = Some(Needs::More),
                (Some(_), "```") => block = None,
                (Some(needs), text) if !text.trim().is_empty() => {
                    lines.push(Line { page: page.clone(), text: text.to_owned(), needs });
                }
                (None, text) => {
                    let command = text.strip_prefix("    ").unwrap_or_default();
                    let is_one =
                        ["vipbench ", "scripts/"].iter().any(|one| command.starts_with(one));
                    assert!(!is_one, "{}: put it into a block marked sh: {text}", page.display());
                }
                _ => {}
            }
        }
        assert!(block.is_none(), "{}: a block does not end", page.display());
    }
    lines
}

/// A command without its comment, and the exit code that the comment tells.
fn parts(line: &str) -> (&str, i32) {
    let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
    let code = comment.trim().strip_prefix("exit code ").map_or(0, |code| code.parse().unwrap());
    (command.trim(), code)
}

#[test]
fn every_command_is_one_that_the_program_understands() {
    let lines = lines();
    assert!(lines.len() >= 15, "the pages are found: {}", lines.len());
    for Line { page, text, .. } in &lines {
        let (command, _) = parts(text);
        let words = shell_words(command);
        let stages = words.split(|word| ["|", "&&", ">"].contains(&word.as_str()));
        let ours: Vec<&[String]> = stages.filter(|words| words[0] == "vipbench").collect();
        let is_script = project().join(&words[0]).is_file();
        assert!(is_script || !ours.is_empty(), "{}: {text}", page.display());
        for words in ours {
            if let Err(error) = Cli::try_parse_from(words) {
                let is_help = error.kind() == clap::error::ErrorKind::DisplayHelp;
                assert!(is_help, "{}: {text}\n{error}", page.display());
            }
        }
    }
}

/// The commands that `vipbench --help` names.
fn commands() -> Vec<String> {
    let cli = Cli::command();
    let shown = cli.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| command.get_name().to_owned()).collect()
}

/// Every command with its subcommands.
fn with_subcommands(command: &clap::Command) -> Vec<&clap::Command> {
    command.get_subcommands().flat_map(with_subcommands).chain([command]).collect()
}

#[test]
fn no_line_of_help_is_wider_than_100_columns() {
    let mut cli = Cli::command().term_width(100);
    cli.build();
    for command in with_subcommands(&cli) {
        // As written too: clap would break a line that is too long, in the middle of an example.
        let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let shown = command.clone().render_long_help().to_string();
        for line in written.lines().chain(shown.lines()) {
            assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
        }
    }
}

#[test]
fn the_page_of_commands_has_a_line_for_each() {
    let page = fs::read_to_string(project().join("docs/commands.md")).unwrap();
    for name in commands() {
        assert!(page.contains(&format!("\n| `vipbench {name}` | ")), "{name} is missing");
    }
}

/// Words as a shell splits them; single quotes keep words together.
fn shell_words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, piece) in command.split('\'').enumerate() {
        if at % 2 == 1 {
            words.last_mut().unwrap().push_str(piece);
            continue;
        }
        for symbol in piece.chars() {
            match symbol {
                ' ' if words.last().unwrap().is_empty() => {}
                ' ' => words.push(String::new()),
                other => words.last_mut().unwrap().push(other),
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What the command that a page names prints or writes, run in the project's folder.
fn made_again(command: &str) -> String {
    let words = shell_words(command);
    let output = Command::new(env!("CARGO_BIN_EXE_vipbench"))
        .current_dir(project())
        .args(words.iter().skip(1))
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The command between backquotes after `Made by`.
fn maker(page: &str) -> &str {
    page.split_once("Made by `").unwrap().1.split_once('`').unwrap().0
}

#[test]
fn the_page_of_claims_is_what_its_command_makes() {
    let page = fs::read_to_string(project().join("docs/claims.md")).unwrap();
    assert!(made_again(maker(&page)) == page, "make it again: {}", maker(&page));
}

#[test]
fn the_page_of_time_against_instructions_is_what_its_command_makes() {
    let page = fs::read_to_string(project().join("docs/clock-validation.md")).unwrap();
    let command = maker(&page);
    let folder = TempDir::new().unwrap();
    made_again(&command.replace("-o docs", &format!("-o {}", folder.path().display())));
    let fresh = fs::read_to_string(folder.path().join("clock-validation.md")).unwrap();
    let fresh = fresh.replace(maker(&fresh), command);
    assert!(fresh == page, "make it again: {command}");
    let plot = |dir: &Path| fs::read(dir.join("clock-validation.svg")).unwrap();
    assert!(plot(folder.path()) == plot(&project().join("docs")), "make it again: {command}");
}

/// A folder in which the paths of the pages lead to the project's files. Runs are copies: `explain`
/// writes into them.
fn desk() -> TempDir {
    let desk = TempDir::new().unwrap();
    for name in ["scenarios", "scripts"] {
        symlink(project().join(name), desk.path().join(name)).unwrap();
    }
    let (from, to) = (project().join("results"), desk.path().join("results"));
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    desk
}

fn all_run(with: Needs) {
    let desk = desk();
    let binary = Path::new(env!("CARGO_BIN_EXE_vipbench")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for Line { page, text, needs } in lines() {
        let (command, code) = parts(&text);
        if needs != with || !command.starts_with("vipbench") {
            continue;
        }
        let is_run = command.starts_with("vipbench run ") && !command.contains("--help");
        let dry = if is_run && !command.contains("--dry-run") { " --dry-run" } else { "" };
        let output = Command::new("bash")
            .args(["-c", &format!("{command}{dry}")])
            .current_dir(desk.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{}: {text}\n{said}", page.display());
        run += 1;
    }
    assert!(run > 0, "no command was found");
}

#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn every_command_runs() {
    all_run(Needs::Nothing);
}

#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn every_command_that_boots_a_guest_runs() {
    all_run(Needs::Guest);
}

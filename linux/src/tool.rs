//! Running one tool: text in through a memory file, text out through another, and its CPU time.
//!
//! What the text means is the caller's business.

use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Child, Limits, memory_file, run};
use crate::usage::{self, CpuTime};
use crate::{IoError, ToolError};

/// How much output of a tool is read, bytes: far above the saved rules of 100,000 Services.
const OUTPUT_BYTES_MAX: usize = 1 << 30;
/// How much of an input line an error quotes, characters.
const QUOTED_MAX: usize = 240;

/// A tool and how to run it.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// Its name, looked up in `PATH`.
    pub program: &'a str,
    /// Its arguments.
    pub args: &'a [&'a str],
    /// One variable to set in its environment.
    pub env: Option<(&'a str, &'a Path)>,
    /// How long it may take before it is killed.
    pub deadline: Duration,
}

impl Tool<'_> {
    /// Runs the tool with `text` on its standard input; what it prints is dropped. Returns the CPU
    /// time of the tool and of this thread meanwhile.
    ///
    /// # Errors
    /// [`ToolError::Failed`] with the line of `text` that the tool named, or why the tool
    /// could not be run to its end.
    pub fn feed(&self, text: &[u8]) -> Result<CpuTime, ToolError> {
        let before = usage::of_this_thread();
        let mut stdin = memory_file()?;
        stdin
            .write_all(text)
            .and_then(|()| stdin.rewind())
            .map_err(IoError::of("write the input of", self.program))?;
        let (mut command, limits) = self.command();
        command.stdin(Stdio::from(stdin));
        match Child::start(command, None, limits)?.succeed() {
            Ok(output) => Ok(output.used + (usage::of_this_thread() - before)),
            Err(ToolError::Failed { command, status, stderr, .. }) => {
                let input = named_line(&stderr, text);
                Err(ToolError::Failed { command, status, stderr, input })
            }
            Err(error) => Err(error),
        }
    }

    /// Runs the tool on empty input and returns what it printed.
    ///
    /// # Errors
    /// As for [`Tool::feed`]; output of more than 1 GiB is refused.
    pub fn read(&self) -> Result<Vec<u8>, ToolError> {
        Ok(self.read_accounted()?.0)
    }

    /// As [`Tool::read`], with the CPU time of the tool.
    ///
    /// # Errors
    /// As for [`Tool::read`].
    pub fn read_accounted(&self) -> Result<(Vec<u8>, CpuTime), ToolError> {
        let (command, limits) = self.command();
        let output = run(command, limits)?;
        Ok((output.stdout, output.used))
    }

    fn command(&self) -> (Command, Limits) {
        let mut command = Command::new(self.program);
        command.args(self.args).envs(self.env);
        (command, Limits { deadline: self.deadline, output_bytes_max: OUTPUT_BYTES_MAX })
    }
}

/// The line of the input that a complaint names ("line 12 failed", "line: 12",
/// "/dev/stdin:12:1-9"), with its number.
fn named_line(said: &str, input: &[u8]) -> Option<String> {
    let after = |word: &str| {
        said.match_indices(word).find_map(|(at, word)| {
            let rest = said.get(at + word.len()..)?.trim_start_matches([':', ' ']);
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..digits)?.parse::<usize>().ok()
        })
    };
    let number = after("/dev/stdin").or_else(|| after("line"))?;
    let line = input.split(|byte| *byte == b'\n').nth(number.checked_sub(1)?)?;
    let line: String = String::from_utf8_lossy(line).chars().take(QUOTED_MAX).collect();
    Some(format!("line {number} `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell<'a>(args: &'a [&'a str; 2], deadline: Duration) -> Tool<'a> {
        Tool { program: "sh", args, env: None, deadline }
    }

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn what_a_tool_prints_is_returned() {
        let text = shell(&["-c", "printf hello"], SOON).read().expect("runs");
        assert_eq!(text, b"hello");
    }

    #[test]
    fn a_tool_reads_the_text_it_is_fed_to_its_last_byte() {
        let text = vec![b'x'; 300_000];
        shell(&["-c", "test $(wc -c) = 300000"], SOON).feed(&text).expect("all of it arrives");
    }

    #[test]
    fn the_variable_is_in_the_environment_of_the_tool() {
        let mut tool = shell(&["-c", "printf %s \"$XTABLES_LOCKFILE\""], SOON);
        tool.env = Some(("XTABLES_LOCKFILE", Path::new("/tmp/lock")));
        assert_eq!(tool.read().expect("runs"), b"/tmp/lock");
    }

    #[test]
    fn a_refusal_carries_status_words_and_the_line_it_names() {
        let tool = shell(&["-c", "echo 'iptables-restore: line 2 failed' >&2; exit 3"], SOON);
        let error = tool.feed(b"*nat\n-A X -j Y\nCOMMIT\n").expect_err("it refuses").to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("at input line 2 `-A X -j Y`"), "{error}");
    }

    #[test]
    fn an_error_names_the_input_line() {
        let error = ToolError::Failed {
            command: "iptables-nft-restore".into(),
            status: "exit status: 1".into(),
            stderr: "no such chain".into(),
            input: Some("line 3 `-A X -j Y`".into()),
        };
        assert_eq!(
            error.to_string(),
            "`iptables-nft-restore` failed (exit status: 1): no such chain, at input line 3 `-A X -j Y`"
        );
    }

    #[test]
    fn a_long_complaint_is_cut() {
        let script = "i=0; while [ $i -lt 200 ]; do echo 0123456789012345678901234567890 >&2; i=$((i+1)); done; exit 1";
        let error = shell(&["-c", script], SOON).read().expect_err("it refuses");
        let ToolError::Failed { stderr, .. } = error else { panic!("{error}") };
        assert!(stderr.len() <= 2048, "{}", stderr.len());
        assert!(stderr.contains(" ... "), "{stderr}");
    }

    #[test]
    fn an_overdue_tool_is_killed() {
        let tool = shell(&["-c", "exec sleep 600"], Duration::from_millis(20));
        assert!(matches!(tool.read(), Err(ToolError::Timeout { .. })));
    }

    #[test]
    fn a_missing_tool_is_unsupported_and_named() {
        let tool = Tool { program: "no-such-tool-here", args: &[], env: None, deadline: SOON };
        let error = tool.read().expect_err("it is missing");
        assert!(matches!(error, ToolError::Missing { .. }));
        assert!(error.to_string().contains("no-such-tool-here"), "{error}");
    }

    #[test]
    fn both_ways_of_naming_a_line_are_understood() {
        let input = b"first\nsecond";
        for said in ["Error occurred at line: 2\nTry", "line 2: RULE_APPEND failed (x)"] {
            assert_eq!(named_line(said, input).as_deref(), Some("line 2 `second`"));
        }
        for said in ["no number in this line", "line 0", "line 99", "line 99999999999999999999"] {
            assert_eq!(named_line(said, input), None);
        }
    }
}

//! Running one tool: text in through a memory file, text out through another, a deadline, and its
//! CPU time.
//!
//! One process a call, no shell, no pipe and no helper thread, so that a measured hand-over costs
//! what `tool < file` costs. What the text means is the caller's business.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::IoError;
use crate::process::die_with_parent;
use crate::usage::{self, CpuTime};

/// How much of a tool's complaint is kept, bytes.
const STDERR_MAX: u64 = 2048;
/// How much output of a tool is read, bytes: far above the saved rules of 100,000 Services.
const STDOUT_MAX: u64 = 1 << 30;
/// How much of an input line an error quotes, characters.
const QUOTED_MAX: usize = 240;
/// How many signals may interrupt one wait before it counts as overdue.
const INTERRUPTIONS_MAX: usize = 16;

/// Why a tool gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It ran and refused.
    #[error("`{command}` failed ({status}): {stderr}{}", at_input(input.as_deref()))]
    Failed {
        /// The command line.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// The start of what it said, at most 2 KiB.
        stderr: String,
        /// The line of its input that it named, if it named one: number and text.
        input: Option<String>,
    },
    /// It did not end in time and was killed. What it had already done stays.
    #[error(
        "`{command}` did not end within {limit_s} s and was killed; raise the limit or take a smaller size"
    )]
    Timeout {
        /// The command line.
        command: String,
        /// The limit, seconds.
        limit_s: u64,
    },
    /// There is no such program.
    #[error(
        "`{program}` is not available: there is no such program in PATH; install the package that holds it"
    )]
    Missing {
        /// Its name.
        program: String,
    },
    /// It printed more than is read.
    #[error("cannot understand the output of `{command}`: it is longer than 1 GiB")]
    Flood {
        /// The command line.
        command: String,
    },
    /// The operating system refused a file or a process.
    #[error(transparent)]
    Io(#[from] IoError),
}

fn at_input(line: Option<&str>) -> String {
    line.map_or_else(String::new, |line| format!(", at input {line}"))
}

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
        let child = self.run(stdin.into(), Stdio::null(), text)?;
        Ok(child + (usage::of_this_thread() - before))
    }

    /// Runs the tool on empty input and returns what it printed.
    ///
    /// # Errors
    /// As for [`Tool::feed`]; output of more than 1 GiB is refused.
    pub fn read(&self) -> Result<Vec<u8>, ToolError> {
        let mut stdout = memory_file()?;
        let own = stdout.try_clone().map_err(IoError::of("share the output of", self.program))?;
        self.run(Stdio::null(), own.into(), &[])?;
        let mut text = Vec::new();
        stdout
            .rewind()
            .and_then(|()| stdout.take(STDOUT_MAX + 1).read_to_end(&mut text))
            .map_err(IoError::of("read the output of", self.program))?;
        if text.len() as u64 > STDOUT_MAX {
            return Err(ToolError::Flood { command: self.command_line() });
        }
        Ok(text)
    }

    /// Starts the tool, waits for its end, and turns a bad end into an error. Returns the tool's
    /// own CPU time.
    fn run(&self, stdin: Stdio, stdout: Stdio, input: &[u8]) -> Result<CpuTime, ToolError> {
        let mut stderr = memory_file()?;
        let own = stderr.try_clone().map_err(IoError::of("share the errors of", self.program))?;
        let mut command = Command::new(self.program);
        command.args(self.args).envs(self.env).stdin(stdin).stdout(stdout).stderr(own);
        die_with_parent(&mut command);
        let child = command.spawn().map_err(|source| self.not_started(source))?;
        let (status, used) = self.wait(child.id())?;
        if status.success() {
            return Ok(used);
        }
        let mut said = Vec::new();
        stderr
            .rewind()
            .and_then(|()| stderr.take(STDERR_MAX).read_to_end(&mut said))
            .map_err(IoError::of("read the errors of", self.program))?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(ToolError::Failed {
            command: self.command_line(),
            status: status.to_string(),
            input: named_line(&said, input),
            stderr: said,
        })
    }

    /// Sleeps until the child ends or is overdue, then reaps it. A child that is overdue is killed
    /// first.
    fn wait(&self, id: u32) -> Result<(ExitStatus, CpuTime), ToolError> {
        let failed = |source: io::Error| IoError::of("wait for", self.program)(source);
        let pid = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| failed(errno.into()))?;
        let ended = ended_within(&pidfd, self.deadline).map_err(failed)?;
        if !ended {
            pidfd_send_signal(&pidfd, Signal::KILL).map_err(|errno| failed(errno.into()))?;
        }
        let end = reap(pid).map_err(failed)?;
        if ended {
            return Ok(end);
        }
        Err(ToolError::Timeout { command: self.command_line(), limit_s: self.deadline.as_secs() })
    }

    fn not_started(&self, source: io::Error) -> ToolError {
        if source.kind() == io::ErrorKind::NotFound {
            return ToolError::Missing { program: self.program.to_owned() };
        }
        IoError::of("start", self.program)(source).into()
    }

    fn command_line(&self) -> String {
        let mut line = self.program.to_owned();
        for arg in self.args {
            line.push(' ');
            line.push_str(arg);
        }
        line
    }
}

fn memory_file() -> Result<File, ToolError> {
    let file = memfd_create("vipbench", MemfdFlags::CLOEXEC)
        .map_err(|errno| IoError::of("make", "a memory file")(errno.into()))?;
    Ok(file.into())
}

fn ended_within(pidfd: &impl std::os::fd::AsFd, deadline: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(deadline).map_err(|_| io::ErrorKind::InvalidInput)?;
    for _ in 0..INTERRUPTIONS_MAX {
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(false)
}

/// `wait4`: the exit status and the CPU time of a child that has ended or was killed.
fn reap(pid: Pid) -> io::Result<(ExitStatus, CpuTime)> {
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid value of that plain C struct.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    for _ in 0..INTERRUPTIONS_MAX {
        // SAFETY: both pointers are to live, writable values of the types that wait4(2) fills.
        let reaped =
            unsafe { libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut used) };
        if reaped > 0 {
            return Ok((ExitStatus::from_raw(status), CpuTime::from(&used)));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Err(io::ErrorKind::Interrupted.into())
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
        assert!(stderr.len() as u64 <= STDERR_MAX);
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

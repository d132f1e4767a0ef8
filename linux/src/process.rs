//! Child processes that cannot outlive their deadline, their output limit, their guard or the
//! thread that started them.
//!
//! What they write goes into memory files: no shell, no pipe and no helper thread, so that a
//! measured program costs what `program < file` costs. What is run, and what its output means, is
//! the caller's business.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process, pidfd_open,
    set_parent_process_death_signal,
};

use crate::{CpuTime, IoError};

/// How much of a complaint is told, bytes: half from its beginning and half from its end.
const TOLD_BYTES: usize = 2000;
/// How often it is looked how much a child has written.
const LOOK: Duration = Duration::from_millis(50);
/// How many signals may interrupt the wait for a child that is dead.
const INTERRUPTIONS_MAX: usize = 16;

/// What a child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time from start to exit.
    pub deadline: Duration,
    /// Bytes of standard output, and as many of standard error.
    pub output_bytes_max: usize,
}

/// Why a program gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It ran and refused.
    #[error("`{command}` failed ({status}): {stderr}{}", after(", at input ", input.as_deref()))]
    Failed {
        /// The command line.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// What it said, at most 2 KiB of it.
        stderr: String,
        /// The line of its input that it named, if it named one: number and text.
        input: Option<String>,
    },
    /// It did not end in time and was killed. What it had already done stays.
    #[error(
        "`{command}` did not end within {limit_s} s and was killed; try again on a machine that is less busy, or with a smaller size{}",
        after("; it said: ", stderr.as_deref())
    )]
    Timeout {
        /// The command line.
        command: String,
        /// The limit, seconds.
        limit_s: u64,
        /// What it said, if anything.
        stderr: Option<String>,
    },
    /// There is no such program.
    #[error(
        "`{program}` is not available: there is no such program in PATH; install the package that holds it"
    )]
    Missing {
        /// Its name.
        program: String,
    },
    /// It wrote too much, and was killed.
    #[error("`{command}` wrote more than {bytes_max} bytes; allow it more, or make it quieter")]
    Flood {
        /// The command line.
        command: String,
        /// What it was allowed.
        bytes_max: usize,
    },
    /// The operating system refused a file or a process.
    #[error(transparent)]
    Io(#[from] IoError),
}

fn after(words: &str, text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!("{words}{text}"))
}

/// What a child wrote, how it ended, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its CPU time.
    pub used: CpuTime,
    /// Everything it wrote to standard output.
    pub stdout: Vec<u8>,
    /// Everything it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// Runs a program to its end. Standard input is empty; an exit status other than 0 is an error.
///
/// The child is in the namespaces of the calling thread.
///
/// # Errors
/// [`ToolError`]: not installed, too slow, too much output, or a bad end.
pub fn run(command: Command, limits: Limits) -> Result<Output, ToolError> {
    Child::spawn(command, limits)?.succeed()
}

/// The same, whatever the exit status says.
///
/// # Errors
/// [`ToolError`]: not installed, too slow, or too much output.
pub fn output(command: Command, limits: Limits) -> Result<Output, ToolError> {
    Child::spawn(command, limits)?.wait()
}

/// A running child. It is killed when this guard drops, when somebody waits for it beyond its
/// limits, or when the thread that started it ends: the guard must not leave that thread. What it
/// writes has room for its limit and little more, whether anybody looks on or not.
///
/// It has a process group of its own, so that a key pressed at a terminal reaches only this
/// process, which then ends it in good order. Only the child itself is killed.
#[derive(Debug)]
pub struct Child {
    command: String,
    /// Nothing once it is reaped.
    pid: Option<Pid>,
    limits: Limits,
    deadline: Instant,
    stdout: Option<File>,
    stderr: File,
}

/// Why a child is waited for no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exited,
    Overdue,
    /// On request, or because it wrote too much.
    Stopped,
}

impl Child {
    /// Starts a program in the namespaces of the calling thread. Standard input is empty.
    ///
    /// # Errors
    /// [`ToolError`]: not installed, or no process or descriptor left.
    pub fn spawn(mut command: Command, limits: Limits) -> Result<Self, ToolError> {
        command.stdin(Stdio::null());
        Self::start(command, Some(output_file(limits.output_bytes_max)?), limits)
    }

    /// The same with the standard input that `command` has. Without `stdout`, what it writes there
    /// is dropped.
    pub(crate) fn start(
        mut command: Command,
        stdout: Option<File>,
        limits: Limits,
    ) -> Result<Self, ToolError> {
        let stderr = output_file(limits.output_bytes_max)?;
        command.stdout(stdout.as_ref().map_or(Ok(Stdio::null()), shared)?);
        command.stderr(shared(&stderr)?).process_group(0);
        die_with_parent(&mut command);
        let deadline = Instant::now() + limits.deadline;
        let started = command.spawn().map_err(|source| {
            let program = command.get_program().to_string_lossy().into_owned();
            match source.kind() {
                io::ErrorKind::NotFound => ToolError::Missing { program },
                _ => IoError::of("start", program)(source).into(),
            }
        })?;
        let pid = Some(Pid::from_child(&started));
        Ok(Self { command: describe(&command), pid, limits, deadline, stdout, stderr })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid.map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned())
    }

    /// Whether it has neither ended nor broken a limit.
    pub fn is_running(&self) -> bool {
        matches!(self.end_within(Duration::ZERO), Ok(None))
    }

    /// What it has written to standard error until now, from `offset` on. The child is not woken
    /// and does not notice.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn stderr_from(&self, offset: u64) -> Result<Vec<u8>, IoError> {
        // The child writes at the offset that it shares with this file.
        let length = (&self.stderr).stream_position();
        let read = |length: u64| {
            let mut bytes = vec![0; usize::try_from(length.saturating_sub(offset)).unwrap_or(0)];
            self.stderr.read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        };
        length.and_then(read).map_err(IoError::of("read what was written by", &self.command))
    }

    /// Waits for its end, at most until its deadline.
    ///
    /// # Errors
    /// [`ToolError`]: too slow, or too much output. A bad exit status is no error here.
    pub fn wait(self) -> Result<Output, ToolError> {
        // Without an output to look at, nothing wakes the thread that waits.
        let patience = if self.stdout.is_some() { LOOK } else { self.limits.deadline };
        loop {
            let ended = self.end_within(patience);
            if let Some(end) = ended.map_err(IoError::of("wait for", &self.command))? {
                return self.finish(end);
            }
        }
    }

    /// As [`Child::wait`], and a bad exit status is an error.
    pub(crate) fn succeed(self) -> Result<Output, ToolError> {
        let command = self.command.clone();
        let Output { status, stderr, .. } = match self.wait()? {
            output if output.status.success() => return Ok(output),
            output => output,
        };
        let (status, stderr) = (status.to_string(), told(&stderr));
        Err(ToolError::Failed { command, status, stderr, input: None })
    }

    /// Kills it, and returns what it wrote until then.
    ///
    /// # Errors
    /// [`ToolError`]: it had written too much.
    pub fn stop(self) -> Result<Output, ToolError> {
        self.finish(End::Stopped)
    }

    /// How it ended, if that happens before `patience` does.
    fn end_within(&self, patience: Duration) -> io::Result<Option<End>> {
        let Some(pid) = self.pid else { return Ok(Some(End::Exited)) };
        let exited = pidfd_open(pid, PidfdFlags::empty())?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(patience.min(left)).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&exited, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(Some(End::Exited)),
            Err(errno) => return Err(errno.into()),
        }
        if left.is_zero() {
            return Ok(Some(End::Overdue));
        }
        for mut file in self.stdout.iter().chain([&self.stderr]) {
            // The child writes at the offset that it shares with this file.
            if file.stream_position()? > self.limits.output_bytes_max as u64 {
                return Ok(Some(End::Stopped));
            }
        }
        Ok(None)
    }

    /// Sees to it that it is dead, and collects what it left.
    fn finish(mut self, end: End) -> Result<Output, ToolError> {
        let reaped = self.reap(end != End::Exited);
        let (status, used) = reaped.map_err(IoError::of("wait for", &self.command))?;
        let bytes_max = self.limits.output_bytes_max;
        let written = |file| {
            written(file, bytes_max).map_err(IoError::of("read what was written by", &self.command))
        };
        let stdout = self.stdout.as_ref().map_or(Ok(Vec::new()), written)?;
        let stderr = written(&self.stderr)?;
        let command = self.command.clone();
        if end == End::Overdue {
            let stderr = Some(told(&stderr)).filter(|said| !said.is_empty());
            let limit_s = self.limits.deadline.as_secs();
            return Err(ToolError::Timeout { command, limit_s, stderr });
        }
        if stdout.len().max(stderr.len()) > bytes_max {
            return Err(ToolError::Flood { command, bytes_max });
        }
        Ok(Output { status, used, stdout, stderr })
    }

    /// `wait4`: the exit status and the CPU time of a child that has ended, or is killed now.
    fn reap(&mut self, kill: bool) -> io::Result<(ExitStatus, CpuTime)> {
        let pid = self.pid.take().ok_or_else(|| io::Error::other("already waited for"))?;
        if kill {
            kill_process(pid, Signal::KILL)?;
        }
        let mut status = 0;
        // SAFETY: an all-zero `rusage` is a valid value of that plain C struct.
        let mut used: libc::rusage = unsafe { std::mem::zeroed() };
        for _ in 0..INTERRUPTIONS_MAX {
            let pid = pid.as_raw_nonzero().get();
            // SAFETY: both pointers are to live, writable values of the types that wait4(2) fills.
            if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut used) } > 0 {
                return Ok((ExitStatus::from_raw(status), CpuTime::from(&used)));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that was waited for is dead.
        let _ = self.reap(true);
    }
}

/// Makes the kernel kill a child as soon as the thread that starts it ends
/// (`kernel/exit.c`, `forget_original_parent`, Linux 6.1).
fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec only system calls are made, which is all that is allowed there.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the signal was asked for.
            if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

pub(crate) fn memory_file() -> Result<File, IoError> {
    let file = memfd_create("vipbench", MemfdFlags::CLOEXEC)
        .map_err(|errno| IoError::of("make", "a memory file")(errno.into()))?;
    Ok(file.into())
}

/// A memory file that takes `bytes_max` and at most two pages more: its size is sealed, so a child
/// that writes on is refused by the kernel (`mm/shmem.c`, `shmem_write_begin`, Linux 6.1). Memory
/// is taken only for what is written.
fn output_file(bytes_max: usize) -> Result<File, IoError> {
    const PAGE: u64 = 4096;
    let size = (bytes_max as u64 / PAGE + 2) * PAGE;
    let sealed = || {
        let file = memfd_create("vipbench", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, size)?;
        fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
        Ok::<File, rustix::io::Errno>(file.into())
    };
    sealed().map_err(|errno| IoError::of("make", "a memory file")(errno.into()))
}

/// A memory file as an output of a child.
fn shared(file: &File) -> Result<Stdio, IoError> {
    file.try_clone().map(Stdio::from).map_err(IoError::of("share", "a memory file"))
}

/// What a child wrote into a file: all of it, or one byte more than `bytes_max`.
fn written(mut file: &File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = file.stream_position()?;
    file.rewind()?;
    file.take(length.min(bytes_max as u64 + 1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Program and arguments, as shown in errors.
fn describe(command: &Command) -> String {
    const ARGUMENTS_MAX: usize = 32;
    let arguments = command.get_args();
    let more = if arguments.len() > ARGUMENTS_MAX { " ..." } else { "" };
    let words = std::iter::once(command.get_program()).chain(arguments.take(ARGUMENTS_MAX));
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ") + more
}

/// A complaint, short enough for an error.
fn told(stderr: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if stderr.len() <= TOLD_BYTES {
        return text(stderr);
    }
    let (first, rest) = stderr.split_at(TOLD_BYTES / 2);
    format!("{} ... {}", text(first), text(&rest[rest.len() - TOLD_BYTES / 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), output_bytes_max: 1 << 20 };

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn is_alive(pid: u32) -> bool {
        std::path::Path::new("/proc").join(pid.to_string()).exists()
    }

    #[test]
    fn what_a_running_child_has_written_is_read_from_any_place() {
        let mut command = shell("printf 'one\\ntwo\\n' >&2; exec sleep 20");
        command.stdin(Stdio::null());
        let child = Child::spawn(command, LIMITS).unwrap();
        let all = (0..1_000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            Some(child.stderr_from(0).unwrap()).filter(|all| all.len() == 8)
        });
        assert_eq!(all.unwrap(), b"one\ntwo\n");
        assert_eq!(child.stderr_from(4).unwrap(), b"two\n");
        assert_eq!(child.stderr_from(8).unwrap(), b"");
        assert_eq!(child.stop().unwrap().stderr, b"one\ntwo\n");
    }

    #[test]
    fn both_outputs_are_captured_apart() {
        let output = run(shell("echo out; echo err >&2"), LIMITS).unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
    }

    #[test]
    fn output_larger_than_a_pipe_is_captured_whole() {
        let output = run(shell("head -c 300000 /dev/zero"), LIMITS).unwrap();
        assert_eq!(output.stdout.len(), 300_000);
    }

    #[test]
    fn a_bad_end_shows_the_command_and_its_words() {
        let error = run(shell("echo sorry >&2; exit 3"), LIMITS).unwrap_err().to_string();
        assert_eq!(error, "`sh -c echo sorry >&2; exit 3` failed (exit status: 3): sorry");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(Command::new("vipbench-no-such-program"), LIMITS).unwrap_err();
        assert!(matches!(error, ToolError::Missing { .. }), "{error}");
    }

    #[test]
    fn a_child_that_is_too_slow_is_killed() {
        let limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };
        let child = Child::spawn(shell("echo waiting >&2; exec sleep 60"), limits).unwrap();
        let pid = child.pid();
        let error = child.wait().unwrap_err();
        assert!(matches!(error, ToolError::Timeout { .. }), "{error}");
        assert!(error.to_string().ends_with("it said: waiting"), "{error}");
        assert!(!is_alive(pid));
    }

    #[test]
    fn a_child_that_is_looked_at_beyond_its_deadline_runs_no_more() {
        let limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };
        let child = Child::spawn(shell("exec sleep 60"), limits).unwrap();
        let started = Instant::now();
        while child.is_running() {
            assert!(started.elapsed() < LIMITS.deadline);
        }
        assert!(matches!(child.wait(), Err(ToolError::Timeout { .. })));
    }

    #[test]
    fn a_child_that_floods_is_killed() {
        let limits = Limits { output_bytes_max: 1000, ..LIMITS };
        let error = run(Command::new("yes"), limits).unwrap_err();
        assert!(matches!(error, ToolError::Flood { bytes_max: 1000, .. }), "{error}");
    }

    #[test]
    fn output_of_exactly_the_limit_is_allowed() {
        let limits = Limits { output_bytes_max: 1000, ..LIMITS };
        assert_eq!(run(shell("head -c 1000 /dev/zero"), limits).unwrap().stdout.len(), 1000);
        assert!(run(shell("head -c 1001 /dev/zero"), limits).is_err());
    }

    #[test]
    fn a_dropped_guard_leaves_no_child() {
        let child = Child::spawn(shell("exec sleep 60"), LIMITS).unwrap();
        let pid = child.pid();
        assert!(child.is_running() && is_alive(pid));
        drop(child);
        assert!(!is_alive(pid));
    }

    #[test]
    fn a_stopped_child_hands_over_what_it_wrote() {
        let child = Child::spawn(shell("echo ready; exec sleep 60"), LIMITS).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let output = child.stop().unwrap();
        assert!(!output.status.success());
        assert_eq!(output.stdout, b"ready\n");
    }

    #[test]
    fn a_grandchild_that_keeps_the_output_open_does_not_hold_up_the_end() {
        let output = run(shell("sleep 5 & echo done"), LIMITS).unwrap();
        assert_eq!(output.stdout, b"done\n");
    }
}

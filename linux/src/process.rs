//! Child processes that cannot outlive their deadline, their output limit, their guard or this
//! process.
//!
//! For programs whose own cost is nobody's question; one that is measured is a [`Tool`], which
//! takes no thread and no pipe. What is run, and what its output means, is the caller's business.
//!
//! [`Tool`]: crate::Tool

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal,
};

const READ_BYTES: usize = 64 << 10;
/// How much of an error output is shown.
const SHOWN_BYTES_MAX: usize = 2000;

/// What a child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time from start to exit.
    pub deadline: Duration,
    /// Bytes of standard output, and as many of standard error.
    pub output_bytes_max: usize,
}

/// Why a child gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("cannot start `{program}`: {source}; see that it is installed and in PATH")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It did not end in time, and was killed.
    #[error(
        "`{program}` did not end within {deadline:?} and was killed; allow it more time, or less work{stderr}"
    )]
    Deadline {
        /// The program.
        program: String,
        /// What it was allowed.
        deadline: Duration,
        /// The end of its error output.
        stderr: String,
    },
    /// It wrote too much, and was killed.
    #[error(
        "`{program}` wrote more than {bytes_max} bytes and was killed; allow it more, or make it quieter"
    )]
    Flood {
        /// The program.
        program: String,
        /// What it was allowed.
        bytes_max: usize,
    },
    /// It could not be watched.
    #[error("cannot watch `{program}`: {source}")]
    Watch {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It ended, but not well.
    #[error("`{program}`: {status}{stderr}")]
    Failed {
        /// The program and its arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its error output.
        stderr: String,
    },
}

/// What a child wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
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
/// [`ProcessError`]: not installed, too slow, too much output, or a bad end.
pub fn run(command: Command, limits: Limits) -> Result<Output, ProcessError> {
    let program = describe(&command);
    let output = output(command, limits)?;
    if output.status.success() {
        return Ok(output);
    }
    Err(ProcessError::Failed { program, status: output.status, stderr: shown(&output.stderr) })
}

/// The same, whatever the exit status says.
///
/// # Errors
/// [`ProcessError`]: not installed, too slow, or too much output.
pub fn output(command: Command, limits: Limits) -> Result<Output, ProcessError> {
    Child::spawn(command, limits)?.wait()
}

/// A running child. It is killed when this guard drops, when its deadline passes, or when this
/// process dies.
///
/// It has a process group of its own, so that a key pressed at a terminal reaches only this
/// process, which then ends it in good order. Only the child itself is killed.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    cancel: OwnedFd,
    supervisor: Option<JoinHandle<Result<Output, ProcessError>>>,
}

impl Child {
    /// Starts a program in the namespaces of the calling thread. Standard input is empty.
    ///
    /// # Errors
    /// [`ProcessError::Start`]: not installed, or no process, descriptor or thread left.
    pub fn spawn(command: Command, limits: Limits) -> Result<Self, ProcessError> {
        let program = describe(&command);
        let start_error = |source| ProcessError::Start { program: program.clone(), source };
        let cancel =
            eventfd(0, EventfdFlags::CLOEXEC).map_err(|errno| start_error(errno.into()))?;
        let canceled = cancel.try_clone().map_err(start_error)?;
        let (started, starting) = channel();
        let name = program.clone();
        // The thread that starts the child stays with it: a parent-death signal is sent at the
        // death of the parent *thread* (`kernel/exit.c`, `forget_original_parent`, Linux 6.1), and
        // this one lives exactly as long as it should.
        let supervisor = Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || supervise(&name, command, limits, &canceled, &started))
            .map_err(start_error)?;
        let mut child = Self { pid: 0, cancel, supervisor: Some(supervisor) };
        match starting.recv() {
            Ok(pid) => child.pid = pid,
            // The supervisor has ended without a child, and its result says why.
            Err(_) => drop(child.join()?),
        }
        Ok(child)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has neither ended nor been killed.
    pub fn is_running(&self) -> bool {
        self.supervisor.as_ref().is_some_and(|supervisor| !supervisor.is_finished())
    }

    /// Waits for its end, at most until its deadline.
    ///
    /// # Errors
    /// [`ProcessError`]: too slow, or too much output. A bad exit status is no error here.
    pub fn wait(mut self) -> Result<Output, ProcessError> {
        self.join()
    }

    /// Kills it, and returns what it wrote until then.
    ///
    /// # Errors
    /// [`ProcessError`]: it had already broken one of its limits.
    pub fn stop(mut self) -> Result<Output, ProcessError> {
        self.request_stop();
        self.join()
    }

    fn request_stop(&self) {
        // An eventfd of value 0 takes a 1 without waiting.
        let _ = rustix::io::write(&self.cancel, &1_u64.to_ne_bytes());
    }

    fn join(&mut self) -> Result<Output, ProcessError> {
        let Some(supervisor) = self.supervisor.take() else {
            let (program, source) = (self.pid.to_string(), io::Error::other("already waited for"));
            return Err(ProcessError::Watch { program, source });
        };
        supervisor.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.supervisor.is_some() {
            self.request_stop();
            let _ = self.join();
        }
    }
}

/// Why the watch over a child ended.
enum End {
    Exited,
    Stopped,
    Deadline,
    Flood,
}

/// Starts the child and stays with it until it is dead and reaped.
fn supervise(
    program: &str,
    command: Command,
    limits: Limits,
    canceled: &OwnedFd,
    started: &Sender<u32>,
) -> Result<Output, ProcessError> {
    let deadline = Instant::now() + limits.deadline;
    let mut child = start(command)
        .map_err(|source| ProcessError::Start { program: program.to_owned(), source })?;
    // The receiver waits for this; if it were gone, `canceled` would tell.
    let _ = started.send(child.id());
    let mut captures =
        [Capture::new(limits.output_bytes_max), Capture::new(limits.output_bytes_max)];
    let watched = watch(&mut child, &mut captures, deadline, canceled);
    // Dead already, unless the watch ended early: only this child, by its own handle, is ever
    // signalled.
    let _ = child.kill();
    let finished = child.wait().and_then(|status| {
        let end = if drain(&mut captures)? { watched? } else { End::Flood };
        Ok((status, end))
    });
    let (status, end) =
        finished.map_err(|source| ProcessError::Watch { program: program.to_owned(), source })?;
    let [stdout, stderr] = captures.map(|capture| capture.bytes);
    let program = program.to_owned();
    match end {
        End::Exited | End::Stopped => Ok(Output { status, stdout, stderr }),
        End::Flood => Err(ProcessError::Flood { program, bytes_max: limits.output_bytes_max }),
        End::Deadline => Err(ProcessError::Deadline {
            program,
            deadline: limits.deadline,
            stderr: shown(&stderr),
        }),
    }
}

fn start(mut command: Command) -> io::Result<process::Child> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    die_with_parent(&mut command);
    command.spawn()
}

/// Makes the kernel kill a child as soon as the thread that starts it ends.
pub(crate) fn die_with_parent(command: &mut Command) {
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

fn watch(
    child: &mut process::Child,
    captures: &mut [Capture; 2],
    deadline: Instant,
    canceled: &OwnedFd,
) -> io::Result<End> {
    let [stdout, stderr] = captures;
    stdout.pipe = child.stdout.take().map(|pipe| nonblocking(pipe.into())).transpose()?;
    stderr.pipe = child.stderr.take().map(|pipe| nonblocking(pipe.into())).transpose()?;
    let exited = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let Some(left) =
            deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        else {
            return Ok(End::Deadline);
        };
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let pipes = captures.iter().filter_map(|capture| capture.pipe.as_ref()).map(AsFd::as_fd);
        let mut events: Vec<PollFd<'_>> = [canceled.as_fd(), exited.as_fd()]
            .into_iter()
            .chain(pipes)
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut events, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let happened = |at: usize| events.get(at).is_some_and(|event| !event.revents().is_empty());
        let (canceled, exited) = (happened(0), happened(1));
        if canceled {
            return Ok(End::Stopped);
        }
        if !drain(captures)? {
            return Ok(End::Flood);
        }
        if exited {
            return Ok(End::Exited);
        }
    }
}

fn nonblocking(pipe: OwnedFd) -> io::Result<File> {
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
    Ok(pipe.into())
}

/// Reads what has been written; `false` if it is too much.
fn drain(captures: &mut [Capture; 2]) -> io::Result<bool> {
    let [stdout, stderr] = captures;
    Ok(stdout.drain()? && stderr.drain()?)
}

/// One output of a child, up to a limit.
struct Capture {
    pipe: Option<File>,
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Capture {
    fn new(bytes_max: usize) -> Self {
        Self { pipe: None, bytes: Vec::new(), bytes_max }
    }

    fn drain(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; READ_BYTES];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) if count > self.bytes_max - self.bytes.len() => return Ok(false),
                Ok(count) => self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Program and arguments, as shown in errors.
fn describe(command: &Command) -> String {
    const ARGUMENTS_MAX: usize = 8;
    let arguments = command.get_args();
    let more = if arguments.len() > ARGUMENTS_MAX { " ..." } else { "" };
    let words = std::iter::once(command.get_program()).chain(arguments.take(ARGUMENTS_MAX));
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ") + more
}

/// The end of an error output, after a separator; empty if there is none.
fn shown(stderr: &[u8]) -> String {
    let start = stderr.len().saturating_sub(SHOWN_BYTES_MAX);
    let text = String::from_utf8_lossy(stderr.get(start..).unwrap_or_default());
    match text.trim() {
        "" => String::new(),
        text => format!("; it said: {text}"),
    }
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
        assert_eq!(error, "`sh -c echo sorry >&2; exit 3`: exit status: 3; it said: sorry");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(Command::new("vipbench-no-such-program"), LIMITS).unwrap_err();
        assert!(matches!(error, ProcessError::Start { .. }), "{error}");
    }

    #[test]
    fn a_child_that_is_too_slow_is_killed() {
        let limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };
        let child = Child::spawn(shell("echo waiting >&2; exec sleep 60"), limits).unwrap();
        let pid = child.pid();
        let error = child.wait().unwrap_err();
        assert!(matches!(error, ProcessError::Deadline { .. }), "{error}");
        assert!(!is_alive(pid));
    }

    #[test]
    fn a_child_that_floods_is_killed() {
        let limits = Limits { output_bytes_max: 1000, ..LIMITS };
        let error = run(Command::new("yes"), limits).unwrap_err();
        assert!(matches!(error, ProcessError::Flood { bytes_max: 1000, .. }), "{error}");
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
    fn a_grandchild_that_keeps_the_pipe_open_does_not_hold_up_the_end() {
        let output = run(shell("sleep 5 & echo done"), LIMITS).unwrap();
        assert_eq!(output.stdout, b"done\n");
    }
}

//! Runs one job in one guest: start QEMU, wait with a deadline, read what PID 1 wrote, judge the kernel's log.
//!
//! Knows nothing of what a job means. Snapshots are made in `snapshot`, the machine is described in `machine`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::core::Core;
use super::machine::{Accelerator, Machine, Paths, QEMU, Start};
use super::qmp::Monitor;
use super::watch::ConsoleWatch;
use super::wire::{Job, Line, WireError};
use super::{Profile, ProfileError, Profiler, Snapshot, splat};
use crate::process::{Child, Limits, Output, ProcessError};

const POLL: Duration = Duration::from_millis(5);
/// More than any honest guest writes: a cell's answer is some hundred kilobytes.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// More than QEMU says of itself before it gives up.
const STDERR_BYTES_MAX: usize = 1 << 20;

/// What a guest left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestReport {
    /// Kernel release as PID 1 saw it.
    pub release: String,
    /// The handler's answer to a call.
    pub answer: Option<String>,
    /// Why the task failed, in the guest's words.
    pub error: Option<String>,
    /// First lines of a kernel splat: everything measured in this guest is worthless.
    pub splat: Option<String>,
    /// Kernel messages of level warning and worse.
    pub kernel_log: Vec<String>,
    /// From the start of the emulator to the first instruction of a restored guest; nothing for one that booted.
    pub restored_in: Option<Duration>,
}

/// Why a guest gave no report.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// QEMU is not installed or does not start.
    #[error(
        "cannot start {QEMU}: {source}; install it (package qemu-system-x86) or run `vipbench doctor`"
    )]
    Start {
        /// What the system says.
        source: io::Error,
    },
    /// QEMU could not be watched, or wrote too much.
    #[error(transparent)]
    Process(ProcessError),
    /// QEMU itself gave up: no fault of the guest's kernel.
    #[error("{QEMU} gave up ({status}): {stderr}")]
    Emulator {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed.
        stderr: String,
    },
    /// A file of the guest's private directory.
    #[error("guest directory {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The monitor connection.
    #[error("QEMU's monitor, while {doing}: {source}{stderr}")]
    Monitor {
        /// What was being done.
        doing: &'static str,
        /// What the system or QEMU says.
        source: io::Error,
        /// What QEMU printed, if anything.
        stderr: String,
    },
    /// The guest did not end in time.
    #[error("the guest did not finish within {limit_s} s; {last_words}")]
    Deadline {
        /// The limit, seconds.
        limit_s: u64,
        /// Where it got to, as far as its console tells.
        last_words: String,
    },
    /// The guest's kernel reported a fault of its own, and then neither the task nor the guest ended.
    #[error("the guest's kernel hung: {splat}")]
    Hung {
        /// The first lines of its report.
        splat: String,
    },
    /// The caller asked for the end.
    #[error("the guest was ended on request")]
    Aborted,
    /// The guest ended without its closing line.
    #[error("the guest ended before its task did: {why}")]
    Died {
        /// The last words of kernel or QEMU.
        why: String,
    },
    /// The guest wrote something else than this crate's PID 1 would.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The profiler left nothing that can be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// What one guest may use.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// A private, empty directory for its files.
    pub dir: &'a Path,
    /// Wall time it may take.
    pub limit: Duration,
    /// Ends the guest when it becomes true.
    pub aborted: &'a AtomicBool,
}

/// A QEMU process that ends with this value, or with this process, whichever is first.
#[derive(Debug)]
pub(super) struct Qemu<'a> {
    /// Gone when its end was waited for.
    child: Option<Child>,
    pub(super) paths: Paths,
    console: ConsoleWatch,
    deadline: Instant,
    bounds: Bounds<'a>,
    core: Core,
}

impl<'a> Qemu<'a> {
    /// Starts QEMU with its files in the directory of `bounds`.
    pub(super) fn start(
        machine: &Machine,
        start: Start<'_>,
        job: Option<&Job>,
        bounds: Bounds<'a>,
    ) -> Result<Self, GuestError> {
        let paths = Paths::in_dir(bounds.dir);
        let job = job.map(|job| serde_json::to_vec(job).unwrap_or_default()).unwrap_or_default();
        write(&paths.job, &job)?;
        let mut command = Command::new(QEMU);
        command.args(machine.qemu_arguments(&paths, start));
        let core = Core::least_used().map_err(|source| GuestError::Start { source })?;
        let limits = Limits { deadline: bounds.limit, output_bytes_max: STDERR_BYTES_MAX };
        let deadline = Instant::now() + bounds.limit;
        let child = Child::spawn(command, limits).map_err(|error| match error {
            ProcessError::Start { source, .. } => GuestError::Start { source },
            other => GuestError::Process(other),
        })?;
        let console = ConsoleWatch::new(&paths.console);
        Ok(Self { child: Some(child), paths, console, deadline, bounds, core })
    }

    fn is_running(&self) -> bool {
        self.child.as_ref().is_some_and(Child::is_running)
    }

    /// Connects to the monitor of a process started for a snapshot.
    pub(super) fn monitor(&mut self) -> Result<Monitor, GuestError> {
        Monitor::connect(&self.paths.monitor, self.deadline, &|| self.is_running())
            .map_err(|source| self.monitor_error("connecting", source))
    }

    /// Puts both of QEMU's threads, the guest's processor and the main loop, on one core, and lets the loop go first
    /// (with real-time priority; if that is not allowed, last). When the guest goes idle, it wakes the loop, which moves
    /// the guest's clock to the next timer. Should the loop look again, still busy with the time before, between the
    /// guest's last instruction and the moment it is accounted for, the clock lands that much too far
    /// (`softmmu/icount.c`, `icount_start_warp_timer`, and `accel/tcg/tcg-accel-ops-rr.c`, QEMU 7.2). A loop that goes
    /// first is asleep by the time the guest goes on, whatever else the machine does. One that goes last runs only while
    /// the guest waits, unless a third program takes the core from the guest: on a busy machine 3 of 13 cells differed
    /// by some instructions.
    fn order_threads(&self) -> io::Result<()> {
        let pid = self.child.as_ref().map_or(0, Child::pid);
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = task?.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
            self.core.pin(rustix::process::Pid::from_raw(thread))?;
        }
        let schedule = |policy, sched_priority| {
            let parameters = libc::sched_param { sched_priority };
            // SAFETY: the call reads `parameters`; `pid` names the main thread of our own child.
            unsafe { libc::sched_setscheduler(pid, policy, &raw const parameters) == 0 }
        };
        if schedule(libc::SCHED_FIFO, 1) || schedule(libc::SCHED_IDLE, 0) {
            return Ok(());
        }
        Err(io::Error::last_os_error())
    }

    /// Keeps the guest's processor on one core, so that it does not carry its caches about.
    fn pin(&self, threads: &[i32]) -> io::Result<()> {
        threads.iter().try_for_each(|&id| self.core.pin(rustix::process::Pid::from_raw(id)))
    }

    /// Ends QEMU: what went wrong with its monitor, and what it said itself.
    pub(super) fn monitor_error(&mut self, doing: &'static str, source: io::Error) -> GuestError {
        let stopped = self.child.take().and_then(|child| child.stop().ok());
        let said = stopped.map(|output| in_one_line(&output.stderr)).unwrap_or_default();
        let stderr = if said.is_empty() { said } else { format!("; QEMU said: {said}") };
        GuestError::Monitor { doing, source, stderr }
    }

    /// The splat of a guest that has not ended although its kernel is broken.
    pub(super) fn hung(&mut self) -> Option<String> {
        self.console.hung()
    }

    /// For a guest that has not reached its snapshot point: its own account of why.
    pub(super) fn finish_early(&mut self) -> GuestError {
        let report = self
            .wait(&mut |_| {})
            .and_then(|(lines, output)| self.digest(String::new(), lines, &output));
        match report {
            Ok(report) => {
                let why = report.error.or(report.splat);
                GuestError::Died { why: why.unwrap_or_else(|| self.console.last_words()) }
            }
            Err(error) => error,
        }
    }

    /// Waits for the end of the process, handing on program output as it comes.
    fn wait(&mut self, on_output: &mut dyn FnMut(&str)) -> Result<(Vec<Line>, Output), GuestError> {
        let mut collected = Collected::open(&self.paths.output)?;
        while self.is_running() {
            collected.read_more(on_output)?;
            if self.bounds.aborted.load(Ordering::Relaxed) {
                return Err(GuestError::Aborted);
            }
            if let Some(splat) = self.hung() {
                return Err(GuestError::Hung { splat });
            }
            std::thread::sleep(POLL);
        }
        let child = self.child.take().ok_or_else(|| GuestError::Start {
            source: io::Error::other("its end was waited for already"),
        })?;
        let output = child.wait().map_err(|error| match (error, self.console.splat()) {
            (ProcessError::Deadline { .. }, Some(splat)) => GuestError::Hung { splat },
            (ProcessError::Deadline { .. }, None) => GuestError::Deadline {
                limit_s: self.bounds.limit.as_secs(),
                last_words: self.console.last_words(),
            },
            (other, _) => GuestError::Process(other),
        })?;
        collected.read_more(on_output)?;
        Ok((collected.lines, output))
    }

    /// Turns the guest's lines into a report; exactly one closing line is demanded.
    fn digest(
        &self,
        release: String,
        lines: Vec<Line>,
        output: &Output,
    ) -> Result<GuestReport, GuestError> {
        let mut report = GuestReport { release, ..GuestReport::default() };
        let mut ended = false;
        for line in lines {
            match line {
                Line::Hello { release } => report.release = release,
                Line::Answer { payload } => report.answer = Some(payload),
                Line::KernelLog { lines } => report.kernel_log = lines,
                Line::End { error } => {
                    report.error = error;
                    ended = true;
                }
                Line::Output { .. } => {}
            }
        }
        let log = report.kernel_log.iter().map(String::as_str);
        report.splat = splat::find(log).or_else(|| self.console.splat());
        if ended {
            return Ok(report);
        }
        let stderr = in_one_line(&output.stderr);
        if let Some(why) = report.splat {
            return Err(GuestError::Died { why });
        }
        // A guest that resets ends QEMU with 0 (`-no-reboot`).
        if !output.status.success() {
            return Err(GuestError::Emulator { status: output.status, stderr });
        }
        Err(GuestError::Died {
            why: format!("{} {stderr}", self.console.last_words()).trim().into(),
        })
    }
}

/// Lines read so far from a growing output file.
#[derive(Debug)]
struct Collected {
    file: File,
    read: u64,
    pending: Vec<u8>,
    lines: Vec<Line>,
}

impl Collected {
    fn open(path: &Path) -> Result<Self, GuestError> {
        // QEMU makes the file when it starts; making it here too means there is never a moment without it.
        let file = File::options().create(true).truncate(false).write(true).read(true).open(path);
        let file = file.map_err(|source| file_error(path, source))?;
        Ok(Self { file, read: 0, pending: Vec::new(), lines: Vec::new() })
    }

    fn read_more(&mut self, on_output: &mut dyn FnMut(&str)) -> Result<(), GuestError> {
        let output = Path::new("output.jsonl");
        self.file.seek(SeekFrom::Start(self.read)).map_err(|source| file_error(output, source))?;
        let limit = OUTPUT_BYTES_MAX.saturating_sub(self.read);
        let got = (&self.file).take(limit).read_to_end(&mut self.pending);
        let got = got.map_err(|source| file_error(output, source))?;
        self.read += got as u64;
        if self.read >= OUTPUT_BYTES_MAX {
            return Err(WireError::TooLong.into());
        }
        let (lines, taken) = Line::decode_all(&self.pending)?;
        self.pending.drain(..taken);
        for line in lines {
            match line {
                Line::Output { text } => on_output(&text),
                other => self.lines.push(other),
            }
        }
        Ok(())
    }
}

/// Runs one job: from `snapshot` if there is one, else from boot.
///
/// # Errors
/// [`GuestError`]; a task that fails inside the guest is not an error here but `error` in the report.
pub fn run(
    machine: &Machine,
    snapshot: Option<&Snapshot>,
    job: &Job,
    bounds: Bounds<'_>,
    on_output: &mut dyn FnMut(&str),
) -> Result<GuestReport, GuestError> {
    let start = snapshot.map_or(Start::Boot, |snapshot| Start::Restore(&snapshot.path, None));
    let started = Instant::now();
    let qemu = Qemu::start(machine, start, Some(job), bounds)?;
    finish(qemu, machine.accelerator, started, snapshot, on_output).map(|(report, _)| report)
}

/// Runs one job from `snapshot` with the profiler looking on, which changes nothing that the guest can see.
///
/// # Errors
/// As [`run`], and [`ProfileError`].
pub fn run_profiled(
    machine: &Machine,
    snapshot: &Snapshot,
    job: &Job,
    bounds: Bounds<'_>,
    profiler: &Profiler,
) -> Result<(GuestReport, Profile), GuestError> {
    let start = Start::Restore(&snapshot.path, Some(profiler));
    let started = Instant::now();
    let qemu = Qemu::start(machine, start, Some(job), bounds)?;
    let (report, paths) = finish(qemu, machine.accelerator, started, Some(snapshot), &mut |_| {})?;
    Ok((report, Profile::read(&paths.profile)?))
}

/// Sees a started guest through to its end.
fn finish(
    mut qemu: Qemu<'_>,
    accelerator: Accelerator,
    started: Instant,
    snapshot: Option<&Snapshot>,
    on_output: &mut dyn FnMut(&str),
) -> Result<(GuestReport, Paths), GuestError> {
    let mut restored_in = None;
    // Kept open until the guest has ended: QEMU's main loop shall have nothing to do while the guest runs.
    let mut monitor = None;
    if snapshot.is_some() {
        let monitor = monitor.insert(qemu.monitor()?);
        monitor
            .wait_status("query-status", &mut |status| Ok(status != "inmigrate"))
            .and_then(|()| qemu.order_threads())
            .and_then(|()| monitor.execute("cont", &serde_json::json!({})).map(drop))
            .map_err(|source| qemu.monitor_error("restoring the snapshot", source))?;
        restored_in = Some(started.elapsed());
    }
    if accelerator == Accelerator::Kvm {
        let monitor = monitor.insert(qemu.monitor()?);
        monitor
            .processor_threads()
            .and_then(|threads| qemu.pin(&threads))
            .and_then(|()| monitor.execute("cont", &serde_json::json!({})).map(drop))
            .map_err(|source| qemu.monitor_error("pinning the guest's processor", source))?;
    }
    let (lines, output) = qemu.wait(on_output)?;
    let release = snapshot.map(|snapshot| snapshot.release.clone()).unwrap_or_default();
    let report = qemu.digest(release, lines, &output)?;
    Ok((GuestReport { restored_in, ..report }, qemu.paths.clone()))
}

/// What QEMU printed, short enough for an error message.
fn in_one_line(stderr: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 4 << 10;
    let shown = stderr.get(..SHOWN_BYTES_MAX).unwrap_or(stderr);
    String::from_utf8_lossy(shown).trim().replace('\n', " | ")
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), GuestError> {
    fs::write(path, bytes).map_err(|source| file_error(path, source))
}

pub(super) fn file_error(path: &Path, source: io::Error) -> GuestError {
    GuestError::File { path: path.display().to_string(), source }
}

//! Runs one job in one guest: start QEMU, wait within limits, read what PID 1 wrote, judge the
//! kernel's log.
//!
//! Knows nothing of what a job means. Snapshots are made in `snapshot`, the machine is described in
//! `machine`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use linux::process::{Child, Limits, Output};
use linux::{IoError, ToolError};
use rustix::process::Pid;

use super::host_core::Core;
use super::machine::{Accelerator, CONSOLE, JOB, MONITOR, Machine, OUTPUT, PROFILE, QEMU, Start};
use super::patience::{Limit, Over, Patience};
use super::profile::{Profile, ProfileError, Profiler};
use super::qmp::Monitor;
use super::snapshot::Snapshot;
use super::watch::ConsoleWatch;
use super::wire::{Job, Line, WireError};
use super::{scheduling, splat};

const POLL: Duration = Duration::from_millis(5);
/// Whoever waits for a guest ends it, not the watch over its process.
const NEVER: Duration = Duration::from_hours(24 * 365);
/// More than any honest guest writes: a cell's answer is some hundred kilobytes.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// More than QEMU says of itself before it gives up.
const STDERR_BYTES_MAX: usize = 1 << 20;

/// What a guest left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestReport {
    /// The handler's answer to a call.
    pub answer: Option<String>,
    /// Why the task failed, in the guest's words.
    pub error: Option<String>,
    /// First lines of a kernel splat: everything measured in this guest is worthless.
    pub splat: Option<String>,
    /// Kernel messages of level warning and worse.
    pub kernel_log: Vec<String>,
    /// From the start of the emulator to the first instruction of a restored guest; nothing for one
    /// that booted.
    pub restored_in: Option<Duration>,
}

/// Why a guest gave no report.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// QEMU is not installed or does not start, could not be watched, wrote too much, or gave up:
    /// no fault of the guest's kernel.
    #[error("{0}; see `vipbench doctor`")]
    Process(#[from] ToolError),
    /// A file of the guest, or a core for it.
    #[error(transparent)]
    System(#[from] IoError),
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
    /// The guest did not end within what its emulator may take.
    #[error("the guest did not finish within {limit}; {last_words}")]
    Deadline {
        /// The limit.
        limit: Limit,
        /// Where it got to, as far as its console tells.
        last_words: String,
    },
    /// The job took all of the guest's own time that it may take.
    #[error("the job did not end within {limit_s} s of guest time")]
    GuestTime {
        /// The job's limit, seconds.
        limit_s: u32,
    },
    /// The emulator got no processor time for minutes.
    #[error("the guest stands still: its emulator has hardly run for minutes; {last_words}")]
    Still {
        /// Where it got to, as far as its console tells.
        last_words: String,
    },
    /// The guest's kernel reported a fault of its own, and then neither the task nor the guest
    /// ended.
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
    /// What its emulator may take.
    pub limit: Limit,
    /// Ends the guest when it becomes true.
    pub aborted: &'a AtomicBool,
}

/// A QEMU process that ends with this value, or with this process, whichever is first.
#[derive(Debug)]
pub(super) struct Qemu<'a> {
    /// Gone when its end was waited for.
    child: Option<Child>,
    pub(super) console: ConsoleWatch,
    patience: Patience,
    /// Guest time that the job may take, seconds.
    guest_limit_s: u32,
    bounds: Bounds<'a>,
    core: Core,
    accelerator: Accelerator,
}

impl<'a> Qemu<'a> {
    /// Starts QEMU with its files in the directory of `bounds`.
    pub(super) fn start(
        machine: &Machine,
        start: Start<'_>,
        job: Option<&Job>,
        bounds: Bounds<'a>,
    ) -> Result<Self, GuestError> {
        let guest_limit_s = job.and_then(|job| job.limit_s).unwrap_or_default();
        let job = job.map(|job| serde_json::to_vec(job).unwrap_or_default()).unwrap_or_default();
        let path = bounds.dir.join(JOB);
        fs::write(&path, &job).map_err(refused("write", &path))?;
        let mut command = Command::new(QEMU);
        command.args(machine.qemu_arguments(bounds.dir, start));
        if let Start::Restore(snapshot, _) = start {
            // QEMU itself would wait for one that is gone until the deadline.
            File::open(snapshot).map_err(refused("open", snapshot))?;
        }
        let core = Core::least_used().map_err(IoError::of("choose", "a core"))?;
        let limits = Limits { deadline: NEVER, output_bytes_max: STDERR_BYTES_MAX };
        let child = Child::spawn(command, limits)?;
        let console = ConsoleWatch::new(&bounds.dir.join(CONSOLE));
        let patience = Patience::new(bounds.limit, child.pid());
        let accelerator = machine.accelerator;
        Ok(Self { child: Some(child), console, patience, guest_limit_s, bounds, core, accelerator })
    }

    fn is_running(&self) -> bool {
        self.child.as_ref().is_some_and(Child::is_running)
    }

    /// Lets a guest that waits for it go on, once it is in memory and its threads are where they
    /// belong. The monitor that comes back is to be kept until the guest has ended: QEMU's main
    /// loop shall have nothing to do while the guest runs.
    pub(super) fn set_going(&mut self) -> Result<Monitor, GuestError> {
        let mut monitor =
            Monitor::connect(&self.bounds.dir.join(MONITOR), self.patience.clone(), &|| {
                self.is_running()
            })
            .map_err(|source| self.monitor_error("connecting", source))?;
        monitor
            .wait_status("query-status", &|status| status != "inmigrate")
            .map_err(|source| self.monitor_error("restoring the snapshot", source))?;
        let placed = match self.accelerator {
            Accelerator::Tcg => {
                scheduling::order(&self.core, self.child.as_ref().map_or(0, Child::pid))
            }
            // On one core, so that its processors do not carry their caches about.
            Accelerator::Kvm => monitor.processor_threads().and_then(|ids| {
                ids.into_iter().try_for_each(|id| self.core.pin(Pid::from_raw(id)))
            }),
        };
        placed
            .and_then(|()| monitor.execute("cont", &serde_json::json!({})))
            .map_err(|source| self.monitor_error("setting the guest going", source))?;
        Ok(monitor)
    }

    /// Ends QEMU: what went wrong with its monitor, and what it said itself.
    pub(super) fn monitor_error(&mut self, doing: &'static str, source: io::Error) -> GuestError {
        let stopped = self.child.take().and_then(|child| child.stop().ok());
        let said = stopped.map(|output| in_one_line(&output.stderr)).unwrap_or_default();
        let stderr = if said.is_empty() { said } else { format!("; QEMU said: {said}") };
        GuestError::Monitor { doing, source, stderr }
    }

    /// For a guest that has not reached its snapshot point: its own account of why.
    pub(super) fn finish_early(&mut self) -> GuestError {
        let report = self.wait(&mut |_| {}).and_then(|(lines, output)| self.digest(lines, &output));
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
        let mut collected = Collected::open(&self.bounds.dir.join(OUTPUT))?;
        while self.is_running() {
            collected.read_more(on_output)?;
            if self.bounds.aborted.load(Ordering::Relaxed) {
                return Err(GuestError::Aborted);
            }
            if let Some(splat) = self.console.hung() {
                return Err(GuestError::Hung { splat });
            }
            if let Some(over) = self.patience.over() {
                return Err(self.too_long(over));
            }
            std::thread::sleep(POLL);
        }
        let ended = IoError::of("wait again for", QEMU);
        let child = self.child.take().ok_or_else(|| ended(io::ErrorKind::NotFound.into()))?;
        let output = child.wait()?;
        collected.read_more(on_output)?;
        Ok((collected.lines, output))
    }

    /// What a guest that did not end shows of the reason.
    fn too_long(&self, over: Over) -> GuestError {
        let last_words = self.console.last_words();
        match (self.console.splat(), over) {
            (Some(splat), _) => GuestError::Hung { splat },
            (None, Over::Limit) => GuestError::Deadline { limit: self.bounds.limit, last_words },
            (None, Over::Still) => GuestError::Still { last_words },
        }
    }

    /// Turns the guest's lines into a report; exactly one closing line is demanded.
    fn digest(&self, lines: Vec<Line>, output: &Output) -> Result<GuestReport, GuestError> {
        let mut report = GuestReport::default();
        let mut ended = false;
        for line in lines {
            match line {
                Line::Answer { payload } => report.answer = Some(payload),
                Line::KernelLog { lines } => report.kernel_log = lines,
                Line::LimitReached => {
                    return Err(GuestError::GuestTime { limit_s: self.guest_limit_s });
                }
                Line::End { error } => {
                    report.error = error;
                    ended = true;
                }
                Line::Hello { .. } | Line::Output { .. } => {}
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
            let (command, status) = (QEMU.to_owned(), output.status.to_string());
            return Err(ToolError::Failed { command, status, stderr, input: None }.into());
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
        // QEMU makes the file when it starts; making it here too means there is never a moment
        // without it.
        let file = File::options().create(true).truncate(false).write(true).read(true).open(path);
        let file = file.map_err(refused("open", path))?;
        Ok(Self { file, read: 0, pending: Vec::new(), lines: Vec::new() })
    }

    fn read_more(&mut self, on_output: &mut dyn FnMut(&str)) -> Result<(), GuestError> {
        let limit = OUTPUT_BYTES_MAX.saturating_sub(self.read);
        let got = (&self.file).take(limit).read_to_end(&mut self.pending);
        self.read += got.map_err(IoError::of("read", "the guest's output"))? as u64;
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
/// [`GuestError`]; a task that fails inside the guest is not an error here but `error` in the
/// report.
pub fn run(
    machine: &Machine,
    snapshot: Option<&Snapshot>,
    job: &Job,
    bounds: Bounds<'_>,
    on_output: &mut dyn FnMut(&str),
) -> Result<GuestReport, GuestError> {
    let start = snapshot.map_or(Start::Boot, |snapshot| Start::Restore(&snapshot.path, None));
    run_from(machine, start, job, bounds, on_output)
}

/// Runs one job from `snapshot` with the profiler looking on, which changes nothing that the guest
/// can see.
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
    let report = run_from(machine, start, job, bounds, &mut |_| {})?;
    Ok((report, Profile::read(&bounds.dir.join(PROFILE))?))
}

fn run_from(
    machine: &Machine,
    start: Start<'_>,
    job: &Job,
    bounds: Bounds<'_>,
    on_output: &mut dyn FnMut(&str),
) -> Result<GuestReport, GuestError> {
    let started = Instant::now();
    let mut qemu = Qemu::start(machine, start, Some(job), bounds)?;
    let _monitor = qemu.set_going()?;
    let restored_in = matches!(start, Start::Restore(..)).then(|| started.elapsed());
    let (lines, output) = qemu.wait(on_output)?;
    let report = qemu.digest(lines, &output)?;
    Ok(GuestReport { restored_in, ..report })
}

/// What QEMU printed, short enough for an error message.
fn in_one_line(stderr: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 4 << 10;
    let shown = stderr.get(..SHOWN_BYTES_MAX).unwrap_or(stderr);
    String::from_utf8_lossy(shown).trim().replace('\n', " | ")
}

/// For `map_err`: what was being done to a file of the guest.
pub(super) fn refused(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> IoError + use<> {
    IoError::of(doing, path.to_string_lossy().into_owned())
}

//! Runs one job in one guest: start QEMU, wait with a deadline, read what PID 1 wrote, judge the kernel's log.
//!
//! Knows nothing of what a job means. Snapshots are made in `snapshot`, the machine is described in `machine`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::machine::{Machine, Paths, QEMU, Start};
use super::qmp::Monitor;
use super::wire::{Job, Line, WireError};
use super::{Snapshot, splat};

const POLL: Duration = Duration::from_millis(5);
/// More than any honest guest writes: a cell's answer is some hundred kilobytes.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;
const CONSOLE_BYTES_MAX: u64 = 1 << 20;

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
    #[error("the guest did not finish within {limit_s} s")]
    Deadline {
        /// The limit, seconds.
        limit_s: u64,
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
    child: Child,
    pub(super) paths: Paths,
    deadline: Instant,
    bounds: Bounds<'a>,
    core: Core,
}

/// A processor core of the host that one guest uses, given back on drop. With more guests than cores they share.
#[derive(Debug)]
struct Core {
    number: usize,
}

/// How many guests each core has.
static GUESTS_BY_CORE: Mutex<Vec<usize>> = Mutex::new(Vec::new());

impl Core {
    fn least_used() -> Self {
        let mut guests = GUESTS_BY_CORE.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.is_empty() {
            guests
                .resize(std::thread::available_parallelism().map_or(1, std::num::NonZero::get), 0);
        }
        let number = (0..guests.len()).min_by_key(|&core| guests[core]).unwrap_or_default();
        guests[number] += 1;
        Self { number }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let mut guests = GUESTS_BY_CORE.lock().unwrap_or_else(PoisonError::into_inner);
        guests[self.number] -= 1;
    }
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
        let stderr = bounds.dir.join("qemu.err");
        let stderr = File::create(&stderr).map_err(|source| file_error(&stderr, source))?;
        let mut command = Command::new(QEMU);
        command.args(machine.qemu_arguments(&paths, start));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        die_with_parent(&mut command);
        let child = command.spawn().map_err(|source| GuestError::Start { source })?;
        let deadline = Instant::now() + bounds.limit;
        Ok(Self { child, paths, deadline, bounds, core: Core::least_used() })
    }

    /// Connects to the monitor of a process started for a snapshot.
    pub(super) fn monitor(&self) -> Result<Monitor, GuestError> {
        Monitor::connect(&self.paths.monitor, self.deadline)
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
        let pid = libc::pid_t::try_from(self.child.id()).map_err(io::Error::other)?;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = task?.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
            let mut set = rustix::thread::CpuSet::new();
            set.set(self.core.number);
            rustix::thread::sched_setaffinity(rustix::process::Pid::from_raw(thread), &set)?;
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

    pub(super) fn monitor_error(&self, doing: &'static str, source: io::Error) -> GuestError {
        let said = self.stderr();
        let stderr = if said.is_empty() { said } else { format!("; QEMU said: {said}") };
        GuestError::Monitor { doing, source, stderr }
    }

    /// For a guest that ended before its snapshot point: its own account of why.
    pub(super) fn finish_early(&mut self) -> Result<(), GuestError> {
        let collected = self.wait(&mut |_| {})?;
        let report = digest(String::new(), collected.lines, self)?;
        let why = report.error.or(report.splat).unwrap_or_else(|| "no reason given".into());
        Err(GuestError::Died { why })
    }

    fn stderr(&self) -> String {
        let path = self.paths.job.with_file_name("qemu.err");
        read_bounded(&path, 4 << 10).trim().replace('\n', " | ")
    }

    /// Waits for the end of the process, handing on program output as it comes.
    fn wait(&mut self, on_output: &mut dyn FnMut(&str)) -> Result<Collected, GuestError> {
        let mut collected = Collected::open(&self.paths.output)?;
        loop {
            let ended =
                self.child.try_wait().map_err(|source| GuestError::Start { source })?.is_some();
            collected.read_more(on_output)?;
            if ended {
                return Ok(collected);
            }
            if Instant::now() >= self.deadline {
                return Err(GuestError::Deadline { limit_s: self.bounds.limit.as_secs() });
            }
            if self.bounds.aborted.load(Ordering::Relaxed) {
                return Err(GuestError::Aborted);
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Qemu<'_> {
    fn drop(&mut self) {
        // Already gone is what we want; nothing else can go wrong with our own child.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let start = snapshot.map_or(Start::Boot, |snapshot| Start::Restore(&snapshot.path));
    let mut qemu = Qemu::start(machine, start, Some(job), bounds)?;
    // Kept open until the guest has ended: QEMU's main loop shall have nothing to do while the guest runs.
    let mut monitor = None;
    if snapshot.is_some() {
        let monitor = monitor.insert(qemu.monitor()?);
        monitor
            .wait_status("query-status", &|status| status != "inmigrate")
            .and_then(|()| qemu.order_threads())
            .and_then(|()| monitor.execute("cont", &serde_json::json!({})).map(drop))
            .map_err(|source| qemu.monitor_error("restoring the snapshot", source))?;
    }
    let collected = qemu.wait(on_output)?;
    let release = snapshot.map(|snapshot| snapshot.release.clone()).unwrap_or_default();
    digest(release, collected.lines, &qemu)
}

/// Turns the guest's lines into a report; exactly one closing line is demanded.
fn digest(release: String, lines: Vec<Line>, qemu: &Qemu<'_>) -> Result<GuestReport, GuestError> {
    let console = read_bounded(&qemu.paths.console, CONSOLE_BYTES_MAX);
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
    report.splat = splat::find(log).or_else(|| splat::find(console.lines()));
    if ended {
        return Ok(report);
    }
    let last_words = || console.lines().last().unwrap_or("it printed nothing").to_owned();
    let why = report.splat.unwrap_or_else(last_words);
    Err(GuestError::Died { why: format!("{why} {}", qemu.stderr()).trim().to_owned() })
}

/// Makes the child die when this thread's process does, however it ends.
fn die_with_parent(command: &mut Command) {
    // SAFETY: `prctl` is async-signal-safe and touches only the child.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        });
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), GuestError> {
    fs::write(path, bytes).map_err(|source| file_error(path, source))
}

pub(super) fn file_error(path: &Path, source: io::Error) -> GuestError {
    GuestError::File { path: path.display().to_string(), source }
}

/// The beginning of a file, lossy; empty if it cannot be read.
fn read_bounded(path: &Path, limit: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(limit).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

//! PID 1 of a guest: mounts, random pool, modules, snapshot point, one task, the end.
//!
//! Runs only inside a guest. What a task measures is the handler's business; this file sees to it
//! that the kernel is in a known state when it starts and that its answer gets out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::io_port::Port;
use super::paths::{MODULE_LIST, PATH};
use super::wire::{
    CONSOLE_PORT, EXIT_PORT, JOB_FILE, Job, LIMIT_REACHED, Line, PAUSE_PORT, PAUSE_VALUE,
    SNAPSHOT_WORD, Task,
};
use super::{firmware_file, symbols};

/// Seed of the random pool until a job brings its own.
const BOOT_SEED: u64 = 0x7669_7062_656e_6368;
/// Kernel messages of this level and more severe are reported (4 = warning).
const LOG_LEVEL_MAX: u8 = 4;
const LOG_LINES_MAX: usize = 400;

/// Whether this process is PID 1 of a guest that this crate booted.
pub fn is_pid1() -> bool {
    std::process::id() == 1 && std::path::Path::new(MODULE_LIST).exists()
}

/// Runs one task and ends the guest; never returns.
///
/// `handler` gets the payload of a [`Task::Call`] and answers with a payload or an error text.
pub fn run_pid1(handler: &dyn Fn(&str) -> Result<String, String>) -> ! {
    let error = set_up().and_then(|()| run_job(handler)).err().map(|source| source.to_string());
    let _ = send(&Line::KernelLog { lines: kernel_log() });
    let _ = send(&Line::End { error });
    end_machine()
}

fn set_up() -> io::Result<()> {
    for (kind, target) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
    ] {
        fs::create_dir_all(target)?;
        mount(kind, target, kind, MountFlags::empty(), None)?;
    }
    stir_random_pool(BOOT_SEED)?;
    // SAFETY: no other thread exists yet.
    unsafe { std::env::set_var("PATH", PATH) };
    load_modules()?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    send(&Line::Hello { release })?;
    if fs::read_to_string("/proc/cmdline")?.split_whitespace().any(|word| word == SNAPSHOT_WORD) {
        Port::open(PAUSE_PORT)?.write_u8(PAUSE_VALUE);
    }
    Ok(())
}

/// Credits 512 bits derived from `seed` to the kernel's random pool and makes it reseed.
///
/// Without this the pool never becomes ready (the CPU's own source is off, for determinism) and
/// from Linux 5.18 on each `get_random_*` extracts anew: tens of thousands of instructions in every
/// connect.
fn stir_random_pool(seed: u64) -> io::Result<()> {
    const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
    const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
    #[repr(C)]
    struct PoolInfo {
        entropy_bits: i32,
        bytes: i32,
        words: [u64; 8],
    }
    let mut draw = seed;
    let pool = PoolInfo {
        entropy_bits: 512,
        bytes: 64,
        words: std::array::from_fn(|_| split_mix(&mut draw)),
    };
    let device = OpenOptions::new().write(true).open("/dev/random")?;
    // SAFETY: RNDADDENTROPY reads a `rand_pool_info` of exactly this layout; RNDRESEEDCRNG takes no
    // argument.
    let failed = unsafe {
        libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const pool) != 0
            || libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One step of `SplitMix64` (Steele, Lea, Flood 2014): fixed by its definition, unlike a library's
/// "small" generator.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn load_modules() -> io::Result<()> {
    for path in fs::read_to_string(MODULE_LIST)?.lines().filter(|line| !line.is_empty()) {
        let file = File::open(path).map_err(|source| named(path, &source))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(source) => return Err(named(path, &source.into())),
        }
    }
    Ok(())
}

fn named(what: &str, source: &io::Error) -> io::Error {
    io::Error::new(source.kind(), format!("{what}: {source}"))
}

fn run_job(handler: &dyn Fn(&str) -> Result<String, String>) -> io::Result<()> {
    let bytes = firmware_file::read(JOB_FILE)?
        .ok_or_else(|| io::Error::other("the host gave no job (firmware file opt/vipbench/job)"))?;
    let job: Job = serde_json::from_slice(&bytes)?;
    arm_limit(job.limit_s)?;
    stir_random_pool(job.seed)?;
    match job.task {
        Task::Call { payload } => {
            let answer = catch_unwind(AssertUnwindSafe(|| handler(&payload)))
                .unwrap_or_else(|_| Err("the handler panicked; see the guest's console".into()));
            disarm_limit();
            send(&Line::Answer { payload: answer.map_err(io::Error::other)? })
        }
        Task::Exec { argv } => exec(&argv),
        Task::Symbols => symbols::list(&|text| send(&Line::Output { text })),
    }
}

/// Runs a program and forwards its standard output and error as they come.
fn exec(argv: &[String]) -> io::Result<()> {
    let [program, rest @ ..] = argv else { return Err(io::Error::other("empty command")) };
    let (mut reader, writer) = io::pipe()?;
    fcntl_setfl(&reader, fcntl_getfl(&reader)? | OFlags::NONBLOCK)?;
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .map_err(|source| named(program, &source))?;
    let exited = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    loop {
        let mut events = [&reader as &dyn AsFd, &exited]
            .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
        rustix::io::retry_on_intr(|| poll(&mut events, None))?;
        // What it left behind may hold the pipe open, or write on for ever: the end is its own.
        let has_exited = !events[1].revents().is_empty();
        if !forward(&mut reader)? || has_exited {
            break;
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{program}: {status}"))) }
}

/// Sends what is in the pipe, at most as much as it holds; whether anyone may still write to it.
fn forward(reader: &mut io::PipeReader) -> io::Result<bool> {
    const PIPE_BYTES: usize = 64 << 10;
    let mut buffer = vec![0; PIPE_BYTES];
    match reader.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            send(&Line::Output { text }).map(|()| true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Ends the guest when the task has taken this much guest time: at the same instruction each time,
/// since one timer interrupt is all there is to it. Nothing is added to what a task executes, as a
/// second thread would: with one, every system call on a file counts its references
/// (`fs/file.c`, `__fget_light`, Linux 6.1).
fn arm_limit(limit_s: Option<u32>) -> io::Result<()> {
    let Some(limit_s) = limit_s else { return Ok(()) };
    let handler: extern "C" fn(libc::c_int) = limit_reached;
    // SAFETY: the handler makes system calls and port writes only, and never returns.
    if unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes a plain number.
    unsafe { libc::alarm(limit_s) };
    Ok(())
}

fn disarm_limit() {
    // SAFETY: takes a plain number.
    unsafe { libc::alarm(0) };
}

extern "C" fn limit_reached(_signal: libc::c_int) {
    let _ = send_bytes(LIMIT_REACHED);
    end_machine()
}

fn send(line: &Line) -> io::Result<()> {
    send_bytes(&line.encode())
}

fn send_bytes(bytes: &[u8]) -> io::Result<()> {
    Port::open(CONSOLE_PORT)?.write_all(bytes);
    Ok(())
}

/// Warnings and worse since boot, as `message`; empty when the log cannot be read.
fn kernel_log() -> Vec<String> {
    let Ok(mut log) =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")
    else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let mut record = [0; 8 << 10];
    while let Ok(count) = log.read(&mut record) {
        if count == 0 || lines.len() == LOG_LINES_MAX {
            break;
        }
        lines.extend(parse_record(&record[..count]));
    }
    lines
}

/// The message of one `/dev/kmsg` record, if its level is warning or worse
/// (`Documentation/ABI/testing/dev-kmsg`).
fn parse_record(record: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(record);
    let (header, message) = text.split_once(';')?;
    let priority: u32 = header.split(',').next()?.parse().ok()?;
    let level = u8::try_from(priority & 7).ok()?;
    (level <= LOG_LEVEL_MAX).then(|| message.lines().next().unwrap_or_default().to_owned())
}

/// Ends QEMU through its exit device; powers off should there be none.
fn end_machine() -> ! {
    if let Ok(port) = Port::open(EXIT_PORT) {
        port.write_u8(0);
    }
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_kept_and_information_is_not() {
        assert_eq!(
            parse_record(b"4,100,5000,-;WARNING: at x\n SUBSYSTEM=a"),
            Some("WARNING: at x".into())
        );
        assert_eq!(parse_record(b"6,101,5001,-;eth0 up\n"), None);
        assert_eq!(parse_record(b"no header"), None);
    }

    #[test]
    fn split_mix_matches_its_published_sequence() {
        let mut state = 1_234_567;
        let drawn: [u64; 3] = std::array::from_fn(|_| split_mix(&mut state));
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}

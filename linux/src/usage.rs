//! CPU time as the kernel accounts it, of a thread, of a process or of a child that has ended, and
//! the memory of a process. Not a clock: it stands still while nothing runs.

use std::fs;
use std::io;
use std::ops::{Add, Sub};

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use rustix::time::clock_gettime;

use crate::IoError;

/// User and system time together: the kernel tells them apart by its ticks (`cputime_adjust`,
/// kernel/sched/cputime.c, Linux 6.1), which says nothing of short things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Nanoseconds of the running kernel.
    pub ns: u64,
}

/// What the calling thread has used since it began, up to this call (`CLOCK_THREAD_CPUTIME_ID`;
/// `getrusage` tells what was used up to the last tick or switch).
pub fn of_this_thread() -> CpuTime {
    let used = clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    CpuTime { ns: nanoseconds(used.tv_sec, used.tv_nsec) }
}

/// What all threads of a process have used up to this call, without its children
/// (`clock_getcpuclockid(3)`).
///
/// # Errors
/// No such process.
pub fn of_process(pid: u32) -> Result<CpuTime, IoError> {
    let used =
        clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).and_then(ClockId::now).map_err(
            |errno| IoError::of("ask for the processor time of", pid.to_string())(errno.into()),
        )?;
    Ok(CpuTime { ns: nanoseconds(used.tv_sec(), used.tv_nsec()) })
}

/// The most memory of its own and of its files that a process ever had at a time, bytes (`VmHWM`,
/// `Documentation/filesystems/proc.rst`).
///
/// # Errors
/// No such process, or one that has ended.
pub fn peak_bytes(pid: u32) -> Result<u64, IoError> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path);
    let found = text.and_then(|text| {
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix(" kB"));
        let kib = kib.and_then(|kib| kib.trim().parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("there is no VmHWM"))
    });
    found.map_err(IoError::of("read", path))
}

/// Of an ended process, whose last switch has brought its account up to date.
impl From<&libc::rusage> for CpuTime {
    fn from(usage: &libc::rusage) -> Self {
        let part =
            |time: libc::timeval| nanoseconds(time.tv_sec, time.tv_usec.saturating_mul(1_000));
        Self { ns: part(usage.ru_utime).saturating_add(part(usage.ru_stime)) }
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { ns: self.ns.saturating_add(other.ns) }
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { ns: self.ns.saturating_sub(earlier.ns) }
    }
}

fn nanoseconds(seconds: i64, rest_ns: i64) -> u64 {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(seconds).saturating_mul(1_000_000_000).saturating_add(part(rest_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_of_an_ended_process_are_one_number() {
        // SAFETY: an all-zero `rusage` is a valid value of that plain C struct.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        usage.ru_utime = libc::timeval { tv_sec: 2, tv_usec: 3 };
        usage.ru_stime = libc::timeval { tv_sec: 0, tv_usec: 1 };
        assert_eq!(CpuTime::from(&usage), CpuTime { ns: 2_000_004_000 });
    }

    #[test]
    fn what_a_process_uses_is_told_of_one_that_is_there() {
        let own = std::process::id();
        let before = of_process(own).unwrap();
        std::hint::black_box((0..1_000).fold(0_u64, |sum, step| sum.rotate_left(5) ^ step));
        assert!(of_process(own).unwrap().ns > before.ns);
        assert!(peak_bytes(own).unwrap() > 1 << 20);
        // Above every number that Linux gives (`PID_MAX_LIMIT`, include/linux/threads.h).
        let nobody = 1 << 23;
        assert!(of_process(nobody).is_err() && peak_bytes(nobody).is_err());
    }

    #[test]
    fn work_on_this_thread_is_accounted_to_it_at_once() {
        let before = of_this_thread();
        std::hint::black_box((0..1_000).fold(0_u64, |sum, step| sum.rotate_left(5) ^ step));
        let used = of_this_thread() - before;
        assert!(used.ns > 0 && before - of_this_thread() == CpuTime::default());
    }
}

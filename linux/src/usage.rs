//! CPU time as the kernel accounts it, of a thread or of a child that has ended. Not a clock: it
//! stands still while nothing runs.

use std::ops::{Add, Sub};

use rustix::time::{ClockId, clock_gettime};

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
    let used = clock_gettime(ClockId::ThreadCPUTime);
    CpuTime { ns: nanoseconds(used.tv_sec, used.tv_nsec) }
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
    fn work_on_this_thread_is_accounted_to_it_at_once() {
        let before = of_this_thread();
        std::hint::black_box((0..1_000).fold(0_u64, |sum, step| sum.rotate_left(5) ^ step));
        let used = of_this_thread() - before;
        assert!(used.ns > 0 && before - of_this_thread() == CpuTime::default());
    }
}

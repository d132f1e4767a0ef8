//! CPU time as the kernel accounts it, of a thread or of a child that has ended. Not a clock: it
//! stands still while nothing runs.

use std::ops::{Add, Sub};

/// CPU time, as the kernel accounts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// User time, nanoseconds of the running kernel.
    pub user_ns: u64,
    /// System time, nanoseconds of the running kernel.
    pub system_ns: u64,
}

/// What the calling thread has used since it began (`getrusage(RUSAGE_THREAD)`).
pub fn of_this_thread() -> CpuTime {
    // SAFETY: an all-zero `rusage` is a valid value of that plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable `rusage`; the call fails only for a bad pointer or
    // selector.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    CpuTime::from(&usage)
}

impl From<&libc::rusage> for CpuTime {
    fn from(usage: &libc::rusage) -> Self {
        Self { user_ns: nanoseconds(usage.ru_utime), system_ns: nanoseconds(usage.ru_stime) }
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_add(other.user_ns),
            system_ns: self.system_ns.saturating_add(other.system_ns),
        }
    }
}

impl Sub for CpuTime {
    type Output = Self;

    /// What was used since `earlier`. The kernel splits user from system time by estimate, so a
    /// part may step back by a tick (`cputime_adjust`, kernel/sched/cputime.c, Linux 6.1): that
    /// counts as nothing.
    fn sub(self, earlier: Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
        }
    }
}

fn nanoseconds(time: libc::timeval) -> u64 {
    let part = |value: i64, unit: u64| u64::try_from(value).unwrap_or(0).saturating_mul(unit);
    part(time.tv_sec, 1_000_000_000).saturating_add(part(time.tv_usec, 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_microseconds_become_nanoseconds() {
        assert_eq!(nanoseconds(libc::timeval { tv_sec: 2, tv_usec: 3 }), 2_000_003_000);
    }

    #[test]
    fn a_step_back_counts_as_nothing() {
        let earlier = CpuTime { user_ns: 5, system_ns: 1 };
        let later = CpuTime { user_ns: 4, system_ns: 3 };
        assert_eq!(later - earlier, CpuTime { user_ns: 0, system_ns: 2 });
    }

    #[test]
    fn work_on_this_thread_is_accounted_to_it() {
        let before = of_this_thread();
        let mut used = CpuTime::default();
        // Bounded: at most a few seconds of hashing, far above the accounting's 1 us steps.
        for round in 0..10_000_u64 {
            std::hint::black_box(
                (0..1_000).fold(round, |sum: u64, step| sum.rotate_left(5) ^ step),
            );
            used = of_this_thread() - before;
            if used.user_ns + used.system_ns > 0 {
                break;
            }
        }
        assert!(used.user_ns + used.system_ns > 0);
    }
}

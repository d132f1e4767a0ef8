//! How long a QEMU process is waited for: by this machine's time, or by the processor time that it
//! got, of which a busy machine gives no less, only later.
//!
//! Looks at the process from outside: a guest that runs must not be asked (see `scheduling`). A
//! guest's own time is limited inside, in `init`.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// How often the process is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A process that gets less than [`STILL_USED`] of processor time in this time stands still.
const STILL: Duration = Duration::from_mins(5);
const STILL_USED: Duration = Duration::from_secs(1);
/// Guest instructions a second of processor time, fewer than any machine executes under emulation:
/// recorded runs have 60 to 460 million.
const SLOWEST_PER_S: u64 = 20_000_000;
/// Instructions a second of guest time (`-icount shift=0`).
const INSTRUCTIONS_PER_GUEST_S: u64 = 1_000_000_000;
/// What restoring and ending take besides.
const AROUND: Duration = Duration::from_mins(2);
/// `sysconf(_SC_CLK_TCK)` on x86-64: ticks a second in `/proc/PID/stat` (`USER_HZ`,
/// `include/asm-generic/param.h`, Linux 6.1).
const TICKS_PER_S: u64 = 100;

/// What a guest's emulator may take, and on which clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Time of this machine: for a guest that runs at the machine's own speed (KVM).
    Wall(Duration),
    /// Processor time that the process gets; and it must get some.
    Processor(Duration),
}

impl Limit {
    /// Enough for an emulated guest that limits its own time to `guest_time`, on the slowest
    /// machine. One that takes longer hangs.
    pub fn around(guest_time: Duration) -> Self {
        let slowdown = u32::try_from(INSTRUCTIONS_PER_GUEST_S / SLOWEST_PER_S).unwrap_or(u32::MAX);
        Self::Processor(guest_time.saturating_mul(slowdown).saturating_add(AROUND))
    }

    /// This limit, `factor` times.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        match self {
            Self::Wall(time) => Self::Wall(time.saturating_mul(factor)),
            Self::Processor(time) => Self::Processor(time.saturating_mul(factor)),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(time) => write!(f, "{} s", time.as_secs()),
            Self::Processor(time) => {
                write!(f, "{} s of the emulator's processor time", time.as_secs())
            }
        }
    }
}

/// Why a process is waited for no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It took all that it may take.
    Limit,
    /// It got no processor time to speak of.
    Still,
}

/// The wait for one process.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    limit: Limit,
    pid: u32,
    started: Instant,
    looked: Instant,
    /// Time looked on since the process last got [`STILL_USED`], and what it had used by then.
    still: Duration,
    used: Duration,
}

impl Patience {
    pub(super) fn new(limit: Limit, pid: u32) -> Self {
        let now = Instant::now();
        let none = Duration::ZERO;
        Self { limit, pid, started: now, looked: now, still: none, used: none }
    }

    /// Whether, and why, waiting is over. A process that has ended is not judged.
    pub(super) fn over(&mut self) -> Option<Over> {
        let limit = match self.limit {
            Limit::Wall(limit) => return (self.started.elapsed() >= limit).then_some(Over::Limit),
            Limit::Processor(limit) => limit,
        };
        let passed = self.looked.elapsed();
        if passed < LOOK {
            return None;
        }
        self.looked = Instant::now();
        self.judge(limit, processor_time(self.pid)?, passed)
    }

    /// `used` so far, `passed` since the last look. Time in which nobody looked, because this
    /// process itself was stopped or starved, does not count.
    fn judge(&mut self, limit: Duration, used: Duration, passed: Duration) -> Option<Over> {
        if used >= limit {
            return Some(Over::Limit);
        }
        self.still += passed.min(2 * LOOK);
        if used >= self.used + STILL_USED {
            (self.used, self.still) = (used, Duration::ZERO);
        }
        (self.still >= STILL).then_some(Over::Still)
    }
}

/// Processor time of all threads of a process, in user and kernel mode; nothing if it is gone.
fn processor_time(pid: u32) -> Option<Duration> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 14 and 15 of `/proc/PID/stat` (`proc(5)`). The second one, the program's name in
/// parentheses, may hold anything.
fn parse_stat(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS_PER_S)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_busy_machine_loses_nothing_and_a_process_that_stands_still_is_found() {
        let mut patience = Patience::new(Limit::Processor(600 * S), 1);
        // An hour on a machine that gives a process one part in fifty.
        for second in 0..3600 {
            assert_eq!(patience.judge(600 * S, S * second / 50, S), None);
        }
        let used = patience.used;
        let looks = (0..1000).find(|_| patience.judge(600 * S, used, S) == Some(Over::Still));
        assert!((200..=300).contains(&looks.unwrap()), "{looks:?}");
        assert_eq!(patience.judge(600 * S, 600 * S, S), Some(Over::Limit));
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut patience = Patience::new(Limit::Processor(600 * S), 1);
        assert_eq!(patience.judge(600 * S, Duration::ZERO, 7200 * S), None);
    }

    #[test]
    fn processor_time_is_read_past_any_name_and_of_this_process() {
        let stat = "7 (a) b 1 (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 9 9 20 0 1 0 100 1 2";
        assert_eq!(parse_stat(stat), Some(3 * S));
        assert_eq!(parse_stat("7 (x) S 1 2"), None);
        assert!(processor_time(std::process::id()).is_some());
        assert_eq!(processor_time(u32::MAX), None);
    }

    #[test]
    fn a_limit_around_guest_time_has_room_for_the_slowest_machine() {
        let limit = Limit::around(100 * S);
        assert_eq!(limit, Limit::Processor(5120 * S));
        assert_eq!(limit.to_string(), "5120 s of the emulator's processor time");
        assert_eq!(Limit::Wall(30 * S).times(2).to_string(), "60 s");
    }
}

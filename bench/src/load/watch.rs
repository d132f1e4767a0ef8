//! Watches what a processor does beside the watching thread: the thread counts down in short turns
//! at idle priority, and a turn that took longer was interrupted.
//!
//! Only for the instructions clock, on which a turn that nobody interrupts always takes the same,
//! and in a guest of one processor, where all work is seen.

use std::io;
use std::time::Duration;

use lab::guest::mark;
use results::Clock;

use super::clock::{MeasureClock, count_down};
use super::priority::in_background;
use super::region;
use super::sample::Sample;

/// Steps of a turn, two instructions each: what two disturbances must be apart to count as two.
const TURN_STEPS: u64 = 500;
/// Turns that tell how long one takes; a timer interrupt may hit some of them, never all.
const CALM_TURNS: usize = 16;
/// What a turn may take beyond the calm one: the watch's own bookkeeping, and no interrupt.
const SLACK: u64 = 100;
/// More than nearly all timer interrupts of an idle node take: 99 of 100 take up to 26,000 on Linux
/// 6.1 and 39,000 on 7.3 (results/reference/standing-5.10-7.3).
const TICK_MAX: u64 = 40_000;
/// A node is quiet when it has done nothing but tick for so long, in instructions: seven ticks.
/// What the kernel puts off for seconds, such as freeing in batches by RCU, is not waited for.
const QUIET: u64 = 30_000_000;
/// Longest wait for a quiet node, in instructions.
const QUIET_WAIT_MAX: u64 = 2_000_000_000;

/// A watch over the calling thread's processor.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    clock: MeasureClock,
    /// What a turn takes that nobody interrupts.
    calm: u64,
}

impl Watch {
    /// A watch by `clock`; none by wall clock, which cannot tell work from waiting.
    pub fn open(clock: MeasureClock) -> Option<Self> {
        (clock.kind() == Clock::Instructions).then(|| {
            let turn = || {
                let started = clock.now();
                count_down(TURN_STEPS);
                clock.now() - started
            };
            let calm = (0..CALM_TURNS).map(|_| turn()).min().unwrap_or_default();
            Self { clock, calm }
        })
    }

    /// Waits until the node is quiet, for two seconds of it at most. Returns the instructions of
    /// all that disturbed the watch more than a timer interrupt does, from the call on.
    ///
    /// # Errors
    /// The system refuses a priority.
    pub fn until_quiet(self) -> io::Result<u64> {
        mark::enter::<{ region::AFTERMATH }>();
        let started = self.clock.now();
        let (mut spent, mut disturbed_at) = (0, started);
        // What is due runs as soon as this thread gives way, and belongs to it.
        let watched = in_background(|| {
            self.watch(started, |gap, now| {
                if gap > TICK_MAX {
                    spent += gap;
                    disturbed_at = now;
                    mark::enter::<{ region::AFTERMATH }>();
                } else if gap > 0 {
                    mark::drop();
                }
                now - disturbed_at < QUIET && now - started < QUIET_WAIT_MAX
            });
        });
        mark::drop();
        mark::enter::<{ mark::OUTSIDE }>();
        watched.map(|()| spent)
    }

    /// Hands every disturbance of the coming `window` to `record`, in instructions.
    ///
    /// # Errors
    /// The system refuses a priority.
    pub fn disturbances(self, window: Duration, mut record: impl FnMut(u64)) -> io::Result<()> {
        let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let next = || {
            mark::begin();
            mark::enter::<{ region::DISTURBANCE }>();
        };
        let watched = in_background(|| {
            next();
            let started = self.clock.now();
            self.watch(started, |gap, now| {
                if gap > 0 {
                    record(gap);
                    Sample::Disturbance.keep();
                    next();
                }
                now - started < window
            });
        });
        mark::begin();
        watched
    }

    /// Calls `turned` with what disturbed a turn, nothing mostly, and the reading at its end, for
    /// as long as it says so. The first turn begins at `started`.
    fn watch(self, started: u64, mut turned: impl FnMut(u64, u64) -> bool) {
        let mut before = started;
        loop {
            count_down(TURN_STEPS);
            let now = self.clock.now();
            let disturbance = (now - before).saturating_sub(self.calm);
            if disturbance <= SLACK {
                before = now;
                if !turned(0, now) {
                    return;
                }
            } else if turned(disturbance, now) {
                before = self.clock.now();
            } else {
                return;
            }
        }
    }
}

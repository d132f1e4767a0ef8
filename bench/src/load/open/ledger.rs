//! The books of one worker: what is due, what is open, and what was counted, handed over interval by
//! interval.
//!
//! Handing over swaps two slices, so that a worker never waits for whoever adds them up. The whole
//! tally is handed over at the end.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use generators::SplitMix64;
use hdrhistogram::CreationError;
use rustix::event::Timespec;

use super::arrivals::Schedule;
use super::journal::{Ended, Journal};
use super::plan::{Pace, Plan};
use super::tally::{ErrorKind, Slice, Tally, count};
use crate::load::MeasureClock;

/// The purpose of the draws that choose targets.
const TARGETS: u64 = 0x7461_7267;

/// What a worker counted in one interval.
#[derive(Debug)]
pub(super) struct Interval {
    /// Which interval, from 0.
    pub number: u64,
    /// Which worker.
    pub worker: usize,
    pub slice: Box<Slice>,
    /// With its last interval.
    pub whole: Option<Whole>,
}

/// All that a worker counted.
#[derive(Debug)]
pub(super) struct Whole {
    pub tally: Box<Tally>,
    pub journal: Vec<Ended>,
}

/// Who adds up what workers hand over.
#[derive(Debug)]
pub(super) struct Desk {
    intervals: Sender<Interval>,
    /// Empty slices, to be filled again.
    empty: Receiver<Box<Slice>>,
}

impl Desk {
    /// A desk, and where emptied slices go back.
    pub(super) fn new(intervals: Sender<Interval>) -> (Self, Sender<Box<Slice>>) {
        let (back, empty) = channel();
        (Self { intervals, empty }, back)
    }
}

/// A connection that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// When it was to begin.
    pub planned: u64,
    /// Whom it dials, by its place in the plan.
    pub target: usize,
}

/// One worker's books. Times are readings of the clock.
pub(super) struct Ledger {
    pub plan: Arc<Plan>,
    pub clock: MeasureClock,
    worker: usize,
    /// Nothing where connections begin as others end.
    schedule: Option<Schedule>,
    /// Choose targets.
    draws: SplitMix64,
    started: u64,
    ends: u64,
    /// Most connections that this worker may have open.
    open_max: u32,
    open: u32,
    counted_until: u64,
    pub tally: Box<Tally>,
    slice: Box<Slice>,
    journal: Journal,
    desk: Desk,
    interval_ns: u64,
    interval: u64,
    stop: Arc<AtomicBool>,
}

/// What a worker counts with, allocated beforehand.
pub(super) struct Empty {
    pub tally: Box<Tally>,
    pub slice: Box<Slice>,
    pub journal: Journal,
}

impl Empty {
    /// Nothing is counted yet; with room for so many entries.
    ///
    /// # Errors
    /// No memory for it.
    pub(super) fn new(journal_max: usize) -> Result<Self, CreationError> {
        let journal = Journal::new(journal_max);
        Ok(Self { tally: Box::new(Tally::new()?), slice: Box::new(Slice::new()?), journal })
    }
}

/// What a worker is told by those who start it.
pub(super) struct Post {
    pub worker: usize,
    pub started: u64,
    pub interval_ns: u64,
    pub desk: Desk,
    pub stop: Arc<AtomicBool>,
}

impl Ledger {
    /// Books that begin now.
    pub(super) fn open(plan: Arc<Plan>, clock: MeasureClock, post: Post, counts: Empty) -> Self {
        let Post { worker, started, interval_ns, desk, stop } = post;
        let number = u32::try_from(worker).unwrap_or_default();
        let schedule = match plan.pace {
            Pace::Rate { per_s, arrivals } => {
                Some(Schedule::new(arrivals, per_s, plan.seed, number, plan.workers))
            }
            Pace::Saturated { .. } => None,
        };
        let open_max = match plan.pace {
            Pace::Rate { .. } => plan.open_max,
            Pace::Saturated { open } => open,
        };
        let duration_ns = u64::try_from(plan.duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            clock,
            worker,
            schedule,
            draws: SplitMix64::stream(plan.seed, TARGETS.wrapping_add(number.into())),
            started,
            ends: started.saturating_add(duration_ns),
            open_max: share(open_max, number, plan.workers),
            plan,
            open: 0,
            counted_until: started,
            tally: counts.tally,
            slice: counts.slice,
            journal: counts.journal,
            desk,
            interval_ns,
            interval: 0,
            stop,
        }
    }

    /// Most connections that are open at a time.
    pub(super) fn open_max(&self) -> u32 {
        self.open_max
    }

    /// Whether none is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// The next connection, if one is due and may be opened.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Due> {
        if self.open >= self.open_max || now < self.next_at(now) {
            return None;
        }
        let planned = match &mut self.schedule {
            Some(schedule) => {
                let planned = self.started + schedule.next_ns();
                schedule.advance();
                planned
            }
            None => now,
        };
        self.tally.due += 1;
        self.slice.due += 1;
        let target = self.draws.below(self.plan.targets.len() as u64);
        Some(Due { planned, target: usize::try_from(target).unwrap_or_default() })
    }

    /// When the next connection is due; never, after the end.
    pub(super) fn next_at(&self, now: u64) -> u64 {
        let planned = self.schedule.as_ref().map(Schedule::next_ns);
        let next = planned.map_or(now, |planned| self.started.saturating_add(planned));
        if next >= self.ends || self.is_stopped() { u64::MAX } else { next }
    }

    /// When something is to be done even if nothing happens: a connection may begin, or an interval
    /// ends.
    pub(super) fn wakes_at(&self, now: u64) -> u64 {
        let interval = self.interval_ends();
        if self.open < self.open_max { interval.min(self.next_at(now)) } else { interval }
    }

    /// Whether somebody wants it to end.
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn interval_ends(&self) -> u64 {
        self.started.saturating_add((self.interval + 1).saturating_mul(self.interval_ns))
    }

    /// Counts how late a connection was begun.
    pub(super) fn begun(&mut self, planned: u64, sent: u64) {
        let late = sent.saturating_sub(planned);
        self.tally.lateness.saturating_record(late);
        self.slice.lateness.saturating_record(late);
    }

    /// Counts how long it took until it was established.
    pub(super) fn connected(&mut self, planned: u64, sent: u64, now: u64) {
        self.tally.planned.connect.saturating_record(now.saturating_sub(planned));
        self.tally.sent.connect.saturating_record(now.saturating_sub(sent));
    }

    /// Counts a socket that was opened.
    pub(super) fn opened(&mut self, now: u64) {
        self.count_open(now);
        self.open += 1;
        self.tally.sockets += 1;
    }

    /// Counts one that was closed, which had been open since `sent`.
    pub(super) fn closed(&mut self, sent: u64, now: u64) {
        self.count_open(now);
        self.open = self.open.saturating_sub(1);
        self.tally.stay_ns += u128::from(now.saturating_sub(sent));
    }

    /// Counts the first byte of an answer to a request sent at `asked`, with `left` requests to go.
    pub(super) fn first_byte(&mut self, planned: u64, sent: u64, asked: u64, left: u32) {
        let now = self.clock.now();
        if left < self.plan.requests {
            self.tally.further.saturating_record(now.saturating_sub(asked));
        } else {
            self.tally.planned.first_byte.saturating_record(now.saturating_sub(planned));
            self.tally.sent.first_byte.saturating_record(now.saturating_sub(sent));
        }
    }

    /// Counts a connection that had all its answers and was closed between `closing` and `now`.
    pub(super) fn completed(&mut self, planned: u64, sent: u64, closing: u64, now: u64) {
        self.tally.completed += 1;
        self.slice.completed += 1;
        self.slice.total.saturating_record(now.saturating_sub(planned));
        self.tally.close.saturating_record(now.saturating_sub(closing));
        self.tally.planned.total.saturating_record(now.saturating_sub(planned));
        self.tally.sent.total.saturating_record(now.saturating_sub(sent));
    }

    /// Counts a connection that came to nothing.
    pub(super) fn failed(&mut self, kind: ErrorKind) {
        count(&mut self.tally.errors, kind);
        count(&mut self.slice.errors, kind);
    }

    /// Keeps what became of a connection.
    pub(super) fn write(&mut self, entry: Ended) {
        self.journal.write(entry);
    }

    fn count_open(&mut self, now: u64) {
        let passed = now.saturating_sub(self.counted_until);
        self.tally.open_ns += u128::from(passed) * u128::from(self.open);
        self.counted_until = self.counted_until.max(now);
    }

    /// Hands over what was counted if an interval is over.
    pub(super) fn hand_over(&mut self, now: u64) {
        if now < self.interval_ends() {
            return;
        }
        // Without an empty one this interval goes on in the next: nothing is lost.
        if let Ok(empty) = self.desk.empty.try_recv() {
            let slice = mem::replace(&mut self.slice, empty);
            let (number, worker) = (self.interval, self.worker);
            give(&self.desk, Interval { number, worker, slice, whole: None });
        }
        self.interval = now.saturating_sub(self.started) / self.interval_ns.max(1);
    }

    /// Hands over the rest.
    pub(super) fn finish(self) {
        let Self { interval: number, worker, slice, tally, journal, desk, .. } = self;
        let whole = Whole { tally, journal: journal.into_entries() };
        give(&desk, Interval { number, worker, slice, whole: Some(whole) });
    }
}

/// So many nanoseconds, as the kernel wants to be told them; those of centuries as the most there are.
pub(super) fn timespec(ns: u64) -> Timespec {
    let most = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
    Timespec::try_from(Duration::from_nanos(ns)).unwrap_or(most)
}

fn give(desk: &Desk, interval: Interval) {
    // Whoever does not listen any more does not want it.
    let _ = desk.intervals.send(interval);
}

/// The part of `all` that falls to one of several, of which the first get one more where it does
/// not divide; at least one.
fn share(all: u32, number: u32, of: u32) -> u32 {
    let of = of.max(1);
    (all / of + u32::from(number < all % of)).max(1)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_make_the_whole_and_nobody_has_none() {
        assert_eq!((0..3).map(|number| share(10, number, 3)).collect::<Vec<_>>(), [4, 3, 3]);
        assert_eq!((0..3).map(|number| share(2, number, 3)).collect::<Vec<_>>(), [1, 1, 1]);
    }
}

//! Runs a load: starts its workers, adds up what they hand over, and shows it while it comes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use results::load::{Interval as IntervalRecord, Kernel};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::hyper_client;
use super::journal::Ended;
use super::kernel;
use super::ledger::{Desk, Empty, Interval, Ledger, Post};
use super::plan::{Pace, Plan, Question};
use super::sockets::Sockets;
use super::source::Ports;
use super::tally::{Slice, Tally};
use crate::load::{MeasureClock, SourceError};

/// Most intervals of a load, so that what is kept of it has a bound however long it takes.
const INTERVALS_MAX: u32 = 300;
/// Shortest interval.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Empty slices that each worker has in reserve.
const SPARE: usize = 2;
/// How long a worker may take beyond its plan before it counts as stuck.
const GRACE: Duration = Duration::from_secs(10);

/// Which client makes the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Bare sockets and epoll.
    Sockets,
    /// tokio and hyper, for HTTP alone.
    Hyper,
}

/// Why a load did not run.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nobody to dial.
    #[error("a load needs an address to dial, a rate above 0 and at least one worker")]
    Empty,
    /// hyper speaks HTTP alone.
    #[error("the client of hyper speaks HTTP alone; take the client of bare sockets")]
    NotHttp,
    /// No source for each worker.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What the system refuses.
    #[error("cannot run a load: {source}; see `ulimit -n`, `ulimit -u` and the cores named")]
    System {
        /// What the system says.
        #[from]
        source: io::Error,
    },
    /// No memory for what is counted.
    #[error("cannot count a load: {source}")]
    Memory {
        /// What the histogram says.
        #[from]
        source: hdrhistogram::CreationError,
    },
    /// A worker did not come to its end.
    #[error("a load did not end within {seconds} s after its last connection was due")]
    Stuck {
        /// How long it was waited for.
        seconds: u64,
    },
}

/// One interval in numbers.
fn summary(slice: &Slice, from_ns: u64) -> IntervalRecord {
    let total = &slice.total;
    IntervalRecord {
        from: from_ns,
        due: slice.due,
        completed: slice.completed,
        failed: slice.errors.iter().sum(),
        p50: total.value_at_quantile(0.5),
        p90: total.value_at_quantile(0.9),
        p99: total.value_at_quantile(0.99),
        max: total.max(),
        late: slice.lateness.max(),
    }
}

/// What a load came to.
#[derive(Debug)]
pub struct Outcome {
    /// All of it.
    pub total: Tally,
    /// The same by intervals, ascending; some may be missing where nothing was handed over.
    pub intervals: Vec<IntervalRecord>,
    /// Lateness by intervals, as a log of `HdrHistogram` (version 1.3).
    pub lateness_log: Vec<u8>,
    /// From the first moment until the last connection had ended, nanoseconds.
    pub elapsed_ns: u64,
    /// What the kernel counted in the clients' namespace.
    pub kernel: Kernel,
    /// What became of each connection, worker by worker in the order they ended, as far as the plan
    /// asked for it.
    pub journal: Vec<Ended>,
}

/// Runs a load in the namespace of the calling thread. `watch` gets each interval, with the
/// nanoseconds after the start at which it began, when all workers have handed it over. Raising
/// `stop` ends it early: no more connections begin.
///
/// # Errors
/// [`OpenError`].
pub fn run(
    plan: Plan,
    client: Client,
    clock: MeasureClock,
    stop: &Arc<AtomicBool>,
    watch: &mut dyn FnMut(u64, &Slice),
) -> Result<Outcome, OpenError> {
    check(&plan, client)?;
    let plan = Arc::new(plan);
    let interval = (plan.duration / INTERVALS_MAX).max(INTERVAL_MIN);
    let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let (sender, handed) = channel();
    let before = kernel::read();
    let started = clock.now();
    let (mut threads, mut backs) = (Vec::new(), Vec::new());
    for worker in 0..plan.workers {
        let (desk, back) = Desk::new(sender.clone());
        for _ in 0..SPARE {
            // The worker's side lives as long as its desk, which is just made.
            let _ = back.send(Box::new(Slice::new()?));
        }
        let post =
            Post { worker: worker as usize, started, interval_ns, desk, stop: Arc::clone(stop) };
        threads.push(start(&plan, client, clock, post)?);
        backs.push(back);
    }
    drop(sender);
    let mut sums = Sums::new(backs, plan.workers as usize)?;
    let (mut intervals, mut lateness_log) = (Vec::new(), Vec::new());
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .with_max_value_divisor(1.0)
        .begin_log_with(&mut lateness_log, &mut serializer)?;
    let mut unwritten = None;
    let patience = plan.timeout.saturating_add(GRACE).saturating_add(interval);
    sums.collect(&handed, plan.duration.saturating_add(patience), &mut |number, slice| {
        let from_ns = number.saturating_mul(interval_ns);
        let written =
            log.write_histogram(&slice.lateness, Duration::from_nanos(from_ns), interval, None);
        unwritten = unwritten.take().or(written.err());
        intervals.push(summary(slice, from_ns));
        watch(from_ns, slice);
    })?;
    for thread in threads {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    let elapsed_ns = clock.now().saturating_sub(started);
    let kernel = kernel::since(kernel::read(), before);
    if let Some(error) = unwritten {
        return Err(io::Error::other(format!("the log of lateness: {error:?}")).into());
    }
    let Sums { total, journal, .. } = sums;
    Ok(Outcome { total, intervals, lateness_log, elapsed_ns, kernel, journal })
}

fn check(plan: &Plan, client: Client) -> Result<(), OpenError> {
    let has_pace = match plan.pace {
        Pace::Rate { per_s, .. } => per_s.is_finite() && per_s > 0.0,
        Pace::Saturated { open } => open > 0,
    };
    if plan.targets.is_empty() || plan.workers == 0 || !has_pace {
        return Err(OpenError::Empty);
    }
    if client == Client::Hyper && !matches!(plan.question, Question::Http { .. }) {
        return Err(OpenError::NotHttp);
    }
    Ok(())
}

/// Starts one worker, in the namespace of the calling thread.
fn start(
    plan: &Arc<Plan>,
    client: Client,
    clock: MeasureClock,
    post: Post,
) -> Result<JoinHandle<io::Result<()>>, OpenError> {
    let number = u16::try_from(post.worker).unwrap_or(u16::MAX);
    let workers = u16::try_from(plan.workers).unwrap_or(u16::MAX);
    let ports = Ports::of(&plan.from, number, workers)?;
    let counts = Empty::new(plan.journal_max)?;
    let core = plan.cores.get(post.worker % plan.cores.len().max(1)).copied();
    let ledger = Ledger::open(Arc::clone(plan), clock, post, counts);
    let work = move || {
        if let Some(core) = core {
            pin_to(core)?;
        }
        match client {
            Client::Sockets => Sockets::new(ledger, ports)?.run().map_err(io::Error::from),
            Client::Hyper => hyper_client::run(ledger, ports),
        }
    };
    Ok(Builder::new().name(format!("load-{number}")).spawn(work)?)
}

/// Pins the calling thread to a processor.
fn pin_to(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    let unknown = || io::Error::other(format!("no processor has the number {core}"));
    if core >= CpuSet::MAX_CPU {
        return Err(unknown());
    }
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|_| unknown())
}

/// What was handed over so far.
struct Sums {
    total: Tally,
    journal: Vec<Ended>,
    /// Intervals that some worker is not done with.
    pending: BTreeMap<u64, Slice>,
    /// The first interval that each worker may still add to.
    reached: Vec<u64>,
    /// Where emptied slices go back, by worker.
    backs: Vec<Sender<Box<Slice>>>,
}

impl Sums {
    fn new(backs: Vec<Sender<Box<Slice>>>, workers: usize) -> Result<Self, OpenError> {
        Ok(Self {
            total: Tally::new()?,
            journal: Vec::new(),
            pending: BTreeMap::new(),
            reached: vec![0; workers],
            backs,
        })
    }

    /// Adds up until all workers are done.
    fn collect(
        &mut self,
        handed: &Receiver<Interval>,
        patience: Duration,
        watch: &mut dyn FnMut(u64, &Slice),
    ) -> Result<(), OpenError> {
        let mut left = self.reached.len();
        let deadline = std::time::Instant::now() + patience;
        while left > 0 {
            let patience_left = deadline.saturating_duration_since(std::time::Instant::now());
            match handed.recv_timeout(patience_left) {
                Ok(interval) => {
                    left -= usize::from(interval.whole.is_some());
                    self.add(interval)?;
                }
                // A worker that failed says so when it is joined.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(OpenError::Stuck { seconds: patience.as_secs() });
                }
            }
            self.close(watch);
        }
        self.reached.fill(u64::MAX);
        self.close(watch);
        Ok(())
    }

    fn add(&mut self, interval: Interval) -> Result<(), OpenError> {
        let Interval { number, worker, mut slice, whole } = interval;
        match self.pending.entry(number) {
            Entry::Occupied(mut sum) => sum.get_mut().add(&slice),
            Entry::Vacant(place) => {
                let mut sum = Slice::new()?;
                sum.add(&slice);
                place.insert(sum);
            }
        }
        if let Some(reached) = self.reached.get_mut(worker) {
            *reached = if whole.is_some() { u64::MAX } else { number + 1 };
        }
        if let Some(whole) = whole {
            self.total.add(&whole.tally);
            self.journal.extend(whole.journal);
        }
        slice.clear();
        if let Some(back) = self.backs.get(worker) {
            // A worker that has ended needs none.
            let _ = back.send(slice);
        }
        Ok(())
    }

    /// Closes the intervals that nobody adds to any more.
    fn close(&mut self, watch: &mut dyn FnMut(u64, &Slice)) {
        let open_from = self.reached.iter().copied().min().unwrap_or(u64::MAX);
        let still_open = self.pending.split_off(&open_from);
        for (number, slice) in std::mem::replace(&mut self.pending, still_open) {
            watch(number, &slice);
        }
    }
}

//! Runs a plan's cells: several at a time where that cannot change a result, each answer stored as soon as it is there.
//!
//! Knows nothing of what a cell measures (`cell`) or where it runs (`place`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use results::{CellRecord, Labels, Outcome, RunWriter};

use crate::cell::CellSpec;
use crate::place::Places;
use crate::progress::Progress;

/// How often the runner looks whether it was interrupted.
const POLL: Duration = Duration::from_millis(100);

/// How a run went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cells measured.
    pub measured: usize,
    /// Cells that a kernel or tool cannot do.
    pub unsupported: usize,
    /// Cells that failed, were censored, skipped or invalid.
    pub without_result: usize,
    /// Cells not reached.
    pub left: usize,
}

/// What a run needs besides its cells.
pub struct Runner<'a> {
    /// Where cells run.
    pub places: &'a Places,
    /// Cells at a time.
    pub jobs: usize,
    /// Wall-time budget of a cell.
    pub limit: Duration,
    /// Set when the user wants to stop.
    pub interrupted: &'a AtomicBool,
}

/// The series of cells that differ in size only: when one is too slow, larger ones are not tried.
fn series(labels: &Labels) -> String {
    let any_size = Labels { services: 0, endpoints: 0, ..labels.clone() };
    any_size.cell_id()
}

/// Cells waiting, and the series that are already known to be too slow.
struct Queue {
    waiting: VecDeque<CellSpec>,
    /// By series, the smallest size that was too slow.
    censored: BTreeMap<String, u64>,
}

impl Runner<'_> {
    /// Runs `cells` and appends each record to `writer`.
    ///
    /// # Errors
    /// Results that cannot be stored. What was stored before stays readable, and `--resume` goes on from there.
    pub fn run(
        &self,
        cells: Vec<CellSpec>,
        writer: &mut RunWriter,
        progress: &Progress,
    ) -> anyhow::Result<Tally> {
        let total = cells.len();
        let mut waiting: VecDeque<CellSpec> = cells.into();
        if self.jobs > 1 {
            // Largest first: a long cell started last would leave the other cores idle.
            waiting.make_contiguous().reverse();
        }
        let queue = Mutex::new(Queue { waiting, censored: BTreeMap::new() });
        let stop = AtomicBool::new(false);
        let mut tally = Tally::default();
        let (sender, records) = mpsc::channel();
        let stored = std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                let (sender, queue, stop) = (sender.clone(), &queue, &stop);
                scope.spawn(move || self.work(queue, stop, progress, &sender));
            }
            drop(sender);
            let stored = self.collect(&records, writer, progress, &mut tally);
            stop.store(true, Ordering::Relaxed);
            self.places.abort_if(stored.is_err() || self.interrupted.load(Ordering::Relaxed));
            stored
        });
        tally.left = total - tally.measured - tally.unsupported - tally.without_result;
        stored.map(|()| tally)
    }

    /// Stores records until the workers are done or the user interrupts.
    fn collect(
        &self,
        records: &mpsc::Receiver<CellRecord>,
        writer: &mut RunWriter,
        progress: &Progress,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Ok(());
            }
            let record = match records.recv_timeout(POLL) {
                Ok(record) => record,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            };
            writer.append(&record)?;
            match record.outcome {
                Outcome::Measured => tally.measured += 1,
                Outcome::Unsupported { .. } => tally.unsupported += 1,
                _ => tally.without_result += 1,
            }
            progress.finished(&record);
        }
    }

    fn work(
        &self,
        queue: &Mutex<Queue>,
        stop: &AtomicBool,
        progress: &Progress,
        sender: &mpsc::Sender<CellRecord>,
    ) {
        while !stop.load(Ordering::Relaxed) {
            let Some((spec, too_slow)) = next(queue) else { return };
            let record = if too_slow {
                skipped(&spec)
            } else {
                progress.started(&spec);
                self.run_cell(&spec)
            };
            if matches!(record.outcome, Outcome::Censored { .. }) {
                let services = spec.labels.services;
                let mut queue = lock(queue);
                let smallest = queue.censored.entry(series(&spec.labels)).or_insert(services);
                *smallest = services.min(*smallest);
            }
            if sender.send(record).is_err() {
                return;
            }
        }
    }

    fn run_cell(&self, spec: &CellSpec) -> CellRecord {
        let started = Instant::now();
        let answer = self.places.run(spec, self.limit);
        CellRecord {
            id: spec.id(),
            labels: spec.labels.clone(),
            outcome: answer.outcome,
            verified: answer.verified,
            metrics: answer.metrics,
            warnings: answer.warnings,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn next(queue: &Mutex<Queue>) -> Option<(CellSpec, bool)> {
    let mut queue = lock(queue);
    let spec = queue.waiting.pop_front()?;
    let smallest = queue.censored.get(&series(&spec.labels));
    let too_slow = smallest.is_some_and(|smallest| spec.labels.services > *smallest);
    Some((spec, too_slow))
}

fn lock(queue: &Mutex<Queue>) -> std::sync::MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn skipped(spec: &CellSpec) -> CellRecord {
    CellRecord {
        id: spec.id(),
        labels: spec.labels.clone(),
        outcome: Outcome::Skipped {
            reason: "a smaller cell of this series already exceeded its budget".into(),
        },
        verified: 0,
        metrics: Vec::new(),
        warnings: Vec::new(),
        duration_ms: 0,
    }
}

//! Runs a plan's cells: several at a time where that cannot change a result, each answer stored as
//! soon as it is there.
//!
//! Knows nothing of what a cell measures (`cell`) or where it runs (`place`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use results::{CellRecord, Labels, Outcome, RunWriter};

use super::progress::Progress;
use super::signals::Interrupt;
use crate::measure::cost_ms;
use crate::measure::spec::{CellAnswer, CellSpec};
use crate::place::Places;
use crate::scenario::Limits;

/// How often the runner looks whether it was interrupted.
const POLL: Duration = Duration::from_millis(100);

/// What a run needs besides its cells.
pub struct Runner<'a> {
    /// Where cells run.
    pub places: &'a Places,
    /// Cells at a time.
    pub jobs: usize,
    /// What a cell may take.
    pub limits: &'a Limits,
    /// Whether the user wants to stop.
    pub interrupt: &'a Interrupt,
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
    /// Runs `cells`, appends each record to `writer`, and gives the number of cells that an
    /// interrupt left over.
    ///
    /// # Errors
    /// Results that cannot be stored. What was stored before stays readable, and `--resume` goes on
    /// from there.
    pub fn run(
        &self,
        cells: Vec<CellSpec>,
        writer: &mut RunWriter,
        progress: &Progress,
    ) -> anyhow::Result<usize> {
        let mut left = cells.len();
        let mut waiting: VecDeque<CellSpec> = cells.into();
        if self.jobs > 1 {
            // Costliest first: a long cell started last would leave the other cores idle.
            waiting.make_contiguous().sort_by_key(|cell| Reverse(cost_ms(cell)));
        }
        let queue = Mutex::new(Queue { waiting, censored: censored(writer.resumed()) });
        let stop = AtomicBool::new(false);
        let (sender, records) = mpsc::channel();
        let stored = std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                let (sender, queue, stop) = (sender.clone(), &queue, &stop);
                scope.spawn(move || self.work(queue, stop, progress, &sender));
            }
            drop(sender);
            let stored = self.collect(&records, writer, progress, &mut left);
            stop.store(true, Ordering::Relaxed);
            self.places.abort_if(stored.is_err() || self.interrupt.is_asked());
            stored
        });
        stored.map(|()| left)
    }

    /// Stores records until the workers are done or the user interrupts.
    fn collect(
        &self,
        records: &mpsc::Receiver<CellRecord>,
        writer: &mut RunWriter,
        progress: &Progress,
        left: &mut usize,
    ) -> anyhow::Result<()> {
        loop {
            if self.interrupt.is_asked() {
                return Ok(());
            }
            let record = match records.recv_timeout(POLL) {
                Ok(record) => record,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            };
            writer.append(&record)?;
            *left = left.saturating_sub(1);
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
            let started = Instant::now();
            let answer = if too_slow {
                let reason = "a smaller cell of this series already exceeded its budget".into();
                CellAnswer::without_numbers(Outcome::Skipped { reason })
            } else {
                progress.started(&spec);
                self.places.run(&spec, self.limits)
            };
            let record = record(&spec, answer, started.elapsed());
            if matches!(record.outcome, Outcome::Censored { .. }) {
                note_censored(&mut lock(queue).censored, &spec.labels);
            }
            if sender.send(record).is_err() {
                return;
            }
        }
    }
}

fn record(spec: &CellSpec, answer: CellAnswer, taken: Duration) -> CellRecord {
    CellRecord {
        id: spec.id(),
        labels: spec.labels.clone(),
        outcome: answer.outcome,
        verified: answer.verified,
        metrics: answer.metrics,
        warnings: answer.warnings,
        duration_ms: u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Series that were too slow before the run was interrupted: it goes on as if it had not been.
fn censored(resumed: &[CellRecord]) -> BTreeMap<String, u64> {
    let mut censored = BTreeMap::new();
    for cell in resumed.iter().filter(|cell| matches!(cell.outcome, Outcome::Censored { .. })) {
        note_censored(&mut censored, &cell.labels);
    }
    censored
}

fn note_censored(censored: &mut BTreeMap<String, u64>, labels: &Labels) {
    let smallest = censored.entry(series(labels)).or_insert(labels.services);
    *smallest = labels.services.min(*smallest);
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

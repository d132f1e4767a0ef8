//! Live progress on standard error: cells done, the ones running, an estimate of the rest. Silent without a terminal.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use results::{CellRecord, Outcome};

use crate::cell::CellSpec;

/// A progress line, or nothing.
pub struct Progress {
    bar: ProgressBar,
    running: Mutex<Vec<String>>,
}

impl Progress {
    /// A line for `total` cells, drawn only when standard error is a terminal.
    pub fn new(total: usize) -> Self {
        let visible = std::io::stderr().is_terminal();
        let target =
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let template = "{bar:24} {pos}/{len} cells, {elapsed} so far, about {eta} left  {wide_msg}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, running: Mutex::new(Vec::new()) }
    }

    /// How many cells there will be.
    pub fn expect(&self, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.reset_elapsed();
        self.bar.reset_eta();
    }

    /// Shows what is being prepared before the first cell.
    pub fn preparing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A cell has started.
    pub fn started(&self, spec: &CellSpec) {
        self.change(|running| running.push(spec.id()));
    }

    /// A cell has ended.
    pub fn finished(&self, record: &CellRecord) {
        self.change(|running| running.retain(|id| *id != record.id));
        if !matches!(record.outcome, Outcome::Measured) {
            let reason = record.outcome.reason().unwrap_or_default();
            self.bar.println(format!("{}: {} {reason}", record.id, record.outcome.kind()));
        }
        self.bar.inc(1);
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn change(&self, edit: impl FnOnce(&mut Vec<String>)) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        edit(&mut running);
        self.bar.set_message(running.join("  "));
    }
}

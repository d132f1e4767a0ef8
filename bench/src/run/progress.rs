//! Progress on standard error: a live line on a terminal, a plain line every ten seconds elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use results::{CellRecord, Outcome};

use crate::console;
use crate::measure::spec::CellSpec;

/// Time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Columns of the live line that are not for what runs.
const COLUMNS_OF_COUNTS: usize = 50;

/// What is done and what is left of something that takes minutes.
pub struct Progress {
    bar: ProgressBar,
    work: Arc<Mutex<Work>>,
    /// Ends the thread of plain lines when it drops.
    _plain: Option<mpsc::Sender<()>>,
}

/// What runs and what is to be done.
#[derive(Debug, Clone, Default)]
struct Work {
    /// By id, in words.
    running: Vec<(String, String)>,
    /// What has not ended, by id, each with its estimated cost.
    left: BTreeMap<String, u64>,
    /// The cost of all.
    all: u64,
}

/// Shows what `work` says that it is doing, until it is done.
pub fn during<T>(work: impl FnOnce(&dyn Fn(&str)) -> T) -> T {
    let progress = Progress::start();
    let done = work(&|what| progress.preparing(what));
    progress.clear();
    done
}

impl Progress {
    /// Nothing is counted yet.
    pub fn start() -> Self {
        let work = Arc::default();
        let (bar, plain) = if console::is_watched() {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.set_style(style("{msg}"));
            bar.enable_steady_tick(Duration::from_millis(500));
            console::keep_apart(&bar);
            (bar, None)
        } else {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
            let sender = plain_lines(bar.clone(), Arc::clone(&work));
            (bar, Some(sender))
        };
        bar.set_message("preparing");
        Self { bar, work, _plain: plain }
    }

    /// What is to be done, by id and estimated cost (in any unit), and what such things are called.
    pub fn expect(&self, costs: impl IntoIterator<Item = (String, u64)>, things: &'static str) {
        let counts = style("{msg}  {pos}/{len} {prefix}, {elapsed} so far{left}");
        let left: BTreeMap<String, u64> = costs.into_iter().collect();
        let (total, all) = (left.len(), left.values().sum());
        *locked(&self.work) = Work { running: Vec::new(), left, all };
        let work = Arc::clone(&self.work);
        self.bar.set_prefix(things);
        self.bar.set_style(counts.with_key(
            "left",
            move |state: &ProgressState, to: &mut dyn fmt::Write| {
                // A line that cannot be written has no reader.
                let _ = to.write_str(&locked(&work).time_left(state.elapsed()));
            },
        ));
        self.bar.set_message("");
        self.bar.set_length(total as u64);
        self.bar.reset_elapsed();
        self.bar.reset_eta();
    }

    /// Shows what is being prepared before the first.
    pub fn preparing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A cell has started.
    pub(super) fn started(&self, spec: &CellSpec) {
        let labels = &spec.labels;
        let (measure, path) = (&labels.measure, labels.path.suffix());
        let words = format!("{} {} {measure}{path}", labels.proxy, labels.services);
        self.begun(spec.id(), words);
    }

    /// A cell has ended.
    pub(super) fn finished(&self, record: &CellRecord) {
        if !matches!(record.outcome, Outcome::Measured) {
            let reason = record.outcome.reason().unwrap_or_default();
            console::note(format_args!("{}: {} {reason}", record.id, record.outcome.kind()));
        }
        self.ended(&record.id);
    }

    /// Does one of the things that are counted, and says so meanwhile.
    pub fn counting<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        self.begun(name.to_owned(), name.to_owned());
        let done = work();
        self.ended(name);
        done
    }

    fn begun(&self, id: String, words: String) {
        self.change(|work| work.running.push((id, words)));
    }

    fn ended(&self, id: &str) {
        self.change(|work| {
            work.running.retain(|(of, _)| of != id);
            work.left.remove(id);
        });
        self.bar.inc(1);
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn change(&self, edit: impl FnOnce(&mut Work)) {
        let mut work = locked(&self.work);
        edit(&mut work);
        let room = console::width_of_notes().saturating_sub(COLUMNS_OF_COUNTS);
        let words = work.running(room);
        // The bar asks for the time left while it draws.
        drop(work);
        self.bar.set_message(words);
    }
}

impl Work {
    /// What runs, in so many columns.
    fn running(&self, room: usize) -> String {
        fitting(self.running.iter().map(|(_, words)| words.as_str()), room)
    }

    /// What is left if the rest goes on as what is done went, each by its cost; nothing before the
    /// first.
    fn time_left(&self, so_far: Duration) -> String {
        let left: u64 = self.left.values().sum();
        let done = self.all.saturating_sub(left);
        if done == 0 {
            return String::new();
        }
        let left = so_far.as_secs_f64() * left as f64 / done as f64;
        format!(", about {:#} left", HumanDuration(Duration::from_secs_f64(left)))
    }
}

fn locked(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// As many as fit into `room` columns, the first in any case, and how many more there are.
fn fitting<'w>(words: impl ExactSizeIterator<Item = &'w str>, room: usize) -> String {
    let mut left = words.len();
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && text.len() + word.len() + 2 > room {
            return format!("{text} +{left}");
        }
        let separator = if text.is_empty() { "" } else { ", " };
        text = format!("{text}{separator}{word}");
        left -= 1;
    }
    text
}

/// Writes where things stand again and again, until the sender drops or the work is done.
fn plain_lines(bar: ProgressBar, work: Arc<Mutex<Work>>) -> mpsc::Sender<()> {
    let (sender, stop) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        while stop.recv_timeout(PLAIN_EVERY) == Err(mpsc::RecvTimeoutError::Timeout)
            && !bar.is_finished()
        {
            let now = locked(&work).clone();
            console::note(plain(&bar, &now));
        }
    });
    sender
}

fn plain(bar: &ProgressBar, work: &Work) -> String {
    match bar.length() {
        None | Some(0) => bar.message(),
        Some(total) => {
            let (done, so_far) = (bar.position(), HumanDuration(bar.elapsed()));
            let (left, running) = (work.time_left(bar.elapsed()), work.running(usize::MAX));
            let things = bar.prefix();
            format!("{done}/{total} {things}, {so_far:#} so far{left}: {running}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_never_cut_inside_of_a_word() {
        let words = ["iptables-legacy 10000 connect", "ipvs 10 sync", "none 10 http"];
        let shown = |room| fitting(words.into_iter(), room);
        assert_eq!(shown(5), "iptables-legacy 10000 connect +2");
        assert_eq!(shown(43), "iptables-legacy 10000 connect, ipvs 10 sync +1");
        assert_eq!(shown(80), words.join(", "));
        assert_eq!(fitting([].into_iter(), 80), "");
    }

    #[test]
    fn a_plain_line_says_what_is_done_and_what_runs() {
        let bar = ProgressBar::hidden();
        bar.set_message("booting 6.1 once");
        let mut work = Work::default();
        assert_eq!(plain(&bar, &work), "booting 6.1 once");
        work.all = 40;
        work.left = [("a".to_owned(), 30), ("b".to_owned(), 10)].into();
        work.running = vec![("a".to_owned(), "ipvs 10 sync".to_owned())];
        bar.set_length(4);
        bar.set_prefix("cells");
        assert_eq!(plain(&bar, &work), "0/4 cells, 0s so far: ipvs 10 sync");
        bar.inc(1);
        work.left.remove("b");
        let line = plain(&bar, &work);
        assert!(line.starts_with("1/4 cells, ") && line.ends_with(" left: ipvs 10 sync"), "{line}");
        // A quarter of the cost is done.
        assert_eq!(work.time_left(Duration::from_secs(20)), ", about 60s left");
    }
}

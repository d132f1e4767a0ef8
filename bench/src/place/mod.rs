//! Where cells run: this machine's own kernel, or guests. Chooses, prepares, runs one cell, reports
//! the environment.

mod accelerator;
mod choose;
mod guest;
mod host;
mod inside;
mod tools;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab::guest::{GuestError, Limit};
use results::{Clock, GuestRecord, Metric, Outcome};

pub use accelerator::{Probed, known_kvm, probe_kvm};
pub use choose::{Asked, Setting, choose, select_kernels};
pub use guest::{GuestOptions, GuestPlace, answer_of, ended_well};
pub use host::{HostPlace, missing_on_host};
pub use inside::{handle, run_child};
pub use tools::{Tool, require_emulator, tool_versions, tools};
pub use work::{WorkDir, abandoned, remove_work_folders};

use crate::measure::spec::{CellAnswer, CellSpec};
use crate::scenario::Limits;

/// Every place of a run: one guest place a kernel, or the host.
pub struct Places {
    kind: Kind,
    work: WorkDir,
    aborted: AtomicBool,
}

enum Kind {
    Host(HostPlace),
    /// By kernel release.
    Guests(BTreeMap<String, GuestPlace>),
}

impl Places {
    /// The host as the only place.
    ///
    /// # Errors
    /// No room for working files.
    pub fn host(host: HostPlace) -> anyhow::Result<Self> {
        Ok(Self { kind: Kind::Host(host), work: WorkDir::new()?, aborted: AtomicBool::new(false) })
    }

    /// One guest place a kernel; the same kernel twice is one.
    ///
    /// # Errors
    /// Two kernels that call themselves the same; no room for working files.
    pub fn guests(guests: Vec<GuestPlace>) -> anyhow::Result<Self> {
        let mut by_release: BTreeMap<String, GuestPlace> = BTreeMap::new();
        for guest in guests {
            let known = by_release.get(guest.release());
            if let Some(known) = known.filter(|known| !known.is_same_kernel(&guest)) {
                anyhow::bail!(
                    "kernels: two call themselves {}, from {} and from {}; put them into different runs",
                    guest.release(),
                    known.source(),
                    guest.source()
                );
            }
            by_release.insert(guest.release().to_owned(), guest);
        }
        let kind = Kind::Guests(by_release);
        Ok(Self { kind, work: WorkDir::new()?, aborted: AtomicBool::new(false) })
    }

    /// Kernel releases, as cells name them.
    pub fn releases(&self) -> Vec<String> {
        match &self.kind {
            Kind::Host(host) => vec![host.release().to_owned()],
            Kind::Guests(guests) => guests.keys().cloned().collect(),
        }
    }

    /// What the guests took; nothing on the host.
    pub fn guest_records(&self) -> Vec<GuestRecord> {
        match &self.kind {
            Kind::Host(_) => Vec::new(),
            Kind::Guests(guests) => guests.values().map(GuestPlace::record).collect(),
        }
    }

    /// What a comparison with another run must match.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = tools::host_facts();
        let set = lab::topology::intended_sysctls().into_iter();
        facts.extend(set.map(|(name, value)| (format!("lab.sysctl.{name}"), value)));
        match &self.kind {
            Kind::Host(host) => facts.extend(host.facts()),
            Kind::Guests(guests) => facts.extend(guests.values().flat_map(GuestPlace::facts)),
        }
        facts
    }

    /// Gets ready what `cells` share: guests that they need boot once, here.
    ///
    /// # Errors
    /// QEMU that does not start, a full disk.
    pub fn prepare(&mut self, cells: &[CellSpec], progress: &dyn Fn(&str)) -> anyhow::Result<()> {
        let needed = |release: &str| cells.iter().any(|cell| cell.labels.kernel == release);
        let work = self.work.path().to_owned();
        if let Kind::Guests(guests) = &mut self.kind {
            for guest in guests.values_mut().filter(|guest| needed(guest.release())) {
                guest.prepare(&work, progress)?;
            }
        }
        Ok(())
    }

    /// Runs one cell to its answer; whatever goes wrong becomes the answer's outcome.
    pub fn run(&self, spec: &CellSpec, limits: &Limits) -> CellAnswer {
        let ran = tempfile::tempdir_in(self.work.path())
            .map_err(anyhow::Error::from)
            .and_then(|dir| self.run_in(spec, dir.path(), limits));
        ran.and_then(|answer| compacted(spec, answer))
            .unwrap_or_else(|error| CellAnswer::without_numbers(outcome_of(&error)))
    }

    fn run_in(&self, spec: &CellSpec, dir: &Path, limits: &Limits) -> anyhow::Result<CellAnswer> {
        match &self.kind {
            Kind::Host(host) => {
                host.run(spec, dir, Duration::from_secs(limits.cell_s), &self.aborted)
            }
            Kind::Guests(guests) => guests
                .get(&spec.labels.kernel)
                .ok_or_else(|| anyhow::anyhow!("no guest place for kernel {}", spec.labels.kernel))?
                .run(spec, dir, limits, &self.aborted),
        }
    }

    /// Makes running cells end at once.
    pub fn abort_if(&self, condition: bool) {
        if condition {
            self.aborted.store(true, Ordering::Relaxed);
        }
    }
}

/// Cells answer with plain values; many of them are stored as a histogram. Made here, it costs the
/// guest nothing.
///
/// # Errors
/// A metric that the measure does not declare.
fn compacted(spec: &CellSpec, mut answer: CellAnswer) -> anyhow::Result<CellAnswer> {
    let measure = crate::measure::of(spec.measure);
    for metric in &answer.metrics {
        let known = measure.gives().any(|kind| kind.is_of(metric, spec.labels.clock));
        anyhow::ensure!(
            known,
            "the cell gave {} {} in {}, which the measure {} does not declare: this is a fault of vipbench",
            metric.name,
            metric.label,
            metric.unit,
            spec.measure.name()
        );
    }
    answer.metrics = answer.metrics.into_iter().map(Metric::compacted).collect::<Result<_, _>>()?;
    Ok(answer)
}

/// A cell is censored by its own clock alone. An emulator that takes more than guest time can
/// explain, or stands still, shows a guest that hangs.
fn outcome_of(error: &anyhow::Error) -> Outcome {
    match error.downcast_ref::<GuestError>() {
        Some(GuestError::GuestTime { limit_s }) => {
            Outcome::Censored { limit_s: (*limit_s).into(), clock: Clock::Instructions }
        }
        Some(GuestError::Deadline { limit: Limit::Wall(limit), .. }) => {
            Outcome::Censored { limit_s: limit.as_secs(), clock: Clock::Wall }
        }
        Some(
            fault @ (GuestError::Died { .. }
            | GuestError::Hung { .. }
            | GuestError::Deadline { .. }
            | GuestError::Still { .. }),
        ) => Outcome::Invalid { reason: fault.to_string() },
        _ => Outcome::Failed { reason: crate::in_words(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cells_own_clock_censors_it() {
        let last_words = String::new;
        let hour = Duration::from_hours(1);
        let outcome = |error: GuestError| outcome_of(&error.into());
        assert_eq!(
            outcome(GuestError::GuestTime { limit_s: 7 }),
            Outcome::Censored { limit_s: 7, clock: Clock::Instructions }
        );
        let deadline = |limit| GuestError::Deadline { limit, last_words: last_words() };
        assert_eq!(
            outcome(deadline(Limit::Wall(hour))),
            Outcome::Censored { limit_s: 3600, clock: Clock::Wall }
        );
        for hangs in
            [deadline(Limit::Processor(hour)), GuestError::Still { last_words: last_words() }]
        {
            assert!(matches!(outcome(hangs), Outcome::Invalid { .. }));
        }
    }
}

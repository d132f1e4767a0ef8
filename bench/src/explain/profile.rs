//! Runs a stored cell again with the profiler looking on, and turns its counts by address into
//! counts by function.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use lab::guest::{Only, Profile, Profiler, Symbols};
use lab::image::Cache;
use results::explain::{EXPLAIN_SCHEMA, Explanation, Part, Profiled};
use results::{CellRecord, Distribution, Metric, Outcome, Run};

use super::choose::{Target, scenario};
use crate::measure::spec::CellAnswer;
use crate::place::{GuestOptions, GuestPlace, WorkDir};
use crate::scenario::Scenario;

/// The profiler slows a guest's emulator down, but not the guest's own time.
const LIMIT_FACTOR: u32 = 4;
/// Where the profiler is kept in the cache.
const FOLDER: &str = "profiler";
/// Parts that are no kernel function.
const USER: &str = "(user space)";
const UNKNOWN: &str = "(no symbol)";

/// A guest and the names of its kernel's functions.
struct Kernel {
    place: GuestPlace,
    symbols: Symbols,
}

/// Everything that profiling cells of one run needs. Guests are opened when a cell asks for them.
pub struct Lens<'a> {
    run: &'a Run,
    scenario: Scenario,
    only: Option<(u64, u64)>,
    kernels: BTreeMap<String, Kernel>,
    progress: &'a dyn Fn(&str),
}

impl<'a> Lens<'a> {
    /// For cells of `run`; samples outside of `only` (instructions, inclusive) are passed over.
    ///
    /// # Errors
    /// A run of another version of vipbench.
    pub fn new(
        run: &'a Run,
        only: Option<(u64, u64)>,
        progress: &'a dyn Fn(&str),
    ) -> anyhow::Result<Self> {
        let scenario = scenario(run)?;
        Ok(Self { run, scenario, only, kernels: BTreeMap::new(), progress })
    }

    /// Profiles one cell or two.
    ///
    /// # Errors
    /// A kernel that cannot be had, a cell that fails, a profile that does not fit the cell's
    /// answer.
    pub fn explain(
        &mut self,
        cell: &Target<'_>,
        against: Option<&Target<'_>>,
    ) -> anyhow::Result<Explanation> {
        Ok(Explanation {
            schema: EXPLAIN_SCHEMA.into(),
            metric: cell.metric.clone(),
            label: cell.label.clone(),
            only: self.only,
            cell: self.profile(cell)?,
            against: against.map(|other| self.profile(other)).transpose()?,
        })
    }

    fn profile(&mut self, target: &Target<'_>) -> anyhow::Result<Profiled> {
        let id = &target.stored.id;
        let region = target.regions.first().copied().unwrap_or_default();
        let only = self.only.map(|(least, most)| Only { region, least, most });
        let profiler = Profiler::build(&Cache::open()?.root().join(FOLDER), only)?;
        let limits = self.scenario.limits.clone();
        let limit = limits.around_cell().times(LIMIT_FACTOR);
        let progress = self.progress;
        let work = WorkDir::new()?;
        let kernel = self.kernel(&target.stored.labels.kernel)?;
        progress(&format!("profiling {id}"));
        let never = AtomicBool::new(false);
        let bounds = lab::guest::Bounds { dir: work.path(), limit, aborted: &never };
        let (answer, profile) = kernel
            .place
            .run_profiled(&target.spec, &limits, bounds, &profiler)
            .with_context(|| format!("profiling {id}"))?;
        if let Some(reason) = answer.outcome.reason() {
            anyhow::bail!("profiling {id}: {reason}");
        }
        profiled(target, answer, &profile, &kernel.symbols)
    }

    /// The guest of a kernel release, booted, with its symbols.
    fn kernel(&mut self, release: &str) -> anyhow::Result<&Kernel> {
        if !self.kernels.contains_key(release) {
            let kernel = self.open(release)?;
            self.kernels.insert(release.to_owned(), kernel);
        }
        self.kernels.get(release).with_context(|| format!("no guest place for kernel {release}"))
    }

    fn open(&self, release: &str) -> anyhow::Result<Kernel> {
        let options = GuestOptions {
            kernel_cmdline: self.scenario.kernel_cmdline.clone(),
            ..GuestOptions::emulated(&self.scenario.limits)
        };
        let mut place = self.place(release, &options)?;
        let work = WorkDir::new()?;
        place.prepare(work.path(), self.progress)?;
        (self.progress)(&format!("asking {release} for its symbols"));
        Ok(Kernel { symbols: place.symbols(work.path())?, place })
    }

    /// A kernel named by files is found by trying them; any other by its release.
    fn place(&self, release: &str, options: &GuestOptions) -> anyhow::Result<GuestPlace> {
        for spec in self.scenario.kernels.iter().filter(|spec| spec.contains(['/', '='])) {
            let place = GuestPlace::open(&spec.parse()?, options, self.progress)?;
            if place.release() == release {
                return Ok(place);
            }
        }
        GuestPlace::open(&release.parse()?, options, self.progress)
            .with_context(|| format!("kernel {release} of {}", self.run.dir.display()))
    }
}

/// Sets the profiler's samples beside what the guest's clock said of them.
fn profiled(
    target: &Target<'_>,
    answer: CellAnswer,
    profile: &Profile,
    symbols: &Symbols,
) -> anyhow::Result<Profiled> {
    let stored = target.stored;
    let clocked = values(&answer.metrics, target)?;
    let label = target.sample.label();
    let samples: Vec<_> = profile.samples.iter().filter(|one| one.label == label).collect();
    ensure!(
        samples.len() == clocked.len(),
        "cell {}: the guest measured {} times and the profiler saw {}; the guest runs another vipbench",
        stored.id,
        clocked.len(),
        samples.len()
    );
    let (mut measured, mut largest_gap) = (Vec::new(), 0);
    for (sample, clock) in samples.into_iter().zip(clocked).filter(|(sample, _)| sample.kept) {
        let counted: u64 = target
            .regions
            .iter()
            .filter_map(|region| sample.by_region.get(usize::from(*region)))
            .sum();
        measured.push(*clock);
        largest_gap = largest_gap.max(clock.abs_diff(counted));
    }
    ensure!(!measured.is_empty(), "cell {}: no sample is within --between", stored.id);
    Ok(Profiled {
        cell: stored.id.clone(),
        labels: stored.labels.clone(),
        measured,
        largest_gap,
        stored_p50: stored_metric(stored, target)
            .and_then(|metric| metric.data.samples().ok()?.percentile(0.5)),
        as_stored: same_numbers(stored, answer)?,
        parts: parts(target, profile, symbols),
    })
}

/// The samples of the metric in the order in which they were taken.
fn values<'a>(metrics: &'a [Metric], target: &Target<'_>) -> anyhow::Result<&'a [u64]> {
    let wanted = |one: &&Metric| one.name == target.metric && one.label == target.label;
    match metrics.iter().find(wanted).map(|metric| &metric.data) {
        Some(Distribution::Values { values }) => Ok(values),
        _ => anyhow::bail!("the profiled cell gave no values of {}", target.metric),
    }
}

fn stored_metric<'a>(stored: &'a CellRecord, target: &Target<'_>) -> Option<&'a Metric> {
    stored.metrics.iter().find(|one| one.name == target.metric && one.label == target.label)
}

/// Whether the profiled cell measured what is stored, to the last digit.
fn same_numbers(stored: &CellRecord, answer: CellAnswer) -> anyhow::Result<bool> {
    let metrics: Vec<Metric> =
        answer.metrics.into_iter().map(Metric::compacted).collect::<Result<_, _>>()?;
    Ok(answer.outcome == Outcome::Measured && metrics == stored.metrics)
}

/// Instructions by function, the largest first.
fn parts(target: &Target<'_>, profile: &Profile, symbols: &Symbols) -> Vec<Part> {
    let label = target.sample.label();
    let wanted = profile
        .blocks
        .iter()
        .filter(|block| block.label == label && target.regions.contains(&block.region));
    let mut sums: HashMap<(&str, Option<&str>), u64> = HashMap::new();
    for block in wanted {
        let function = match block.address {
            0 => (USER, None),
            address => symbols.find(address).map_or((UNKNOWN, None), |function| {
                (function.name.as_str(), function.module.as_deref())
            }),
        };
        let sum = sums.entry(function).or_default();
        *sum = sum.saturating_add(block.instructions);
    }
    let mut parts: Vec<Part> = sums
        .into_iter()
        .map(|((function, module), instructions)| Part {
            function: function.to_owned(),
            module: module.map(str::to_owned),
            instructions,
        })
        .collect();
    parts.sort_by(|one, other| {
        (other.instructions, &one.function).cmp(&(one.instructions, &other.function))
    });
    parts
}

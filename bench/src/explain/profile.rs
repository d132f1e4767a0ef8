//! Runs a stored cell again with the profiler looking on, and turns its counts by address into
//! counts by function, those of user space into counts by program and library.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use lab::guest::mark::REGIONS;
use lab::guest::{BlockCount, Only, Profile, Profiler, Symbols};
use lab::image::Cache;
use results::explain::{EXPLAIN_SCHEMA, Explanation, Part, Profiled, USER, WAITING};
use results::{CellRecord, Distribution, Metric, Outcome, Run};

use super::choose::{Target, scenario};
use crate::kube_proxy;
use crate::load::region;
use crate::measure::spec::CellAnswer;
use crate::place::{GuestOptions, GuestPlace, WorkDir};
use crate::scenario::Scenario;

/// The profiler slows a guest's emulator down, but not the guest's own time.
const LIMIT_FACTOR: u32 = 4;
/// Where the profiler is kept in the cache.
const FOLDER: &str = "profiler";
/// A part that is no kernel function, and none of user space.
const UNKNOWN: &str = "(no symbol)";
/// What this program is called.
const OWN: &str = "vipbench";

/// A guest and the names of its kernel's functions.
struct Kernel {
    place: GuestPlace,
    symbols: Symbols,
}

/// What code is called.
struct Names<'k> {
    symbols: &'k Symbols,
    /// Programs and libraries, by addresses of their blocks.
    programs: HashMap<u64, String>,
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
        progress(&format!("finding the programs of {id}"));
        let programs = kernel.place.files_of(&profile)?;
        let programs = programs.into_iter().map(|(address, path)| (address, program_of(&path)));
        let names = Names { symbols: &kernel.symbols, programs: programs.collect() };
        profiled(target, answer, &profile, &names)
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
    names: &Names<'_>,
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
    let (mut measured, mut largest_gap, mut has_halted) = (Vec::new(), 0, false);
    for (sample, clock) in samples.into_iter().zip(clocked).filter(|(sample, _)| sample.kept) {
        let within = |counts: &[u64; REGIONS as usize]| -> u64 {
            target.regions.iter().filter_map(|region| counts.get(usize::from(*region))).sum()
        };
        measured.push(*clock);
        if within(&sample.halts) > 0 {
            has_halted = true;
        } else {
            largest_gap = largest_gap.max(clock.abs_diff(within(&sample.by_region)));
        }
    }
    ensure!(!measured.is_empty(), "cell {}: no sample is within --between", stored.id);
    let mut parts = parts(target, profile, names);
    // The clock of a guest that halted went on without it.
    let executed: u64 = parts.iter().map(|part| part.instructions).sum();
    let waited = measured.iter().sum::<u64>().saturating_sub(executed);
    let waiting = Part { function: WAITING.to_owned(), module: None, instructions: waited };
    parts.extend((has_halted && waited > 0).then_some(waiting));
    Ok(Profiled {
        cell: stored.id.clone(),
        labels: stored.labels.clone(),
        measured,
        largest_gap,
        stored_p50: stored_metric(stored, target)
            .and_then(|metric| metric.data.samples().ok()?.percentile(0.5)),
        as_stored: same_numbers(stored, answer)?,
        parts,
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

impl Names<'_> {
    /// Function and module; of user space, program.
    fn of(&self, block: &BlockCount) -> (&str, Option<&str>) {
        if block.is_user() {
            return (USER, self.programs.get(&block.address).map(String::as_str));
        }
        let function = self.symbols.find(block.address);
        function.map_or((UNKNOWN, None), |one| (one.name.as_str(), one.module.as_deref()))
    }
}

/// What a file of a guest is called: this program is its `/init`, and a kube-proxy has a folder.
fn program_of(path: &str) -> String {
    match path.rsplit_once('/') {
        None if path == "init" => OWN.to_owned(),
        Some((folder, version)) if folder == kube_proxy::FOLDER.trim_start_matches('/') => {
            format!("kube-proxy@{version}")
        }
        Some((_, name)) => name.to_owned(),
        None => path.to_owned(),
    }
}

/// Whether a part may be this program's own user space, which only watches in some regions: what it
/// sees of others is what is counted there. A library's code is told from nobody's.
fn watches(name: (&str, Option<&str>)) -> bool {
    match name {
        (USER, Some(program)) => program == OWN || program.contains(".so"),
        (function, _) => function == USER,
    }
}

/// Instructions by function, the largest first.
fn parts(target: &Target<'_>, profile: &Profile, names: &Names<'_>) -> Vec<Part> {
    let label = target.sample.label();
    let wanted = profile
        .blocks
        .iter()
        .filter(|block| block.label == label && target.regions.contains(&block.region))
        .map(|block| (names.of(block), block))
        .filter(|(name, block)| block.region < region::AFTERMATH || !watches(*name));
    let mut sums: HashMap<(&str, Option<&str>), u64> = HashMap::new();
    for (name, block) in wanted {
        let sum = sums.entry(name).or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_guest_are_called_what_they_are_known_as() {
        for (path, name) in [
            ("init", OWN),
            ("kube-proxy/1.36.3", "kube-proxy@1.36.3"),
            ("usr/sbin/nft", "nft"),
            ("lib/x86_64-linux-gnu/libc.so.6", "libc.so.6"),
        ] {
            assert_eq!(program_of(path), name);
        }
    }
}

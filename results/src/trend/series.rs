//! The numbers of all runs put one behind the other: a series a metric, as a comparison pairs them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools as _;

use super::data::{Around, Point, Series, Subject, TREND_SCHEMA, Trend, TrendError};
use super::recorded::Recorded;
use super::steps;
use crate::compare::side::{Cell, MetricKey};
use crate::format::{counted, plain};
use crate::gate::WALL;
use crate::kernel::compare_versions;
use crate::metrics::{self, MetricKind};
use crate::proxies::{CONTROL, Proxies};
use crate::record::{Clock, Labels};
use crate::stats::Spread;

/// The values of each seed of each run that has them.
type Values = BTreeMap<usize, BTreeMap<u64, f64>>;

/// The trend of runs, in whatever order they come.
///
/// # Errors
/// [`TrendError`]: fewer than two runs, one that is there twice, or nothing in common.
pub fn trend(mut runs: Vec<Recorded>) -> Result<Trend, TrendError> {
    if runs.len() < 2 {
        let is = if runs.is_empty() { "is none" } else { "is one" };
        return Err(TrendError::TooFew(is.to_owned()));
    }
    runs.sort_by(|a, b| a.key().cmp(&b.key()));
    if let Some((run, _)) = runs.iter().tuple_windows().find(|(a, b)| a.key() == b.key()) {
        return Err(TrendError::Twice(run.described().folder));
    }
    let known = Proxies::of(runs.iter().map(|run| &run.record));
    let values = collected(&runs);
    let mut left_out = Vec::new();
    let mut series = all(&values, &mut left_out);
    if series.is_empty() {
        let why = left_out.iter().map(|reason| format!("; {reason}")).collect();
        return Err(TrendError::NothingInCommon { runs: runs.len(), why });
    }
    let controls = series.iter().filter(|one| one.subject.is_control()).cloned().collect_vec();
    for one in &mut series {
        let floor = one.subject.control();
        let floor = controls.iter().find(|control| Some(&control.subject) == floor.as_ref());
        one.steps = steps::of(one, floor, runs.len() - 1);
    }
    series.sort_by(|a, b| order(&a.subject, &b.subject, &known));
    Ok(Trend {
        schema: TREND_SCHEMA.to_owned(),
        around: around(&runs, &series),
        runs: runs.iter().map(Recorded::described).collect(),
        series,
        left_out,
        known,
    })
}

/// Every number of every run.
fn collected(runs: &[Recorded]) -> BTreeMap<Subject, Values> {
    let names = KernelNames::of(runs);
    let mut all: BTreeMap<Subject, Values> = BTreeMap::new();
    for (at, run) in runs.iter().enumerate() {
        for cell in &run.side.cells {
            for (key, numbers) in &cell.metrics {
                if let Some(subject) = subject(cell, key, &names) {
                    let seeds = all.entry(subject).or_default().entry(at).or_default();
                    seeds.insert(cell.labels.seed, numbers.p50);
                }
            }
        }
    }
    all
}

/// What a number of a cell is about; nothing if a gate does not judge it.
fn subject(cell: &Cell, key: &MetricKey, names: &KernelNames) -> Option<Subject> {
    let Labels { kernel, place, clock, proxy, services, endpoints, measure, path, .. } =
        &cell.labels;
    let kind = metrics::kind(&key.name).filter(|kind| kind.allowed.is_some())?;
    let is_judged = kind.is_whole(&key.label) && key.unit == kind.unit(*clock);
    let is_floor = kind.is_of_a_connection();
    (is_judged && (proxy != CONTROL || is_floor)).then(|| Subject {
        clock: *clock,
        place: *place,
        kernel: names.name(kernel),
        path: path.clone(),
        measure: plain(measure),
        metric: key.name.clone(),
        label: plain(&key.label),
        services: *services,
        endpoints: *endpoints,
        proxy: plain(proxy),
        unit: key.unit,
    })
}

/// What a kernel is called in a series, so that a newer release of it goes on with the series.
enum KernelNames {
    /// Each run has one kernel: nothing.
    OneEach,
    /// No run has two of a branch: the branch, `6.1`.
    Branches,
    /// Else the release.
    Releases,
}

impl KernelNames {
    fn of(runs: &[Recorded]) -> Self {
        let has_one = |run: &Recorded| run.side.kernels().len() <= 1;
        let has_branches_once =
            |run: &Recorded| run.side.kernels().into_iter().map(branch).all_unique();
        if runs.iter().all(has_one) {
            Self::OneEach
        } else if runs.iter().all(has_branches_once) {
            Self::Branches
        } else {
            Self::Releases
        }
    }

    fn name(&self, release: &str) -> String {
        match self {
            Self::OneEach => String::new(),
            Self::Branches => plain(&branch(release)),
            Self::Releases => plain(release),
        }
    }
}

/// `6.1` of `6.1.0-57-cloud-amd64`.
fn branch(release: &str) -> String {
    release.split('.').take(2).join(".")
}

/// The series of each subject that two runs have; why others are left out.
fn all(values: &BTreeMap<Subject, Values>, left_out: &mut Vec<String>) -> Vec<Series> {
    let (mut once, mut without_seed) = (0, 0);
    let mut series = Vec::new();
    for (subject, runs) in values {
        let Some(kind) = metrics::kind(&subject.metric) else { continue };
        let control = subject.control().and_then(|control| values.get(&control));
        let points = match (runs.len(), is_exact(subject, kind)) {
            (0 | 1, _) => {
                once += 1;
                continue;
            }
            (_, true) => exact_points(runs),
            (_, false) => noisy_points(runs, control),
        };
        if points.len() < 2 {
            without_seed += 1;
            continue;
        }
        series.push(Series {
            subject: subject.clone(),
            relative: !is_exact(subject, kind) && is_in_all(control, runs),
            points,
            threshold: threshold(subject, kind),
            steps: Vec::new(),
        });
    }
    let numbers = |count: u64| counted(count, "number");
    if once > 0 {
        left_out.push(format!("{} only one run has", numbers(once)));
    }
    if without_seed > 0 {
        let remedy = "run with the same --seeds";
        left_out
            .push(format!("{} of which no seed is in all runs: {remedy}", numbers(without_seed)));
    }
    series
}

/// Whether equal inputs give equal digits.
pub(super) fn is_exact(subject: &Subject, kind: &MetricKind) -> bool {
    subject.clock == Clock::Instructions || kind.is_amount()
}

/// What a change may be without being one. Where the environment is the same the digits are, so
/// what counts on the instructions clock is what a gate allows where something differs.
fn threshold(subject: &Subject, kind: &MetricKind) -> f64 {
    if is_exact(subject, kind) { kind.allowed.map_or(0.0, |allowed| allowed.unlike) } else { WALL }
}

/// One point a run from the seeds that all runs have: another seed is another draw.
fn exact_points(runs: &Values) -> Vec<Point> {
    let seeds = runs.values().map(|seeds| seeds.keys().copied().collect::<BTreeSet<u64>>());
    let common = seeds.reduce(|common, seeds| &common & &seeds).unwrap_or_default();
    let points = runs.iter().filter_map(|(run, seeds)| {
        let of_seed = |seed| seeds.get(seed).copied();
        let spread = Spread::of(common.iter().filter_map(of_seed))?;
        Some(point(*run, spread, spread.median))
    });
    points.collect()
}

/// One point a run from all of its seeds, which are replicates; judged as a multiple of the
/// control's of the same seed, if every run has that.
fn noisy_points(runs: &Values, control: Option<&Values>) -> Vec<Point> {
    let relative = is_in_all(control, runs);
    let points = runs.iter().filter_map(|(run, seeds)| {
        let spread = Spread::of(seeds.values().copied())?;
        let floors = control.and_then(|control| control.get(run)).filter(|_| relative);
        let judged = floors.map_or(Some(spread.median), |floors| over(seeds, floors))?;
        Some(point(*run, spread, judged))
    });
    points.collect()
}

/// The median multiple of the control.
fn over(seeds: &BTreeMap<u64, f64>, floors: &BTreeMap<u64, f64>) -> Option<f64> {
    let multiples = seeds.iter().filter_map(|(seed, value)| Some(value / floors.get(seed)?));
    Spread::of(multiples).map(|spread| spread.median)
}

/// Whether every run has a control of one of its seeds.
fn is_in_all(control: Option<&Values>, runs: &Values) -> bool {
    let has = |(run, seeds): (&usize, &BTreeMap<u64, f64>)| {
        let floors = control.and_then(|control| control.get(run));
        floors.is_some_and(|floors| seeds.keys().any(|seed| floors.contains_key(seed)))
    };
    runs.iter().all(has)
}

fn point(run: usize, Spread { median, min, max, count }: Spread, judged: f64) -> Point {
    Point { run, value: median, min, max, seeds: count, judged }
}

/// What changed around each pair of runs that a step is between, in order.
fn around(runs: &[Recorded], series: &[Series]) -> Vec<Around> {
    let steps = series.iter().flat_map(|one| &one.steps);
    let pairs: BTreeSet<(usize, usize)> = steps.map(|step| (step.to, step.from)).collect();
    let between = |(to, from): (usize, usize)| Around {
        from,
        to,
        differences: runs[from].differences(&runs[to]),
    };
    pairs.into_iter().map(between).collect()
}

/// The order in which series are shown: as metrics stand in their table, from small to large,
/// proxies as everywhere.
fn order(a: &Subject, b: &Subject, known: &Proxies) -> Ordering {
    let rank = |name: &str| metrics::ALL.iter().position(|kind| kind.name == name);
    let first = |one: &Subject| (one.clock, one.place);
    let then = |one: &Subject| {
        let Subject { path, metric, label, services, proxy, .. } = one.clone();
        (path, rank(&metric), label, services, known.rank(&proxy), proxy)
    };
    let by_kernel = || compare_versions(&a.kernel, &b.kernel);
    first(a).cmp(&first(b)).then_with(by_kernel).then_with(|| then(a).cmp(&then(b)))
}

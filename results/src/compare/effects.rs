//! How every number changed: the seeds of each series of matched cells, one effect a statistic.

use std::collections::BTreeMap;

use super::change::{Change, Pair};
use super::comparison::{Effect, Statistic, Subject};
use super::pairing::Matched;
use super::side::{Cell, MetricKey, Numbers, Side};
use crate::metrics;
use crate::proxies::CONTROL;

/// One seed of a series, base and new.
struct SeedPair<'a> {
    cells: [&'a Cell; 2],
    numbers: [Numbers; 2],
}

/// All effects: the control first, then the largest ratio first; what has no ratio comes last.
pub(super) fn of_pairs(matched: &Matched<'_>, base: &Side, new: &Side) -> Vec<Effect> {
    let all = series(matched);
    let mut effects = Vec::new();
    for (series, seeds) in &all {
        let control = control_of(series).and_then(|control| all.get(&control));
        for &statistic in statistics(seeds) {
            let subject = Subject { statistic, ..series.clone() };
            let gross = pairs(seeds, statistic);
            let net = control
                .and_then(|control| Change::net(&gross, &pairs(control, statistic), subject.clock));
            let [base_cell, new_cell] = seeds[0].cells;
            effects.extend(Change::of(gross, subject.clock).map(|gross| Effect {
                subject,
                gross,
                net,
                base_cell: base.reference(base_cell),
                new_cell: new.reference(new_cell),
            }));
        }
    }
    effects.sort_by(|a, b| {
        let magnitude = |effect: &Effect| effect.magnitude().unwrap_or(-1.0);
        let by_magnitude = || magnitude(b).total_cmp(&magnitude(a));
        b.is_control().cmp(&a.is_control()).then_with(by_magnitude)
    });
    effects
}

/// The seeds of each metric. Which statistics it has is not known before they are all there.
fn series<'a>(matched: &Matched<'a>) -> BTreeMap<Subject, Vec<SeedPair<'a>>> {
    let mut all: BTreeMap<Subject, Vec<SeedPair<'a>>> = BTreeMap::new();
    for &(base, new) in &matched.cells {
        for (key, numbers) in &base.metrics {
            if let Some(others) = new.metrics.get(key) {
                let pair = SeedPair { cells: [base, new], numbers: [*numbers, *others] };
                all.entry(subject(base, new, key)).or_default().push(pair);
            }
        }
    }
    all
}

fn subject(base: &Cell, new: &Cell, key: &MetricKey) -> Subject {
    let labels = base.labels.clone();
    Subject {
        base_kernel: labels.kernel,
        new_kernel: new.labels.kernel.clone(),
        place: labels.place,
        clock: labels.clock,
        proxy: labels.proxy,
        services: labels.services,
        endpoints: labels.endpoints,
        measure: labels.measure,
        path: labels.path,
        metric: key.name.clone(),
        label: key.label.clone(),
        unit: key.unit,
        statistic: Statistic::P50,
    }
}

/// The same without a proxy, where that is a floor.
fn control_of(subject: &Subject) -> Option<Subject> {
    let has_floor = subject.proxy != CONTROL && metrics::is_of_a_connection(&subject.metric);
    has_floor.then(|| Subject { proxy: CONTROL.to_owned(), ..subject.clone() })
}

/// What can be told of all seeds alike.
fn statistics(seeds: &[SeedPair<'_>]) -> &'static [Statistic] {
    let all = |fits: fn(Numbers) -> bool| seeds.iter().flat_map(|seed| seed.numbers).all(fits);
    if all(|numbers| numbers.count == 1) {
        &[Statistic::Value]
    } else if all(|numbers| numbers.p99.is_some()) {
        &[Statistic::P50, Statistic::P99]
    } else {
        &[Statistic::P50]
    }
}

fn pairs(seeds: &[SeedPair<'_>], statistic: Statistic) -> Vec<Pair> {
    let is_tail = statistic == Statistic::P99;
    let value = |numbers: Numbers| if is_tail { numbers.p99 } else { Some(numbers.p50) };
    let pair = |one: &SeedPair<'_>| {
        let [base, new] = one.numbers.map(value);
        Some(Pair { seed: one.cells[0].labels.seed, base: base?, new: new? })
    };
    seeds.iter().filter_map(pair).collect()
}

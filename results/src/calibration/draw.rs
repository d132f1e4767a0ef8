//! Makes gates of recorded runs: whole repetitions on the instructions clock, replicates in ABBA
//! order on the wall clock.

use std::thread;

use itertools::{Itertools as _, iproduct};

use super::data::{CalibrationError, CalibrationOptions, Point, Slowdown};
use super::pools::{Pool, Recorded, slowdown};
use crate::compare::{Pick, Side, Statistic, Subject};
use crate::gate::statistics::wilson;
use crate::gate::{self, Across, Gate, GateError, Line, Thresholds, Verdict};
use crate::record::Clock;
use crate::stats::{self, Spread};

/// Slowdowns that are put in by scaling.
const SCALED: [f64; 4] = [0.01, 0.02, 0.05, 0.1];
/// Blocks of a gate: base, new, new, base.
const BLOCKS: usize = 4;
/// A block is drawn from a stretch that is longer by this much, so that the same stretch gives many
/// gates.
const STRETCH: (usize, usize) = (3, 2);
/// Replicates that are taken from one round at most; a round has ten.
const OF_ROUND: usize = 7;
const WALL_RECORDER: &str = "scripts/calibrate-wall";

/// Every pair of repetitions is a gate: as it is, scaled, and against the runs that were slowed
/// down.
pub(super) fn repetitions(
    pool: &Pool,
    options: &CalibrationOptions,
) -> Result<Vec<Point>, CalibrationError> {
    let replicates = pool.same.first().map_or(0, |run| run.seeds.len());
    let both = |(base, new): (&Recorded, &Recorded)| (base.side.clone(), new.side.clone());
    let pairs = pool.same.iter().tuple_combinations().take(options.gates.max(1));
    let pairs: Vec<(Side, Side)> = pairs.map(both).collect();
    if pairs.is_empty() {
        return Err(CalibrationError::Unfit {
            problem: format!(
                "kernel {}: one run on the instructions clock is no repetition",
                pool.kernel
            ),
            remedy: "scripts/calibrate-instructions",
        });
    }
    let mut points = same_and_scaled(pool, replicates, &pairs, options)?;
    for (key, runs) in &pool.slowed {
        let slowed: Vec<_> =
            iproduct!(runs, &pool.same).map(|(new, base)| both((base, new))).collect();
        points.push(point(pool, replicates, slowdown(*key), &slowed, options)?);
    }
    Ok(points)
}

/// Gates drawn from replicates, for each number of them.
pub(super) fn replicates(
    pool: &Pool,
    options: &CalibrationOptions,
) -> Result<Vec<Point>, CalibrationError> {
    let unfit = |problem| CalibrationError::Unfit { problem, remedy: WALL_RECORDER };
    let longest = pool.same.iter().max_by_key(|run| run.seeds.len()).ok_or_else(|| {
        unfit(format!("kernel {}: no run on the wall clock is without a slowdown", pool.kernel))
    })?;
    let rounds: Vec<&Recorded> =
        pool.same.iter().filter(|run| !std::ptr::eq(*run, longest)).collect();
    let mut points = Vec::new();
    for &count in &options.replicates {
        let mut state = options.seed ^ count as u64;
        let same: Option<Vec<(Side, Side)>> =
            (0..options.gates).map(|_| of_stretch(longest, count, &mut state)).collect();
        let same = same.ok_or_else(|| {
            unfit(format!(
                "{count} replicates a side need a run of {}, and the longest has {}",
                stretch(count) * BLOCKS,
                longest.seeds.len()
            ))
        })?;
        points.extend(same_and_scaled(pool, count, &same, options)?);
        for (key, slowed) in &pool.slowed {
            let gates: Vec<(Side, Side)> = (0..options.gates)
                .filter_map(|_| of_rounds(&rounds, slowed, count, &mut state))
                .collect();
            if !gates.is_empty() {
                points.push(point(pool, count, slowdown(*key), &gates, options)?);
            }
        }
    }
    Ok(points)
}

/// These pairs as they are, and with the second of each made slower.
fn same_and_scaled(
    pool: &Pool,
    replicates: usize,
    pairs: &[(Side, Side)],
    options: &CalibrationOptions,
) -> Result<Vec<Point>, CalibrationError> {
    let mut points = vec![point(pool, replicates, Slowdown::Same, pairs, options)?];
    for share in SCALED {
        let scaled: Vec<(Side, Side)> =
            pairs.iter().map(|(base, new)| (base.clone(), new.scaled(1.0 + share))).collect();
        points.push(point(pool, replicates, Slowdown::Scaled { share }, &scaled, options)?);
    }
    Ok(points)
}

/// Replicates of a stretch that a block of `count` a side is drawn from.
fn stretch(count: usize) -> usize {
    (count / 2).max(1) * STRETCH.0 / STRETCH.1
}

/// A gate of one run: four blocks in the order of recording, the two outer ones are one side; which
/// one is drawn.
fn of_stretch(run: &Recorded, count: usize, state: &mut u64) -> Option<(Side, Side)> {
    let (block, stretch) = ((count / 2).max(1), stretch(count));
    let starts = run.seeds.len().checked_sub(stretch * BLOCKS)? + 1;
    let start = stats::draw(state, starts);
    let mut sides = [Vec::new(), Vec::new()];
    for (at, part) in run.seeds.get(start..)?.chunks(stretch).take(BLOCKS).enumerate() {
        let folder = usize::from(at >= BLOCKS / 2);
        let side = sides.get_mut(usize::from(at == 1 || at == 2))?;
        for (rank, seed) in chosen(part, block, state).into_iter().enumerate() {
            let to = (folder * block + rank + 1) as u64;
            side.push(Pick { from: seed, to, folder });
        }
    }
    let [outer, inner] = sides.map(|picks| run.side.resampled(&picks));
    Some(if stats::draw(state, 2) == 0 { (outer, inner) } else { (inner, outer) })
}

/// A gate of rounds that follow each other, in which the same cells were recorded without and with
/// a slowdown.
fn of_rounds(
    same: &[&Recorded],
    slowed: &[Recorded],
    count: usize,
    state: &mut u64,
) -> Option<(Side, Side)> {
    let rounds = count.div_ceil(OF_ROUND).max(2);
    let starts = (same.len().min(slowed.len())).checked_sub(rounds)? + 1;
    let start = stats::draw(state, starts);
    let mut sides: [Vec<Side>; 2] = [Vec::new(), Vec::new()];
    for at in 0..rounds {
        let (base, new) = (same.get(start + at)?, slowed.get(start + at)?);
        let wanted = count * (at + 1) / rounds - count * at / rounds;
        let both: Vec<u64> =
            base.seeds.iter().filter(|seed| new.seeds.contains(seed)).copied().collect();
        let pick = |seed| Pick { from: seed, to: seed, folder: 0 };
        let picks: Vec<Pick> = chosen(&both, wanted, state).into_iter().map(pick).collect();
        for (side, run) in sides.iter_mut().zip([&base.side, &new.side]) {
            side.push(run.resampled(&picks));
        }
    }
    let [base, new] = sides.map(Side::joined);
    Some((base, new))
}

/// `count` of `seeds`, in their order.
fn chosen(seeds: &[u64], count: usize, state: &mut u64) -> Vec<u64> {
    let mut taken = Vec::with_capacity(count);
    for (seed, left) in seeds.iter().zip((1..=seeds.len()).rev()) {
        if stats::draw(state, left) < count.min(seeds.len()) - taken.len() {
            taken.push(*seed);
        }
    }
    taken
}

/// Judges all pairs of sides, on every core, and counts.
fn point(
    pool: &Pool,
    replicates: usize,
    slowdown: Slowdown,
    pairs: &[(Side, Side)],
    options: &CalibrationOptions,
) -> Result<Point, CalibrationError> {
    let gate_options = gate::Options {
        across: slowdown.metric().map(|_| Across::Injection),
        thresholds: Thresholds::default(),
        seed: options.seed,
    };
    let judge = |part: &[(Side, Side)]| -> Result<Vec<Gate>, GateError> {
        part.iter().map(|(base, new)| gate::judge(base, new, &gate_options)).collect()
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = pairs.len().div_ceil(cores).max(1);
    let judged: Result<Vec<Vec<Gate>>, GateError> = thread::scope(|scope| {
        let workers: Vec<_> =
            pairs.chunks(share).map(|part| scope.spawn(move || judge(part))).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(join).collect()
    });
    Ok(counted(pool, replicates, slowdown, &judged?.concat()))
}

fn counted(pool: &Pool, replicates: usize, slowdown: Slowdown, gates: &[Gate]) -> Point {
    let metric = slowdown.metric();
    let is_found =
        |gate: &&Gate| concerned(gate, metric).any(|line| line.verdict == Verdict::Regression);
    let found = gates.iter().filter(is_found).count();
    let (found_low, found_high) = wilson(found, gates.len());
    let of = |verdict| gates.iter().filter(|gate| gate.verdict == verdict).count();
    let verdicts = [Verdict::Pass, Verdict::Inconclusive, Verdict::Regression, Verdict::Invalid];
    Point {
        clock: pool.clock,
        kernel: pool.kernel.clone(),
        replicates,
        resampled: pool.clock == Clock::Wall,
        effect: effect_range(gates, metric),
        slowdown,
        lines: gates.iter().map(|gate| gate.lines.len()).max().unwrap_or(0),
        gates: gates.len(),
        found,
        found_low,
        found_high,
        verdicts: verdicts.map(of),
    }
}

/// Lines of the metric that a slowdown shows in.
fn concerned<'g>(gate: &'g Gate, metric: Option<&str>) -> impl Iterator<Item = &'g Line> {
    gate.lines.iter().filter(move |line| metric.is_none_or(|metric| line.subject.metric == metric))
}

/// The smallest and the largest median effect of a line over all gates, of the medians of what was
/// slowed down.
fn effect_range(gates: &[Gate], metric: Option<&str>) -> Option<(f64, f64)> {
    let is_main = |line: &&Line| {
        let Subject { unit, clock, statistic, .. } = line.subject;
        unit == clock.unit() && statistic != Statistic::P99
    };
    let lines = gates.iter().flat_map(|gate| concerned(gate, metric)).filter(is_main);
    let by_line = lines.filter_map(|line| Some((line.name(), line.effect?))).into_group_map();
    let medians = by_line.into_values().filter_map(|all| Some(Spread::of(all)?.median));
    Spread::of(medians).map(|spread| (spread.min, spread.max))
}

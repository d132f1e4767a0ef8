//! Whether a comparison holds: the control without a proxy, and on the wall clock the base against
//! itself.

use std::collections::BTreeMap;

use super::line::{Evidence, Line, plain_share, share};
use super::lines::{has_floor, judged};
use super::result::{Options, SelfCheck};
use super::statistics::{holm, relabelled};
use super::verdict::{Across, Verdict};
use crate::compare::{Comparison, Effect, Pair, Side, Statistic};
use crate::format::list;
use crate::record::Clock;
use crate::stats::Spread;

/// How much the median of the floor may differ on the instructions clock where something around it
/// does, and be called the same: within one run it differs by 0.1% from position to position.
const SHIFT: f64 = 0.001;
/// How much the floor may differ over Services and positions within one run, where it cannot be
/// equal between runs: medians, by clock.
const FLAT_INSTRUCTIONS: f64 = 0.005;
const FLAT_WALL: f64 = 0.05;
/// A control is called moved when that is proven at this level, and by as much as was declared to
/// matter: rarer than a regression, for it takes all verdicts with it. Smaller changes of the
/// machine's speed are taken out of every line.
const MOVED_LEVEL: f64 = 0.01;
/// Fewest replicates of each of two groups.
const GROUP_MIN: usize = 3;

/// Ways to halve the base.
const HALVES: &str = "halves";
const FOLDERS: &str = "folders";

/// The lines of `none`, judged.
pub(super) fn controls(comparison: &Comparison, options: &Options) -> Vec<Line> {
    let mut lines = judged(comparison, options, true);
    for line in &mut lines {
        judge(line, options.across);
    }
    lines
}

/// Judges a line of the control anew. It is exactly equal, unless something around it is meant
/// to differ, which shifts it by a hair, or it is meant to differ itself.
fn judge(line: &mut Line, across: Option<Across>) {
    let proven = match line.evidence {
        Evidence::TooFew { .. } => return,
        Evidence::Replicates { corrected, .. } => Some(corrected),
        Evidence::Exact => {
            let worst = |spread: Spread| {
                if spread.max > -spread.min { spread.max } else { spread.min }
            };
            line.effect = line.spread().map(worst);
            None
        }
    };
    let by = line.effect.map_or("from 0".to_owned(), share);
    let is_shift = across.is_some() && line.effect.is_some_and(|effect| effect.abs() <= SHIFT);
    match proven {
        None if line.is_equal() => line.say(Verdict::Pass, "exactly equal"),
        _ if across.is_some_and(Across::moves_floor) => {
            let reason =
                format!("none differs by {by}: lines are judged by what a proxy adds to it");
            line.say(Verdict::Pass, reason);
        }
        None if is_shift => {
            let most = plain_share(SHIFT);
            let reason = format!("{by}: another layout of memory may shift it by {most}");
            line.say(Verdict::Pass, reason);
        }
        None => {
            let reason = format!(
                "the control moved by {by}: something below the proxies changed, or another build runs there; name it with --across"
            );
            line.say(Verdict::Invalid, reason);
        }
        Some(corrected) if moved(corrected, line.size(), line.threshold) => {
            let reason = format!(
                "the control moved by {by} (p {corrected:.4}): the machine changed; record again, in the order base new new base"
            );
            line.say(Verdict::Invalid, reason);
        }
        Some(_) if line.verdict == Verdict::Inconclusive => {}
        Some(_) => {
            line.say(Verdict::Pass, format!("{by} is not told from noise, or does not matter"));
        }
    }
}

fn moved(corrected: f64, size: f64, threshold: f64) -> bool {
    corrected <= MOVED_LEVEL && size >= threshold
}

/// Takes back what is said of lines whose control moved or is missing. A control speaks for its
/// kernels and size.
pub(super) fn apply(lines: &mut [Line], controls: &[Line]) {
    fn lab(Line { subject, .. }: &Line) -> (&str, &str, u64) {
        (&subject.base_kernel, &subject.new_kernel, subject.services)
    }
    for line in lines {
        let mut of_lab = controls.iter().filter(|control| lab(control) == lab(line)).peekable();
        if has_floor(&line.subject.metric) && of_lab.peek().is_none() {
            line.say(Verdict::Invalid, "there is no control at this size: measure none too");
        } else if let Some(moved) = of_lab.find(|control| control.verdict == Verdict::Invalid) {
            let reason =
                format!("the control moved: {} by {}", moved.name(), moved.effect_in_words());
            line.say(Verdict::Invalid, reason);
        }
    }
}

/// For a floor that is meant to differ: whether it is at least flat over Services and positions
/// inside each side. Gives problems.
pub(super) fn uneven(comparison: &Comparison) -> Vec<String> {
    let mut groups: BTreeMap<(&str, &str, Clock, u64, &str), Vec<f64>> = BTreeMap::new();
    let is_floor = |effect: &&Effect| {
        effect.is_control()
            && effect.subject.statistic != Statistic::P99
            && has_floor(&effect.subject.metric)
    };
    for Effect { subject, gross, .. } in comparison.effects.iter().filter(is_floor) {
        let medians = [Pair { seed: 0, base: gross.base.median, new: gross.new.median }];
        let on_wall = subject.clock == Clock::Wall;
        let pairs = if on_wall { medians.as_slice() } else { gross.pairs.as_slice() };
        for pair in pairs {
            for (side, kernel, value) in
                [("base", &subject.base_kernel, pair.base), ("new", &subject.new_kernel, pair.new)]
            {
                let group = (side, kernel.as_str(), subject.clock, pair.seed, &*subject.metric);
                groups.entry(group).or_default().push(value);
            }
        }
    }
    let told = |((side, kernel, clock, seed, metric), values): (_, Vec<f64>)| {
        let (tolerance, seed) = match clock {
            Clock::Wall => (FLAT_WALL, String::new()),
            Clock::Instructions => (FLAT_INSTRUCTIONS, format!(", seed {seed}")),
        };
        let width = Spread::of(values)?.relative_width().filter(|width| *width > tolerance)?;
        Some(format!(
            "none of {side} ({metric}, kernel {kernel}{seed}) is not flat over Services and positions: it spreads by {}, and {} is tolerated",
            plain_share(width),
            plain_share(tolerance)
        ))
    };
    groups.into_iter().filter_map(told).collect()
}

/// The base against itself on the wall clock, for every line that is judged there.
pub(super) fn against_itself(lines: &[Line], base: &Side, random_seed: u64) -> Vec<SelfCheck> {
    let folders: BTreeMap<u64, usize> =
        base.cells.iter().map(|cell| (cell.labels.seed, cell.source)).collect();
    let last = folders.values().max().copied().unwrap_or(0);
    let of_folder = |_, seed: u64| match folders.get(&seed) {
        Some(0) => Some(0),
        Some(folder) if *folder == last => Some(1),
        _ => None,
    };
    let mut all = checks(lines, HALVES, |at, _| Some(at % 2), random_seed);
    if last > 0 {
        all.extend(checks(lines, FOLDERS, of_folder, random_seed));
    }
    all
}

/// `part` is the part, 0 or 1, of a replicate by its place and seed.
fn checks(
    lines: &[Line],
    split: &str,
    part: impl Fn(usize, u64) -> Option<usize>,
    random_seed: u64,
) -> Vec<SelfCheck> {
    let tested = |line: &Line| {
        let mut parts = [Vec::new(), Vec::new()];
        for (at, seed) in line.seeds.iter().enumerate() {
            let value = seed.floor.map_or(seed.base, |[floor, _]| seed.base / floor);
            if value > 0.0
                && value.is_finite()
                && let Some(part) = part(at, seed.seed)
            {
                parts[part].push(value.ln());
            }
        }
        let [one, other] = parts;
        (one.len().min(other.len()) >= GROUP_MIN).then(|| relabelled(&one, &other, random_seed))
    };
    let tested: Vec<(&Line, (f64, f64))> = lines
        .iter()
        .filter(|line| line.is_tested())
        .filter_map(|line| Some((line, tested(line)?)))
        .collect();
    let corrected =
        holm(&tested.iter().map(|(_, (probability, _))| *probability).collect::<Vec<_>>());
    let check = |((line, (_, apart)), corrected): ((&Line, (f64, f64)), f64)| {
        let effect = apart.exp_m1();
        let bad = moved(corrected, effect.abs(), line.threshold);
        SelfCheck {
            split: split.to_owned(),
            line: line.name(),
            effect,
            corrected,
            verdict: if bad { Verdict::Invalid } else { Verdict::Pass },
        }
    };
    tested.into_iter().zip(corrected).map(check).collect()
}

/// Problems of a base that differs from itself.
pub(super) fn unlike_itself(checks: &[SelfCheck]) -> Vec<String> {
    let problem = |checks: &[SelfCheck]| {
        let what = if checks[0].split == HALVES {
            "every second replicate of the base against the others"
        } else {
            "the first folder of the base against its last"
        };
        let bad = checks.iter().filter(|check| check.verdict == Verdict::Invalid);
        let bad: Vec<String> =
            bad.map(|check| format!("{} by {}", check.line, share(check.effect))).collect();
        (!bad.is_empty()).then(|| format!("the base differs from itself ({what}): {}", list(&bad)))
    };
    checks.chunk_by(|a, b| a.split == b.split).filter_map(problem).collect()
}

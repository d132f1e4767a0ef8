//! Whether a comparison holds: the control without a proxy, and on the wall clock the base against
//! itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::line::{plain_share, share};
use super::statistics::{Effort, holm, relabelled};
use super::thresholds::is_count;
use super::{Across, Judged, Line, Options, Verdict, wall};
use crate::compare::{Comparison, Effect, Side, Statistic};
use crate::format::list;
use crate::metrics;
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

/// The base against itself, in one line.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SelfCheck {
    /// `halves`: every second replicate against the others. `folders`: the first folder of the base
    /// against its last.
    pub split: String,
    /// Which line.
    pub line: String,
    /// How far the two are apart, a share.
    pub effect: f64,
    /// Probability of that without a difference, corrected for the number of lines (Holm).
    pub corrected: f64,
    /// `pass`, or `invalid` when a difference that matters is proven.
    pub verdict: Verdict,
}

/// How the floor of one side stands to that of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    /// To the digit.
    Equal,
    /// Something around it differs, such as a program in the guest's memory: it shifts by a hair.
    Shifted,
    /// It is another one.
    Differs,
}

impl Floor {
    fn of(across: Option<Across>) -> Self {
        match across {
            None => Self::Equal,
            Some(across) if across.moves_floor() => Self::Differs,
            Some(_) => Self::Shifted,
        }
    }
}

/// The lines of `none`, judged.
pub(super) fn controls(comparison: &Comparison, options: &Options, effort: Effort) -> Vec<Line> {
    let floor = Floor::of(options.across);
    let mut lines: Vec<Line> = comparison
        .effects
        .iter()
        .filter(|effect| effect.is_control() && has_floor(&effect.subject.metric))
        .filter(|effect| !is_count(effect))
        .filter_map(|effect| {
            let threshold = options.thresholds.of(effect, options.across.is_none())?;
            Some(Line::of(effect, Judged::Gross, threshold))
        })
        .collect();
    let wall_from = wall_last(&mut lines);
    let (exact, tested) = lines.split_at_mut(wall_from);
    for line in exact {
        judge_exact(line, floor);
    }
    wall::judge(tested, effort);
    for line in tested {
        judge_tested(line, floor);
    }
    lines
}

/// Whether `none` is a floor of a metric, and that floor is judged.
pub(super) fn has_floor(metric: &str) -> bool {
    metrics::kind(metric).is_some_and(|kind| kind.is_of_a_connection() && kind.allowed.is_some())
}

/// Puts lines of the instructions clock first; gives where those of the wall clock begin.
fn wall_last(lines: &mut [Line]) -> usize {
    lines.sort_by_key(|line| line.subject.clock == Clock::Wall);
    lines.iter().take_while(|line| line.subject.clock != Clock::Wall).count()
}

fn judge_exact(line: &mut Line, floor: Floor) {
    line.effect =
        line.spread().map(|spread| if spread.max > -spread.min { spread.max } else { spread.min });
    let effect = line.effect.map_or("from 0".to_owned(), share);
    if line.is_equal() {
        line.reason = "equal to the digit".into();
    } else if floor == Floor::Differs {
        line.reason = format!("the floor differs by {effect}: lines are judged net of it");
    } else if floor == Floor::Shifted && line.effect.is_some_and(|e| e.abs() <= SHIFT) {
        line.reason =
            format!("{effect}: another layout of memory may shift it by {}", plain_share(SHIFT));
    } else {
        line.verdict = Verdict::Invalid;
        line.reason = format!(
            "the control moved by {effect}: something below the proxies changed, or another build runs there; name it with --across"
        );
    }
}

fn judge_tested(line: &mut Line, floor: Floor) {
    let super::Evidence::Replicates { corrected, .. } = line.evidence else { return };
    let effect = line.effect.unwrap_or(0.0);
    line.improvement = false;
    if floor == Floor::Differs {
        line.verdict = Verdict::Pass;
        line.reason = format!("the floor differs by {}: lines are judged net of it", share(effect));
    } else if moved(corrected, effect, line.threshold) {
        line.verdict = Verdict::Invalid;
        line.reason = format!(
            "the control moved by {} (p {corrected:.4}): the machine changed; record again, in the order base new new base",
            share(effect)
        );
    } else if line.verdict != Verdict::Inconclusive {
        line.verdict = Verdict::Pass;
        line.reason = format!("{} is not told from noise, or does not matter", share(effect));
    }
}

fn moved(corrected: f64, effect: f64, threshold: f64) -> bool {
    corrected <= MOVED_LEVEL && effect.abs() >= threshold
}

/// Takes back what is said of lines whose control moved or is missing.
pub(super) fn apply(lines: &mut [Line], controls: &[Line]) {
    for line in lines {
        let mut of_lab = controls.iter().filter(|control| control.lab() == line.lab()).peekable();
        let floor = has_floor(&line.subject.metric);
        if floor && of_lab.peek().is_none() {
            invalidate(line, "there is no control at this size: measure none too".into());
        } else if let Some(moved) = of_lab.find(|control| control.verdict == Verdict::Invalid) {
            let reason =
                format!("the control moved: {} by {}", moved.name(), moved.effect_in_words());
            invalidate(line, reason);
        }
    }
}

fn invalidate(line: &mut Line, reason: String) {
    line.verdict = Verdict::Invalid;
    line.improvement = false;
    line.reason = reason;
}

/// For a floor that is meant to differ: whether it is at least flat over Services and positions
/// inside each side. Gives problems.
pub(super) fn uneven(comparison: &Comparison) -> Vec<String> {
    let mut groups: BTreeMap<(&str, &str, Clock, u64, &str), Vec<f64>> = BTreeMap::new();
    let floor = |effect: &&Effect| {
        effect.is_control()
            && effect.statistic != Statistic::P99
            && has_floor(&effect.subject.metric)
    };
    for effect in comparison.effects.iter().filter(floor) {
        let (metric, clock) = (effect.subject.metric.as_str(), effect.subject.clock);
        let mut add = |side, kernel, seed, value| {
            groups.entry((side, kernel, clock, seed, metric)).or_default().push(value);
        };
        if clock == Clock::Wall {
            add("base", effect.base_kernel.as_str(), 0, effect.gross.base.median);
            add("new", effect.new_kernel.as_str(), 0, effect.gross.new.median);
            continue;
        }
        for pair in &effect.gross.pairs {
            add("base", effect.base_kernel.as_str(), pair.seed, pair.base);
            add("new", effect.new_kernel.as_str(), pair.seed, pair.new);
        }
    }
    let told = |((side, kernel, clock, seed, metric), values): (_, Vec<f64>)| {
        let tolerance = if clock == Clock::Wall { FLAT_WALL } else { FLAT_INSTRUCTIONS };
        let width = Spread::of(values)?.relative_width()?;
        let seed = if clock == Clock::Wall { String::new() } else { format!(", seed {seed}") };
        (width > tolerance).then(|| {
            format!(
                "the floor of {side} (none {metric}, kernel {kernel}{seed}) is not flat over Services and positions: it spreads by {}, and {} is tolerated",
                plain_share(width),
                plain_share(tolerance)
            )
        })
    };
    groups.into_iter().filter_map(told).collect()
}

/// The base against itself on the wall clock, for every line that is judged there.
pub(super) fn against_itself(lines: &[Line], base: &Side, effort: Effort) -> Vec<SelfCheck> {
    let folders: BTreeMap<u64, usize> =
        base.labels().map(|(folder, labels)| (labels.seed, folder)).collect();
    let last = folders.values().max().copied().unwrap_or(0);
    let mut all = Vec::new();
    for split in ["halves", "folders"] {
        if split == "folders" && last == 0 {
            continue;
        }
        let group = |at: usize, seed: u64| match split {
            "halves" => Some(at % 2 == 1),
            _ => match folders.get(&seed) {
                Some(0) => Some(false),
                Some(folder) if *folder == last => Some(true),
                _ => None,
            },
        };
        all.extend(checks(lines, split, group, effort));
    }
    all
}

fn checks(
    lines: &[Line],
    split: &str,
    group: impl Fn(usize, u64) -> Option<bool>,
    effort: Effort,
) -> Vec<SelfCheck> {
    let tested: Vec<(&Line, f64, f64)> = lines
        .iter()
        .filter_map(|line| {
            let mut parts = [Vec::new(), Vec::new()];
            for (at, seed) in line.seeds.iter().enumerate() {
                let value = seed.floor.map_or(seed.base, |[floor, _]| seed.base / floor);
                if value > 0.0
                    && value.is_finite()
                    && let Some(second) = group(at, seed.seed)
                    && let Some(part) = parts.get_mut(usize::from(second))
                {
                    part.push(value.ln());
                }
            }
            let [one, other] = parts;
            if one.len().min(other.len()) < GROUP_MIN {
                return None;
            }
            let (probability, apart) = relabelled(&one, &other, effort)?;
            Some((line, probability, apart.exp_m1()))
        })
        .collect();
    let corrected =
        holm(&tested.iter().map(|(_, probability, _)| *probability).collect::<Vec<_>>());
    let check = |((line, _, effect), corrected): ((&Line, f64, f64), f64)| {
        let bad = moved(corrected, effect, line.threshold);
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
    let mut problems = Vec::new();
    for (split, what) in [
        ("halves", "every second replicate of the base against the others"),
        ("folders", "the first folder of the base against its last"),
    ] {
        let bad: Vec<String> = checks
            .iter()
            .filter(|check| check.split == split && check.verdict == Verdict::Invalid)
            .map(|check| format!("{} by {}", check.line, share(check.effect)))
            .collect();
        if !bad.is_empty() {
            problems.push(format!("the base differs from itself ({what}): {}", list(&bad)));
        }
    }
    problems
}

//! A trend in sentences. Every one is computed from its numbers.

use itertools::Itertools as _;

use super::data::{Evidence, Series, Step, Trend, TrendRun};
use super::divisive::LEVEL_MIN;
use crate::compare::Difference;
use crate::format::{self, counted, list, percent, quantity, signed_percent, thousands};
use crate::gate::WALL;
use crate::record::{Clock, Unit};

/// Facts that are named in a sentence; the table has all.
const FACTS_NAMED: usize = 3;

/// Whether the newest run is worse than an earlier level, and what is most so.
pub(super) fn lead(trend: &Trend) -> String {
    let worse = trend.worse_now();
    let newest = trend.runs.last().map(run).unwrap_or_default();
    let count = trend.series.len() as u64;
    let Some((series, step)) = worse.first() else {
        return format!(
            "No step for the worse stands in the newest run, {newest}, in any of {}.",
            counted(count, "number")
        );
    };
    format!(
        "The newest run, {newest}, is after a step for the worse in {} of {}. The largest is {}: {}, from {} to {}, {}. {}",
        thousands(worse.len() as u64),
        counted(count, "number"),
        series.subject.name(),
        change(step),
        value(series, step.before),
        value(series, step.after),
        since(trend, step),
        cause(trend, step)
    )
}

/// The run that a step came with.
fn since(trend: &Trend, step: &Step) -> String {
    if step.to + 1 == trend.runs.len() {
        return "since this run".to_owned();
    }
    format!("since {}", trend.runs.get(step.to).map(run).unwrap_or_default())
}

/// What a reader has to know of the series.
pub(super) fn notes(trend: &Trend) -> Vec<String> {
    let mut notes = vec![tally(trend)];
    notes.extend(exact(trend));
    notes.extend(noisy(trend));
    let newest = trend.runs.len() - 1;
    let ended =
        trend.series.iter().filter(|one| one.points.last().is_some_and(|last| last.run < newest));
    let ended = ended.count() as u64;
    if ended > 0 {
        notes.push(format!(
            "The newest run does not have {}: see its report for why.",
            counted(ended, "of these number")
        ));
    }
    if !trend.left_out.is_empty() {
        notes.push(format!("Left out: {}.", trend.left_out.join("; ")));
    }
    notes
}

/// How the steps divide.
fn tally(trend: &Trend) -> String {
    let steps = || trend.series.iter().flat_map(|series| &series.steps);
    let count = |wanted: &dyn Fn(&Step) -> bool| {
        thousands(steps().filter(|step| wanted(step)).count() as u64)
    };
    let level = trend.series.iter().filter(|series| series.steps.is_empty()).count() as u64;
    format!(
        "{} over {}: {} without a step; {} for the worse that stand, {} for the worse that were undone, {} for the better.",
        counted(trend.series.len() as u64, "number"),
        counted(trend.runs.len() as u64, "run"),
        thousands(level),
        counted(steps().filter(|step| step.stands).count() as u64, "step"),
        count(&|step| step.worse && !step.stands),
        count(&|step| !step.worse)
    )
}

/// What is true of digits that repeat.
fn exact(trend: &Trend) -> Option<String> {
    let counted_in = |series: &&Series| series.subject.clock == Clock::Instructions;
    let all = trend.series.iter().filter(counted_in).collect_vec();
    let is_equal = |series: &&&Series| series.points.iter().map(|point| point.value).all_equal();
    let equal = all.iter().filter(is_equal).count() as u64;
    (!all.is_empty()).then(|| {
        format!(
            "Instructions: equal inputs give equal digits, so that one run shows a step, and no step is noise. {} of {} never changed by a digit.",
            thousands(equal),
            counted(all.len() as u64, "number")
        )
    })
}

/// What is true of time.
fn noisy(trend: &Trend) -> Option<String> {
    let on_wall =
        trend.series.iter().filter(|series| series.subject.unit == Unit::Ns).collect_vec();
    let longest = on_wall.iter().map(|series| series.points.len()).max()?;
    let relative = if on_wall.iter().any(|series| series.relative) {
        " New connections and requests are looked at as multiples of none of the same run and seed, which takes out how fast the machine was."
    } else {
        ""
    };
    let needed = 2 * LEVEL_MIN;
    let few = if longest < needed {
        format!(" There are {longest} runs, and a step needs {needed}: none can be found.")
    } else {
        format!(
            " A level needs {LEVEL_MIN} runs, so that a step is seen with the third run after it; `vipbench gate` judges one run."
        )
    };
    Some(format!(
        "Wall time is noisy: a step is what a permutation test finds (E-divisive), of {} or more.{relative}{few}",
        percent(WALL)
    ))
}

/// What else changed where the step is.
pub(super) fn cause(trend: &Trend, step: &Step) -> String {
    let around = trend.around.iter().find(|one| (one.from, one.to) == (step.from, step.to));
    let differences = around.map(|one| one.differences.as_slice()).unwrap_or_default();
    if differences.is_empty() {
        return match step.evidence {
            Evidence::Exact => "Nothing that is recorded of the environment changed there: the digits should not have either.".to_owned(),
            Evidence::Permuted { .. } => "Nothing that is recorded of the environment changed there.".to_owned(),
        };
    }
    let named = |one: &Difference| {
        format!("{} ({} before, {} after)", one.fact, short(&one.base), short(&one.new))
    };
    let mut facts = differences.iter().take(FACTS_NAMED).map(named).collect_vec();
    if differences.len() > FACTS_NAMED {
        facts.push(format!("{} more", differences.len() - FACTS_NAMED));
    }
    format!("There changed: {}.", list(&facts))
}

/// A fact's value in a sentence: a digest is told apart by its beginning.
pub(super) fn short(value: &str) -> String {
    format::shortened(value.to_owned(), 40)
}

/// `run 12 (runs/nightly-12, 2026-11-24)` without the number, which tables have.
fn run(run: &TrendRun) -> String {
    format!("{} ({})", run.folder, day(run))
}

/// The day a run was recorded on.
pub(super) fn day(run: &TrendRun) -> String {
    run.started.chars().take(10).collect()
}

/// `+4.8%`, or that it was nothing before.
pub(super) fn change(step: &Step) -> String {
    step.share.map_or_else(|| "from 0".to_owned(), signed_percent)
}

/// A value of a series in prose.
pub(super) fn value(series: &Series, value: f64) -> String {
    quantity(series.subject.unit, value)
}

/// How it is done, and its limits.
pub(super) const METHOD: [&str; 6] = [
    "A series is one number of one proxy, size and kernel: the medians of connect and request, of vip_bind and standing, the total of each sync, and the counts rules, messages and bytes. Its kernel may go on to newer releases; wall time and instructions never share a series.",
    "Instructions and counts: a point is the median over the seeds that all runs have. A value that is further from the first of its level than a gate allows where the environment differs (0.2% for connect, 0.5% for request, 5% for syncs, 0 for counts) begins a new level, so that a slow drift becomes a step too.",
    "Wall time: a point is the median over the run's seeds. Steps are found by E-divisive (Matteson and James, 2014): the split with the largest energy distance, kept when at most 1% of 499 permutations are as clear, then again within the parts. A split of less than 5% is dropped. Of more than 400 runs the newest 400 are looked at.",
    "The 1% is for one number: of many numbers some show a step that is none, which the next runs undo.",
    "A step for the worse stands when the newest run has the number, and is still above the level before the step by more than the threshold.",
    "What changed in the environment is everything recorded that differs between the last run before a step and the first after it. That both changed at once does not prove a cause: `vipbench explain` names the kernel functions.",
];

//! Tables of a trend: the steps, what changed around them, the series, the runs.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::data::{Around, Evidence, Series, Step, Trend};
use super::sentences::{change, day, short};
use crate::format::{self, fixed, signed_percent, thousands};
use crate::tables::{Columns, Table};

/// Steps: those that stand first, then the largest.
pub(super) fn steps(trend: &Trend) -> Option<Table> {
    let steps = trend.series.iter().flat_map(|one| one.steps.iter().map(move |step| (one, step)));
    let mut steps: Vec<(&Series, &Step)> = steps.collect();
    steps.sort_by(|(_, a), (_, b)| b.urgency(a));
    let short = |series: &Series, value| format::short(series.subject.unit, value);
    Columns::of(steps)
        .number("run", |(_, step)| number(step.to))
        .text("number", |(series, _)| series.subject.name())
        .number("before", |(series, step)| short(series, step.before))
        .number("after", |(series, step)| short(series, step.after))
        .number("change", |(_, step)| change(step))
        .number("none", |(_, step)| step.control.map(signed_percent).unwrap_or_default())
        .text("now", |(_, step)| now(step).to_owned())
        .text("evidence", |(_, step)| evidence(step.evidence))
        .titled("Every step", "run: the first of the new level, see the table of runs; none: how the connection without a proxy changed there.")
        .cut()
        .unless_empty()
}

fn now(step: &Step) -> &'static str {
    match step {
        Step { stands: true, .. } => "worse, stands",
        Step { worse: true, .. } => "worse, undone",
        _ => "better",
    }
}

fn evidence(evidence: Evidence) -> String {
    match evidence {
        Evidence::Exact => "exact".to_owned(),
        Evidence::Permuted { probability } => format!("p {}", fixed(probability, 3)),
    }
}

/// The same in short: a line for each run and proxy, with the largest step of them, newest first.
pub(super) fn moments(trend: &Trend) -> Option<Table> {
    let mut moments: BTreeMap<(Reverse<usize>, u32, &str), Vec<(&Series, &Step)>> = BTreeMap::new();
    for series in &trend.series {
        let proxy = series.subject.proxy.as_str();
        for step in &series.steps {
            let key = (Reverse(step.to), trend.known.rank(proxy), proxy);
            moments.entry(key).or_default().push((series, step));
        }
    }
    let largest = moments.into_values().filter_map(|steps| {
        let count = steps.len() as u64;
        let (series, step) = steps.into_iter().max_by(|(_, a), (_, b)| a.urgency(b))?;
        Some((series, step, count))
    });
    let short = |series: &Series, value| format::short(series.subject.unit, value);
    let folder = |step: &Step| trend.runs.get(step.to).map_or("", |run| run.folder.as_str());
    Columns::of(largest)
        .number("run", |(_, step, _)| number(step.to))
        .text("folder", |(_, step, _)| folder(step).to_owned())
        .text("largest step", |(series, ..)| series.subject.name())
        .number("before", |(series, step, _)| short(series, step.before))
        .number("after", |(series, step, _)| short(series, step.after))
        .number("change", |(_, step, _)| change(step))
        .text("now", |(_, step, _)| now(step).to_owned())
        .number("steps", |(.., count)| thousands(*count))
        .titled(
            "Steps, newest first",
            "A line a run and proxy; steps: how many numbers of the proxy changed there.",
        )
        .cut()
        .unless_empty()
}

/// What changed in the environment around the steps, newest first.
pub(super) fn around(trend: &Trend) -> Option<Table> {
    let rows = trend.around.iter().rev().flat_map(|around| {
        let nothing = around.differences.is_empty().then_some((around, None));
        nothing.into_iter().chain(around.differences.iter().map(move |one| (around, Some(one))))
    });
    let name = |(around, _): &(&Around, _)| number(around.to);
    Columns::of(rows)
        .number("run", name)
        .text("fact", |(_, one)| {
            one.map_or("nothing that is recorded", |one| one.fact.as_str()).to_owned()
        })
        .text("before", |(_, one)| one.map(|one| short(&one.base)).unwrap_or_default())
        .text("after", |(_, one)| one.map(|one| short(&one.new)).unwrap_or_default())
        .titled("What changed in the environment there", "")
        .cut()
        .unless_empty()
}

/// Every series in a line.
pub(super) fn series(trend: &Trend) -> Table {
    let short = |series: &Series, value| format::short(series.subject.unit, value);
    let ends = |series: &Series| Some((series.points.first()?.value, series.points.last()?.value));
    Columns::of(&trend.series)
        .text("number", |series| series.subject.name())
        .text("clock", |series| series.subject.clock.to_string())
        .number("runs", |series| thousands(series.points.len() as u64))
        .number("first", |series| {
            ends(series).map(|(first, _)| short(series, first)).unwrap_or_default()
        })
        .number("newest", |series| {
            ends(series).map(|(_, last)| short(series, last)).unwrap_or_default()
        })
        .number("change", |series| {
            let share = ends(series).filter(|(first, _)| *first > 0.0);
            share.map(|(first, last)| signed_percent(last / first - 1.0)).unwrap_or_default()
        })
        .number("steps", |series| series.steps.len().to_string())
        .titled("Every number", "change: newest over first, less 1")
        .cut()
}

/// The runs, by the numbers that other tables and plots call them.
pub(super) fn runs(trend: &Trend) -> Table {
    Columns::of(trend.runs.iter().enumerate())
        .number("run", |(at, _)| number(*at))
        .text("recorded", |(_, run)| run.started.clone())
        .text("folder", |(_, run)| run.folder.clone())
        .text("vipbench", |(_, run)| run.tool_version.clone())
        .text("kernel", |(_, run)| run.kernels.join(", "))
        .titled("Runs", "")
        .cut()
}

/// The values of some series, a row a run.
pub(super) fn values(trend: &Trend, shown: &[&Series]) -> Table {
    let runs = trend.runs.iter().enumerate();
    let mut columns = Columns::of(runs)
        .number("run", |(at, _)| number(*at))
        .text("recorded", |(_, run)| day(run));
    for series in shown {
        columns = columns.number(series.subject.proxy.as_str(), |(at, _)| {
            let point = series.points.iter().find(|point| point.run == *at);
            point.map(|point| format::short(series.subject.unit, point.value)).unwrap_or_default()
        });
    }
    let title = shown.first().map(|series| series.subject.number()).unwrap_or_default();
    columns.titled(title, "").cut()
}

/// Runs are counted from 1.
fn number(run: usize) -> String {
    thousands(run as u64 + 1)
}

//! A calibration for people: what was reached in sentences, and the curve and the table of each
//! clock.

use std::collections::BTreeSet;

use itertools::Itertools as _;

use super::data::{Calibration, Point, Slowdown};
use super::plot;
use crate::document::{Block, Document};
use crate::format::{self, list, thousands};
use crate::plots::{Plot, PlotError};
use crate::record::Clock;
use crate::tables::{Columns, Table};

/// What a wall gate is meant to reach: false alarms, and detection of a slowdown of 5%.
const FALSE_ALARMS_MOST: f64 = 0.05;
const FOUND_LEAST: f64 = 0.9;
const DECLARED: f64 = 0.05;

/// The page; `command` is what writes it.
///
/// # Errors
/// [`PlotError`].
pub fn document(calibration: &Calibration, command: &str) -> Result<Document, PlotError> {
    let summary = format!(
        "The gate is itself measured: how often it calls the same thing slower (false alarms), and how often it finds a slowdown that \
         was put in. Made from recorded runs alone by `{command}`; random seed {}. Intervals are 95% intervals of a share (Wilson).",
        calibration.seed
    );
    let mut document = Document::new("How good the gate is", summary);
    document.plots_in = "";
    let clocks: BTreeSet<Clock> = calibration.points.iter().map(|point| point.clock).collect();
    for clock in clocks {
        let points = calibration.on(clock);
        let title = format!("Slowdowns that the gate finds, {clock} clock");
        let table = table(&points, clock);
        let numbers = match plot::chart(&points, title.clone()) {
            Some(chart) => {
                let name = format!("calibration-{clock}");
                Block::Plots(vec![Plot::of(&chart, name, title, table)?])
            }
            None => table.into(),
        };
        let clock_name = if clock == Clock::Wall { "Wall" } else { "Instructions" };
        document.blocks.extend([
            Block::Heading(2, format!("{clock_name} clock")),
            Block::List(findings(&points, clock)),
            numbers,
            Block::OnPage(vec![Block::Text(method(clock).to_owned())]),
        ]);
    }
    Ok(document)
}

fn method(clock: Clock) -> &'static str {
    match clock {
        Clock::Instructions => {
            "The same scenario was run again and again, and every pair of these runs is a gate: these are real repetitions, not resampled \
             ones. `rules` are runs in which rules that match nothing really stand at the head of every chain of iptables; each was recorded \
             once and is gated against every repetition, with `--across injection`. `scaled` multiplies every timing of one side, but not those of none."
        }
        Clock::Wall => {
            "Gates are resampled from replicates that were really recorded on this project's machine: one run without any change is cut \
             into four blocks as they followed each other in time, base, new, new, base, and replicates are drawn from each; so drift of \
             the machine is in the gates. Gates overlap, so the intervals are narrower than they would be of new recordings. `scaled` \
             multiplies the timings of one side, but not those of none. What is slower by less than half of the declared 5% is no \
             regression, however sure: so 1% and 2% are not found with more replicates either. `delay` are runs in which the server really works for so long \
             before each answer, recorded in rounds with runs that do not; it shows in `request`. Recorded with `taskset -c 1 chrt --fifo 1`, while other \
             programs used the same two cores."
        }
    }
}

/// What was reached, in sentences.
fn findings(points: &[&Point], clock: Clock) -> Vec<String> {
    let same = points.iter().filter(|point| point.slowdown == Slowdown::Same);
    let false_alarms = same.map(|point| {
        let Point { found, gates, verdicts: [_, inconclusive, _, invalid], lines, .. } = point;
        let [found, gates, inconclusive, invalid] =
            [found, gates, inconclusive, invalid].map(|count| thousands(*count as u64));
        format!(
            "False alarms with {}: {found} of {gates} gates of the same against the same ({}); {inconclusive} inconclusive, {invalid} invalid; {lines} lines a gate.",
            replicates(point.replicates),
            interval(point)
        )
    });
    let reached = if clock == Clock::Wall { Some(reached(points)) } else { one_rule(points) };
    false_alarms.chain(reached).collect()
}

/// With how many replicates the wall gate is as good as it is meant to be.
fn reached(points: &[&Point]) -> String {
    let good = |count: usize| {
        let here = || points.iter().filter(move |point| point.replicates == count);
        let same = here().find(|point| point.slowdown == Slowdown::Same)?;
        let declared = Slowdown::Scaled { share: DECLARED };
        let scaled = here().find(|point| point.slowdown == declared)?;
        (same.share() <= FALSE_ALARMS_MOST && scaled.share() >= FOUND_LEAST).then_some(scaled)
    };
    let counts: BTreeSet<usize> = points.iter().map(|point| point.replicates).collect();
    match counts.into_iter().find_map(good) {
        Some(point) => format!(
            "At most 5% false alarms, and a slowdown of 5% found in at least 90%, is reached with {} ({} found).",
            replicates(point.replicates),
            interval(point)
        ),
        None => "At most 5% false alarms together with a slowdown of 5% found in at least 90% is not reached with any number of replicates here."
            .to_owned(),
    }
}

fn one_rule(points: &[&Point]) -> Option<String> {
    let point =
        points.iter().find(|point| matches!(point.slowdown, Slowdown::Rules { per_chain: 1 }))?;
    let (low, high) = point.effect?;
    Some(format!(
        "One rule more in each chain is found in {} of {} gates of one run each; it makes connect slower by {} to {}.",
        thousands(point.found as u64),
        thousands(point.gates as u64),
        percent(low),
        percent(high)
    ))
}

fn replicates(count: usize) -> String {
    if count == 1 { "one seed".into() } else { format!("{count} replicates on each side") }
}

fn interval(point: &Point) -> String {
    let percent = |share: f64| format!("{}%", format::fixed(share * 100.0, 1));
    format!(
        "{}, 95%: {} to {}",
        percent(point.share()),
        percent(point.found_low),
        percent(point.found_high)
    )
}

fn percent(share: f64) -> String {
    format!("{}%", format::three_digits(share * 100.0))
}

fn table(points: &[&Point], clock: Clock) -> Table {
    let kernels = points.iter().map(|point| &point.kernel).dedup().collect_vec();
    let measured = |point: &&Point| match (&point.slowdown, point.effect) {
        (Slowdown::Rules { .. } | Slowdown::Delay { .. }, Some((low, high))) => {
            format!("{} to {}", percent(low), percent(high))
        }
        _ => String::new(),
    };
    let count = |count: usize| thousands(count as u64);
    let tenths = |share: f64| format::fixed(share * 100.0, 1);
    let mut table = Columns::of(points.iter().copied())
        .text("slowdown", |point| name(&point.slowdown))
        .number("measured", |point| measured(point))
        .number("replicates", |point| point.replicates.to_string())
        .number("gates", |point| count(point.gates))
        .number("found", |point| count(point.found))
        .number("95% interval", |point| {
            format!("{} to {}", tenths(point.found_low), tenths(point.found_high))
        });
    for (at, verdict) in ["pass", "inconclusive", "regression", "invalid"].into_iter().enumerate() {
        table = table.number(verdict, move |point| count(point.verdicts[at]));
    }
    table.titled(format!("Gates on the {clock} clock, kernel {}", list(&kernels)), "")
}

fn name(slowdown: &Slowdown) -> String {
    match slowdown {
        Slowdown::Same => "none".into(),
        Slowdown::Scaled { share } => format!("scaled {}", percent(*share)),
        Slowdown::Rules { per_chain: 1 } => "1 rule a chain".into(),
        Slowdown::Rules { per_chain } => format!("{per_chain} rules a chain"),
        Slowdown::Delay { ns } => format!("delay {} ns", thousands(*ns)),
    }
}

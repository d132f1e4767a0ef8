//! A calibration for people: what was reached in sentences, and the curve and the table of each
//! clock.

use super::{Calibration, Point, Slowdown, plot};
use crate::document::{Block, Document};
use crate::format::{self, list, thousands};
use crate::plots::PlotError;
use crate::record::Clock;
use crate::tables::{Table, number, text};

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
    for clock in clocks(calibration) {
        document.blocks.extend([
            Block::Heading(2, format!("{} clock", clock_title(clock))),
            Block::List(findings(calibration, clock)),
            match plot::plot(calibration, clock)? {
                Some(plot) => Block::Plots(vec![plot]),
                None => table(calibration, clock).into(),
            },
            Block::OnPage(vec![Block::Text(method(clock).to_owned())]),
        ]);
    }
    Ok(document)
}

/// At the head of a clock's part.
fn clock_title(clock: Clock) -> &'static str {
    match clock {
        Clock::Wall => "Wall",
        Clock::Instructions => "Instructions",
    }
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

fn clocks(calibration: &Calibration) -> Vec<Clock> {
    let mut clocks: Vec<Clock> = calibration.points.iter().map(|point| point.clock).collect();
    clocks.sort();
    clocks.dedup();
    clocks
}

/// What was reached, in sentences.
fn findings(calibration: &Calibration, clock: Clock) -> Vec<String> {
    let points: Vec<&Point> =
        calibration.points.iter().filter(|point| point.clock == clock).collect();
    let mut all: Vec<String> = points
        .iter()
        .filter(|point| point.slowdown == Slowdown::Same)
        .map(|point| {
            format!(
                "False alarms with {}: {} of {} gates of the same against the same ({}); {} inconclusive, {} invalid; {} lines a gate.",
                replicates(point.replicates),
                thousands(point.found as u64),
                thousands(point.gates as u64),
                interval(point),
                thousands(point.verdicts[1] as u64),
                thousands(point.verdicts[3] as u64),
                point.lines
            )
        })
        .collect();
    if clock == Clock::Wall {
        all.push(reached(&points));
    } else {
        all.extend(one_rule(&points));
    }
    all
}

/// With how many replicates the wall gate is as good as it is meant to be.
fn reached(points: &[&Point]) -> String {
    let good = |count: usize| {
        let of = |slowdown: &dyn Fn(&Slowdown) -> bool| {
            points.iter().find(|point| point.replicates == count && slowdown(&point.slowdown))
        };
        let same = of(&|slowdown| *slowdown == Slowdown::Same)?;
        let scaled = of(
            &|slowdown| matches!(slowdown, Slowdown::Scaled { share } if (share - DECLARED).abs() < 1e-9),
        )?;
        (same.share() <= FALSE_ALARMS_MOST && scaled.share() >= FOUND_LEAST).then_some(scaled)
    };
    let mut counts: Vec<usize> = points.iter().map(|point| point.replicates).collect();
    counts.sort_unstable();
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

pub(super) fn table(calibration: &Calibration, clock: Clock) -> Table {
    let mut columns = vec![text("slowdown"), number("measured"), number("replicates")];
    columns.extend(["gates", "found", "95% interval"].map(number));
    columns.extend(["pass", "inconclusive", "regression", "invalid"].map(number));
    let points: Vec<&Point> =
        calibration.points.iter().filter(|point| point.clock == clock).collect();
    let mut kernels: Vec<String> = points.iter().map(|point| point.kernel.clone()).collect();
    kernels.dedup();
    let title = format!("Gates on the {clock} clock, kernel {}", list(&kernels));
    let mut table = Table::new(title, "", columns);
    for point in points {
        let measured = match (&point.slowdown, point.effect) {
            (Slowdown::Rules { .. } | Slowdown::Delay { .. }, Some((low, high))) => {
                format!("{} to {}", percent(low), percent(high))
            }
            _ => String::new(),
        };
        let mut row = vec![name(&point.slowdown), measured, point.replicates.to_string()];
        row.extend([thousands(point.gates as u64), thousands(point.found as u64)]);
        row.push(format!(
            "{} to {}",
            format::fixed(point.found_low * 100.0, 1),
            format::fixed(point.found_high * 100.0, 1)
        ));
        row.extend(point.verdicts.map(|count| thousands(count as u64)));
        table.rows.push(row);
    }
    table
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

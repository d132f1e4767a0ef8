//! A load as a page: what came of it in one line, latencies, what went wrong, what it found out about
//! itself.

use super::plots::plots;
use super::record::{Asked, Load, Start};
use crate::document::{Block, Document};
use crate::format::{counted, fixed, percent, short, thousands};
use crate::tables::{Columns, Table};

/// Phases in their order, each with the starts it is told from.
const PHASES: [(&str, &[Start]); 5] = [
    ("connect", &[Start::Planned, Start::Sent]),
    ("first byte", &[Start::Planned, Start::Sent]),
    ("total", &[Start::Planned, Start::Sent]),
    ("further request", &[Start::Own]),
    ("close", &[Start::Own]),
];
/// Percentiles of a line.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// The page.
pub fn document(load: &Load) -> Document {
    let mut document = Document::new(headline(load), summary(load));
    document.blocks = vec![Block::List(broken(load)), latencies(load).into()];
    document.blocks.extend(errors(load).map(Block::from));
    document.blocks.push(findings(load).into());
    document.blocks.push(Block::OnPage(vec![Block::Plots(plots(load))]));
    document
}

/// What came of it.
fn headline(load: &Load) -> String {
    let reached = fixed(load.per_s(load.counts.completed), 0);
    let what = if load.counts.completed == 1 { "connection" } else { "connections" };
    let verdict = if load.counts.completed == 0 {
        "NOTHING COMPLETED"
    } else if !load.is_valid() {
        "INVALID"
    } else if load.failed() > 0 {
        "WITH ERRORS"
    } else {
        "COMPLETE"
    };
    let due = thousands(load.counts.due);
    let asked = load.asked.rate_per_s.map(|rate| format!(" of {} asked", fixed(rate, 0)));
    let share = load.counts.completed as f64 / load.counts.due.max(1) as f64;
    format!(
        "{verdict}: {reached} {what} a second{}; {} of {due} completed ({})",
        asked.unwrap_or_default(),
        thousands(load.counts.completed),
        percent(share)
    )
}

fn summary(load: &Load) -> String {
    let Asked { targets, question, client, arrivals, workers, seed, .. } = &load.asked;
    let pace = arrivals.as_ref().map_or_else(
        || format!("{} open all the time", thousands(load.asked.open_max)),
        |arrivals| format!("{arrivals} arrivals"),
    );
    let whom = match targets.as_slice() {
        [one] => one.clone(),
        many => format!("{} addresses", thousands(many.len() as u64)),
    };
    format!(
        "{question} to {whom} by {client}, {pace}, {}, seed {seed}; kernel {}, clock {}, vipbench {}",
        counted(*workers, "worker"),
        load.kernel_release,
        load.clock,
        load.tool_version
    )
}

/// What must hold and does not.
fn broken(load: &Load) -> Vec<String> {
    let broken = load.findings().into_iter().filter(|finding| finding.holds == Some(false));
    broken
        .map(|finding| format!("Not to be believed, by its {}: {}.", finding.name, finding.says))
        .collect()
}

fn latencies(load: &Load) -> Table {
    let unit = load.clock.unit();
    let lines = PHASES
        .into_iter()
        .flat_map(|(phase, starts)| starts.iter().map(move |start| (phase, *start)));
    let late = ("lateness", Start::Planned);
    let lines = lines.chain([late]).filter_map(|(phase, start)| {
        let samples = load.samples(phase, start);
        (samples.count() > 0).then_some((phase, start, samples))
    });
    let mut columns = Columns::of(lines)
        .text("until", |(phase, ..)| (*phase).to_owned())
        .text("counted from", |(phase, start, _)| from(phase, *start).to_owned())
        .number("samples", |(.., samples)| thousands(samples.count()));
    let cell =
        move |value: Option<u64>| value.map_or(String::new(), |value| short(unit, value as f64));
    for (head, quantile) in QUANTILES {
        columns = columns.number(head, |(.., samples)| cell(samples.percentile(quantile)));
    }
    columns.number("max", |(.., samples)| cell(samples.max())).titled(
        "Latency",
        "From the planned start, a wait for the client counts as one for the Service. A percentile \
         is told from ten samples beyond it on.",
    )
}

fn from(phase: &str, start: Start) -> &'static str {
    match (phase, start) {
        ("close", _) => "closing",
        ("further request", _) => "asking",
        (_, Start::Planned) => "the planned start",
        (_, Start::Sent | Start::Own) => "the actual start",
    }
}

fn errors(load: &Load) -> Option<Table> {
    let due = load.counts.due.max(1) as f64;
    Columns::of(load.counts.errors.iter().filter(|(_, count)| **count > 0))
        .text("error", |(kind, _)| (*kind).clone())
        .number("connections", |(_, count)| thousands(**count))
        .number("share", |(_, count)| percent(**count as f64 / due))
        .titled("Errors", "")
        .unless_empty()
}

fn findings(load: &Load) -> Table {
    let mark = |holds| match holds {
        Some(true) => "ok",
        Some(false) => "NO",
        None => "-",
    };
    Columns::of(load.findings())
        .text("", |finding| mark(finding.holds).to_owned())
        .text("self-check", |finding| finding.name.to_owned())
        .text("found", |finding| finding.says.clone())
        .titled("What the load found out about itself", "")
}

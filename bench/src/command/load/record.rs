//! A load in the words of what is stored, and in one line while it runs.

use std::time::Duration;

use itertools::Itertools as _;
use results::format::{fixed, short, thousands};
use results::load::{Asked, Counts, LOAD_SCHEMA, Latency, Load, Start};
use results::{Distribution, Unit};
use strum::VariantArray;

use crate::load::MeasureClock;
use crate::load::open::{Arrivals, Client, ErrorKind, Outcome, Pace, Plan, Question, Slice, Tally};

/// What is stored of a load.
///
/// # Errors
/// No memory for its histograms.
pub(super) fn load_of(
    plan: &Plan,
    client: Client,
    clock: MeasureClock,
    outcome: &Outcome,
    late: Duration,
) -> anyhow::Result<Load> {
    Ok(Load {
        schema: LOAD_SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        clock: clock.kind(),
        asked: asked(plan, client),
        elapsed: outcome.elapsed_ns,
        counts: counts(&outcome.total, outcome.elapsed_ns),
        latencies: latencies(&outcome.total)?,
        intervals: outcome.intervals.clone(),
        kernel: outcome.kernel,
        late_limit: ns(late),
    })
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn asked(plan: &Plan, client: Client) -> Asked {
    let (rate_per_s, arrivals) = match plan.pace {
        Pace::Rate { per_s, arrivals } => (Some(per_s), Some(arrivals)),
        Pace::Saturated { .. } => (None, None),
    };
    let arrivals = arrivals.map(|arrivals| match arrivals {
        Arrivals::Constant => "constant",
        Arrivals::Poisson => "poisson",
    });
    Asked {
        targets: plan.targets.iter().map(|target| target.address.to_string()).collect(),
        question: match plan.question {
            Question::Nothing => "connect",
            Question::Http { .. } => "http",
            Question::Who => "who",
            Question::WhoByDatagram => "udp",
        }
        .to_owned(),
        client: match client {
            Client::Sockets => "sockets",
            Client::Hyper => "hyper",
        }
        .to_owned(),
        rate_per_s,
        arrivals: arrivals.map(str::to_owned),
        open_max: plan.open_max.into(),
        requests: plan.requests.into(),
        duration: ns(plan.duration),
        workers: plan.workers.into(),
        seed: plan.seed,
    }
}

fn counts(total: &Tally, elapsed_ns: u64) -> Counts {
    let open_mean = if elapsed_ns == 0 { 0.0 } else { total.open_ns as f64 / elapsed_ns as f64 };
    Counts {
        due: total.due,
        sockets: total.sockets,
        completed: total.completed,
        answers: total.answers,
        errors: errors(|kind| total.failed(kind)).collect(),
        open_mean,
        stay: u64::try_from(total.stay_ns).unwrap_or(u64::MAX),
    }
}

/// Kinds of errors that there were, with their numbers.
fn errors(failed: impl Fn(ErrorKind) -> u64) -> impl Iterator<Item = (String, u64)> {
    let kinds = ErrorKind::VARIANTS.iter().map(move |kind| (*kind, failed(*kind)));
    kinds.filter(|(_, count)| *count > 0).map(|(kind, count)| {
        let name: &'static str = kind.into();
        (name.to_owned(), count)
    })
}

fn latencies(total: &Tally) -> anyhow::Result<Vec<Latency>> {
    let Tally { planned, sent, lateness, close, further, .. } = total;
    let phases = [
        ("connect", Start::Planned, &planned.connect),
        ("connect", Start::Sent, &sent.connect),
        ("first byte", Start::Planned, &planned.first_byte),
        ("first byte", Start::Sent, &sent.first_byte),
        ("total", Start::Planned, &planned.total),
        ("total", Start::Sent, &sent.total),
        ("further request", Start::Own, further),
        ("close", Start::Own, close),
        ("lateness", Start::Planned, lateness),
    ];
    let measured = phases.into_iter().filter(|(.., histogram)| !histogram.is_empty());
    measured
        .map(|(phase, start, histogram)| {
            let steps = histogram.iter_recorded();
            let steps = steps.map(|step| (step.value_iterated_to(), step.count_at_value()));
            let data = Distribution::counted(&steps.collect::<Vec<_>>())?;
            Ok(Latency { phase: phase.to_owned(), start, data })
        })
        .collect()
}

/// How it goes, in one line.
pub(super) fn so_far(sum: &Slice, asked: Pace, from_ns: u64) -> String {
    let seconds = (from_ns as f64 / 1e9).max(0.1);
    let reached = fixed(sum.completed as f64 / seconds, 0);
    let asked = match asked {
        Pace::Rate { per_s, .. } => format!(" of {} asked", fixed(per_s, 0)),
        Pace::Saturated { .. } => String::new(),
    };
    let total = &sum.total;
    let at = |quantile: f64| short(Unit::Ns, total.value_at_quantile(quantile) as f64);
    let errors = errors(|kind| sum.failed(kind));
    let errors = errors.map(|(kind, count)| format!(", {} {kind}", thousands(count))).join("");
    format!("{reached}/s{asked}, p50 {}, p99 {}, p99.9 {}{errors}", at(0.5), at(0.99), at(0.999))
}

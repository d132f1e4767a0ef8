//! Finds what the user means in a stored run: a cell by its id or some of it, a metric, and what
//! the profiler calls it.

use anyhow::{Context, bail, ensure};
use generators::{ChangeKind, Position};
use results::metrics::{self, MetricKind, Use};
use results::{CellRecord, Clock, Outcome, Place, Run};
use serde::Deserialize;

use crate::imported::CLUSTER_FACT;
use crate::load::{Sample, region};
use crate::measure::spec::{CellSpec, Measure};
use crate::measure::{self, metric_of};
use crate::place::Setting;
use crate::run::check::{Overrides, validated};
use crate::run::plan::expand;
use crate::scenario::Scenario;

/// Cells named in an error.
const SHOWN_MAX: usize = 12;
/// All parts of a sync, the probing connection's phases included.
const SYNC: &[u8] = &[
    region::PREPARE,
    region::RENDER,
    region::SUBMIT,
    region::EFFECTIVE,
    region::CONNECT,
    region::REQUEST,
    region::CLOSE,
    region::AFTERMATH,
];
const EFFECTIVE: &[u8] = &[region::EFFECTIVE, region::CONNECT, region::REQUEST, region::CLOSE];

/// What the user typed.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Cell id, a part of it, or `key=value,key=value`.
    pub cell: &'a str,
    /// Metric, if not the first that the cell is about.
    pub metric: Option<&'a str>,
    /// Label, if not the usual one of the metric.
    pub label: Option<&'a str>,
}

/// What is profiled.
#[derive(Debug)]
pub struct Target<'a> {
    /// The stored cell.
    pub stored: &'a CellRecord,
    /// The cell as it was run.
    pub spec: CellSpec,
    /// Its metric.
    pub metric: String,
    /// The metric's label.
    pub label: String,
    /// Which samples.
    pub sample: Sample,
    /// The parts of them that the metric is made of.
    pub regions: &'static [u8],
}

/// Finds the cell and the metric that `choice` names.
///
/// # Errors
/// No cell or several, one on the wall clock or without numbers, a metric that cannot be profiled.
pub fn choose<'a>(run: &'a Run, choice: Choice<'_>) -> anyhow::Result<Target<'a>> {
    let stored = find(run, choice)?;
    let labels = &stored.labels;
    ensure!(
        labels.clock == Clock::Instructions && labels.place == Place::Guest,
        "cell {}: only cells on the instructions clock can be explained, for nanoseconds do not add up by function; \
         run the scenario with --place guest --clock instructions",
        stored.id
    );
    if let Some(reason) = stored.outcome.reason() {
        bail!("cell {} has no numbers to explain: {reason}", stored.id);
    }
    let metric = choice.metric.unwrap_or(usual_metric(&labels.measure).name);
    let label = match choice.label {
        Some(label) => label,
        None => usual_label(stored, metric)?,
    };
    let (sample, regions) = profiled(metric, label)?;
    ensure!(
        stored.metrics.iter().any(|one| one.name == metric && one.label == label),
        "cell {} has no metric {metric} with label {label}; it has {}",
        stored.id,
        list(stored.metrics.iter().map(|one| format!("{} {}", one.name, one.label)))
    );
    let spec = spec(run, stored)?;
    Ok(Target { stored, spec, metric: metric.into(), label: label.into(), sample, regions })
}

fn find<'a>(run: &'a Run, choice: Choice<'_>) -> anyhow::Result<&'a CellRecord> {
    if let Some(cell) = run.cells.iter().find(|cell| cell.id == choice.cell) {
        return Ok(cell);
    }
    let mut found: Vec<&CellRecord> = Vec::new();
    for cell in &run.cells {
        if fits(cell, choice.cell)? {
            found.push(cell);
        }
    }
    if found.len() > 1 {
        let measure = measure_of(choice.metric.unwrap_or(metrics::CONNECT.name)).name();
        let of_measure = |cell: &&&CellRecord| {
            cell.labels.measure == measure && cell.outcome == Outcome::Measured
        };
        let narrowed: Vec<&CellRecord> = found.iter().filter(of_measure).copied().collect();
        if !narrowed.is_empty() {
            found = narrowed;
        }
    }
    match found.as_slice() {
        [cell] => Ok(cell),
        [] => bail!(
            "no cell of {} fits `{}`; it has {}",
            run.dir.display(),
            choice.cell,
            list(run.cells.iter().map(|cell| cell.id.clone()))
        ),
        several => bail!(
            "`{}` fits {} cells of {}: {}; write more of the id, or proxy=NAME,services=N,kernel=RELEASE,seed=N",
            choice.cell,
            several.len(),
            run.dir.display(),
            list(several.iter().map(|cell| cell.id.clone()))
        ),
    }
}

/// Whether a cell is meant by a part of its id, or by all of `key=value,key=value`.
fn fits(cell: &CellRecord, wanted: &str) -> anyhow::Result<bool> {
    if !wanted.contains('=') {
        return Ok(cell.id.contains(wanted));
    }
    let labels = &cell.labels;
    for pair in wanted.split(',') {
        let (key, value) =
            pair.split_once('=').with_context(|| format!("`{pair}`: write KEY=VALUE"))?;
        let same = match key {
            "proxy" => labels.proxy == value,
            "services" => labels.services.to_string() == value,
            "seed" => labels.seed.to_string() == value,
            "measure" => labels.measure == value,
            "topology" => labels.path.topology == value,
            "source" => labels.path.source == value,
            "frontend" => labels.path.frontend == value,
            "family" => labels.path.family == value,
            "kernel" => {
                let rest = labels.kernel.strip_prefix(value);
                rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
            }
            _ => bail!(
                "`{key}` is unknown; choose among proxy, services, kernel, seed, measure, topology, source, frontend, family"
            ),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(SHOWN_MAX);
    items.truncate(SHOWN_MAX);
    if more > 0 {
        items.push(format!("{more} more"));
    }
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// The metric that is meant if none is named.
fn usual_metric(measure: &str) -> MetricKind {
    let named = Measure::ALL.into_iter().filter(|one| one.name() == measure);
    let mut given = named.flat_map(|one| measure::of(one).emits);
    let first = given.find(|kind| kind.uses.contains(&Use::ExplainFirst));
    first.copied().unwrap_or(metrics::CONNECT)
}

/// The measure that gives a metric.
fn measure_of(metric: &str) -> Measure {
    let gives = |measure: &Measure| measure::of(*measure).gives().any(|kind| kind.name == metric);
    Measure::ALL.into_iter().find(gives).unwrap_or(Measure::Connect)
}

fn usual_label<'a>(stored: &'a CellRecord, metric: &str) -> anyhow::Result<&'a str> {
    let labels: Vec<&str> = stored
        .metrics
        .iter()
        .filter(|one| one.name == metric)
        .map(|one| one.label.as_str())
        .collect();
    let usual = metrics::kind(metric).map(|kind| kind.usual_label);
    let usual = usual.filter(|usual| labels.contains(usual));
    usual.or(labels.first().copied()).with_context(|| {
        let all = stored.metrics.iter().map(|one| one.name.clone());
        let mut names: Vec<String> = all.collect();
        names.dedup();
        format!("cell {} has no metric {metric}; it has {}", stored.id, list(names.into_iter()))
    })
}

/// The profiler's names for a metric.
fn profiled(metric: &str, label: &str) -> anyhow::Result<(Sample, &'static [u8])> {
    let phases: [(MetricKind, &'static [u8]); 3] = [
        (metrics::CONNECT, &[region::CONNECT]),
        (metrics::REQUEST, &[region::REQUEST]),
        (metrics::CLOSE, &[region::CLOSE]),
    ];
    if let Some((_, phase)) = phases.into_iter().find(|(kind, _)| kind.name == metric) {
        let position = Position::ALL.into_iter().find(|position| position.as_str() == label);
        let position = position.with_context(|| format!("{metric}: {label} is no position"))?;
        return Ok((Sample::Connection(position), phase));
    }
    if metric == metrics::PAUSE.name {
        return Ok((Sample::Disturbance, &[region::DISTURBANCE]));
    }
    let syncs = [(metrics::SYNC_FULL, Sample::Full), (metrics::SYNC_RESTART, Sample::Restart)];
    let changes = ChangeKind::ALL.map(|kind| (metric_of(kind), Sample::Change(kind)));
    let mut kinds = syncs.into_iter().chain(changes);
    let sample = kinds.find(|(kind, _)| kind.name == metric).map(|(_, sample)| sample);
    let sample = sample.with_context(|| {
        let explained = metrics::used_by(Use::Explain).map(|kind| kind.name.to_owned());
        format!("metric {metric} cannot be explained; choose among {}", list(explained))
    })?;
    let regions: &'static [u8] = match label {
        "total" => SYNC,
        "prepare" => &[region::PREPARE],
        "render" => &[region::RENDER],
        "submit" => &[region::SUBMIT],
        "effective" => EFFECTIVE,
        "aftermath" => &[region::AFTERMATH],
        "start" | "list" | "sync" => {
            bail!(
                "{metric}: {label} is a part within a kube-proxy, which is not told apart; take total"
            )
        }
        _ => bail!("{metric}: label {label} is none of total, {}", metrics::PARTS.join(", ")),
    };
    Ok((sample, regions))
}

/// The cell as the run's scenario makes it.
fn spec(run: &Run, stored: &CellRecord) -> anyhow::Result<CellSpec> {
    let scenario = scenario(run)?;
    let setting = Setting { place: stored.labels.place, clock: stored.labels.clock };
    let cells = expand(&scenario, setting, std::slice::from_ref(&stored.labels.kernel))?;
    cells.into_iter().find(|cell| cell.labels == stored.labels).with_context(|| {
        format!("the scenario in {} does not make cell {}", run.dir.display(), stored.id)
    })
}

/// The scenario as the run stored it.
///
/// # Errors
/// A run of another version of vipbench.
pub(super) fn scenario(run: &Run) -> anyhow::Result<Scenario> {
    let stored = Scenario::deserialize(&run.record.scenario);
    let scenario = stored.with_context(|| {
        format!(
            "the scenario stored in {}; explain it with the version of vipbench that ran it, {}",
            run.dir.display(),
            run.record.tool_version
        )
    })?;
    let scenario = validated(scenario, Overrides::default())?;
    let recorded = run.record.environment.facts.get(CLUSTER_FACT);
    ensure!(
        scenario.imported.as_ref().map(|imported| imported.sha256())
            == recorded.map(String::as_str),
        "{}: the cluster file is not the one that was measured ({CLUSTER_FACT} of the run differs); restore it",
        run.dir.display()
    );
    Ok(scenario)
}

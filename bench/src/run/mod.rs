//! A run: from a request to a results folder with every cell of the plan. Knows no command line and
//! prints no result.

pub mod check;
mod folder;
mod kube_proxy;
pub mod plan;
pub mod progress;
mod runner;
pub mod shard;
mod signals;

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use proxies::Descriptor;
use results::{Clock, Environment, Place, ProxyRecord, RunRecord, ShardRecord};

use crate::console;
use crate::imported::CLUSTER_FACT;
use crate::measure::cost_ms;
use crate::measure::node::sysctl_facts;
use crate::measure::spec::CellSpec;
use crate::place::{Asked, Places, Setting, choose};
use crate::scenario::Scenario;
use check::{Overrides, validated};
use plan::expand;
use progress::Progress;
use runner::Runner;
use shard::Shard;

pub use signals::{Interrupt, how_to_resume};

/// What to run, where, and into which folder.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// The scenario's file; not asked for where the scenario itself is at hand.
    pub scenario: PathBuf,
    /// What to change in it.
    pub overrides: Overrides,
    /// Where cells run [default: as the scenario says, else by what this machine can do].
    pub place: Option<Place>,
    /// What timings count [default: by what this machine can do].
    pub clock: Option<Clock>,
    /// Results folder [default: one in `runs`, by scenario and date].
    pub output: Option<PathBuf>,
    /// Keep the finished cells of the folder.
    pub resume: bool,
    /// Ends of cells (`Outcome::kind`) that are no reason to keep them.
    pub retry: Vec<String>,
    /// Run only this part of the plan.
    pub shard: Option<Shard>,
    /// Cells at a time [default: by clock and cores].
    pub jobs: Option<usize>,
    /// Plan and create nothing.
    pub dry_run: bool,
}

/// How far a run came.
#[derive(Debug)]
pub enum Ended {
    /// It was planned, and nothing else done.
    Planned {
        /// What would run, in this order.
        cells: Vec<CellSpec>,
        /// The clock; nothing while it depends on KVM, which was not tried yet.
        clock: Option<Clock>,
    },
    /// Interrupted: the folder lacks so many cells.
    Interrupted {
        /// Results folder.
        folder: PathBuf,
        /// Cells that are missing.
        left: usize,
    },
    /// Every cell is in this folder.
    Complete(PathBuf),
}

/// Runs the cells of a scenario into a results folder, without a report.
///
/// # Errors
/// What is wrong with scenario, options, machine or folder.
pub fn run(request: &RunRequest, interrupt: &Interrupt) -> anyhow::Result<Ended> {
    let file = &request.scenario;
    let scenario = validated(Scenario::read(file)?, request.overrides.clone())
        .with_context(|| format!("scenario {}", file.display()))?;
    carry_out(scenario, request, interrupt)
}

/// The same of a scenario that is in no file.
///
/// # Errors
/// As [`run`].
pub fn run_scenario(
    scenario: Scenario,
    request: &RunRequest,
    interrupt: &Interrupt,
) -> anyhow::Result<Ended> {
    carry_out(validated(scenario, request.overrides.clone())?, request, interrupt)
}

fn carry_out(
    mut scenario: Scenario,
    request: &RunRequest,
    interrupt: &Interrupt,
) -> anyhow::Result<Ended> {
    for warning in scenario.imported.iter().flat_map(|imported| imported.warnings()) {
        console::warn(format_args!("cluster file: {warning}"));
    }
    let folder = folder::choose(request, &scenario.name)?;
    if !request.resume && !request.dry_run {
        folder::must_be_ours(&folder)?;
    }
    let progress = Progress::start();
    let preparing = |what: &str| progress.preparing(what);
    let asked = Asked { place: request.place, clock: request.clock, only_look: request.dry_run };
    let chosen = choose(&mut scenario, asked, &preparing)?;
    let setting = chosen.setting;
    let jobs = jobs(request.jobs, setting)?;
    if request.dry_run {
        let releases = chosen.releases(&preparing)?;
        let (cells, _) = part(expand(&scenario, setting, &releases)?, request.shard)?;
        progress.clear();
        let clock = (!chosen.is_kvm_untried).then_some(setting.clock);
        return Ok(Ended::Planned { cells, clock });
    }
    let mut places = chosen.open(&preparing)?;
    let (cells, shard) = part(expand(&scenario, setting, &places.releases())?, request.shard)?;
    let record = RunRecord { shard, ..run_record(&scenario, &cells, &places)? };
    let (mut writer, cells) = folder::open(&folder, &record, cells, request)?;
    interrupt.resumes_in(&folder);
    places.prepare(&cells, &preparing)?;
    let runner = Runner { places: &places, jobs, limits: &scenario.limits, interrupt };
    progress.expect(cells.iter().map(|cell| (cell.id(), cost_ms(cell))), "cells");
    let left = runner.run(cells, &mut writer, &progress)?;
    writer.store_guests(places.guest_records())?;
    drop(writer);
    progress.clear();
    Ok(if left > 0 { Ended::Interrupted { folder, left } } else { Ended::Complete(folder) })
}

/// The cells of a plan that are to run here, and what is stored of the division.
fn part(
    plan: Vec<CellSpec>,
    shard: Option<Shard>,
) -> anyhow::Result<(Vec<CellSpec>, Option<ShardRecord>)> {
    let Some(shard) = shard else { return Ok((plan, None)) };
    let record = shard.record(&plan);
    let cells = shard.cells(plan);
    ensure!(
        !cells.is_empty(),
        "--shard: no cell is left for this one; the plan has {}, so name no more shards than that",
        record.planned.len()
    );
    Ok((cells, Some(record)))
}

fn run_record(
    scenario: &Scenario,
    cells: &[CellSpec],
    places: &Places,
) -> anyhow::Result<RunRecord> {
    let mut facts = places.facts();
    let imported = scenario.imported.iter();
    facts.extend(imported.map(|file| (CLUSTER_FACT.to_owned(), file.sha256().to_owned())));
    facts.extend(kube_proxy::facts(scenario)?);
    facts.extend(scenario.ipvs.facts().chain(scenario.nftables.facts()));
    facts.extend(sysctl_facts(&scenario.sysctl));
    Ok(RunRecord {
        schema: results::RUN_SCHEMA.into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        command: std::env::args().collect(),
        started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        scenario_name: scenario.name.clone(),
        scenario: serde_json::to_value(scenario)?,
        proxies: proxy_records(scenario),
        cells: cells.iter().map(CellSpec::id).collect(),
        shard: None,
        environment: Environment { facts },
        guests: Vec::new(),
    })
}

/// What tables and plots need to know of the scenario's proxies, in the order of the backends.
pub fn proxy_records(scenario: &Scenario) -> Vec<ProxyRecord> {
    let all = (0..).zip(proxies::backends());
    let named = all.filter(|(_, backend)| scenario.proxies.iter().any(|name| name == backend.name));
    let record = |(order, backend): (u32, &Descriptor)| ProxyRecord {
        name: backend.name.into(),
        family: backend.family.into(),
        colour: backend.colour.into(),
        order,
        // A machine that cannot tell which `iptables` it has measures, and is not compared.
        ours: backend.binary.and_then(|one| Some(one.ours().ok()?.name.to_owned())),
    };
    named.map(record).collect()
}

/// Wall time is measured one cell at a time; instruction counts do not care.
fn jobs(asked: Option<usize>, setting: Setting) -> anyhow::Result<usize> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match (asked, setting.clock) {
        (Some(0), _) => bail!("--jobs 0: at least one cell has to run at a time"),
        (Some(jobs), Clock::Wall) if jobs > 1 => {
            bail!("--jobs {jobs}: cells on the wall clock disturb each other; leave it out")
        }
        (Some(jobs), _) => Ok(jobs),
        (None, Clock::Wall) => Ok(1),
        (None, Clock::Instructions) => Ok(cores),
    }
}

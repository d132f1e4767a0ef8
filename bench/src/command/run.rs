//! `vipbench run`: scenario and options to a results folder with a report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use lab::guest::Accelerator;
use results::{Clock, Environment, Place, RunRecord, RunWriter};

use crate::cell::CellSpec;
use crate::cli::{ClockChoice, PlaceChoice, RunArgs};
use crate::imported::CLUSTER_FACT;
use crate::place::{
    GuestOptions, GuestPlace, HostPlace, Places, WorkDir, missing_on_host, probe_kvm,
    require_emulator,
};
use crate::plan::{Overrides, Setting, expand, validated};
use crate::progress::Progress;
use crate::runner::Runner;
use crate::scenario::Scenario;
use crate::shard::Shard;

/// Parent of results folders that were not named.
const RUNS: &str = "runs";

/// How far a run came.
pub(super) enum Ended {
    /// The plan was printed, and nothing else done.
    Planned,
    /// Interrupted: the folder lacks so many cells.
    Interrupted { folder: PathBuf, left: usize },
    /// Every cell is in the folder.
    Complete(PathBuf),
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let interrupted = catch_signals()?;
    match measure(args, &interrupted)? {
        Ended::Planned => Ok(ExitCode::SUCCESS),
        Ended::Interrupted { folder, left } => {
            let folder = folder.display();
            eprintln!(
                "interrupted: {left} cells left; what is done is in {folder} and `--resume -o {folder}` goes on"
            );
            Ok(ExitCode::from(1))
        }
        Ended::Complete(folder) => {
            super::conclude::conclude(&folder, args.json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs the cells of a scenario into a results folder, without a report.
///
/// # Errors
/// What is wrong with scenario, options, machine or folder.
pub(super) fn measure(args: &RunArgs, interrupted: &AtomicBool) -> anyhow::Result<Ended> {
    let overrides = Overrides {
        proxies: args.proxies.clone(),
        services: args.services.clone(),
        kernels: args.kernels.clone(),
        kernel_cmdline: args.kernel_cmdline.clone(),
        cluster_file: args.cluster.clone(),
        seeds: args.seeds.concat(),
        inject_rules: args.inject_rules,
        inject_delay_ns: args.inject_delay_ns,
    };
    let mut scenario = validated(Scenario::read(&args.scenario)?, overrides)
        .with_context(|| format!("scenario {}", args.scenario.display()))?;
    for warning in scenario.imported.iter().flat_map(|imported| imported.warnings()) {
        eprintln!("warning: cluster file: {warning}");
    }
    let part = args.shard.as_deref().map(str::parse::<Shard>).transpose()?;
    let folder = folder(args, &scenario)?;
    let progress = Progress::new(0);
    let (mut places, setting) = open_places(args, &mut scenario, &|what| progress.preparing(what))?;
    let plan = expand(&scenario, setting, &places.releases())?;
    let shard = part.map(|part| part.record(&plan));
    let cells = match part {
        Some(part) => part.cells(plan),
        None => plan,
    };
    if args.dry_run {
        progress.clear();
        print_plan(&cells, setting);
        return Ok(Ended::Planned);
    }
    let record = RunRecord { shard, ..run_record(&scenario, &cells, &places)? };
    let (mut writer, cells) = open_folder(&folder, &record, cells, args.resume)?;
    progress.preparing("preparing");
    places.prepare(&cells, &|what| progress.preparing(what))?;
    let runner = Runner {
        places: &places,
        jobs: jobs(args.jobs, setting)?,
        limit: Duration::from_secs(scenario.limits.cell_s),
        interrupted,
    };
    progress.expect(cells.len());
    let left = runner.run(cells, &mut writer, &progress)?;
    writer.store_guests(places.guest_records())?;
    drop(writer);
    progress.clear();
    Ok(if left > 0 { Ended::Interrupted { folder, left } } else { Ended::Complete(folder) })
}

/// Ctrl-C and a polite kill set a flag; a second one ends the process at once.
pub(super) fn catch_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// The results folder: as named, the newest of this scenario to resume, or a new one.
fn folder(args: &RunArgs, scenario: &Scenario) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &args.output {
        return Ok(folder.clone());
    }
    let prefix = format!("{}-", scenario.name);
    if args.resume {
        let entries =
            std::fs::read_dir(RUNS).with_context(|| format!("--resume: no folder {RUNS}/"))?;
        let named =
            |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
        let newest = entries.filter_map(Result::ok).filter(named).map(|entry| entry.path()).max();
        return newest.with_context(|| {
            format!("--resume: no run of {} in {RUNS}/; name it with -o", scenario.name)
        });
    }
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    Ok(Path::new(RUNS).join(format!("{prefix}{now}")))
}

/// Decides place and clock, and opens every place; lists and ranges of kernels in the scenario become single ones. Downloads kernels if need be, boots only to probe KVM.
fn open_places(
    args: &RunArgs,
    scenario: &mut Scenario,
    progress: &dyn Fn(&str),
) -> anyhow::Result<(Places, Setting)> {
    let place = match (args.place, scenario.place) {
        (PlaceChoice::Auto, Some(Place::Host)) => PlaceChoice::Host,
        (PlaceChoice::Auto, Some(Place::Guest)) => PlaceChoice::Guest,
        (asked, _) => asked,
    };
    let clock = args.clock;
    ensure!(
        !(place == PlaceChoice::Host && clock == ClockChoice::Instructions),
        "--place host has no instructions clock; use --place guest, or --clock wall"
    );
    let own_words = !scenario.kernel_cmdline.is_empty();
    ensure!(
        !(place == PlaceChoice::Host && own_words),
        "kernel_cmdline is for guest kernels: the host's has booted already; use --place guest"
    );
    // Not being root is no reason to stop here: a guest needs no rights.
    let host_serves = || missing_on_host(&scenario.proxies).is_ok_and(|missing| missing.is_empty());
    let named_kernel = scenario.kernels.iter().any(|kernel| kernel != "default");
    let on_host = match place {
        PlaceChoice::Host => true,
        PlaceChoice::Guest => false,
        PlaceChoice::Auto => {
            clock != ClockChoice::Instructions && !named_kernel && !own_words && host_serves()
        }
    };
    if on_host {
        let places = Places::host(HostPlace::open()?)?;
        return Ok((places, Setting { place: Place::Host, clock: Clock::Wall }));
    }
    require_emulator()?;
    scenario.kernels = select_kernels(&scenario.kernels, progress)?;
    let kernel = scenario.kernels.first().context("kernels: name at least one")?;
    let accelerator = match clock {
        ClockChoice::Instructions => Accelerator::Tcg,
        ClockChoice::Auto | ClockChoice::Wall => {
            let work = WorkDir::new()?;
            let probed = probe_kvm(kernel, false, work.path(), progress)?;
            match (probed.works, clock) {
                (true, _) => Accelerator::Kvm,
                (false, ClockChoice::Auto) => Accelerator::Tcg,
                (false, _) => bail!(
                    "--clock wall in a guest needs working KVM, and here {}; use --clock instructions or --place host",
                    probed.detail
                ),
            }
        }
    };
    let options = GuestOptions {
        accelerator,
        memory_mib: scenario.limits.guest_memory_mib,
        kernel_cmdline: scenario.kernel_cmdline.clone(),
        boot_limit: Duration::from_secs(scenario.limits.boot_s),
        files: Vec::new(),
    };
    let guests: anyhow::Result<Vec<GuestPlace>> = scenario
        .kernels
        .iter()
        .map(|kernel| GuestPlace::open(kernel, &options, progress))
        .collect();
    let clock = if accelerator == Accelerator::Tcg { Clock::Instructions } else { Clock::Wall };
    Ok((Places::guests(guests?)?, Setting { place: Place::Guest, clock }))
}

/// Lists and ranges as single kernels; what is passed over is said on standard error.
fn select_kernels(lists: &[String], progress: &dyn Fn(&str)) -> anyhow::Result<Vec<String>> {
    let selected = lab::image::select(lists, &lab::image::Cache::open()?, progress)?;
    for warning in &selected.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(selected.specs.iter().map(ToString::to_string).collect())
}

fn run_record(
    scenario: &Scenario,
    cells: &[CellSpec],
    places: &Places,
) -> anyhow::Result<RunRecord> {
    let mut facts = places.facts();
    facts.extend(
        scenario
            .imported
            .iter()
            .map(|imported| (CLUSTER_FACT.to_owned(), imported.sha256().to_owned())),
    );
    Ok(RunRecord {
        schema: results::RUN_SCHEMA.into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        command: std::env::args().collect(),
        started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        scenario_name: scenario.name.clone(),
        scenario: serde_json::to_value(scenario)?,
        cells: cells.iter().map(CellSpec::id).collect(),
        shard: None,
        environment: Environment { facts },
        guests: Vec::new(),
    })
}

/// A new folder, or an old one with the cells that are still to do.
fn open_folder(
    folder: &Path,
    record: &RunRecord,
    cells: Vec<CellSpec>,
    resume: bool,
) -> anyhow::Result<(RunWriter, Vec<CellSpec>)> {
    if !resume {
        return Ok((RunWriter::create(folder, record)?, cells));
    }
    let writer = RunWriter::resume(folder, record)?;
    for warning in writer.warnings() {
        eprintln!("warning: {warning}");
    }
    let left = cells.into_iter().filter(|cell| !writer.holds(&cell.id())).collect();
    Ok((writer, left))
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

fn print_plan(cells: &[CellSpec], setting: Setting) {
    crate::out::end_with_reader();
    println!("{} cells on the {} clock, in this order:", cells.len(), setting.clock);
    for cell in cells {
        println!("  {}", cell.id());
    }
}

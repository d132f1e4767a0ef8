//! `vipbench run`: from the arguments to a request, and from how it ended to what is printed.

use std::process::ExitCode;

use results::{Clock, Place};

use super::conclude::conclude;
use crate::cli::{ClockChoice, PlaceChoice, RunArgs};
use crate::console;
use crate::measure::spec::CellSpec;
use crate::run::check::Overrides;
use crate::run::{Ended, Interrupt, RunRequest, how_to_resume};

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    match crate::run::run(&request(args)?, &*Interrupt::catch()?)? {
        Ended::Planned { cells, clock } => print_plan(&cells, clock),
        Ended::Interrupted { folder, left } => Ok(interrupted(left, &how_to_resume(&folder))),
        Ended::Complete(folder) => conclude(&folder, args.json, args.keep_going),
    }
}

/// Prints what would run.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print_plan(cells: &[CellSpec], clock: Option<Clock>) -> anyhow::Result<ExitCode> {
    let clock = match clock {
        Some(clock) => format!("the {clock} clock"),
        None => "the wall clock if KVM works here, else the instructions clock".to_owned(),
    };
    console::line(format_args!("{} cells on {clock}, in this order:", cells.len()))?;
    for cell in cells {
        console::line(format_args!("  {}", cell.id()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says that it was interrupted, and how to go on.
pub(super) fn interrupted(left: usize, how: &str) -> ExitCode {
    console::note(format_args!("interrupted: {left} cells left; {how}"));
    ExitCode::from(1)
}

/// The arguments as a request.
///
/// # Errors
/// A shard that is none.
pub(super) fn request(args: &RunArgs) -> anyhow::Result<RunRequest> {
    Ok(RunRequest {
        scenario: args.scenario.clone(),
        overrides: Overrides {
            proxies: args.proxies.clone(),
            kube_proxies: args.kube_proxies.clone(),
            services: args.services.clone(),
            kernels: args.kernels.clone(),
            kernel_cmdline: args.kernel_cmdline.clone(),
            cluster_file: args.cluster.clone(),
            seeds: args.seeds.concat(),
            topology: args.topology,
            sysctl: args.sysctls.iter().cloned().collect(),
            inject_rules: args.inject_rules,
            inject_delay_ns: args.inject_delay_ns,
        },
        place: place(args.place),
        clock: clock(args.clock),
        output: args.output.clone(),
        resume: args.resume,
        retry: args.retry.clone(),
        shard: args.shard.as_deref().map(str::parse).transpose()?,
        jobs: args.jobs,
        dry_run: args.dry_run,
    })
}

/// The place that is asked for.
pub(super) fn place(choice: PlaceChoice) -> Option<Place> {
    match choice {
        PlaceChoice::Auto => None,
        PlaceChoice::Host => Some(Place::Host),
        PlaceChoice::Guest => Some(Place::Guest),
    }
}

/// The clock that is asked for.
pub(super) fn clock(choice: ClockChoice) -> Option<Clock> {
    match choice {
        ClockChoice::Auto => None,
        ClockChoice::Wall => Some(Clock::Wall),
        ClockChoice::Instructions => Some(Clock::Instructions),
    }
}

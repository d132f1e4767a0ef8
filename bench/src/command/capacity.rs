//! `vipbench capacity`: how many Services each proxy serves within a budget, from stored runs; or,
//! in `search`, from new ones.

mod search;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use results::Run;
use results::capacity::{self, Asked, ClockRate, PlanOptions};

use super::page;
use crate::cli::{CapacityArgs, CapacityCommand};
use crate::files;

pub(super) fn run(args: &CapacityArgs) -> anyhow::Result<ExitCode> {
    if let Some(CapacityCommand::Search(args)) = &args.command {
        return search::run(args);
    }
    let slo = args.slo.as_deref().context("--slo: state the budget")?;
    let runs = args.runs.iter().map(|dir| Run::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let options = PlanOptions {
        asked: asked(args)?,
        clock_rate: clock_rate(args.instructions_per_ns.as_deref(), args.calibrate.as_deref())?,
    };
    let plan = capacity::plan(&runs, slo, &options)?;
    let detail = page::detail(args.detail);
    page::show_detailed(&capacity::document(&plan)?, &plan, "capacity", detail, &args.page)?;
    Ok(ExitCode::SUCCESS)
}

/// The reader's own size, as a number or counted in a Cluster.
fn asked(args: &CapacityArgs) -> anyhow::Result<Option<Asked>> {
    if let Some(path) = &args.cluster {
        return counted(path).map(Some);
    }
    Ok(args.at.map(|services| Asked { services, endpoints: None, source: None }))
}

/// The number of Services of a Cluster's file.
pub(super) fn counted(path: &Path) -> anyhow::Result<Asked> {
    let place = || format!("--cluster {}", path.display());
    let file = files::open(path).with_context(place)?;
    let cluster = generators::from_json(file).with_context(place)?;
    ensure!(
        cluster.endpoint_count() > 0,
        "{}: no Service has an endpoint, so there is nothing to plan for",
        place()
    );
    Ok(Asked {
        services: cluster.services().len() as u64,
        endpoints: Some(cluster.endpoint_count() as u64),
        source: Some(path.to_owned()),
    })
}

/// How instructions become time, as stated or as a run on the wall clock has it.
pub(super) fn clock_rate(
    stated: Option<&str>,
    calibrate: Option<&Path>,
) -> anyhow::Result<Option<ClockRate>> {
    if let Some(text) = stated {
        return Ok(Some(ClockRate::stated(text)?));
    }
    let run = calibrate.map(Run::read).transpose()?;
    Ok(run.map(|run| ClockRate::Measured(Box::new(run))))
}

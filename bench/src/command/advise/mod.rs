//! `vipbench advise`: which proxy to use with so many Services, from a few cells that are measured
//! for it, or from stored runs.

mod candidates;
mod plan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use results::Run;
use results::advise::{AdviseOptions, Budgets, advise, document};
use results::capacity::{Asked, ClockRate};

use super::capacity::{clock_rate, counted};
use super::run::{interrupted, print_plan};
use crate::cli::{AdviseArgs, PageArgs};
use crate::run::{Ended, Interrupt};
use plan::Plan;

/// Folder of the run in that of the page.
const RUN: &str = "run";

pub(super) fn run(args: &AdviseArgs) -> anyhow::Result<ExitCode> {
    // A mistake in a budget or a rate is found before anything is measured.
    let budgets = Budgets::changed(&args.budgets)?;
    let rate = clock_rate(args.instructions_per_ns.as_deref(), args.calibrate.as_deref())?;
    let (runs, asked, output) = if args.runs.is_empty() {
        let plan = Plan::of(args)?;
        let folder = args.output.clone().unwrap_or_else(|| default_folder(plan.services));
        let request = plan.request(args, &folder.join(RUN));
        let run = match crate::run::run_scenario(plan.scenario, &request, &*Interrupt::catch()?)? {
            Ended::Complete(run) => Run::read(&run)?,
            Ended::Planned { cells, clock } => return print_plan(&cells, clock),
            Ended::Interrupted { left, .. } => {
                return Ok(interrupted(left, "the same command goes on"));
            }
        };
        (vec![run], asked(args, Some(plan.services))?, Some(folder))
    } else {
        let runs = args.runs.iter().map(|dir| Run::read(dir)).collect::<Result<_, _>>()?;
        (runs, asked(args, args.services)?, args.output.clone())
    };
    let left_out = candidates::left_out(args);
    let clock_rate = rate.unwrap_or(ClockRate::Recorded);
    let advice = advise(&runs, AdviseOptions { asked, budgets, clock_rate, left_out })?;
    let page = PageArgs { form: args.form, output };
    super::page::show(&document(&advice)?, &advice, "advise", &page)?;
    Ok(ExitCode::SUCCESS)
}

/// Another number of Services is another run.
fn default_folder(services: u32) -> PathBuf {
    Path::new("runs").join(format!("advise-{services}"))
}

/// The reader's own size: as it is measured, or else as it is counted in a Cluster.
fn asked(args: &AdviseArgs, services: Option<u32>) -> anyhow::Result<Asked> {
    match (services, &args.cluster) {
        (Some(services), _) => {
            Ok(Asked { services: services.into(), endpoints: None, source: args.cluster.clone() })
        }
        (None, Some(file)) => counted(file),
        (None, None) => Err(anyhow::anyhow!("--services: say how many Services you have")),
    }
}

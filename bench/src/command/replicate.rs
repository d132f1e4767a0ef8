//! `vipbench replicate`: runs the scenarios that carry published claims, or reads their runs, and
//! prints what became of each claim.
//!
//! What a verdict follows from is in `results::replicate`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use results::Run;
use results::replicate::{self, JudgedClaim};

use crate::cli::{PageArgs, ReplicateArgs};
use crate::console;
use crate::run::{Ended, Interrupt, RunRequest};
use crate::scenario::Scenario;

/// Where the scenarios of published claims are.
const SCENARIOS: &str = "scenarios/replicate";

pub(super) fn run(args: &ReplicateArgs) -> anyhow::Result<ExitCode> {
    let judged = if args.judge.is_empty() { measured(args)? } else { stored(&args.judge)? };
    ensure!(!judged.is_empty(), "no claim to judge: a scenario states them as [[claims]]");
    unique(&judged)?;
    let document = replicate::document(&judged, &console::command());
    let measured = args.judge.is_empty().then(|| args.output.clone());
    let page = PageArgs { form: args.form, output: measured };
    super::page::show(&document, &judged, "claims", &page)?;
    Ok(ExitCode::SUCCESS)
}

fn stored(folders: &[PathBuf]) -> anyhow::Result<Vec<JudgedClaim>> {
    let judged = folders.iter().map(|folder| judge(folder));
    Ok(judged.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

fn judge(folder: &Path) -> anyhow::Result<Vec<JudgedClaim>> {
    let judged = replicate::judge(&Run::read(folder)?);
    judged.with_context(|| format!("run {}", folder.display()))
}

fn measured(args: &ReplicateArgs) -> anyhow::Result<Vec<JudgedClaim>> {
    let files = if args.scenarios.is_empty() { all()? } else { args.scenarios.clone() };
    // Every mistake in a file is found before anything is measured.
    let scenarios: Vec<(PathBuf, Scenario)> = files
        .into_iter()
        .map(|file| Ok((file.clone(), Scenario::read(&file)?)))
        .collect::<anyhow::Result<_>>()?;
    let interrupt = Interrupt::catch()?;
    let mut judged = Vec::new();
    for (file, scenario) in scenarios {
        let folder = args.output.join(&scenario.name);
        console::note(format_args!("{} into {}", file.display(), folder.display()));
        judged.extend(tested(&file, scenario, &folder, &interrupt)?);
    }
    Ok(judged)
}

/// All scenarios with claims that come along, by name.
fn all() -> anyhow::Result<Vec<PathBuf>> {
    let here = format!("{SCENARIOS}: name the scenarios, or run this in the project's folder");
    let entries = fs::read_dir(SCENARIOS).context(here)?;
    let files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let mut scenarios: Vec<PathBuf> = files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|kind| kind == "toml"))
        .collect();
    scenarios.sort();
    Ok(scenarios)
}

/// Runs one scenario, or what is left of it. What this machine cannot run makes its claims
/// untested.
fn tested(
    file: &Path,
    scenario: Scenario,
    folder: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<JudgedClaim>> {
    let request = RunRequest {
        scenario: file.to_owned(),
        output: Some(folder.to_owned()),
        resume: folder.exists(),
        ..RunRequest::default()
    };
    match crate::run::run(&request, interrupt) {
        Ok(Ended::Complete(folder)) => judge(&folder),
        Ok(Ended::Planned { .. }) => Ok(Vec::new()),
        Ok(Ended::Interrupted { left, .. }) => {
            bail!(
                "interrupted: {left} cells of {} are left; the same command goes on",
                file.display()
            )
        }
        Err(error) if interrupt.is_asked() || folder.exists() => Err(error),
        Err(error) => {
            let reason = crate::in_words(&error);
            let name = scenario.name;
            let untested = |claim| replicate::untested(claim, &name, reason.clone());
            Ok(scenario.claims.into_iter().map(untested).collect())
        }
    }
}

fn unique(judged: &[JudgedClaim]) -> anyhow::Result<()> {
    for (at, one) in judged.iter().enumerate() {
        let twin = judged.iter().take(at).find(|other| other.claim.id == one.claim.id);
        if let Some(twin) = twin {
            bail!(
                "claim {} is in both {} and {}; give it another id",
                one.claim.id,
                twin.scenario,
                one.scenario
            );
        }
    }
    Ok(())
}

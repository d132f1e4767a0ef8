//! One file a subcommand: from the arguments as typed to what is printed and the exit code.

mod advise;
mod calibrate;
mod capacity;
mod check;
mod clean;
mod clocks;
mod compare;
mod conclude;
mod doctor;
mod explain;
mod export;
mod gate;
mod generate;
mod guest;
mod import;
mod kernels;
mod load;
mod man;
mod merge;
mod page;
mod replicate;
mod report;
mod run;
mod serve;
mod show;
mod trace;
mod trend;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::console;

/// Runs one subcommand.
///
/// # Errors
/// What the user did wrong or the machine refused; the caller prints it and exits 1.
pub fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Doctor(args) => doctor::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Gate(args) => gate::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Advise(args) => advise::run(&args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Clocks(args) => clocks::run(&args),
        Command::Replicate(args) => replicate::run(&args),
        Command::Trend(args) => trend::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Clean(args) => clean::run(&args),
        Command::Guest(args) => guest::run(&args),
        Command::Kernels(args) => kernels::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "vipbench", &mut script);
            console::print(String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
        }
        Command::Man { folder } => man::run(&folder),
        Command::Cell { job } => crate::place::run_child(&job).map(|()| ExitCode::SUCCESS),
    }
}

//! The command line as typed: subcommands, options and their help. What they mean is decided in
//! `command`.

mod advise;
mod capacity;
mod check;
mod cluster;
mod format;
mod gate;
mod load;
mod machine;
mod numbers;
mod page;
mod run;
mod stored;
mod trace;
mod trend;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use advise::AdviseArgs;
pub use capacity::{CapacityArgs, CapacityCommand, CapacitySearchArgs};
pub use check::{CheckArgs, FamilyChoice};
pub use cluster::{FormArgs, GenerateArgs, ImportArgs};
pub use format::ClusterFormat;
pub use gate::{AcrossChoice, CalibrateArgs, GateArgs, GateFormat};
pub use load::{
    ArrivalsChoice, ClientChoice, EndingChoice, LoadArgs, PortsArg, QuestionChoice, RateArg,
    TargetArg,
};
pub use machine::{
    CleanArgs, DoctorArgs, GuestArgs, KernelsArgs, KernelsCommand, KernelsFetchArgs,
    KernelsListArgs, KernelsProbeArgs,
};
pub use page::{DetailArgs, PageArgs, PrintArgs};
pub use run::{ClockChoice, MergeArgs, PlaceChoice, ReplicateArgs, RunArgs};
pub use stored::{
    ClocksArgs, CompareArgs, ExplainArgs, ExportArgs, ExportFormat, ReportArgs, ShowArgs,
};
pub use trace::{ForwardingChoice, OneFamily, TraceArgs, Transport};
pub use trend::TrendArgs;

const EXAMPLES: &str = "\
Examples:
  vipbench doctor                            what can run on this machine
  vipbench run scenarios/quick.toml          five proxies, three sizes, a report
  vipbench run scenarios/quick.toml --proxy ipvs,none --services 1000
  vipbench run scenarios/quick.toml -o runs/mine --resume
  vipbench check                             does each proxy do what Kubernetes demands?
  vipbench export runs/mine --format csv > mine.csv
  vipbench import objects.json -o mine.json  your own cluster, from what `kubectl get` printed
  vipbench run scenarios/quick.toml --cluster mine.json
  vipbench compare runs/kernels --base-kernel 6.1 --new-kernel 6.12
  vipbench gate runs/before runs/after       a verdict for a pipeline
  vipbench capacity runs/mine --slo 'connect.p99 < 500us'
  vipbench load http://127.0.0.1:8080/ --rate 5000    new connections at planned moments

Exit codes: 0 good; 1 the tool failed or the input is wrong; 2 regression; 3 inconclusive;
4 invalid.";

/// Which Service data plane, on which kernel, at my size, and did anything get slower?
#[derive(Debug, Parser)]
#[command(name = "vipbench", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what can run here, what is missing, and the command that installs it
    Doctor(DoctorArgs),
    /// Run a scenario and write a results folder with a report
    Run(RunArgs),
    /// Prove by packets who can reach what through each proxy, as a matrix
    #[command(after_help = check::EXAMPLES)]
    Check(CheckArgs),
    /// Write a synthetic Cluster as JSON, Kubernetes objects, iptables or IPVS text, or serve it to
    /// kubectl
    Generate(GenerateArgs),
    /// Make a Cluster of a real cluster's Services and `EndpointSlices`, to run scenarios on
    Import(ImportArgs),
    /// Make one run of shards that ran apart, on any machines
    Merge(MergeArgs),
    /// Print a run as flat rows, one a metric
    Export(ExportArgs),
    /// Set a run against another, or two kernels of a run: what changed, and by how much
    Compare(CompareArgs),
    /// Judge a run against another: pass, regression, inconclusive or invalid
    #[command(after_help = gate::GATE_EXAMPLES)]
    Gate(GateArgs),
    /// Measure the gate itself: false alarms, and slowdowns that it finds
    #[command(after_help = gate::CALIBRATE_EXAMPLES)]
    Calibrate(CalibrateArgs),
    /// Tell which proxy to use with your number of Services: measure what decides, or read runs
    #[command(after_help = advise::ADVISE_EXAMPLES)]
    Advise(Box<AdviseArgs>),
    /// Tell how many Services each proxy serves within a budget
    Capacity(CapacityArgs),
    /// Tell which kernel functions a cell's instructions went to, or where two cells differ
    Explain(ExplainArgs),
    /// Print the report of one or more runs, and write it as a page into the first of them, or into
    /// -o
    Report(ReportArgs),
    /// Print the answer of one or more runs again, as `run` ended with it; nothing is written
    Show(ShowArgs),
    /// Set time against instructions: the same cells on both clocks
    #[command(after_help = stored::CLOCKS_EXAMPLES)]
    Clocks(ClocksArgs),
    /// Put published claims to the test: run the scenarios that test them, and judge
    #[command(after_help = run::REPLICATE_EXAMPLES)]
    Replicate(ReplicateArgs),
    /// Show runs over time: where a number changed, what changed with it, and whether that stands
    #[command(after_help = trend::TREND_EXAMPLES)]
    Trend(TrendArgs),
    /// Show one connection's packets hop by hop, with every translation, tunnel and chain
    #[command(after_help = trace::TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Dial an address as often as asked, whatever the answers take, and tell the latencies
    #[command(after_help = load::LOAD_EXAMPLES)]
    Load(LoadArgs),
    /// Remove what a crashed run left behind
    Clean(CleanArgs),
    /// Run a program inside a guest kernel (used by the tests; handy for looking around)
    Guest(GuestArgs),
    /// List and fetch guest kernels, and find out what they can do
    Kernels(KernelsArgs),
    /// Print shell completions
    Completions {
        /// The shell to write for
        shell: clap_complete::Shell,
    },
    /// Write man pages, one a command
    Man {
        /// Folder to write them into
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Run one cell of a run on the host: what `run` starts for each of them
    #[command(hide = true)]
    Cell {
        /// The cell as JSON
        job: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, CommandFactory as _};

    use super::*;

    #[test]
    fn wherever_several_can_be_named_a_list_with_commas_will_do() {
        let mut seen = 0;
        for command in Cli::command().get_subcommands() {
            let several = |arg: &&clap::Arg| matches!(arg.get_action(), ArgAction::Append);
            for arg in command.get_arguments().filter(several) {
                if let Some("proxy" | "metric" | "services" | "seeds") = arg.get_long() {
                    let delimiter = arg.get_value_delimiter();
                    assert_eq!(delimiter, Some(','), "{} {arg}", command.get_name());
                    seen += 1;
                }
            }
        }
        assert!(seen >= 7, "{seen}");
    }
}

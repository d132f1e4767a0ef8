//! `vipbench capacity` as typed, and its help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::page::{DetailArgs, PageArgs};
use super::run::RunArgs;

const CAPACITY_SEARCH_EXAMPLES: &str = "\
Examples:
  vipbench capacity search scenarios/capacity.toml --slo 'connect.p50 < 150k' --kernel 6.1
  vipbench capacity search scenarios/capacity.toml --slo 'connect.p99 < 100us' --place host

Each step is a run of its own in the folder (-o, runs/capacity): the same command goes on where
an earlier one was interrupted. With none among the proxies, a budget may be relative to it.";

const CAPACITY_EXAMPLES: &str = "\
Examples:
  vipbench capacity runs/mine --slo 'connect.p99 < 500us and sync.endpoint_change.total < 1s'
  vipbench capacity results/reference/default-6.1 --slo 'connect.p99 < 150k' --at 5000
  vipbench capacity results/reference/default-6.1 --slo 'connect.p50 < 1.5x none'
  vipbench generate --services 5000 -o mine.json
  vipbench capacity runs/mine --slo 'connect.p99@last < 150k' --cluster mine.json -o plan

A condition is METRIC.STATISTIC@POSITION or METRIC.PART, then `<` or `<=` and a limit.
Statistics: p50, p90, p95, p99, mean, max.
Position: the worst that was measured, unless it is named.
Limits on the wall clock: ns, us, ms, s. On the instructions clock: a number of instructions, such
as 150k, 2M or 3G. On both: B, kB, MB, GB, and `1.5x none`, relative to a connection without a
proxy. Time on the instructions clock needs --calibrate or --instructions-per-ns; every figure is
then an estimate.";

/// `vipbench capacity`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = CAPACITY_EXAMPLES)]
pub struct CapacityArgs {
    /// Measure instead of reading what was measured.
    #[command(subcommand)]
    pub command: Option<CapacityCommand>,
    /// Results folders
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The budget: conditions joined by `and`
    #[arg(long, value_name = "EXPR", required = true)]
    pub slo: Option<String>,
    /// Your own number of Services: its headroom, and what twice as many cost
    #[arg(long, value_name = "N", conflicts_with = "cluster", value_parser = clap::value_parser!(u64).range(1..))]
    pub at: Option<u64>,
    /// Your own Cluster, as `vipbench generate --format json` writes it
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// A run on the wall clock with some of the same cells, to estimate instructions from time
    #[arg(long, value_name = "RUN")]
    pub calibrate: Option<PathBuf>,
    /// Estimate instructions from time with this factor or range, such as 1.2..2.5
    #[arg(long, value_name = "X", conflicts_with = "calibrate")]
    pub instructions_per_ns: Option<String>,
    /// How much is printed.
    #[command(flatten)]
    pub detail: DetailArgs,
    /// Form and place of the page.
    #[command(flatten)]
    pub page: PageArgs,
}

/// The subcommand of `vipbench capacity`.
#[derive(Debug, Subcommand)]
pub enum CapacityCommand {
    /// Measure at few, well-placed sizes until the largest within the budget is known closely
    /// enough
    #[command(after_help = CAPACITY_SEARCH_EXAMPLES)]
    Search(Box<CapacitySearchArgs>),
}

/// `vipbench capacity search`.
#[derive(Debug, Args)]
pub struct CapacitySearchArgs {
    /// As for `vipbench run`; the scenario's smallest and largest size are the bounds
    #[command(flatten)]
    pub run: RunArgs,
    /// The budget: conditions joined by `and`
    #[arg(long, value_name = "EXPR")]
    pub slo: String,
    /// How close to come, per cent between the largest size within the budget and the smallest over
    /// it
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = clap::value_parser!(u8).range(2..))]
    pub within: u8,
}

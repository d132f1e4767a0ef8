//! `vipbench advise` as typed, with its help.

use std::path::PathBuf;

use clap::Args;

use super::numbers;
use super::page::PrintArgs;
use super::run::{ClockChoice, PlaceChoice};

pub(super) const ADVISE_EXAMPLES: &str = "\
Examples:
  vipbench advise --services 3000
  vipbench advise --services 3000 --endpoints 3 --kernel 6.1,6.12 --budget change=2s
  vipbench advise --cluster mine.json --kube-proxy ./kube-proxy
  vipbench advise results/reference/nftables-6.1 --services 3000

Budgets, each with its default; --budget changes one:
  connect=100us   1,000 new connections a second take at most a tenth of a core
  change=1s       a Change is effective within a second
  start=30s       all Services are programmed within half a minute of a start
A limit is a time, a number of instructions such as 600M on the instructions clock, or for connect
`1.5x none`, relative to a connection without a proxy.

What is measured: new connections, a full sync and Changes at a quarter, half and all of the
Services. It goes into the folder (-o); the same command goes on where an earlier one was
interrupted.
Where only instructions can be measured, a budget in time is an estimate, and the answer says so.";

/// `vipbench advise`.
#[derive(Debug, Args)]
pub struct AdviseArgs {
    /// Results folders to read the answer off, instead of measuring
    #[arg(value_name = "RUN", conflicts_with_all = ["endpoints", "kernels", "proxies", "kube_proxies", "place", "clock", "dry_run"])]
    pub runs: Vec<PathBuf>,
    /// How many Services you have
    #[arg(long, value_name = "N", value_parser = numbers::count, required_unless_present = "cluster")]
    pub services: Option<u32>,
    /// Your own Cluster (see `vipbench import`), instead of a number
    #[arg(long, value_name = "FILE", conflicts_with_all = ["services", "endpoints"])]
    pub cluster: Option<PathBuf>,
    /// Endpoints of each Service
    #[arg(long, value_name = "N", value_parser = numbers::count, default_value_t = 1)]
    pub endpoints: u32,
    /// Change a budget, such as `change=2s` (repeatable)
    #[arg(long = "budget", value_name = "NAME=LIMIT")]
    pub budgets: Vec<String>,
    /// Guest kernels, as for `vipbench run` (repeatable)
    #[arg(long = "kernel", value_name = "SPEC")]
    pub kernels: Vec<String>,
    /// Only these proxies, such as `ipvs,nftables-1.37` (repeatable) [default: all that a node can
    /// use in place of kube-proxy's]
    #[arg(long = "proxy", value_name = "NAME", value_delimiter = ',')]
    pub proxies: Vec<String>,
    /// A kube-proxy, whose modes are then what is looked at (repeatable, one a version)
    #[arg(long = "kube-proxy", value_name = "PATH", conflicts_with = "proxies")]
    pub kube_proxies: Vec<PathBuf>,
    /// Where cells run
    #[arg(long, value_enum, default_value = "auto")]
    pub place: PlaceChoice,
    /// What timings count
    #[arg(long, value_enum, default_value = "auto")]
    pub clock: ClockChoice,
    /// A run on the wall clock with some of the same cells, to estimate instructions from time
    #[arg(long, value_name = "RUN")]
    pub calibrate: Option<PathBuf>,
    /// Estimate instructions from time with this factor or range, such as 1.2..2.5 [default: what
    /// one machine was found to do]
    #[arg(long, value_name = "X", conflicts_with = "calibrate")]
    pub instructions_per_ns: Option<String>,
    /// Folder for what is measured and for the page as HTML, Markdown and JSON [default:
    /// runs/advise-N; with RUN none]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Print what would be measured and stop: nothing is created
    #[arg(long)]
    pub dry_run: bool,
    /// What is printed.
    #[command(flatten)]
    pub form: PrintArgs,
}

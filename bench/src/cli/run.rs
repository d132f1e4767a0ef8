//! What measures, as typed: `run`, `replicate`, and `merge` of what ran apart.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use strum::VariantNames;

use super::numbers;
use super::page::PrintArgs;
use crate::measure::node::SysctlValue;
use crate::measure::path::Topology;

pub(super) const REPLICATE_EXAMPLES: &str = "\
Examples:
  vipbench replicate                                 run scenarios/replicate/*.toml, or go on
  vipbench replicate scenarios/replicate/syncs.toml  only the claims of one scenario
  vipbench replicate --judge results/reference/replicate/* --markdown

A claim holds, holds only under the conditions that are named, does not hold, or cannot be tested
here. A scenario that cannot run on this machine is no error: its claims say why.";

/// Where cells run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaceChoice {
    /// The host if its kernel has what the scenario's proxies need, else a guest
    Auto,
    /// This machine's own kernel, in throw-away namespaces
    Host,
    /// A stock kernel in a virtual machine
    Guest,
}

/// What timings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClockChoice {
    /// Wall time where it means something (host, or a guest under KVM), else instructions
    Auto,
    /// Nanoseconds
    Wall,
    /// Guest instructions executed: identical from run to run, needs no KVM
    Instructions,
}

/// Parses a topology, and tells the others where there is no such.
fn topology() -> impl TypedValueParser<Value = Topology> {
    PossibleValuesParser::new(Topology::VARIANTS).try_map(|name| name.parse::<Topology>())
}

/// `vipbench run`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RunArgs {
    /// The scenario, a TOML file (see scenarios/)
    pub scenario: PathBuf,
    /// Results folder [default: runs/SCENARIO-DATE]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Where cells run
    #[arg(long, value_enum, default_value = "auto")]
    pub place: PlaceChoice,
    /// What timings count
    #[arg(long, value_enum, default_value = "auto")]
    pub clock: ClockChoice,
    /// Guest kernels: `6.1`, `7.x`, `5.10..7.3`, an exact release, `PATH.deb`,
    /// `vmlinuz=PATH,modules=DIR`, `host`, or a list such as `6.1,7.x` (repeatable; replaces the
    /// scenario's)
    #[arg(long = "kernel", value_name = "SPEC")]
    pub kernels: Vec<String>,
    /// Proxies to run, such as `none,ipvs` (repeatable; replaces the scenario's)
    #[arg(long = "proxy", value_name = "NAME", value_delimiter = ',')]
    pub proxies: Vec<String>,
    /// A kube-proxy to run as a proxy, in modes iptables and nftables unless proxies are named,
    /// such as `kube-proxy-ipvs` (repeatable, one a version; replaces the scenario's)
    #[arg(long = "kube-proxy", value_name = "PATH")]
    pub kube_proxies: Vec<PathBuf>,
    /// Numbers of Services, such as `100,1_000` (repeatable; replaces the scenario's)
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = numbers::count)]
    pub services: Vec<u32>,
    /// An imported Cluster (see `vipbench import`) instead of generated ones; all of its Services,
    /// unless --services tells how many of the first ones
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// What joins the hosts of the lab, for new connections and syncs: `star`, `one-node`,
    /// `two-nodes`, `two-nodes-ipip` (replaces that of every path of the scenario)
    #[arg(long, value_name = "NAME", value_parser = topology())]
    pub topology: Option<Topology>,
    /// Seeds and ranges of them, such as `1,2` or `1..20` (repeatable; replaces the scenario's)
    #[arg(long, value_name = "SEED", value_delimiter = ',', value_parser = numbers::seeds)]
    pub seeds: Vec<Vec<u64>>,
    /// Kernel parameters of the node's namespace, such as `net.ipv4.vs.conn_reuse_mode=0`
    /// (repeatable; beside the scenario's)
    #[arg(long = "sysctl", value_name = "NAME=VALUE", value_parser = sysctl)]
    pub sysctls: Vec<(String, SysctlValue)>,
    /// Slow every proxy down on purpose, for the calibration of the gate: rules that match nothing,
    /// at the head of every chain
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub inject_rules: Option<u32>,
    /// The same by work of the server before each answer, nanoseconds
    #[arg(long, value_name = "NS", hide_short_help = true)]
    pub inject_delay_ns: Option<u64>,
    /// More words for the guest kernels' command line, such as `mitigations=off` (replaces the
    /// scenario's)
    #[arg(long, value_name = "STRING")]
    pub kernel_cmdline: Option<String>,
    /// Run only part K of N, for spreading a run over machines; `merge` makes one run of the parts
    #[arg(long, value_name = "K/N")]
    pub shard: Option<String>,
    /// Continue an interrupted run: finished cells are kept
    #[arg(long)]
    pub resume: bool,
    /// Run cells again that ended so: `failed`, `invalid`, `censored` (with those skipped for it)
    #[arg(long, value_name = "HOW", value_delimiter = ',', requires = "resume")]
    #[arg(value_parser = ["failed", "invalid", "censored"])]
    pub retry: Vec<String>,
    /// Exit with 0 although cells failed
    #[arg(long)]
    pub keep_going: bool,
    /// Guests at a time [default: one a core; always 1 on the wall clock]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Print the plan and stop: nothing is created
    #[arg(long)]
    pub dry_run: bool,
    /// Print the finished run's rows as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// A kernel parameter such as `net.ipv4.vs.conn_reuse_mode=0`.
fn sysctl(text: &str) -> Result<(String, SysctlValue), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let Ok(value) = value.trim().parse();
    Ok((name.trim().to_owned(), value))
}

/// `vipbench merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Results folders of the shards
    #[arg(required = true, value_name = "DIR")]
    pub runs: Vec<PathBuf>,
    /// Results folder to make
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Print the merged run's rows as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `vipbench replicate`.
#[derive(Debug, Args)]
pub struct ReplicateArgs {
    /// Scenarios with claims [default: all of scenarios/replicate]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,
    /// Folder for one results folder a scenario and the page of claims; finished cells in it are
    /// kept
    #[arg(short, long, value_name = "DIR", default_value = "runs/replicate")]
    pub output: PathBuf,
    /// Measure nothing: judge these results folders
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with_all = ["scenarios", "output"])]
    pub judge: Vec<PathBuf>,
    /// Form and place of the page.
    #[command(flatten)]
    pub form: PrintArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_parameter_is_a_name_and_a_number_or_text() {
        let number = ("net.ipv4.vs.conn_reuse_mode".to_owned(), SysctlValue::Number(0));
        assert_eq!(sysctl("net.ipv4.vs.conn_reuse_mode=0"), Ok(number));
        let text = ("net.ipv4.ip_local_port_range".to_owned(), SysctlValue::Text("1 2".to_owned()));
        assert_eq!(sysctl("net.ipv4.ip_local_port_range = 1 2"), Ok(text));
        assert!(sysctl("net.ipv4.ip_forward").is_err());
    }
}

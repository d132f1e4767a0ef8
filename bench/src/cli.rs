//! The command line as typed: subcommands, options and their help. What they mean is decided in `command`.

mod gate;
mod import;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use gate::{AcrossChoice, CalibrateArgs, GateArgs, GateFormat};
use gate::{CALIBRATE_EXAMPLES, GATE_EXAMPLES};
pub use import::ImportArgs;

const EXAMPLES: &str = "\
Examples:
  vipbench doctor                            what can run on this machine
  vipbench run scenarios/quick.toml          five proxies, three sizes, a report
  vipbench run scenarios/quick.toml --proxy ipvs --proxy none --services 1000
  vipbench run scenarios/quick.toml -o runs/mine --resume
  vipbench export runs/mine --format csv > mine.csv
  vipbench run scenarios/quick.toml --cluster mine.json    your own cluster, see `vipbench import --help`
  vipbench compare runs/kernels --base-kernel 6.1 --new-kernel 6.12
  vipbench gate runs/before runs/after       a verdict for a pipeline
  vipbench capacity runs/mine --slo 'connect.p99 < 500us'

Exit codes: 0 good; 1 the tool failed or the input is wrong; 2 regression; 3 inconclusive; 4 invalid.";

const CAPACITY_SEARCH_EXAMPLES: &str = "\
Examples:
  vipbench capacity search scenarios/capacity.toml --slo 'connect.p50 < 150k' --clock instructions --kernel 6.1
  vipbench capacity search scenarios/capacity.toml --slo 'connect.p99 < 100us' --place host --proxy iptables-nft

Each step is a run of its own in the folder (-o, runs/capacity): the same command goes on where an earlier one was
interrupted. With none among the proxies, a budget may be relative to it.";

const CLOCKS_EXAMPLES: &str = "\
Examples:
  vipbench run scenarios/clocks.toml --place host -o runs/wall
  vipbench run scenarios/clocks.toml --clock instructions --kernel 6.18 -o runs/instructions
  vipbench clocks runs/wall runs/instructions -o runs/clocks";

const REPLICATE_EXAMPLES: &str = "\
Examples:
  vipbench replicate                                   run scenarios/replicate/*.toml, or go on, and judge every claim
  vipbench replicate scenarios/replicate/syncs.toml    only the claims of one scenario
  vipbench replicate --judge results/reference/replicate/* --markdown

A claim holds, holds only under the conditions that are named, does not hold, or cannot be tested here. A scenario
that cannot run on this machine is no error: its claims say why they could not be tested.";

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
    /// Write a synthetic Cluster as JSON, Kubernetes objects, iptables or IPVS text
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
    #[command(after_help = GATE_EXAMPLES)]
    Gate(GateArgs),
    /// Measure the gate itself: false alarms, and slowdowns that it finds
    #[command(after_help = CALIBRATE_EXAMPLES)]
    Calibrate(CalibrateArgs),
    /// Tell how many Services each proxy serves within a budget
    Capacity(CapacityArgs),
    /// Tell which kernel functions a cell's instructions went to, or where two cells differ
    Explain(ExplainArgs),
    /// Write one HTML page, one Markdown file and the plots of one or more runs
    Report(ReportArgs),
    /// Set time against instructions: the same cells on both clocks
    #[command(after_help = CLOCKS_EXAMPLES)]
    Clocks(ClocksArgs),
    /// Put published claims to the test: run the scenarios that test them, and judge
    #[command(after_help = REPLICATE_EXAMPLES)]
    Replicate(ReplicateArgs),
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
    /// Run one cell of a run on the host: what `run` starts for each of them
    #[command(hide = true)]
    Cell {
        /// The cell as JSON
        job: PathBuf,
    },
}

/// `vipbench doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Boot a guest under each accelerator instead of trusting an earlier probe
    #[arg(long)]
    pub probe: bool,
}

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

/// `vipbench run`.
#[derive(Debug, Clone, Args)]
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
    /// Guest kernels: `6.1`, `7.x`, `5.10..7.3`, an exact release, `PATH.deb`, `vmlinuz=PATH,modules=DIR`, `host`, or a list such
    /// as `6.1,7.x` (repeatable; replaces the scenario's)
    #[arg(long = "kernel", value_name = "SPEC")]
    pub kernels: Vec<String>,
    /// Proxy to run (repeatable; replaces the scenario's)
    #[arg(long = "proxy", value_name = "NAME")]
    pub proxies: Vec<String>,
    /// Number of Services (repeatable; replaces the scenario's)
    #[arg(long, value_name = "N")]
    pub services: Vec<u32>,
    /// An imported Cluster (see `vipbench import`) instead of generated ones; all of its Services, unless --services tells how
    /// many of the first ones
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// Seeds, one or a range such as `1..20` (repeatable; replaces the scenario's)
    #[arg(long, value_name = "SEED", value_parser = crate::seeds::parse)]
    pub seeds: Vec<Vec<u64>>,
    /// Slow every proxy down on purpose, for the calibration of the gate: rules that match nothing, at the head of every chain
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub inject_rules: Option<u32>,
    /// The same by work of the server before each answer, nanoseconds
    #[arg(long, value_name = "NS", hide_short_help = true)]
    pub inject_delay_ns: Option<u64>,
    /// More words for the guest kernels' command line, such as `mitigations=off` (replaces the scenario's)
    #[arg(long, value_name = "STRING")]
    pub kernel_cmdline: Option<String>,
    /// Run only part K of N, for spreading a run over machines; `merge` makes one run of the parts
    #[arg(long, value_name = "K/N")]
    pub shard: Option<String>,
    /// Continue an interrupted run: finished cells are kept
    #[arg(long)]
    pub resume: bool,
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

/// Text forms of a Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterFormat {
    /// vipbench's own JSON
    Json,
    /// A Kubernetes List of Services and `EndpointSlices`
    K8s,
    /// Input of `iptables-restore`, as kube-proxy would write it
    Iptables,
    /// Input of `ipvsadm -R`
    Ipvs,
    /// Input of `nft -f`, in kube-proxy's rule layout of Kubernetes 1.33
    #[value(name = "nft-1.33")]
    Nft1_33,
    /// The same in the layout of 1.36
    #[value(name = "nft-1.36")]
    Nft1_36,
    /// The same in the layout of 1.37
    #[value(name = "nft-1.37")]
    Nft1_37,
}

/// `vipbench generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Number of Services
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub services: u32,
    /// Endpoints of each Service
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub endpoints: u32,
    /// Seed: the same seed gives the same bytes on any machine
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Take the Cluster section of a scenario instead of defaults
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Write the Cluster of this file (see `vipbench import`) in another form, instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["services", "endpoints", "seed", "scenario"])]
    pub cluster: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value = "json")]
    pub format: ClusterFormat,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
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

/// Forms of exported rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Comma separated values with a header
    Csv,
    /// An array of objects
    Json,
}

/// `vipbench export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Results folder
    pub run: PathBuf,
    /// Form of the rows
    #[arg(long, value_enum, default_value = "csv")]
    pub format: ExportFormat,
}

/// `vipbench compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Results folder to compare with
    pub base: PathBuf,
    /// Results folder that is compared [default: the base's, for two of its kernels]
    pub new: Option<PathBuf>,
    /// Only this kernel of the base: its release or the beginning of it
    #[arg(long, value_name = "RELEASE")]
    pub base_kernel: Option<String>,
    /// Only this kernel of the other side
    #[arg(long, value_name = "RELEASE")]
    pub new_kernel: Option<String>,
    /// Show every number: p99, counts and small effects too
    #[arg(long)]
    pub all: bool,
    /// Print everything as JSON (results/schema/vipbench.compare-1.json)
    #[arg(long, conflicts_with_all = ["markdown", "all"])]
    pub json: bool,
    /// Print Markdown
    #[arg(long)]
    pub markdown: bool,
}

const CAPACITY_EXAMPLES: &str = "\
Examples:
  vipbench capacity runs/mine --slo 'connect.p99 < 500us and sync.endpoint_change.total < 1s'
  vipbench capacity results/reference/default-6.1 --slo 'connect.p99 < 150k' --at 5000
  vipbench capacity results/reference/default-6.1 --slo 'connect.p50 < 1.5x none'
  vipbench generate --services 5000 -o mine.json
  vipbench capacity results/reference/default-6.1 --slo 'connect.p99@last < 150k' --cluster mine.json -o plan

A condition is METRIC.STATISTIC@POSITION or METRIC.PART, then `<` or `<=` and a limit. Statistics: p50, p90, p95, p99, mean, max.
The position is the worst that was measured unless it is named. Limits: ns, us, ms, s on the wall clock; a number of instructions
(150k, 2M, 3G) on the instructions clock; B, kB, MB, GB; `1.5x none`, relative to a connection without a proxy.
Time on the instructions clock needs --calibrate or --instructions-per-ns, and every figure is then an estimate.";

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
    /// Print JSON (results/schema/vipbench.capacity-1.json)
    #[arg(long)]
    pub json: bool,
    /// Write capacity.html and capacity.md into this folder
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// The subcommand of `vipbench capacity`.
#[derive(Debug, Subcommand)]
pub enum CapacityCommand {
    /// Measure at few, well-placed sizes until the largest within the budget is known closely enough
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
    /// How close to come, per cent between the largest size within the budget and the smallest over it
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = clap::value_parser!(u8).range(2..))]
    pub within: u8,
}

/// `vipbench explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Results folder of a run on the instructions clock; files go to its folder `explain`
    pub run: PathBuf,
    /// The cell: its id, a part of it, or `proxy=ipvs,services=1000,kernel=6.1,seed=1`
    #[arg(long, value_name = "CELL")]
    pub cell: String,
    /// The cell to set it against
    #[arg(long, value_name = "CELL")]
    pub against: Option<String>,
    /// `connect`, `request`, `close` or `sync.*` [default: `connect`; of a sync cell `sync.full`]
    #[arg(long)]
    pub metric: Option<String>,
    /// Position of the Service, or part of the sync [default: `last`; of a sync `total`]
    #[arg(long)]
    pub label: Option<String>,
    /// Functions to name
    #[arg(long, default_value_t = 25, value_name = "N")]
    pub top: usize,
    /// Only samples that took so many instructions: takes the modes of a distribution apart
    #[arg(long, value_name = "LEAST..MOST", hide_short_help = true)]
    pub between: Option<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// `vipbench report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Results folders
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// Folder for report.html, report.md and plots/ [default: the first run's]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Kernel that others are compared with: its release or the beginning of it [default: the oldest]
    #[arg(long, value_name = "RELEASE")]
    pub reference_kernel: Option<String>,
}

/// `vipbench clocks`.
#[derive(Debug, Args)]
pub struct ClocksArgs {
    /// Results folder of a run on the wall clock, with one kernel
    pub wall: PathBuf,
    /// Results folder of the same scenario on the instructions clock, with one kernel
    pub instructions: PathBuf,
    /// Folder for clock-validation.md and clock-validation.svg
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// `vipbench replicate`.
#[derive(Debug, Args)]
pub struct ReplicateArgs {
    /// Scenarios with claims [default: all of scenarios/replicate]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,
    /// Folder for one results folder a scenario; finished cells in it are kept
    #[arg(short, long, value_name = "DIR", default_value = "runs/replicate")]
    pub output: PathBuf,
    /// Measure nothing: judge these results folders
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with_all = ["scenarios", "output"])]
    pub judge: Vec<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print Markdown instead of a table
    #[arg(long)]
    pub markdown: bool,
}

/// `vipbench clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Remove downloaded kernels, images and snapshots too
    #[arg(long)]
    pub cache: bool,
    /// Only tell what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// `vipbench kernels`.
#[derive(Debug, Args)]
pub struct KernelsArgs {
    /// What to do with kernels.
    #[command(subcommand)]
    pub command: KernelsCommand,
}

/// The subcommands of `vipbench kernels`.
#[derive(Debug, Subcommand)]
pub enum KernelsCommand {
    /// Print the kernels of this machine's package sources and of the cache
    List(KernelsListArgs),
    /// Put kernels into the cache
    Fetch(KernelsFetchArgs),
    /// Boot kernels and print which proxies, matches, targets and schedulers work there, found by trying
    Probe(KernelsProbeArgs),
}

/// `vipbench kernels list`.
#[derive(Debug, Args)]
pub struct KernelsListArgs {
    /// Every release and flavour instead of the one that each series stands for
    #[arg(long)]
    pub all: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `vipbench kernels fetch`.
#[derive(Debug, Args)]
pub struct KernelsFetchArgs {
    /// Kernels, as for `run --kernel`
    #[arg(required = true, value_name = "SPEC")]
    pub specs: Vec<String>,
    /// Look for newer kernels even where an earlier answer is known
    #[arg(long)]
    pub update: bool,
}

/// `vipbench kernels probe`.
#[derive(Debug, Args)]
pub struct KernelsProbeArgs {
    /// Kernels, as for `run --kernel`
    #[arg(required = true, value_name = "SPEC")]
    pub specs: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `vipbench guest`.
#[derive(Debug, Args)]
pub struct GuestArgs {
    /// Guest kernel, as for `run`, but a single one
    #[arg(long, value_name = "SPEC", default_value = "default")]
    pub kernel: String,
    /// Wall-time limit, seconds
    #[arg(long, default_value_t = 600, value_name = "S")]
    pub limit_s: u64,
    /// More words for the guest kernel's command line
    #[arg(long, value_name = "STRING", default_value = "")]
    pub kernel_cmdline: String,
    /// Seed of the guest's random pool
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A program of this machine and its arguments; its shared libraries come along
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
}

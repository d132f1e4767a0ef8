//! `vipbench gate` and `vipbench calibrate` as typed, with their help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::page::{DetailArgs, PageArgs, PrintArgs};

pub(super) const GATE_EXAMPLES: &str = "\
Verdicts and exit codes:
  pass 0          nothing that matters got slower; improvements are named
  regression 2    something did. Instructions: beyond the threshold in any seed.
                  Wall clock: proven, and at least half of the threshold
  inconclusive 3  wall clock: noise hides an effect as large as the threshold; the answer says
                  how many more replicates are needed
  invalid 4       the environments differ, the control without a proxy (none) changed, or cells
                  failed
  1               the input is wrong

The control. A connection without a proxy (none) shows whether something below the proxies changed.
  Nothing is meant to differ: none must be exactly equal on the instructions clock. On the wall
  clock it must not be proven to have changed by the threshold, and connect and request are judged
  relative to none of the same seed, which takes the machine's speed out.
  --across iptables: the median of none may differ by 0.1%.
  --across kernel or tool: none itself may change, and its change is shown. Connect and request are
  judged by what the proxy adds to none, as a share of the whole base. Inside each run none must be
  the same for all Services and positions, within 0.5% (wall 5%).

Thresholds:
  instructions    0.2% for connect, 0.5% for all others; with --across 5% for syncs, which another
                  layout of memory alone changes by some per cent
  wall            5%
  counts          0 for rules, messages and bytes
Judged are the medians of connect, request and vip_bind, and the total of every sync. 99th
percentiles are judged on the instructions clock without --across, and wherever a threshold such as
connect.p99=2% is given. A threshold of another metric has that judged too.

Wall clock. The replicates are the seeds. Record in the order base, new, new, base, each folder
with seeds of its own pair. PIN is `taskset -c 1 chrt --fifo 1`, W is `--place host --clock wall`:
  PIN OLD run scenarios/gate-wall.toml W --seeds 1..10  -o a1
  PIN NEW run scenarios/gate-wall.toml W --seeds 1..10  -o b1
  PIN NEW run scenarios/gate-wall.toml W --seeds 11..20 -o b2
  PIN OLD run scenarios/gate-wall.toml W --seeds 11..20 -o a2
  vipbench gate a1 b1 --base-more a2 --new-more b2 --across tool

Examples:
  vipbench gate results/reference/mine runs/mine
  vipbench gate runs/old runs/new --across iptables --threshold connect=1% --threshold sync.full=2%
  vipbench gate runs/kernels --across kernel --base-kernel 6.1 --new-kernel 6.12
  vipbench gate base new --format markdown -o comment.md
  vipbench gate base new --update     # accept new as the baseline";

pub(super) const CALIBRATE_EXAMPLES: &str = "\
What it needs is recorded by scripts/calibrate-wall and scripts/calibrate-instructions. On the
instructions clock every pair of repeated runs is a gate. On the wall clock gates are resampled from
recorded replicates, in the order base, new, new, base.

Examples:
  scripts/calibrate-wall runs/wall && vipbench calibrate runs/wall
  vipbench calibrate results/reference/gate-instructions-6.1 -o docs";

/// The one thing that is meant to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AcrossChoice {
    /// The kernel
    Kernel,
    /// The programs of iptables
    Iptables,
    /// The build of vipbench
    Tool,
    /// A slowdown put in on purpose (`run --inject-rules`, `--inject-delay-ns`)
    #[value(hide = true)]
    Injection,
}

/// Forms of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GateFormat {
    /// For a terminal
    Text,
    /// For a comment on a change
    Markdown,
    /// The same as a page
    Html,
    /// `JUnit` XML
    Junit,
    /// Everything (results/schema/vipbench.gate-1.json)
    Json,
    /// Workflow commands of a CI engine
    Annotations,
}

/// `vipbench gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// Results folder that is the measure
    pub base: PathBuf,
    /// Results folder that is judged [default: the base's, for two of its kernels]
    pub new: Option<PathBuf>,
    /// Another folder of the base, with seeds of its own (repeatable)
    #[arg(long, value_name = "DIR")]
    pub base_more: Vec<PathBuf>,
    /// Another folder of the new side, with seeds of its own (repeatable)
    #[arg(long, value_name = "DIR", requires = "new")]
    pub new_more: Vec<PathBuf>,
    /// The one thing that is meant to differ [default: nothing]
    #[arg(long, value_enum)]
    pub across: Option<AcrossChoice>,
    /// Only this kernel of the base: its release or the beginning of it
    #[arg(long, value_name = "RELEASE")]
    pub base_kernel: Option<String>,
    /// Only this kernel of the other side
    #[arg(long, value_name = "RELEASE")]
    pub new_kernel: Option<String>,
    /// How much a metric may grow, such as `connect=0.5%` or `connect.p99=2%` (repeatable)
    #[arg(long = "threshold", value_name = "METRIC=SHARE")]
    pub thresholds: Vec<String>,
    /// The same from the table `[thresholds]` of a TOML file; --threshold goes before it
    #[arg(long = "thresholds", value_name = "FILE")]
    pub thresholds_file: Option<PathBuf>,
    /// Form of the verdict
    #[arg(long, value_enum, default_value = "text", conflicts_with_all = ["markdown", "json"])]
    pub format: GateFormat,
    /// The same in two of its forms
    #[command(flatten)]
    pub form: PrintArgs,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How much is printed.
    #[command(flatten)]
    pub detail: DetailArgs,
    /// Seed of resampling and permutations
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub random_seed: u64,
    /// Replace the base by the new run after judging it, if that is whole; exit 0
    #[arg(long, requires = "new", conflicts_with_all = ["base_more", "new_more", "base_kernel", "new_kernel"])]
    pub update: bool,
}

/// `vipbench calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Results folders without and with slowdowns put in, or a folder of them
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Gates of each kind on the wall clock; the most pairs of repetitions on the instructions
    /// clock
    #[arg(long, default_value_t = 400, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub gates: u32,
    /// Replicates on each side, wall clock (repeatable, or with commas)
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10, 20, 40], value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub replicates: Vec<u32>,
    /// Seed of every draw
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub random_seed: u64,
    /// Form and place of the page.
    #[command(flatten)]
    pub page: PageArgs,
}

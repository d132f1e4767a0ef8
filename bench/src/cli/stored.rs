//! What reads stored runs, as typed: `report`, `show`, `compare`, `clocks`, `explain`, `export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::page::{DetailArgs, PageArgs, PrintArgs};

pub(super) const CLOCKS_EXAMPLES: &str = "\
Examples:
  vipbench run scenarios/clocks.toml --place host -o runs/wall
  vipbench run scenarios/clocks.toml --clock instructions --kernel 6.18 -o runs/instructions
  vipbench clocks runs/wall runs/instructions -o runs/clocks";

/// `vipbench report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Results folders
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// Kernel that others are compared with: its release or the beginning of it [default: the
    /// oldest]
    #[arg(long, value_name = "RELEASE")]
    pub reference_kernel: Option<String>,
    /// How much is printed.
    #[command(flatten)]
    pub detail: DetailArgs,
    /// Form and place of the page.
    #[command(flatten)]
    pub page: PageArgs,
}

/// `vipbench show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Results folders
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Kernel that others are compared with: its release or the beginning of it [default: the
    /// oldest]
    #[arg(long, value_name = "RELEASE")]
    pub reference_kernel: Option<String>,
    /// How much is printed.
    #[command(flatten)]
    pub detail: DetailArgs,
    /// Form of what is printed.
    #[command(flatten)]
    pub form: PrintArgs,
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
    /// Only these proxies, such as `ipvs,nftables-1.37`, and the control (repeatable)
    #[arg(long = "proxy", value_name = "NAME", value_delimiter = ',')]
    pub proxies: Vec<String>,
    /// Only these metrics, such as `connect,sync.full` (repeatable)
    #[arg(long = "metric", value_name = "NAME", value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// Only changes of so many per cent or more
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, hide_default_value = true)]
    pub least: f64,
    /// How much is printed.
    #[command(flatten)]
    pub detail: DetailArgs,
    /// Form and place of the page.
    #[command(flatten)]
    pub page: PageArgs,
}

/// `vipbench clocks`.
#[derive(Debug, Args)]
pub struct ClocksArgs {
    /// Results folder of a run on the wall clock, with one kernel
    pub wall: PathBuf,
    /// Results folder of the same scenario on the instructions clock, with one kernel
    pub instructions: PathBuf,
    /// Form and place of the page.
    #[command(flatten)]
    pub page: PageArgs,
}

/// `vipbench explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Results folder of a run on the instructions clock; files go to its folder `explain`
    pub run: PathBuf,
    /// The cell: its id, a part of it, or `proxy=ipvs,services=1000,kernel=6.1,seed=1`
    #[arg(long, value_name = "CELL")]
    pub cell: String,
    /// The cell to set it against: what is explained is the difference from --cell to this one, as
    /// `compare` has it from its first run to its second
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
    /// Form and place of the page.
    #[command(flatten)]
    pub form: PrintArgs,
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

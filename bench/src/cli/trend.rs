//! `vipbench trend` as typed, with its help.

use std::path::PathBuf;

use clap::Args;

use super::page::PageArgs;

pub(super) const TREND_EXAMPLES: &str = "\
Examples:
  vipbench trend runs/monday runs/tuesday runs/wednesday
  vipbench trend --store runs -o trend
  vipbench trend --store results/reference/gate-instructions-6.1 --json

Runs are put in the order of the time that they were recorded at. On the instructions clock equal
inputs give equal digits: one run shows a step. Wall time is noisy: a step is seen with the third
run after it.

Exit codes: 0 no step for the worse stands; 2 the newest run is after a step for the worse that was
not undone; 1 the input is wrong.";

/// `vipbench trend`.
#[derive(Debug, Args)]
pub struct TrendArgs {
    /// Results folders, in any order
    #[arg(value_name = "RUN", required_unless_present = "store")]
    pub runs: Vec<PathBuf>,
    /// Every results folder in this folder and the folders in it
    #[arg(long, value_name = "DIR", conflicts_with = "runs")]
    pub store: Option<PathBuf>,
    /// Form and place of the page.
    #[command(flatten)]
    pub page: PageArgs,
}

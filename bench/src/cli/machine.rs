//! What concerns this machine and its guest kernels, as typed: `doctor`, `kernels`, `guest`,
//! `clean`.

use clap::{Args, Subcommand};

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
    /// Boot kernels and print which proxies, matches, targets and schedulers work there, found by
    /// trying
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
    /// Processor time that the guest's emulator may take, seconds; other programs on this machine
    /// take none of it
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

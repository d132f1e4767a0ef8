//! Options of every command that ends with a page.

use std::path::PathBuf;

use clap::Args;

/// What standard output gets; text without either.
#[derive(Debug, Clone, Copy, Args)]
pub struct PrintArgs {
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Print JSON (its schema is in results/schema)
    #[arg(long)]
    pub json: bool,
}

/// How much a terminal gets.
#[derive(Debug, Clone, Copy, Args)]
pub struct DetailArgs {
    /// Print everything [default: the answer, and what matters most]
    #[arg(long, visible_alias = "all")]
    pub full: bool,
}

/// What standard output gets, and where files go.
#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// What is printed.
    #[command(flatten)]
    pub form: PrintArgs,
    /// Folder for the page as HTML, Markdown and JSON, and its plots
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

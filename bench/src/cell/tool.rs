//! What a tool prints, for measures that look into the tables themselves. Nothing here is timed.

use std::process::Command;

use anyhow::{Context, ensure};

/// Runs a tool to its end and gives what it printed.
pub(super) fn printed(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output =
        Command::new(program).args(args).output().with_context(|| format!("starting {program}"))?;
    ensure!(output.status.success(), "{program}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

//! The other side of a place: what a child process of this program, or PID 1 of a guest, does with
//! the job that it is given.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::measure::spec::CellSpec;
use crate::{check, console, features, measure, trace};

/// The guest's side: a job as text in, its answer as JSON out. The question what the kernel can do
/// is one, a connection to trace, a check, or a cell.
///
/// # Errors
/// A payload that is no job.
pub fn handle(payload: &str) -> Result<String, String> {
    if payload == features::QUESTION {
        return features::answer();
    }
    if let Some(job) = payload.strip_prefix(trace::QUESTION) {
        return trace::answer(job);
    }
    check::handle(payload).unwrap_or_else(|| measure::handle(payload))
}

/// Does the job in a file and prints its answer: the child's side of [`super::HostPlace`].
///
/// # Errors
/// An unreadable job, or the job's own error.
pub fn run_child(job: &Path) -> anyhow::Result<()> {
    let payload = std::fs::read_to_string(job).with_context(|| job.display().to_string())?;
    let mut out = console::stdout();
    if let Some(answer) = check::handle(&payload) {
        out.write_all(answer.map_err(|error| anyhow!(error))?.as_bytes())?;
    } else {
        let spec: CellSpec = serde_json::from_str(&payload).context("the cell's job")?;
        serde_json::to_writer(&mut out, &measure::run(&spec))?;
    }
    Ok(out.flush()?)
}

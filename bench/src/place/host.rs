//! This machine's own kernel as a place: each cell in a child process of its own, inside throw-away
//! namespaces.
//!
//! The child makes the namespaces and takes them with it, however it ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use linux::ToolError;
use linux::netns::Namespace;
use linux::process::{Child, Limits};
use proxies::Options;
use results::{Clock, Outcome};
use serde::de::DeserializeOwned;

use crate::measure::spec::{CellAnswer, CellSpec};

const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How often an abort is looked for.
const POLL: Duration = Duration::from_millis(20);

/// This machine's kernel.
pub struct HostPlace {
    release: String,
}

impl HostPlace {
    /// Checks that namespaces can be made.
    ///
    /// # Errors
    /// Not root.
    pub fn open() -> anyhow::Result<Self> {
        Namespace::new("probe")?;
        Ok(Self { release: rustix::system::uname().release().to_string_lossy().into_owned() })
    }

    /// The kernel's release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// What a comparison with another run must match.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let read =
            |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
        // What `taskset` and `chrt` decide: on several processors, or with a server that may take
        // the client's, `connect` has modes.
        let allowed = read("/proc/self/status").and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            Some(line.trim().to_owned())
        });
        let known = [
            ("host.command_line", read("/proc/cmdline")),
            ("host.processors_allowed", allowed),
            ("host.scheduling", scheduling()),
        ];
        known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    /// Runs one cell in a child process.
    ///
    /// # Errors
    /// A child that does not start or whose answer is not understood.
    pub fn run(
        &self,
        spec: &CellSpec,
        dir: &Path,
        limit: Duration,
        aborted: &AtomicBool,
    ) -> anyhow::Result<CellAnswer> {
        match answered(&serde_json::to_vec(spec)?, dir, limit, aborted) {
            Ok(answer) => serde_json::from_slice(&answer).context("the cell's answer"),
            Err(error) => match error.downcast_ref() {
                Some(ToolError::Timeout { .. }) => Ok(censored(limit)),
                _ => Err(error),
            },
        }
    }

    /// Does a job that is no cell in a child process, with `dir` for its files.
    ///
    /// # Errors
    /// As [`Self::run`]; a child that takes longer than `limit`.
    pub fn ask<T: DeserializeOwned>(
        &self,
        payload: &str,
        dir: &Path,
        limit: Duration,
    ) -> anyhow::Result<T> {
        let answer = answered(payload.as_bytes(), dir, limit, &AtomicBool::new(false))?;
        serde_json::from_slice(&answer).context("the job's answer is not understood")
    }
}

/// What a child process says to a job.
fn answered(
    job: &[u8],
    dir: &Path,
    limit: Duration,
    aborted: &AtomicBool,
) -> anyhow::Result<Vec<u8>> {
    let path = dir.join("job");
    std::fs::write(&path, job).with_context(|| path.display().to_string())?;
    let mut command =
        Command::new(std::env::current_exe().context("finding this program's own file")?);
    command.arg("cell").arg(&path);
    // The legacy tools lock one file a mount namespace; labs that have nothing in common should
    // not meet there.
    command.env("XTABLES_LOCKFILE", dir.join("xtables.lock"));
    // What a child that is killed leaves is removed with the folder.
    command.env("TMPDIR", dir);
    let child =
        Child::spawn(command, Limits { deadline: limit, output_bytes_max: ANSWER_BYTES_MAX })?;
    while child.is_running() {
        if aborted.load(Ordering::Relaxed) {
            child.stop()?;
            bail!("ended on request");
        }
        std::thread::sleep(POLL);
    }
    let output = child.wait()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

fn censored(limit: Duration) -> CellAnswer {
    CellAnswer::without_numbers(Outcome::Censored { limit_s: limit.as_secs(), clock: Clock::Wall })
}

/// The scheduling policy that cells inherit.
fn scheduling() -> Option<String> {
    // SAFETY: asks about the calling process, and has no memory to write to.
    let policy = unsafe { libc::sched_getscheduler(0) };
    let name = match policy {
        libc::SCHED_OTHER => "other",
        libc::SCHED_BATCH => "batch",
        libc::SCHED_IDLE => "idle",
        libc::SCHED_FIFO => "fifo",
        libc::SCHED_RR => "rr",
        _ => return None,
    };
    Some(name.to_owned())
}

/// What this machine's kernel lacks for the named proxies, found by trying in a throw-away
/// namespace.
///
/// # Errors
/// Namespaces cannot be made (not root).
pub fn missing_on_host(proxies: &[String]) -> anyhow::Result<Vec<String>> {
    let namespace = Namespace::new("probe")?;
    let mut missing = Vec::new();
    for proxy in proxies {
        let backend = proxies::find(proxy)?;
        let probed = namespace.enter(|| {
            let mut proxy = backend.open(&Options::default());
            proxy.probe().map_err(|error| error.to_string())
        })?;
        missing.extend(probed.err());
    }
    Ok(missing)
}

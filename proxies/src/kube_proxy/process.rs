//! A kube-proxy that runs: started in the namespaces of the calling thread, watched by its log,
//! killed when this guard drops or the thread ends.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use generators::Family;
use linux::process::{Child, Limits};
use linux::{CpuTime, IoError, ToolError, usage};

use super::config::MIN_SYNC_MS;
use super::known::not_started;
use super::log::{Awaited, Event};
use crate::error::ProxyError;

/// How often its log is looked into, and so how much later than it happens the end of a sync is
/// seen at most. A look is one system call.
const LOOK: Duration = Duration::from_millis(1);
/// It is looked whether it lives once in so many looks.
const LOOKS_A_PULSE: u32 = 100;
/// Looks without news after which it rests: several times what may lie between two syncs.
const LOOKS_AT_REST: u64 = 5 * MIN_SYNC_MS;
/// It lives as long as its guard, and its log has room for the ports of 100,000 Services.
const LIMITS: Limits = Limits { deadline: Duration::from_hours(24), output_bytes_max: 512 << 20 };
/// What a teardown may take and say.
const CLEANUP: Limits = Limits { deadline: Duration::from_mins(10), output_bytes_max: 16 << 20 };
/// What is told of a log.
const TOLD_LINES: usize = 6;
const TOLD_LINE_CHARS: usize = 400;

/// A running kube-proxy.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    /// Nothing once it was found dead.
    child: Option<Child>,
    /// How much of the log was read.
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    /// Syncs that began and did not end.
    under_way: usize,
    families: Vec<Family>,
}

impl Process {
    /// Starts a file.
    ///
    /// # Errors
    /// It cannot be started on this machine.
    pub(super) fn start<'a>(
        name: &str,
        path: &Path,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        lock: Option<&Path>,
    ) -> Result<Self, ProxyError> {
        let child = Child::spawn(command(path, arguments, lock), LIMITS)
            .map_err(|error| refused(path, error))?;
        let (offset, rest, under_way) = (0, Vec::new(), 0);
        let (name, families) = (name.to_owned(), Family::ALL.to_vec());
        Ok(Self { name, child: Some(child), offset, rest, under_way, families })
    }

    /// The families that it serves, once it has synced.
    pub(super) fn families(&self) -> &[Family] {
        &self.families
    }

    /// What it has used until now, and the most memory that it had at a time, bytes.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn used(&self) -> Result<(CpuTime, u64), IoError> {
        let pid = self.child.as_ref().map_or(0, Child::pid);
        Ok((usage::of_process(pid)?, usage::peak_bytes(pid)?))
    }

    /// Waits until all that is awaited is synced.
    ///
    /// # Errors
    /// It ends, a sync fails, or the limit is over.
    pub(super) fn wait(&mut self, mut awaited: Awaited, limit: Duration) -> Result<(), ProxyError> {
        self.look_until(limit, "syncs", |_, events| events.iter().any(|event| awaited.take(event)))
    }

    /// Waits until no sync is under way and none follows.
    ///
    /// # Errors
    /// As for [`Self::wait`].
    pub(super) fn rest(&mut self, limit: Duration) -> Result<(), ProxyError> {
        let mut quiet = 0;
        self.look_until(limit, "rests", |process, events| {
            quiet = if events.is_empty() && process.under_way == 0 { quiet + 1 } else { 0 };
            quiet >= LOOKS_AT_REST
        })
    }

    /// Looks again and again until `is_over` says so of what is new.
    fn look_until(
        &mut self,
        limit: Duration,
        what: &str,
        mut is_over: impl FnMut(&Self, &[Event]) -> bool,
    ) -> Result<(), ProxyError> {
        let looks = u32::try_from(limit.as_millis() / LOOK.as_millis()).unwrap_or(u32::MAX);
        for look in 1..=looks {
            let events = self.news()?;
            if events.contains(&Event::Failed) {
                return Err(self.told("could not sync".into()));
            }
            if is_over(self, &events) {
                return Ok(());
            }
            if look % LOOKS_A_PULSE == 0 {
                self.must_live()?;
            }
            thread::sleep(LOOK);
        }
        Err(self.told(format!("never {what} within {} s", limit.as_secs())))
    }

    /// What its log tells since the last look.
    fn news(&mut self) -> Result<Vec<Event>, ProxyError> {
        let Some(child) = &self.child else { return Err(self.told("has ended".into())) };
        let new = child.stderr_from(self.offset)?;
        self.offset += new.len() as u64;
        self.rest.extend(new);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8_lossy(&whole);
        let events: Vec<Event> = text.lines().filter_map(Event::of).collect();
        for event in &events {
            match event {
                Event::Started(_) => self.under_way += 1,
                Event::Ended(_) => self.under_way = self.under_way.saturating_sub(1),
                Event::SingleStack(family) => self.families = vec![*family],
                _ => {}
            }
        }
        Ok(events)
    }

    fn must_live(&mut self) -> Result<(), ProxyError> {
        let Some(child) = self.child.take_if(|child| !child.is_running()) else { return Ok(()) };
        let (status, log) = match child.stop() {
            Ok(output) => (output.status.to_string(), output.stderr),
            Err(error) => (error.to_string(), Vec::new()),
        };
        let log = last_lines(&log);
        Err(ProxyError::Program {
            program: self.name.clone(),
            happened: format!("ended by itself ({status})"),
            log,
        })
    }

    /// What happened, with the end of the log so far.
    fn told(&self, happened: String) -> ProxyError {
        let log = self.child.as_ref().and_then(|child| child.stderr_from(0).ok());
        let log = last_lines(&log.unwrap_or_default());
        ProxyError::Program { program: self.name.clone(), happened, log }
    }
}

/// Runs a file that removes what another process of it programmed.
///
/// # Errors
/// It cannot be started, takes too long, or fails.
pub(super) fn clean_up(name: &str, path: &Path, lock: Option<&Path>) -> Result<(), ProxyError> {
    let arguments = ["--cleanup", "--v=1"].map(OsStr::new);
    let child = Child::spawn(command(path, arguments, lock), CLEANUP);
    let output = child.map_err(|error| refused(path, error))?.wait()?;
    if output.status.success() {
        return Ok(());
    }
    Err(ProxyError::Program {
        program: name.to_owned(),
        happened: format!("--cleanup failed ({})", output.status),
        log: last_lines(&output.stderr),
    })
}

/// Nothing of this process's environment reaches it but where tools and their lock are.
fn command<'a>(
    path: &Path,
    arguments: impl IntoIterator<Item = &'a OsStr>,
    lock: Option<&Path>,
) -> Command {
    const LOCK: &str = "XTABLES_LOCKFILE";
    let mut command = Command::new(path);
    command.args(arguments).env_clear();
    command.envs(["PATH", LOCK].into_iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
    command.envs(lock.map(|lock| (LOCK, lock)));
    command
}

fn refused(path: &Path, error: ToolError) -> ProxyError {
    match error {
        ToolError::Missing { .. } => not_started(path, "it is not there"),
        ToolError::Io(error) => not_started(path, &error.to_string()),
        other => ProxyError::Tool(other),
    }
}

/// The end of a log, on one line.
fn last_lines(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(TOLD_LINES)..).unwrap_or_default();
    let short = |line: &&str| line.chars().take(TOLD_LINE_CHARS).collect::<String>();
    let told: Vec<String> = last.iter().map(short).collect();
    if told.is_empty() { "it is empty".into() } else { told.join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_last_lines_are_told_shortened() {
        let log: Vec<String> = (0..9).map(|number| format!("line {number}\n\n")).collect();
        let told = last_lines(log.concat().as_bytes());
        assert_eq!(told, "line 3 | line 4 | line 5 | line 6 | line 7 | line 8");
        assert_eq!(last_lines(b"\n"), "it is empty");
        assert_eq!(last_lines("x".repeat(900).as_bytes()).len(), TOLD_LINE_CHARS);
    }
}

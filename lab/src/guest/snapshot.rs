//! Boots a guest once to its snapshot point and saves it; `run` restores a job from the file in a
//! fraction of a second.
//!
//! The stop is chosen by the guest itself (a write to the pvpanic device), so it falls on the same
//! instruction each time; a stop sent from outside would not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::machine::{Machine, OUTPUT, Start, shell_quoted};
use super::run::{Bounds, GuestError, Qemu, refused};
use super::wire::Line;

/// A saved guest, stopped when its modules are loaded and nothing else has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// QEMU's migration stream.
    pub path: PathBuf,
    /// Kernel release, as PID 1 reported it at boot.
    pub release: String,
}

/// Boots `machine` to its snapshot point and saves it as `path`.
///
/// # Errors
/// [`GuestError`]: QEMU missing, a kernel that does not reach PID 1 in time, a module that does not
/// load, a full disk.
pub fn save(machine: &Machine, path: &Path, bounds: Bounds<'_>) -> Result<Snapshot, GuestError> {
    let mut qemu = Qemu::start(machine, Start::BootToSnapshot, None, bounds)?;
    let mut monitor = qemu.set_going()?;
    let stopped = monitor.wait_event("GUEST_PANICKED", &mut || match qemu.console.hung() {
        Some(splat) => Err(io::Error::other(splat)),
        None => Ok(()),
    });
    let release = released(&bounds.dir.join(OUTPUT));
    // Whatever broke the wait, the guest's own lines and its console say more of it than QEMU's
    // monitor. A kernel that has the device's driver built in stops here too when it panics, but
    // without PID 1's greeting.
    if stopped.is_err() || release.is_empty() {
        drop(monitor);
        return Err(qemu.finish_early());
    }
    // Several runs may save the same guest at once: each has a file of its own, and the last one
    // stays.
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    let saved = monitor
        .execute("migrate", &json!({ "uri": format!("exec:cat > {}", shell_quoted(&partial)) }))
        .and_then(|_| monitor.wait_status("query-migrate", &|status| status == "completed"))
        .and_then(|()| monitor.execute("quit", &json!({})));
    saved.map_err(|source| qemu.monitor_error("saving the snapshot", source))?;
    fs::rename(&partial, path).map_err(refused("create", path))?;
    Ok(Snapshot { path: path.to_owned(), release })
}

/// The release that PID 1 greeted with; empty if it has not.
fn released(output: &Path) -> String {
    let bytes = fs::read(output).unwrap_or_default();
    let lines = Line::decode_all(&bytes).map(|(lines, _)| lines).unwrap_or_default();
    let release = lines.into_iter().find_map(|line| match line {
        Line::Hello { release } => Some(release),
        _ => None,
    });
    release.unwrap_or_default()
}

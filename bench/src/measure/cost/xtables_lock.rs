//! How long programs hold the lock that all of xtables share, `/run/xtables.lock`: whoever calls
//! `iptables-legacy -w` meanwhile waits.
//!
//! It is looked at from outside, in `/proc/locks` (`proc(5)`), so that the watcher never holds it.

use std::fs::{self, Metadata};
use std::os::linux::fs::MetadataExt as _;

use anyhow::Context;
use rustix::fs::{major, minor};

use crate::load::MeasureClock;

/// `XT_LOCK_NAME` (iptables/xshared.h, iptables 1.8.9), which `flock` is called on.
const FILE: &str = "/run/xtables.lock";
/// What is seen of the lock.
#[derive(Debug)]
pub(super) struct LockWatch {
    /// As `/proc/locks` names it; nothing where no program has made the file.
    file: Option<String>,
    clock: MeasureClock,
    last: u64,
    held: u64,
}

impl LockWatch {
    /// Begins now.
    pub(super) fn new(clock: MeasureClock) -> Self {
        let file = fs::metadata(FILE).ok().map(|file| named(&file));
        Self { file, clock, last: clock.now(), held: 0 }
    }

    /// Looks whether somebody has it, who then has had it since the look before.
    ///
    /// # Errors
    /// `/proc/locks` cannot be read.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let locks = fs::read_to_string("/proc/locks").context("reading /proc/locks")?;
        let now = self.clock.now();
        if is_held(&locks, file) {
            self.held += now - self.last;
        }
        self.last = now;
        Ok(())
    }

    /// How long it was held, on the clock.
    pub(super) fn held(&self) -> u64 {
        self.held
    }
}

/// A file as `/proc/locks` has it.
fn named(file: &Metadata) -> String {
    let device = file.st_dev();
    format!("{:02x}:{:02x}:{}", major(device), minor(device), file.st_ino())
}

/// Whether somebody has the lock; those who wait for it have an arrow in their line.
fn is_held(locks: &str, file: &str) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        words.next() == Some("FLOCK") && words.nth(3) == Some(file)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn who_has_it_is_told_from_who_waits() {
        let locks = "1: FLOCK  ADVISORY  WRITE 1234 00:18:77 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 1235 00:18:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 1235 00:18:78 0 EOF\n\
                     3: POSIX  ADVISORY  WRITE 99 fe:00:79 0 EOF\n";
        assert!(is_held(locks, "00:18:77"));
        assert!(!is_held(locks, "00:18:78") && !is_held(locks, "fe:00:79"));
        assert!(!is_held("", "00:18:77") && !is_held("1: FLOCK", "00:18:77"));
    }

    #[test]
    fn the_kernel_shows_a_lock_as_it_is_looked_for() {
        let held = tempfile::NamedTempFile::new().unwrap();
        let file = named(&held.as_file().metadata().unwrap());
        let locks = || fs::read_to_string("/proc/locks").unwrap();
        assert!(!is_held(&locks(), &file));
        let lock = File::open(held.path()).unwrap();
        lock.lock().unwrap();
        assert!(is_held(&locks(), &file), "{file} in {}", locks());
    }
}

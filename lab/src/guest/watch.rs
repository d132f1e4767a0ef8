//! Watches the console of a running guest for a splat, so that a kernel that has hurt itself is not
//! waited for in vain.
//!
//! Reads the console's file only; what follows from a splat is decided in `run`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::splat;

const CONSOLE_BYTES_MAX: u64 = 1 << 20;
/// How often the console is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a guest may go on after a splat: long enough to end by itself and hand over its log.
const GRACE: Duration = Duration::from_secs(10);

/// What a guest's console has said so far.
#[derive(Debug)]
pub(super) struct ConsoleWatch {
    path: PathBuf,
    looked: Instant,
    /// When a splat was first seen.
    seen: Option<Instant>,
}

impl ConsoleWatch {
    pub(super) fn new(console: &Path) -> Self {
        Self { path: console.to_owned(), looked: Instant::now(), seen: None }
    }

    /// The splat of a guest that has not ended although its kernel is broken.
    pub(super) fn hung(&mut self) -> Option<String> {
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        let splat = self.splat()?;
        (self.seen.get_or_insert_with(Instant::now).elapsed() >= GRACE).then_some(splat)
    }

    /// The first splat on the console.
    pub(super) fn splat(&self) -> Option<String> {
        splat::find(self.text().lines())
    }

    /// The last line on the console: where a silent guest got to.
    pub(super) fn last_words(&self) -> String {
        let text = self.text();
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        line.map_or("it printed nothing".to_owned(), |line| {
            format!("the last line on its console: {}", splat::message(line))
        })
    }

    /// The beginning of the console, lossy; empty if it cannot be read.
    fn text(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(&self.path) {
            // What could be read is all there is to judge by.
            let _ = file.take(CONSOLE_BYTES_MAX).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(console: &str) -> (tempfile::TempDir, ConsoleWatch) {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("console.log");
        std::fs::write(&path, console).unwrap();
        let watch = ConsoleWatch::new(&path);
        (dir, watch)
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(2 * GRACE).unwrap()
    }

    #[test]
    fn a_guest_has_time_to_end_after_its_splat_and_no_more() {
        let (_dir, mut watch) = watch("[    1.5] Kernel panic - not syncing: x\n");
        watch.looked = long_ago();
        assert_eq!(watch.hung(), None, "just seen");
        watch.looked = long_ago();
        watch.seen = Some(long_ago());
        assert_eq!(watch.hung().unwrap(), "Kernel panic - not syncing: x");
    }

    #[test]
    fn a_console_without_a_splat_is_never_hung_and_shows_its_last_line() {
        let (_dir, mut watch) =
            watch("[    0.1] a\n[    2.0] Waiting for root device /dev/none...\n\n");
        watch.looked = long_ago();
        watch.seen = Some(long_ago());
        assert_eq!(watch.hung(), None);
        assert!(watch.last_words().ends_with("console: Waiting for root device /dev/none..."));
    }
}

//! A run's folder for working files: locked while its process lives, so that `vipbench clean` knows
//! what is left over.
//!
//! The system gives the lock back however the process ends. What becomes of the files in the folder
//! is their owners' business.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// How every work folder begins; the process id follows.
const PREFIX: &str = "vipbench-";
/// The locked file in it.
const LOCK: &str = "lock";
/// Work folders of this process, those that are gone already included.
static HELD: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A private folder for working files, removed on drop.
#[derive(Debug)]
pub struct WorkDir {
    dir: TempDir,
    _lock: File,
}

impl WorkDir {
    /// Makes one in the folder for temporary files.
    ///
    /// # Errors
    /// No room, or no right to write, there.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .with_context(|| {
                let parent = std::env::temp_dir();
                format!("making a folder in {}; set TMPDIR to one with room", parent.display())
            })?;
        lock(&HELD).push(dir.path().to_owned());
        let path = dir.path().join(LOCK);
        let lock = File::create(&path).with_context(|| path.display().to_string())?;
        flock(&lock, FlockOperation::LockShared).with_context(|| path.display().to_string())?;
        Ok(Self { dir, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes the work folders of this process, which is about to end without dropping them. What
/// cannot be removed is left to `vipbench clean`.
pub fn remove_work_folders() {
    for dir in lock(&HELD).drain(..) {
        let _ = fs::remove_dir_all(dir);
    }
}

fn lock(folders: &Mutex<Vec<PathBuf>>) -> MutexGuard<'_, Vec<PathBuf>> {
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work folders in `parent` that nobody holds any more.
///
/// # Errors
/// A folder that cannot be listed.
pub fn abandoned(parent: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(parent).with_context(|| parent.display().to_string())?;
    let is_ours = |entry: &fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')?.0.parse().ok());
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        pid.filter(|_| is_dir).is_some_and(|pid| !is_held(&entry.path(), pid))
    };
    Ok(entries.filter_map(Result::ok).filter(is_ours).map(|entry| entry.path()).collect())
}

/// Whether a process holds the folder's lock. One that was killed, or has only just begun, before
/// there was a lock is known by its id.
fn is_held(dir: &Path, pid: u32) -> bool {
    match File::open(dir.join(LOCK)) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(),
        Err(_) => Path::new(&format!("/proc/{pid}")).exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_abandoned_when_its_process_let_go_of_it_whatever_the_program_is_called() {
        let parent = TempDir::new().unwrap();
        let make = |name: &str, with_lock: bool| {
            let dir = parent.path().join(name);
            fs::create_dir(&dir).unwrap();
            with_lock.then(|| File::create(dir.join(LOCK)).unwrap())
        };
        let own = std::process::id();
        let held = make(&format!("{PREFIX}{own}-held"), true).unwrap();
        flock(&held, FlockOperation::LockShared).unwrap();
        drop(make(&format!("{PREFIX}{own}-left"), true));
        make(&format!("{PREFIX}{own}-beginning"), false);
        make(&format!("{PREFIX}{}-gone", u32::MAX), false);
        make("someone-elses-1-x", false);
        let mut found = abandoned(parent.path()).unwrap();
        found.sort();
        let names: Vec<_> =
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        let mut expected = [format!("{PREFIX}{own}-left"), format!("{PREFIX}{}-gone", u32::MAX)];
        expected.sort();
        assert_eq!(names, expected);
    }
}

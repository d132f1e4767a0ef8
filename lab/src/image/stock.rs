//! What the cache holds, who uses it, and what goes when it grows too large: what was not used for
//! longest, and never what a run uses.
//!
//! A use is a lock on a mark: a file beside or in the thing, whose time tells the last use. The
//! system gives the lock back however the run ends.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use super::cache::{Cache, ENTRIES, Held, sorted_entries};
use super::error::{ImageError, at};
use super::seal::{ENDING, beside, remove_sealed};

/// What is known of a kernel, in its folder; a lock on it says that the kernel is in use.
pub(super) const MANIFEST: &str = "manifest.json";
/// Environment variable for the bytes that the cache may take, in billions.
const LIMIT: &str = "VIPBENCH_CACHE_GB";
const LIMIT_DEFAULT_GB: u64 = 10;
const GB: u64 = 1_000_000_000;
/// What the name of a saved guest that is being written has before the writer's process id.
const PARTIAL: &str = ".partial-";

/// Something to remove, and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// File or folder.
    pub path: PathBuf,
    /// Bytes it occupies, or did.
    pub bytes: u64,
}

impl Cache {
    /// Says that the kernel folder, image or saved guest at `path` is in use.
    ///
    /// # Errors
    /// It is not there.
    pub fn hold(&self, path: &Path) -> Result<Held, ImageError> {
        let mark = mark_of(path);
        let file = File::open(&mark).map_err(at("use", &mark))?;
        flock(&file, FlockOperation::LockShared).map_err(|e| at("lock", &mark)(e.into()))?;
        // If it cannot be noted, it is removed earlier and made again.
        let _ = file.set_modified(SystemTime::now());
        Ok(Held { _file: file })
    }

    /// Removes what was not used for longest until the cache keeps to `$VIPBENCH_CACHE_GB` (10).
    /// While another run fetches or builds, nothing is done: it does the same afterwards.
    ///
    /// # Errors
    /// A limit that is no number; a file that cannot be removed.
    pub fn trim(&self) -> Result<(), ImageError> {
        let limit = limit(env::var(LIMIT).ok().as_deref())?;
        match self.try_lock() {
            Some(_lock) => self.trim_to(limit),
            None => Ok(()),
        }
    }

    fn trim_to(&self, limit: u64) -> Result<(), ImageError> {
        let mut items: Vec<Removed> = self.items().map(Removed::of).collect();
        let mut bytes: u64 = items.iter().map(|item| item.bytes).sum();
        items.sort_by_cached_key(|item| {
            let used = fs::metadata(mark_of(&item.path)).and_then(|mark| mark.modified());
            used.unwrap_or(SystemTime::UNIX_EPOCH)
        });
        for item in items {
            if bytes <= limit {
                break;
            }
            if !is_held(&item.path) {
                item.remove()?;
                bytes -= item.bytes;
            }
        }
        Ok(())
    }

    /// Every kernel, image and saved guest.
    fn items(&self) -> impl Iterator<Item = PathBuf> {
        let paths = ["kernels", "initramfs", "snapshots"].into_iter();
        paths.flat_map(|folder| sorted_entries(&self.root().join(folder))).filter(|path| {
            let name = path.to_string_lossy();
            !name.ends_with(ENDING) && !name.contains(PARTIAL)
        })
    }

    /// What living runs use.
    pub fn held(&self) -> Vec<PathBuf> {
        self.items().filter(|path| is_held(path)).collect()
    }

    /// What killed runs left: folders and packages on their way, and saved guests that were never
    /// finished. Whoever holds the cache's lock can be sure that they are nobody's.
    pub fn leftovers(&self) -> Vec<Removed> {
        let unfinished = sorted_entries(&self.root().join("snapshots")).into_iter();
        let unfinished = unfinished.filter(|path| is_abandoned(path));
        let on_their_way = ["partial", "downloads"]
            .iter()
            .flat_map(|folder| sorted_entries(&self.root().join(folder)));
        on_their_way.chain(unfinished).map(Removed::of).collect()
    }

    /// Its parts that are there, with their sizes.
    pub(super) fn parts(&self) -> Vec<Removed> {
        let paths = ENTRIES.iter().map(|entry| self.root().join(entry));
        paths.filter(|path| fs::symlink_metadata(path).is_ok()).map(Removed::of).collect()
    }

    /// Everything of the cache but what living runs use, and the folders that they expect.
    pub fn unused(&self) -> Vec<Removed> {
        let held = self.held();
        if held.is_empty() {
            return self.parts();
        }
        // A seal goes with what it seals.
        let is_free =
            |path: &PathBuf| !held.contains(path) && !path.to_string_lossy().ends_with(ENDING);
        let folders = self.parts().into_iter().filter(|part| part.path.is_dir());
        let entries = folders.flat_map(|folder| sorted_entries(&folder.path));
        entries.filter(is_free).map(Removed::of).collect()
    }

    /// Removes the cache's folder, unless something is in it.
    pub fn remove_folder(self) {
        // What is left is not ours, or in use.
        let _ = fs::remove_dir(self.root());
    }
}

impl Removed {
    /// A file or folder as it is.
    pub fn of(path: PathBuf) -> Self {
        Self { bytes: bytes_of(&path), path }
    }

    /// Removes it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> Result<(), ImageError> {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.is_dir()) {
            return fs::remove_dir_all(&self.path).map_err(at("remove", &self.path));
        }
        remove_sealed(&self.path)
    }
}

/// The limit in bytes, from what the variable says.
fn limit(variable: Option<&str>) -> Result<u64, ImageError> {
    let Some(text) = variable else { return Ok(LIMIT_DEFAULT_GB * GB) };
    let number = text.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(GB));
    number.ok_or_else(|| {
        let remedy = "set it to a whole number of billions of bytes, such as 10";
        ImageError::faulty("kernel cache".to_owned(), format!("{LIMIT}={text} is no limit"), remedy)
    })
}

fn mark_of(path: &Path) -> PathBuf {
    let seal = beside(path);
    if path.is_dir() {
        path.join(MANIFEST)
    } else if seal.is_file() {
        seal
    } else {
        path.to_owned()
    }
}

fn is_held(path: &Path) -> bool {
    let lock = |mark: File| flock(mark, FlockOperation::NonBlockingLockExclusive);
    File::open(mark_of(path)).is_ok_and(|mark| lock(mark).is_err())
}

/// Whether the process that was writing this saved guest is gone.
fn is_abandoned(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let pid = name.rsplit_once(PARTIAL).and_then(|(_, pid)| pid.parse::<u32>().ok());
    pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Bytes of a file, or of everything below a folder.
pub(super) fn bytes_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => sorted_entries(path).iter().map(|path| bytes_of(path)).sum(),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A cache with five saved guests of 100 bytes, the first one used longest ago.
    fn cache() -> (tempfile::TempDir, Cache, Vec<PathBuf>) {
        let folder = tempfile::TempDir::new().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let snapshots = cache.root().join("snapshots");
        fs::create_dir(&snapshots).unwrap();
        let make = |number: u64| {
            let path = snapshots.join(number.to_string());
            fs::write(&path, [0; 100]).unwrap();
            super::super::seal::seal(&path).unwrap();
            let used = SystemTime::now() - Duration::from_secs(1000 - number);
            File::open(beside(&path)).unwrap().set_modified(used).unwrap();
            path
        };
        let paths = (0..5).map(make).collect();
        (folder, cache, paths)
    }

    #[test]
    fn what_was_not_used_for_longest_goes_and_never_what_a_run_uses() {
        let (_folder, cache, paths) = cache();
        let left = || paths.iter().map(|path| path.exists()).collect::<Vec<_>>();
        cache.trim_to(500).unwrap();
        assert_eq!(left(), [true; 5]);
        let held = cache.hold(&paths[0]).unwrap();
        drop(cache.hold(&paths[1]).unwrap());
        assert_eq!(cache.held(), [paths[0].clone()]);
        cache.trim_to(350).unwrap();
        assert_eq!(left(), [true, true, false, false, true], "used last, or in use");
        assert!(!beside(&paths[2]).exists());
        cache.trim_to(0).unwrap();
        assert_eq!(left(), [true, false, false, false, false]);
        drop(held);
        cache.trim_to(0).unwrap();
        assert_eq!(left(), [false; 5]);
    }

    #[test]
    fn what_is_unused_is_everything_but_what_a_run_uses() {
        let (folder, cache, paths) = cache();
        fs::write(cache.root().join("letter.txt"), b"mine").unwrap();
        let held = cache.hold(&paths[3]).unwrap();
        for part in cache.unused() {
            part.remove().unwrap();
        }
        assert!(paths[3].exists() && super::super::seal::sealed(&paths[3]).is_some());
        assert!(!paths[2].exists());
        drop(held);
        for part in cache.unused() {
            part.remove().unwrap();
        }
        cache.remove_folder();
        assert_eq!(sorted_entries(folder.path()), [folder.path().join("letter.txt")]);
    }

    #[test]
    fn what_killed_runs_left_is_found_and_what_living_ones_write_is_not() {
        let (_folder, cache, paths) = cache();
        let partial = |pid: u32| {
            let path = cache.root().join(format!("snapshots/x{PARTIAL}{pid}"));
            fs::write(&path, [0; 10]).unwrap();
            path
        };
        let (gone, _own) = (partial(u32::MAX), partial(std::process::id()));
        fs::write(cache.downloads("x").unwrap().join("x.deb"), b"part").unwrap();
        let found: Vec<PathBuf> = cache.leftovers().into_iter().map(|part| part.path).collect();
        assert_eq!(found, [cache.root().join("downloads/x"), gone]);
        let fetching = cache.try_lock().unwrap();
        assert!(cache.try_lock().is_none(), "another run waits, or leaves it alone");
        drop(fetching);
        assert!(paths.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_limit_is_a_number_of_gigabytes() {
        assert_eq!(limit(None).unwrap(), 10 * GB);
        assert_eq!(limit(Some("3")).unwrap(), 3 * GB);
        let error = limit(Some("3 GiB")).unwrap_err().to_string();
        assert!(error.contains("VIPBENCH_CACHE_GB=3 GiB"), "{error}");
    }
}

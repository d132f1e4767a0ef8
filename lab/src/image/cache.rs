//! The folder where kernels and initramfs images are kept between runs: where it is, how things get
//! in whole or not at all. Fetches, unpacks and builds nothing; what is used and what can go is
//! told in `stock`.
//!
//! ```text
//! ROOT/lock                       held by the run that fetches or builds
//! ROOT/kernels/RELEASE-HASH/      one kernel, named by the SHA-256 of its packages
//! ROOT/answers/SPEC               name of the kernel folder that a SPEC was answered with
//! ROOT/ranges/RANGE               series that a range of kernels was answered with, and what was passed over
//! ROOT/initramfs/HASH.cpio        one image, named by the SHA-256 of its content
//! ROOT/snapshots/, ROOT/kvm.json  saved guests, and whether KVM works (kept by `bench`)
//! FILE.seal                       what a boot image, initramfs or saved guest held when it was made
//! ROOT/apt/, ROOT/downloads/      package indexes, and packages on their way
//! ROOT/partial/                   folders being filled
//! ```

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::error::{ImageError, MAKE_ROOM, at};
use super::seal::{seal_as, sealed};

/// How long to wait for another run that fetches or builds: longer than a fetch over a slow line
/// takes.
const LOCK_WAIT: Duration = Duration::from_mins(15);
const LOCK_POLL: Duration = Duration::from_millis(100);
/// What a fetch may need at once, bytes: indexes with what apt computes from them (200 MB), and a
/// kernel with its packages. apt itself waits for ever when the disk is full (`apt-get update`, apt
/// 2.6).
const FETCH_BYTES: u64 = 500_000_000;
/// Everything that a cache may hold: what else is in its folder is not ours. The lock goes last.
pub(super) const ENTRIES: [&str; 11] = [
    "answers",
    "apt",
    "downloads",
    "initramfs",
    "kernels",
    "kvm.json",
    "partial",
    "profiler",
    "ranges",
    "snapshots",
    "lock",
];
/// Folders made on opening.
const FOLDERS: [&str; 7] =
    ["kernels", "answers", "ranges", "initramfs", "apt", "downloads", "partial"];

/// Series that a range was answered with, and what was passed over.
pub(super) type RangeAnswer = (Vec<(u32, u32)>, Vec<String>);

/// The folder where kernels and initramfs images are kept between runs.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// A part of the cache, or its lock, in use while this lives. The system gives it back however the
/// run ends.
#[derive(Debug)]
pub struct Held {
    pub(super) _file: File,
}

impl Cache {
    /// Opens `$VIPBENCH_CACHE`, else `$XDG_CACHE_HOME/vipbench`, else `~/.cache/vipbench`, and
    /// makes it if needed.
    ///
    /// # Errors
    /// When none of these variables is set, or the folder cannot be made.
    pub fn open() -> Result<Self, ImageError> {
        let folder = |name: &str| {
            let value = env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let root = folder("VIPBENCH_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("vipbench")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/vipbench")))
            .ok_or_else(|| {
                let remedy = "set VIPBENCH_CACHE to an absolute path";
                ImageError::faulty("kernel cache".to_owned(), "has no place", remedy)
            })?;
        Self::at(&root)
    }

    /// Opens the cache in the folder `root`, and makes it if needed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn at(root: &Path) -> Result<Self, ImageError> {
        let cache = Self { root: root.to_owned() };
        for folder in FOLDERS {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(at("create", &path))?;
        }
        Ok(cache)
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until no other run fetches or builds here.
    pub(super) fn lock(&self) -> Result<Held, ImageError> {
        self.lock_within(LOCK_WAIT)
    }

    /// The lock, unless another run fetches or builds here.
    pub fn try_lock(&self) -> Option<Held> {
        self.lock_within(Duration::ZERO).ok()
    }

    fn lock_within(&self, wait: Duration) -> Result<Held, ImageError> {
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(at("create", &path))?;
        let deadline = Instant::now() + wait;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Held { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let problem = format!("another run has held it for {} s", wait.as_secs());
                    let remedy = "wait for that run, or end it";
                    return Err(ImageError::cache(&self.root, problem, remedy));
                }
                Err(error) => return Err(at("lock", &path)(error.into())),
            }
        }
    }

    /// Refuses to start a fetch that would fill the disk.
    pub(super) fn must_have_room(&self) -> Result<(), ImageError> {
        let disk = rustix::fs::statvfs(&self.root)
            .map_err(|error| at("look at the disk of", &self.root)(error.into()))?;
        self.room_is_enough(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn room_is_enough(&self, free_bytes: u64) -> Result<(), ImageError> {
        if free_bytes >= FETCH_BYTES {
            return Ok(());
        }
        let [free, needed] = [free_bytes, FETCH_BYTES].map(|bytes| bytes / 1_000_000);
        let problem = format!("{free} MB are free on its disk, and fetching may need {needed} MB");
        Err(ImageError::cache(&self.root, problem, MAKE_ROOM))
    }

    /// A folder to fill; it vanishes unless [`Cache::insert_kernel`] takes it.
    pub(super) fn partial(&self) -> Result<TempDir, ImageError> {
        let path = self.root.join("partial");
        TempDir::new_in(&path).map_err(at("create a folder in", &path))
    }

    /// Folder for downloads of `name`; it stays until the kernel is in the cache, so that a broken
    /// fetch resumes.
    pub(super) fn downloads(&self, name: &str) -> Result<PathBuf, ImageError> {
        let path = self.root.join("downloads").join(file_name(name));
        fs::create_dir_all(&path).map_err(at("create", &path))?;
        Ok(path)
    }

    /// Folder of the package indexes called `name`.
    pub(super) fn apt(&self, name: &str) -> PathBuf {
        self.root.join("apt").join(name)
    }

    /// Moves a filled folder to its place among the kernels, in one step.
    pub(super) fn insert_kernel(&self, filled: TempDir, name: &str) -> Result<PathBuf, ImageError> {
        let target = self.root.join("kernels").join(file_name(name));
        if target.is_dir() {
            return Ok(target);
        }
        // What a power cut may take must not look complete afterwards.
        let folder = File::open(filled.path()).map_err(at("open", filled.path()))?;
        rustix::fs::syncfs(&folder).map_err(|error| at("sync", filled.path())(error.into()))?;
        fs::rename(filled.path(), &target).map_err(at("create", &target))?;
        // Moved away: there is nothing left to remove.
        let _gone = filled.keep();
        Ok(target)
    }

    /// The kernel folder whose name ends in `hash`.
    pub(super) fn kernel_by_hash(&self, hash: &str) -> Option<PathBuf> {
        self.kernels()
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(&format!("-{hash}")))
    }

    /// All kernel folders, sorted by name.
    pub(super) fn kernels(&self) -> Vec<PathBuf> {
        sorted_entries(&self.root.join("kernels"))
    }

    /// The kernel folder that `spec` was answered with before.
    pub(super) fn answer(&self, spec: &str) -> Option<PathBuf> {
        let name = fs::read_to_string(self.root.join("answers").join(file_name(spec))).ok()?;
        let path = self.root.join("kernels").join(file_name(name.trim()));
        path.is_dir().then_some(path)
    }

    /// Remembers that `spec` is answered with the kernel folder `kernel`.
    pub(super) fn remember(&self, spec: &str, kernel: &Path) -> Result<(), ImageError> {
        let name = kernel.file_name().unwrap_or_default();
        self.put(&self.root.join("answers").join(file_name(spec)), name.as_encoded_bytes())
    }

    /// What the range called `name` was answered with before.
    pub(super) fn range(&self, name: &str) -> Option<RangeAnswer> {
        serde_json::from_slice(&fs::read(self.root.join("ranges").join(file_name(name))).ok()?).ok()
    }

    /// Forgets what ranges were answered with, so that they are looked up anew.
    ///
    /// # Errors
    /// When the folder cannot be emptied.
    pub fn forget_ranges(&self) -> Result<(), ImageError> {
        let path = self.root.join("ranges");
        fs::remove_dir_all(&path).map_err(at("remove", &path))?;
        fs::create_dir(&path).map_err(at("create", &path))
    }

    /// Remembers what a range is answered with.
    pub(super) fn remember_range(&self, name: &str, found: &RangeAnswer) -> Result<(), ImageError> {
        let path = self.root.join("ranges").join(file_name(name));
        let text = serde_json::to_vec(found).map_err(|error| at("write", &path)(error.into()))?;
        self.put(&path, &text)
    }

    /// Writes a file whole or not at all.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
        let written = tempfile::NamedTempFile::new_in(self.root.join("partial"))
            .and_then(|file| fs::write(file.path(), bytes).map(|()| file));
        written
            .and_then(|file| file.persist(path).map_err(|error| error.error))
            .map(drop)
            .map_err(at("write", path))
    }

    /// Puts a finished image to its place, named by its hash. One that is there stays, since others
    /// may hold it, unless it was damaged.
    pub(super) fn insert_initramfs(&self, image: &[u8]) -> Result<PathBuf, ImageError> {
        let hash = sha256(image);
        let target = self.root.join("initramfs").join(format!("{hash}.cpio"));
        if sealed(&target).is_none_or(|content| content != hash) {
            self.put(&target, image)?;
            seal_as(&target, &hash)?;
        }
        Ok(target)
    }
}

/// `name` as one plain component of a path.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c == '/' || c == '\0' { '_' } else { c };
    let name: String = name.chars().map(plain).take(200).collect();
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name }
}

pub(super) fn sorted_entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// SHA-256 of `bytes`, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::stock::bytes_of;
    use super::*;

    fn cache() -> (TempDir, Cache) {
        let folder = TempDir::new().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        (folder, cache)
    }

    #[test]
    fn a_folder_not_inserted_leaves_nothing() {
        let (_folder, cache) = cache();
        let partial = cache.partial().unwrap();
        fs::write(partial.path().join("vmlinuz"), b"half").unwrap();
        drop(partial);
        assert_eq!(bytes_of(cache.root()), 0);
        assert!(cache.kernels().is_empty());
    }

    #[test]
    fn an_inserted_kernel_is_found_by_hash_and_by_answer() {
        let (_folder, cache) = cache();
        let partial = cache.partial().unwrap();
        fs::write(partial.path().join("vmlinuz"), b"whole").unwrap();
        let placed = cache.insert_kernel(partial, "6.1.0-1-amd64-0123").unwrap();
        assert_eq!(cache.kernel_by_hash("0123").as_deref(), Some(&*placed));
        assert_eq!(cache.answer("6.1"), None);
        cache.remember("6.1", &placed).unwrap();
        assert_eq!(cache.answer("6.1"), Some(placed.clone()));
        fs::remove_dir_all(placed).unwrap();
        assert_eq!(cache.answer("6.1"), None);
    }

    #[test]
    fn a_second_run_waits_for_the_first() {
        let (_folder, cache) = cache();
        let held = cache.lock().unwrap();
        let error = cache.lock_within(Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("wait for that run"), "{error}");
        drop(held);
        cache.lock_within(Duration::ZERO).unwrap();
    }

    #[test]
    fn clean_keeps_kernels_and_drops_the_rest() {
        let (_folder, cache) = cache();
        let kernel = cache.insert_kernel(cache.partial().unwrap(), "k-1").unwrap();
        fs::write(cache.downloads("x").unwrap().join("x.deb"), b"part").unwrap();
        for part in cache.leftovers() {
            part.remove().unwrap();
        }
        assert!(kernel.is_dir());
        assert_eq!(fs::read_dir(cache.root().join("downloads")).unwrap().count(), 0);
    }

    #[test]
    fn removing_the_cache_leaves_what_is_not_its_own() {
        let (folder, cache) = cache();
        cache.insert_kernel(cache.partial().unwrap(), "k-1").unwrap();
        fs::create_dir(cache.root().join("snapshots")).unwrap();
        fs::write(cache.root().join("snapshots/s"), [0; 500]).unwrap();
        fs::write(cache.root().join("kvm.json"), b"{}").unwrap();
        fs::write(cache.root().join("letter.txt"), b"mine").unwrap();
        let parts = cache.parts();
        let snapshots = parts.iter().find(|part| part.path.ends_with("snapshots")).unwrap();
        assert_eq!(snapshots.bytes, 500);
        let empty = |cache: Cache| {
            let lock = cache.try_lock();
            let unused = cache.unused();
            for part in &unused {
                part.remove().unwrap();
            }
            drop(lock);
            cache.remove_folder();
            unused
        };
        let removed = empty(cache);
        assert!(removed.len() >= parts.len(), "{removed:?}");
        let left: Vec<_> = sorted_entries(folder.path());
        assert_eq!(left, [folder.path().join("letter.txt")]);
        fs::remove_file(&left[0]).unwrap();
        empty(Cache::at(folder.path()).unwrap());
        assert!(!folder.path().exists());
    }

    #[test]
    fn an_image_that_is_there_stays_unless_it_was_damaged() {
        let (_folder, cache) = cache();
        let insert = || cache.insert_initramfs(b"image").unwrap();
        let path = insert();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(fs::metadata(insert()).unwrap().modified().unwrap(), written);
        fs::write(&path, b"Image").unwrap();
        assert_eq!(fs::read(insert()).unwrap(), b"image");
    }

    #[test]
    fn a_fetch_that_would_fill_the_disk_is_refused() {
        let (_folder, cache) = cache();
        cache.room_is_enough(FETCH_BYTES).unwrap();
        let error = cache.room_is_enough(30_000_000).unwrap_err().to_string();
        assert!(error.contains("30 MB are free") && error.contains("VIPBENCH_CACHE"), "{error}");
    }

    #[test]
    fn names_stay_inside_their_folder() {
        assert_eq!(file_name("../../etc"), "_.._.._etc");
        assert_eq!(file_name(""), "_");
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), hash);
    }
}

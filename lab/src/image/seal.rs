//! What a file of the cache held when it was put there, kept beside it as `FILE.seal`, so that one
//! that was damaged or altered since is not used.
//!
//! Fast where nothing happened: size and time of the file are those of its seal. Where they differ,
//! its content decides.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{ImageError, at};

/// How the name of a seal ends.
pub(super) const ENDING: &str = ".seal";
/// Longer than any seal.
const SEAL_BYTES_MAX: u64 = 4096;
const READ_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    bytes: u64,
    /// When the file was last written, nanoseconds since 1970.
    modified_ns: u64,
    sha256: String,
}

/// Seals the file `path` as it is; gives the SHA-256 of its content, in hexadecimal.
///
/// # Errors
/// A file that cannot be read, a seal that cannot be written.
pub fn seal(path: &Path) -> Result<String, ImageError> {
    let sha256 = hash(path).map_err(at("read", path))?;
    seal_as(path, &sha256)?;
    Ok(sha256)
}

/// Seals a file whose content is known to have this SHA-256.
pub(super) fn seal_as(path: &Path, sha256: &str) -> Result<(), ImageError> {
    let beside = beside(path);
    let found = looked_at(path).map_err(at("read", path))?;
    let seal = Seal { sha256: sha256.to_owned(), ..found };
    let text = serde_json::to_vec(&seal).map_err(|error| at("write", &beside)(error.into()))?;
    fs::write(&beside, text).map_err(at("write", &beside))
}

/// The SHA-256 of the content of `path`, in hexadecimal, if that is what was sealed.
pub fn sealed(path: &Path) -> Option<String> {
    let beside = beside(path);
    let is_small = fs::metadata(&beside).is_ok_and(|meta| meta.len() <= SEAL_BYTES_MAX);
    let text = is_small.then(|| fs::read(&beside).ok()).flatten()?;
    let seal: Seal = serde_json::from_slice(&text).ok()?;
    let found = looked_at(path).ok()?;
    if (found.bytes, found.modified_ns) == (seal.bytes, seal.modified_ns) {
        return Some(seal.sha256);
    }
    let is_same = found.bytes == seal.bytes && hash(path).ok()? == seal.sha256;
    // A new seal only saves the next one the work.
    is_same.then(|| self::seal(path).unwrap_or(seal.sha256))
}

/// Removes a sealed file, seal first: what is left by an interruption is not taken for whole.
///
/// # Errors
/// A file that cannot be removed; one that is gone is no error.
pub fn remove_sealed(path: &Path) -> Result<(), ImageError> {
    for path in [&*beside(path), path] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at("remove", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where the seal of `path` is.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// Size and time of a file, as a seal without its hash.
fn looked_at(path: &Path) -> io::Result<Seal> {
    let meta = fs::metadata(path)?;
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified_ns = u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX);
    Ok(Seal { bytes: meta.len(), modified_ns, sha256: String::new() })
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; READ_BYTES]);
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn what_was_altered_is_not_what_was_sealed() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("vmlinux");
        assert_eq!(sealed(&path), None);
        fs::write(&path, b"kernel").unwrap();
        assert_eq!(sealed(&path), None, "never sealed");
        let hash = seal(&path).unwrap();
        assert_eq!(sealed(&path), Some(hash.clone()));
        let touch = |seconds| {
            let time = SystemTime::now() + Duration::from_secs(seconds);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        touch(1);
        assert_eq!(sealed(&path), Some(hash), "a copy with another time is the same");
        fs::write(&path, b"Kernel").unwrap();
        touch(2);
        assert_eq!(sealed(&path), None, "one letter");
        fs::write(&path, b"kern").unwrap();
        assert_eq!(sealed(&path), None, "truncated");
        remove_sealed(&path).unwrap();
        remove_sealed(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

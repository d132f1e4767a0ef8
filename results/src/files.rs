//! Files that replace others at once: nobody reads half of one.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A file or folder cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", .path.display())]
pub struct FileError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Writes beside the place and renames; the folder is made when it is not there.
///
/// # Errors
/// [`FileError`].
pub fn write_file(dir: &Path, name: &str, content: &str) -> Result<PathBuf, FileError> {
    let fail =
        |operation, path: &Path, source| FileError { operation, path: path.to_owned(), source };
    fs::create_dir_all(dir).map_err(|source| fail("create folder", dir, source))?;
    let path = dir.join(name);
    let written = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666)) // less the umask, as for any other file
        .tempfile_in(dir)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)
        });
    written.map_err(|source| fail("write", &path, source))?;
    Ok(path)
}

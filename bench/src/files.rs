//! Files that users name: read within bounds, whatever they turn out to be, and the files of a page
//! written into a folder.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

/// Most bytes of a file that people write, such as a scenario or thresholds.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Opens a file for reading. Pipes and devices are refused: they may never end.
///
/// # Errors
/// There is none, or it is something else.
pub fn open(path: &Path) -> anyhow::Result<File> {
    let file_type = fs::metadata(path)?.file_type();
    ensure!(!file_type.is_dir(), "it is a folder; name a file in it");
    ensure!(file_type.is_file(), "it is a pipe or a device; write what it gives to a file first");
    Ok(File::open(path)?)
}

/// The text of a file that people write.
///
/// # Errors
/// As [`open`]; more bytes than such a file needs, or some that are not UTF-8.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    open(path)?.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    let is_bounded = text.len() as u64 <= TEXT_BYTES_MAX;
    ensure!(is_bounded, "it has too many bytes to be meant (limit {TEXT_BYTES_MAX})");
    Ok(text)
}

/// Puts files, by name and content, into a folder that is made if need be.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn write_all(
    dir: &Path,
    files: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    for (name, content) in files {
        let path = dir.join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_never_end_or_is_too_large_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(TEXT_BYTES_MAX + 1).unwrap();
        let cases = [
            (Path::new("/dev/zero"), "a pipe or a device"),
            (folder.path(), "a folder"),
            (&large, "too many bytes to be meant (limit 1048576)"),
        ];
        for (path, wanted) in cases {
            let error = read_text(path).unwrap_err().to_string();
            assert!(error.contains(wanted), "{}: {error}", path.display());
        }
    }
}

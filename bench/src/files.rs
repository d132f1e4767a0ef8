//! Files that users name: read within bounds, whatever they turn out to be.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// Most bytes of a file that people write, such as a scenario or thresholds.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Most files of a folder that are read, and folders within each other.
const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 32;

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

/// The regular files of a folder and its folders, by name, for which `is_wanted`. Links to folders
/// are not followed.
///
/// # Errors
/// A folder that may not be read, more files or folders than are ever meant.
pub fn files_of(folder: &Path, is_wanted: fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    add_files(folder, is_wanted, 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn add_files(
    folder: &Path,
    is_wanted: fn(&Path) -> bool,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let place = || folder.display().to_string();
    ensure!(depth < DEPTH_MAX, "{}: folders are more than {DEPTH_MAX} deep", place());
    for entry in fs::read_dir(folder).with_context(place)? {
        let entry = entry.with_context(place)?;
        let path = entry.path();
        if entry.file_type().with_context(place)?.is_dir() {
            add_files(&path, is_wanted, depth + 1, files)?;
        } else if is_wanted(&path) && path.is_file() {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            bail!("{}: there are more than {FILES_MAX} files: name parts of it", place());
        }
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

    #[test]
    fn a_folder_gives_its_files_by_name_and_goes_round_no_circle() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("b")).unwrap();
        for name in ["b/1.json", "a.json", "c.txt"] {
            fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), at("b/circle")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("b/zero.json")).unwrap();
        std::os::unix::fs::symlink(at("a.json"), at("d.json")).unwrap();
        let is_json = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
        let names = ["a.json", "b/1.json", "d.json"];
        assert_eq!(files_of(folder.path(), is_json).unwrap(), names.map(at));
    }
}

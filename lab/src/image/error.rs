//! Why a kernel or an initramfs could not be had, and reading files with a bound.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why a kernel or an initramfs could not be had: the thing, the place and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refused.
    #[error("cannot {doing} `{}`: {source}{}", path.display(), room_text(source))]
    Io {
        /// What was being done, as a verb: `read`, `create`, ...
        doing: &'static str,
        /// File or folder concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file, the package source or the cache is not what it should be.
    #[error("{what}: {problem}; {remedy}")]
    Faulty {
        /// What it is about.
        what: String,
        /// What is wrong with it, with the package tool's own words if it has any.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A SPEC of a kernel that cannot be read.
    #[error(
        "`{spec}` names no kernel: {problem}; write `host`, a series such as `6.1`, `7.x`, an exact release such as \
         `6.1.0-30-cloud-amd64`, `PATH.deb`, or `vmlinuz=PATH,modules=DIR`"
    )]
    Spec {
        /// The SPEC as given.
        spec: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No package of the configured sources matches.
    #[error("kernel `{spec}`: no package in {suites}; {}", near_text(near))]
    NotFound {
        /// The SPEC as given.
        spec: String,
        /// The suites that were asked.
        suites: &'static str,
        /// Releases that exist, nearest first.
        near: Vec<String>,
    },
}

impl ImageError {
    pub(super) fn file(path: &Path, problem: impl Display, remedy: &'static str) -> Self {
        Self::faulty(format!("`{}`", path.display()), problem, remedy)
    }

    pub(super) fn source(problem: impl Display, remedy: &'static str) -> Self {
        Self::faulty("package source".to_owned(), problem, remedy)
    }

    pub(super) fn cache(folder: &Path, problem: impl Display, remedy: &'static str) -> Self {
        Self::faulty(format!("kernel cache `{}`", folder.display()), problem, remedy)
    }

    pub(super) fn faulty(what: String, problem: impl Display, remedy: &'static str) -> Self {
        Self::Faulty { what, problem: problem.to_string(), remedy }
    }
}

/// For `map_err`: an I/O error with what was being done to which path.
pub(super) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Io { doing, path, source }
}

/// What to do about a full disk.
pub(super) const MAKE_ROOM: &str =
    "free some space (a kernel takes up to 400 MB), or set VIPBENCH_CACHE to another folder";

fn room_text(source: &io::Error) -> String {
    let is_full =
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if is_full { format!("; {MAKE_ROOM}") } else { String::new() }
}

/// How to have a kernel that no package source offers.
pub(super) const BRING_ONES_OWN: &str =
    "bring a package of your own: `PATH.deb`, or its files: `vmlinuz=PATH,modules=DIR`";

fn near_text(near: &[String]) -> String {
    if near.is_empty() {
        format!(
            "no kernel package was seen at all: look at the machine's package sources, or \
             {BRING_ONES_OWN}"
        )
    } else {
        format!("the nearest there are: {}; or {BRING_ONES_OWN}", near.join(", "))
    }
}

/// The content of a file, at most `bytes_max` of it.
pub(super) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at("open", path))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(at("read", path))?;
    if bytes.len() as u64 > bytes_max {
        let problem = format!("it is larger than {bytes_max} bytes");
        return Err(ImageError::file(path, problem, "see that it is the right file, and whole"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_thing_and_the_remedy() {
        let error = ImageError::NotFound {
            spec: "6.3".into(),
            suites: "bookworm",
            near: vec!["6.1.0-1-cloud-amd64".into()],
        };
        assert_eq!(
            error.to_string(),
            "kernel `6.3`: no package in bookworm; the nearest there are: 6.1.0-1-cloud-amd64; or \
             bring a package of your own: `PATH.deb`, or its files: `vmlinuz=PATH,modules=DIR`"
        );
        let error = at("read", Path::new("/x"))(io::Error::from(io::ErrorKind::NotFound));
        assert!(error.to_string().starts_with("cannot read `/x`: "));
        assert!(!error.to_string().contains("free some space"));
        let error = at("write", Path::new("/x"))(io::Error::from(io::ErrorKind::StorageFull));
        assert!(error.to_string().contains("free some space"), "{error}");
    }
}

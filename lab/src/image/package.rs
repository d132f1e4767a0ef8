//! Gets the packages of a kernel, from the machine's package sources or from a folder. Unpacks
//! none.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::apt::{Apt, package_file};
use super::cache::sha256;
use super::catalogue::{OfferedKernel, companions, is_optional};
use super::control::Stanza;
use super::deb::Deb;
use super::error::ImageError;

/// Where one package of a kernel came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// Suite of the package source, or nothing for a package that was a file.
    pub suite: Option<String>,
    /// SHA-256 of the package file, in hexadecimal.
    pub sha256: String,
}

/// A package file and where it came from.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) path: PathBuf,
    pub(super) record: PackageRecord,
}

/// Fetches the packages of a kernel on offer into the folder `into`, its image package first.
pub(super) fn fetch(
    apt: &Apt,
    kernel: &OfferedKernel,
    into: &Path,
    progress: &dyn Fn(&str),
) -> Result<Vec<Fetched>, ImageError> {
    let get = |wanted: &String| {
        progress(&format!("fetching {wanted}"));
        Ok(described(&apt.download(wanted, into)?, Some(&kernel.suite))?.0)
    };
    let image = format!("{}={}", kernel.package, kernel.version);
    [&image].into_iter().chain(&kernel.companions).map(get).collect()
}

/// The packages of the kernel whose image package is the file `deb`; others it needs lie beside it.
pub(super) fn from_file(deb: &Path) -> Result<Vec<Fetched>, ImageError> {
    let folder = deb.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let (image, control) = described(deb, None)?;
    let mut all = vec![image];
    for needed in companions(&control) {
        match package_file(folder, &needed.name)? {
            Some(path) => all.push(described(&path, None)?.0),
            None if is_optional(&needed) => {}
            None => {
                let problem =
                    format!("its kernel is spread over packages, and {} is not here", needed.name);
                return Err(ImageError::file(deb, problem, "put all of them into the same folder"));
            }
        }
    }
    Ok(all)
}

fn described(path: &Path, suite: Option<&str>) -> Result<(Fetched, Stanza), ImageError> {
    let deb = Deb::open(path)?;
    let control = deb.control()?;
    let field = |name: &str| control.get(name).unwrap_or("unknown").to_owned();
    let record = PackageRecord {
        name: field("Package"),
        version: field("Version"),
        suite: suite.map(str::to_owned),
        sha256: sha256(deb.bytes()),
    };
    Ok((Fetched { path: path.to_owned(), record }, control))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::deb::tests::package;
    use super::*;

    #[test]
    fn a_kernel_spread_over_packages_is_gathered() {
        let folder = TempDir::new().unwrap();
        let put = |name: &str, depends: &str| {
            let control = format!("Package: {name}\nVersion: 7.2-1\nDepends: {depends}\n");
            let path = folder.path().join(format!("{name}_7.2-1_amd64.deb"));
            fs::write(&path, package(&control, &[])).unwrap();
            path
        };
        let image = put(
            "linux-image-7.2-amd64",
            "kmod, linux-base-7.2-amd64 (= 7.2-1), linux-binary-7.2-amd64 (= 7.2-1),\n \
             linux-modules-7.2-amd64 (= 7.2-1)",
        );
        put("linux-binary-7.2-amd64", "kmod");
        let error = from_file(&image).unwrap_err().to_string();
        assert!(error.contains("linux-modules-7.2-amd64 is not here"), "{error}");
        put("linux-modules-7.2-amd64", "kmod");
        let all = from_file(&image).unwrap();
        let names: Vec<_> = all.iter().map(|fetched| fetched.record.name.as_str()).collect();
        let parts = ["linux-image-7.2-amd64", "linux-binary-7.2-amd64", "linux-modules-7.2-amd64"];
        assert_eq!(names, parts);
        assert!(all.iter().all(|fetched| fetched.record.sha256.len() == 64));
    }
}

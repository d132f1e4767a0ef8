//! Gets the packages of a kernel, from the machine's package sources or from a folder. Unpacks
//! none.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::apt::{Apt, Offer, package_file, source_places};
use super::cache::{Cache, sha256};
use super::choose::{companions, default_image, is_offered, is_optional, newest};
use super::control::{Dependency, Stanza};
use super::deb::Deb;
use super::error::ImageError;
use super::sources::{Source, configured};
use super::spec::KernelSpec;

const OS_RELEASE: &str = "/etc/os-release";

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

/// Fetches the packages of the kernel that `spec` (a default, series or release) names: its image
/// package first.
pub(super) fn fetch(
    spec: &KernelSpec,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Vec<Fetched>, ImageError> {
    let (apt, image) = on_offer(spec, cache, progress)?;
    let into = cache.downloads(&format!("{}-{}", image.name, image.version))?;
    let download = |name: &str, version: Option<&str>| {
        progress(&format!("fetching {name}"));
        apt.download(name, version, &into)
    };
    let path = download(&image.name, Some(&image.version))?;
    with_companions(&path, Some(&image.suite), |needed| {
        if is_optional(needed) && !is_offered(&apt, needed)? {
            return Ok(None);
        }
        download(&needed.name, needed.exact_version.as_deref()).map(Some)
    })
}

/// The image package that `spec` (a default, series or release) names, and the indexes that it is
/// in.
pub(super) fn on_offer(
    spec: &KernelSpec,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<(Apt, Offer), ImageError> {
    if *spec == KernelSpec::Default {
        cache.must_have_room()?;
        progress("reading the package indexes");
        let apt = Apt::open(cache.apt("own"), &own_sources()?)?;
        let image = default_image(&apt)?;
        return Ok((apt, image));
    }
    let apt = every_suite(cache, progress)?;
    let image = newest(spec, &apt)?;
    Ok((apt, image))
}

/// The packages of the kernel whose image package is the file `deb`; others it needs lie beside it.
pub(super) fn from_file(deb: &Path) -> Result<Vec<Fetched>, ImageError> {
    let folder = deb.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    with_companions(deb, None, |needed| match package_file(folder, &needed.name)? {
        None if !is_optional(needed) => Err(ImageError::Malformed {
            path: deb.to_owned(),
            problem: format!("its kernel is spread over packages, and {} is not here", needed.name),
            remedy: "put all of them into the same folder",
        }),
        found => Ok(found),
    })
}

/// The image package at `image`, and the other packages its kernel is spread over, as `get` finds
/// them.
fn with_companions(
    image: &Path,
    suite: Option<&str>,
    get: impl Fn(&Dependency) -> Result<Option<PathBuf>, ImageError>,
) -> Result<Vec<Fetched>, ImageError> {
    let (first, control) = described(image, suite)?;
    let mut all = vec![first];
    for needed in companions(&control) {
        if let Some(path) = get(&needed)? {
            all.push(described(&path, suite)?.0);
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

fn own_sources() -> Result<Vec<Source>, ImageError> {
    let (list, parts) = source_places()?;
    let release = fs::read_to_string(OS_RELEASE).unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    configured(&list, &parts, codename.map(|name| name.trim_matches('"')))
}

/// The indexes of every suite of the machine's package sources.
pub(super) fn every_suite(cache: &Cache, progress: &dyn Fn(&str)) -> Result<Apt, ImageError> {
    cache.must_have_room()?;
    progress("reading the package indexes of every suite");
    Apt::open(cache.apt("all"), &all_suites(&own_sources()?, cache)?)
}

/// The archives of `own` with every suite they have.
fn all_suites(own: &[Source], cache: &Cache) -> Result<Vec<Source>, ImageError> {
    let mut all = Vec::new();
    // Archives of releases first: they tell the names of the releases that an archive of
    // corrections may be asked for.
    let mut own: Vec<(usize, &Source)> = own.iter().enumerate().collect();
    own.sort_by_key(|(_, source)| source.is_corrections_only());
    for (number, source) in own {
        let known: Vec<String> = all.iter().flat_map(|s: &Source| s.suites.clone()).collect();
        let folder = cache.apt(&format!("suites-{number}"));
        let possible = source.with_suites(source.possible_suites(&known));
        all.push(source.with_suites(Apt::suites(folder, &possible)?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
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

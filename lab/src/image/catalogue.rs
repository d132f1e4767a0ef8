//! Every kernel that the machine's package sources offer, found with four questions to apt. Fetches
//! no package.

use std::collections::BTreeMap;
use std::fs;

use super::apt::{Apt, Key, source_places};
use super::control::{Dependency, Stanza};
use super::error::ImageError;
use super::kernels::Kernels;
use super::sources::{Source, configured};

pub(super) const IMAGE_PREFIX: &str = "linux-image-";
/// Most other packages a kernel is spread over.
const COMPANIONS_MAX: usize = 8;
const OS_RELEASE: &str = "/etc/os-release";

/// A kernel that the package sources offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedKernel {
    /// What `uname -r` says in it.
    pub release: String,
    /// Major and minor version.
    pub series: (u32, u32),
    /// Kind of kernel, such as `cloud-amd64`.
    pub flavour: String,
    /// Name of its image package.
    pub package: String,
    /// Version of its packages.
    pub version: String,
    /// Suite that holds it.
    pub suite: String,
    /// Size of its packages together, bytes.
    pub download_bytes: u64,
    /// The other packages it is spread over, as apt takes them.
    pub companions: Vec<String>,
    /// A package it cannot do without and no source offers; nothing when it can be had whole.
    pub missing: Option<String>,
    /// Whether it is a release candidate.
    pub is_candidate: bool,
}

impl Kernels<'_> {
    /// Every kernel on offer in any suite of the configured package sources, oldest first; of
    /// builds that differ in their signature only, the signed one.
    ///
    /// # Errors
    /// When apt is absent, or a source cannot be reached and its indexes are not known already.
    pub fn offered(&self) -> Result<Vec<OfferedKernel>, ImageError> {
        let _lock = self.cache.lock()?;
        let apt = self.every_suite()?;
        (self.progress)("listing kernels");
        let mut kernels = catalogue(&apt)?;
        kernels.retain(|kernel| !kernel.release.ends_with("-unsigned"));
        Ok(kernels)
    }

    /// The indexes of the suites that this machine follows.
    pub(super) fn own_suites(&self) -> Result<Apt, ImageError> {
        self.cache.must_have_room()?;
        (self.progress)("reading the package indexes");
        Apt::open(self.cache.apt("own"), &own_sources()?)
    }

    /// The indexes of every suite of the machine's package sources.
    pub(super) fn every_suite(&self) -> Result<Apt, ImageError> {
        self.cache.must_have_room()?;
        (self.progress)("reading the package indexes of every suite");
        let mut own: Vec<(usize, Source)> = own_sources()?.into_iter().enumerate().collect();
        // Archives of releases first: they tell the names of the releases that an archive of
        // corrections may be asked for.
        own.sort_by_key(|(_, source)| source.is_corrections_only());
        let mut all: Vec<Source> = Vec::new();
        for (number, mut source) in own {
            let known: Vec<String> = all.iter().flat_map(|source| source.suites.clone()).collect();
            source.suites = source.possible_suites(&known);
            source.suites = Apt::suites(self.cache.apt(&format!("suites-{number}")), &source)?;
            all.push(source);
        }
        Apt::open(self.cache.apt("all"), &all)
    }
}

/// Every kernel in the indexes of `apt`, oldest first.
pub(super) fn catalogue(apt: &Apt) -> Result<Vec<OfferedKernel>, ImageError> {
    let mut names = apt.search(&format!("^{IMAGE_PREFIX}[0-9]"))?;
    // Debug information is no kernel.
    names.retain(|name| !name.ends_with("-dbg"));
    let suites = apt.suites_of(&names)?;
    let images = apt.show(suites.keys().map(|(name, version)| format!("{name}={version}")))?;
    let parts = apt.show(images.iter().flat_map(companions).map(|needed| needed.to_string()))?;
    let sizes = parts.iter().filter_map(|part| Some((part.key()?, size_of(part)))).collect();
    Ok(kernels(&images, &suites, &sizes))
}

/// The kernels of `images`, with the suite that holds each and the sizes of all other packages.
fn kernels(
    images: &[Stanza],
    suites: &BTreeMap<Key, String>,
    sizes: &BTreeMap<Key, u64>,
) -> Vec<OfferedKernel> {
    let kernels = images.iter().filter_map(|image| kernel(image, suites, sizes));
    let mut kernels: Vec<OfferedKernel> = kernels.collect();
    kernels.sort_by_cached_key(|kernel| {
        (kernel.series, numbers(&kernel.version), kernel.flavour.clone(), kernel.release.clone())
    });
    kernels.dedup_by(|a, b| (&a.package, &a.version) == (&b.package, &b.version));
    kernels
}

/// The kernel of an image package, if it is one.
fn kernel(
    image: &Stanza,
    suites: &BTreeMap<Key, String>,
    sizes: &BTreeMap<Key, u64>,
) -> Option<OfferedKernel> {
    let key = image.key().filter(|_| is_kernel(image))?;
    let release = release_of(&key.0)?.to_owned();
    let suite = suites.get(&key)?.clone();
    let (mut missing, mut found, mut download_bytes) = (None, Vec::new(), size_of(image));
    for needed in companions(image) {
        match sizes.iter().find(|((name, version), _)| needed.is(name, version)) {
            Some((_, bytes)) => {
                download_bytes += bytes;
                found.push(needed.to_string());
            }
            None if is_optional(&needed) => {}
            None => missing = missing.or(Some(needed.name)),
        }
    }
    let (package, version) = key;
    Some(OfferedKernel {
        series: series_of(&release)?,
        flavour: flavour_of(&release).to_owned(),
        is_candidate: version.contains("~rc"),
        release,
        package,
        version,
        suite,
        download_bytes,
        companions: found,
        missing,
    })
}

fn size_of(package: &Stanza) -> u64 {
    package.get("Size").and_then(|size| size.parse().ok()).unwrap_or_default()
}

/// The other packages of the same release that an image package depends on: Debian's
/// `linux-image-RELEASE` needs `linux-base-RELEASE` from Linux 6.18 on, and from 6.19 on is empty
/// and needs `linux-binary-RELEASE` and `linux-modules-RELEASE`.
pub(super) fn companions(image: &Stanza) -> Vec<Dependency> {
    let Some(release) = image.get("Package").and_then(release_of) else { return Vec::new() };
    let ending = format!("-{release}");
    let same_release =
        |needed: &Dependency| needed.name.starts_with("linux-") && needed.name.ends_with(&ending);
    image.depends().into_iter().filter(same_release).take(COMPANIONS_MAX).collect()
}

/// Whether a kernel boots without this companion: `linux-base-RELEASE` holds its configuration and
/// the list of what is built in.
pub(super) fn is_optional(companion: &Dependency) -> bool {
    companion.name.starts_with("linux-base-")
}

/// Whether a package is a kernel's, and no meta-package such as linux-image-6.12-cloud-amd64, which
/// has the newest version too and stands for another image package.
fn is_kernel(package: &Stanza) -> bool {
    !package.depends().iter().any(|needed| release_of(&needed.name).is_some())
}

/// Release in the name of an image package.
pub(super) fn release_of(package: &str) -> Option<&str> {
    let release = package.strip_prefix(IMAGE_PREFIX)?;
    release.starts_with(|c: char| c.is_ascii_digit()).then_some(release)
}

/// What follows the version in a release: `amd64` in `6.1.0-30-amd64`, `rt-amd64` in
/// `6.1.0-30-rt-amd64`.
pub(super) fn flavour_of(release: &str) -> &str {
    let mut flavour = "";
    for (at, _) in release.rmatch_indices('-') {
        let rest = release.get(at + 1..).unwrap_or_default();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            break;
        }
        flavour = rest;
    }
    flavour
}

/// The series of a release: `(6, 1)` of `6.1.0-30-amd64`.
pub(super) fn series_of(release: &str) -> Option<(u32, u32)> {
    match *numbers(release).as_slice() {
        [major, minor, ..] => Some((major, minor)),
        _ => None,
    }
}

/// The numbers a release starts with.
pub(super) fn numbers(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).collect()
}

fn own_sources() -> Result<Vec<Source>, ImageError> {
    let (list, parts) = source_places()?;
    let release = fs::read_to_string(OS_RELEASE).unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    configured(&list, &parts, codename.map(|name| name.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::super::control::stanzas;
    use super::*;

    fn stanza(text: &str) -> Stanza {
        stanzas(text).remove(0)
    }

    #[test]
    fn kernels_are_listed_with_what_they_lack_and_what_they_weigh() {
        let images = stanzas(
            "Package: linux-image-7.0.1-cloud-amd64\nVersion: 7.0.1-1\nSize: 2\nDepends: \
             linux-base-7.0.1-cloud-amd64 (= 7.0.1-1), linux-modules-7.0.1-cloud-amd64 (= 7.0.1-1)\n\n\
             Package: linux-image-7.2~rc1-amd64\nVersion: 7.2~rc1-1\nSize: 3\nDepends: \
             linux-modules-7.2~rc1-amd64 (= 7.2~rc1-1)\n\n\
             Package: linux-image-6.12-amd64\nVersion: 6.12.9-1\nDepends: linux-image-6.12.9-amd64 (= 6.12.9-1)\n\n\
             Package: linux-image-6.8.0-31-generic\nVersion: 6.8.0-31.31\nSize: 7\n\
             Depends: linux-base (>= 4.5), linux-modules-6.8.0-31-generic\n\n\
             Package: linux-image-6.12.9-amd64\nVersion: 6.12.9-1\nSize: 100\nDepends: kmod\n",
        );
        let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let sizes = BTreeMap::from([
            (key("linux-modules-7.2~rc1-amd64", "7.2~rc1-1"), 40),
            (key("linux-modules-7.0.1-cloud-amd64", "7.0.1-2"), 1),
            (key("linux-modules-6.8.0-31-generic", "6.8.0-31.31"), 50),
        ]);
        let suites = images.iter().map(|image| (image.key().unwrap(), "s".to_owned())).collect();
        let twice = [images.clone(), images].concat();
        let kernels = kernels(&twice, &suites, &sizes);
        let seen: Vec<_> = kernels
            .iter()
            .map(|k| (k.release.as_str(), k.download_bytes, k.missing.as_deref(), k.is_candidate))
            .collect();
        let expected = [
            ("6.8.0-31-generic", 57, None, false),
            ("6.12.9-amd64", 100, None, false),
            ("7.0.1-cloud-amd64", 2, Some("linux-modules-7.0.1-cloud-amd64"), false),
            ("7.2~rc1-amd64", 43, None, true),
        ];
        assert_eq!(seen, expected);
        assert_eq!(kernels[1].series, (6, 12));
        assert_eq!(kernels[2].flavour, "cloud-amd64");
        assert_eq!(kernels[0].companions, ["linux-modules-6.8.0-31-generic"]);
        assert_eq!(kernels[3].companions, ["linux-modules-7.2~rc1-amd64=7.2~rc1-1"]);
    }

    #[test]
    fn flavours_are_told_from_versions() {
        for (release, flavour) in [
            ("6.12.48+deb13-rt-amd64", "rt-amd64"),
            ("6.1.0-30-cloud-amd64-unsigned", "cloud-amd64-unsigned"),
            ("6.8.0-31-generic", "generic"),
            ("7.3", ""),
        ] {
            assert_eq!(flavour_of(release), flavour);
        }
    }

    #[test]
    fn a_meta_package_is_no_kernel() {
        let meta = "Package: linux-image-6.12-a\nDepends: linux-image-6.12.1-a (= 1)\n";
        assert!(!is_kernel(&stanza(meta)));
        let image = "Package: linux-image-6.12.1-a\nDepends: kmod, linux-base\n";
        assert!(is_kernel(&stanza(image)));
    }

    #[test]
    fn companions_are_the_packages_of_the_same_release() {
        let image = stanza(
            "Package: linux-image-7.2-amd64\nDepends: kmod, linux-base (>= 4), dracut,\n \
             linux-base-7.2-amd64 (= 7.2-1), linux-binary-7.2-amd64 (= 7.2-1), linux-doc-7.2\n",
        );
        let found = companions(&image);
        let names: Vec<_> = found.iter().map(|needed| needed.name.as_str()).collect();
        assert_eq!(names, ["linux-base-7.2-amd64", "linux-binary-7.2-amd64"]);
        assert_eq!(found.iter().map(is_optional).collect::<Vec<_>>(), [true, false]);
    }
}

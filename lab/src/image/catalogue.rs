//! Every kernel that the machine's package sources offer, found with three questions to apt.
//! Fetches no package.

use std::collections::{BTreeMap, BTreeSet};

use super::apt::{Apt, Offer};
use super::cache::Cache;
use super::choose::{
    IMAGE_PREFIX, companions, flavour_of, is_candidate, is_kernel, is_optional, numbers,
    release_of, series_of,
};
use super::control::Stanza;
use super::error::ImageError;
use super::package::every_suite;

/// Flavours that are another build of a kernel listed beside them: unsigned, and debug information.
const SHADOWS: [&str; 2] = ["-unsigned", "-dbg"];

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
    /// A package it cannot do without and no source offers; nothing when it can be had whole.
    pub missing: Option<String>,
    /// Whether it is a release candidate.
    pub is_candidate: bool,
}

/// Every kernel on offer in any suite of the configured package sources, oldest first.
///
/// # Errors
/// When apt is absent, or a source cannot be reached and its indexes are not known already.
pub fn offered_kernels(
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Vec<OfferedKernel>, ImageError> {
    let _lock = cache.lock()?;
    let apt = every_suite(cache, progress)?;
    progress("listing kernels");
    let names = apt.search(&format!("^{IMAGE_PREFIX}[0-9]"))?;
    let is_original = |name: &String| !SHADOWS.iter().any(|shadow| name.ends_with(shadow));
    let names: Vec<String> = names.into_iter().filter(is_original).collect();
    let offers = apt.offers(&names)?;
    let images = described(&apt, offers.iter().map(|o| (o.name.clone(), o.version.clone())))?;
    let needed = images.values().flat_map(companions);
    let needed = needed.filter_map(|needed| Some((needed.name, needed.exact_version?)));
    let parts = described(&apt, needed)?;
    Ok(catalogue(&offers, &images, &parts))
}

/// Name and version of a package.
type Key = (String, String);

/// Descriptions of those packages that are on offer.
fn described(
    apt: &Apt,
    packages: impl Iterator<Item = Key>,
) -> Result<BTreeMap<Key, Stanza>, ImageError> {
    let packages: BTreeSet<String> = packages.map(|(name, v)| format!("{name}={v}")).collect();
    let stanzas = apt.show_all(&packages.into_iter().collect::<Vec<_>>())?;
    let keyed = |stanza: Stanza| {
        let key = (stanza.get("Package")?.to_owned(), stanza.get("Version")?.to_owned());
        Some((key, stanza))
    };
    Ok(stanzas.into_iter().filter_map(keyed).collect())
}

fn catalogue(
    offers: &[Offer],
    images: &BTreeMap<Key, Stanza>,
    parts: &BTreeMap<Key, Stanza>,
) -> Vec<OfferedKernel> {
    let mut kernels: BTreeMap<Key, OfferedKernel> = BTreeMap::new();
    for offer in offers {
        let key = (offer.name.clone(), offer.version.clone());
        let Some(image) = images.get(&key).filter(|image| is_kernel(image)) else { continue };
        let found = release_of(&offer.name).and_then(|r| Some((r.to_owned(), series_of(r)?)));
        let Some((release, series)) = found else { continue };
        let (missing, companion_bytes) = gather(image, parts);
        kernels.entry(key).or_insert_with(|| OfferedKernel {
            series,
            flavour: flavour_of(&release).to_owned(),
            release,
            package: offer.name.clone(),
            version: offer.version.clone(),
            suite: offer.suite.clone(),
            download_bytes: size_of(image) + companion_bytes,
            missing,
            is_candidate: is_candidate(&offer.version),
        });
    }
    let mut kernels: Vec<OfferedKernel> = kernels.into_values().collect();
    kernels.sort_by_cached_key(|kernel| {
        (kernel.series, numbers(&kernel.version), kernel.flavour.clone(), kernel.release.clone())
    });
    kernels
}

/// The first package that `image` lacks, and the size of those it has beside it, bytes.
fn gather(image: &Stanza, parts: &BTreeMap<Key, Stanza>) -> (Option<String>, u64) {
    let (mut missing, mut bytes) = (None, 0);
    for needed in companions(image) {
        let key = needed.exact_version.clone().map(|version| (needed.name.clone(), version));
        match key.and_then(|key| parts.get(&key)) {
            Some(part) => bytes += size_of(part),
            None if is_optional(&needed) => {}
            None => missing = missing.or(Some(needed.name)),
        }
    }
    (missing, bytes)
}

fn size_of(package: &Stanza) -> u64 {
    package.get("Size").and_then(|size| size.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::control::stanzas;
    use super::*;

    fn keyed(text: &str) -> BTreeMap<Key, Stanza> {
        let key = |s: &Stanza| (s.get("Package").unwrap().into(), s.get("Version").unwrap().into());
        stanzas(text).into_iter().map(|stanza| (key(&stanza), stanza)).collect()
    }

    #[test]
    fn kernels_are_listed_with_what_they_lack_and_what_they_weigh() {
        let images = keyed(
            "Package: linux-image-7.0.1-cloud-amd64\nVersion: 7.0.1-1\nSize: 2\nDepends: \
             linux-base-7.0.1-cloud-amd64 (= 7.0.1-1), linux-modules-7.0.1-cloud-amd64 (= 7.0.1-1)\n\n\
             Package: linux-image-7.2~rc1-amd64\nVersion: 7.2~rc1-1\nSize: 3\nDepends: \
             linux-modules-7.2~rc1-amd64 (= 7.2~rc1-1)\n\n\
             Package: linux-image-6.12-amd64\nVersion: 6.12.9-1\nDepends: linux-image-6.12.9-amd64 (= 6.12.9-1)\n\n\
             Package: linux-image-6.12.9-amd64\nVersion: 6.12.9-1\nSize: 100\nDepends: kmod\n",
        );
        let parts = keyed("Package: linux-modules-7.2~rc1-amd64\nVersion: 7.2~rc1-1\nSize: 40\n");
        let offer = |(name, version): &Key| Offer {
            name: name.clone(),
            version: version.clone(),
            suite: "s".into(),
        };
        let offers: Vec<Offer> = images.keys().map(offer).collect();
        let twice = [offers.clone(), offers].concat();
        let kernels = catalogue(&twice, &images, &parts);
        let seen: Vec<_> = kernels
            .iter()
            .map(|k| (k.release.as_str(), k.download_bytes, k.missing.as_deref(), k.is_candidate))
            .collect();
        let expected = [
            ("6.12.9-amd64", 100, None, false),
            ("7.0.1-cloud-amd64", 2, Some("linux-modules-7.0.1-cloud-amd64"), false),
            ("7.2~rc1-amd64", 43, None, true),
        ];
        assert_eq!(seen, expected);
        assert_eq!(kernels[0].series, (6, 12));
        assert_eq!(kernels[1].flavour, "cloud-amd64");
    }
}

//! Chooses, among the packages on offer, those that make a kernel. Fetches none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::apt::{Apt, Offer, is_newer};
use super::control::{Dependency, Stanza};
use super::error::ImageError;
use super::spec::KernelSpec;

pub(super) const IMAGE_PREFIX: &str = "linux-image-";
/// Kinds of kernel, best first: the smallest with all that is needed, then those with drivers a
/// guest has no use for.
pub(super) const FLAVOURS: [&str; 3] = ["cloud-amd64", "amd64", "generic"];
/// Most other packages a kernel is spread over.
const COMPANIONS_MAX: usize = 8;
/// How many releases an error lists.
const NEAR_MAX: usize = 12;

/// The kernel that the distribution's own meta-package for virtual machines stands for.
pub(super) fn default_image(apt: &Apt) -> Result<Offer, ImageError> {
    for flavour in FLAVOURS {
        let Some(meta) = apt.show(&format!("{IMAGE_PREFIX}{flavour}"))? else { continue };
        let image = meta.depends().into_iter().find(|needed| release_of(&needed.name).is_some());
        let Some(image) = image else { continue };
        if let Some(offer) = offers_of(apt, &image)?.into_iter().next() {
            return Ok(offer);
        }
    }
    Err(ImageError::NotFound {
        spec: KernelSpec::Default.to_string(),
        suites: "the configured package sources".to_owned(),
        near: Vec::new(),
    })
}

/// The newest image package that `spec` (a series or release) names, of the best flavour there is,
/// whose kernel can be had whole: archives keep image packages longer than the packages that hold
/// their modules.
pub(super) fn newest(spec: &KernelSpec, apt: &Apt) -> Result<Offer, ImageError> {
    let names = apt.search(&format!("^{IMAGE_PREFIX}[0-9]"))?;
    let releases: Vec<&str> = names.iter().filter_map(|name| release_of(name)).collect();
    let mut gaps = Vec::new();
    for flavour in FLAVOURS {
        let wanted = releases.iter().filter(|release| matches(spec, release, flavour));
        let wanted: Vec<String> = wanted.map(|r| format!("{IMAGE_PREFIX}{r}")).collect();
        let mut offers = apt.offers(&wanted)?;
        if let KernelSpec::Newest(_) = spec {
            offers.retain(|offer| !is_candidate(&offer.version));
        }
        while let Some(best) = newest_offer(&offers)? {
            let package = apt.show(&format!("{}={}", best.name, best.version))?;
            if let Some(package) = package.filter(is_kernel) {
                match gap(apt, &package)? {
                    None => return Ok(best),
                    Some(part) => gaps.push(format!("{} needs {part}", best.name)),
                }
            }
            offers.retain(|offer| offer.name != best.name);
        }
    }
    match gaps.first() {
        Some(gap) => Err(ImageError::Source {
            problem: format!("kernel `{spec}`: {gap}, which the archive has no more"),
            remedy: "name another series or release, or bring its packages: `PATH.deb`, with all of \
                     them in one folder",
        }),
        None => Err(ImageError::NotFound {
            spec: spec.to_string(),
            suites: "any suite of the configured package sources".to_owned(),
            near: near(spec, &releases),
        }),
    }
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

/// Whether a source offers `needed` in the version prescribed.
pub(super) fn is_offered(apt: &Apt, needed: &Dependency) -> Result<bool, ImageError> {
    Ok(!offers_of(apt, needed)?.is_empty())
}

fn offers_of(apt: &Apt, needed: &Dependency) -> Result<Vec<Offer>, ImageError> {
    let mut offers = apt.offers(std::slice::from_ref(&needed.name))?;
    let version = needed.exact_version.as_ref();
    offers.retain(|offer| version.is_none_or(|version| *version == offer.version));
    Ok(offers)
}

/// A package that `image` cannot do without and no source offers.
fn gap(apt: &Apt, image: &Stanza) -> Result<Option<String>, ImageError> {
    for needed in companions(image).into_iter().filter(|needed| !is_optional(needed)) {
        if !is_offered(apt, &needed)? {
            return Ok(Some(needed.name));
        }
    }
    Ok(None)
}

fn newest_offer(offers: &[Offer]) -> Result<Option<Offer>, ImageError> {
    let mut best: Option<&Offer> = None;
    for offer in offers {
        let better = match best {
            None => true,
            Some(best) => best.version != offer.version && is_newer(&offer.version, &best.version)?,
        };
        if better {
            best = Some(offer);
        }
    }
    Ok(best.cloned())
}

/// Whether a package is a kernel's, and no meta-package such as linux-image-6.12-cloud-amd64, which
/// has the newest version too and stands for another image package.
pub(super) fn is_kernel(package: &Stanza) -> bool {
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

fn matches(spec: &KernelSpec, release: &str, flavour: &str) -> bool {
    match spec {
        KernelSpec::Series(major, minor) => {
            let rest = release.strip_prefix(&format!("{major}.{minor}"));
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
                && flavour_of(release) == flavour
        }
        KernelSpec::Newest(major) => {
            release.starts_with(&format!("{major}.")) && flavour_of(release) == flavour
        }
        KernelSpec::Release(exact) => exact == release,
        _ => false,
    }
}

/// What an error offers instead of `spec`: all series, nearest first, or the releases that share
/// most of their beginning with it, newest first.
fn near(spec: &KernelSpec, releases: &[&str]) -> Vec<String> {
    let releases = releases.iter().filter(|release| FLAVOURS.contains(&flavour_of(release)));
    let wanted = match spec {
        KernelSpec::Series(major, minor) => Some((*major, *minor)),
        KernelSpec::Newest(major) => Some((*major, 0)),
        _ => None,
    };
    if let Some(wanted) = wanted {
        let series: BTreeSet<(u32, u32)> = releases.filter_map(|r| series_of(r)).collect();
        let mut series: Vec<(u32, u32)> = series.into_iter().collect();
        series.sort_by_key(|one| (age(*one).abs_diff(age(wanted)), *one));
        return series.iter().map(|(major, minor)| format!("{major}.{minor}")).collect();
    }
    let spec = spec.to_string();
    let shared = |release: &str| {
        let pairs = spec.bytes().zip(release.bytes());
        pairs.take_while(|(ours, theirs)| ours == theirs).count()
    };
    let mut near: Vec<&str> = releases.copied().collect();
    near.sort_by_key(|release| Reverse((shared(release), numbers(release))));
    near.into_iter().take(NEAR_MAX).map(str::to_owned).collect()
}

/// Series in the order of their making: Linux 4 ended with 4.20, 5 with 5.19, 6 with 6.19.
fn age((major, minor): (u32, u32)) -> u32 {
    major.saturating_mul(20).saturating_add(minor)
}

/// The series nearest to `wanted` that a source offers, nearest first.
pub(super) fn near_series(apt: &Apt, wanted: (u32, u32)) -> Result<Vec<String>, ImageError> {
    let names = apt.search(&format!("^{IMAGE_PREFIX}[0-9]"))?;
    let releases: Vec<&str> = names.iter().filter_map(|name| release_of(name)).collect();
    Ok(near(&KernelSpec::Series(wanted.0, wanted.1), &releases))
}

/// The series of a release: `(6, 1)` of `6.1.0-30-amd64`.
pub(super) fn series_of(release: &str) -> Option<(u32, u32)> {
    match *numbers(release).as_slice() {
        [major, minor, ..] => Some((major, minor)),
        _ => None,
    }
}

/// Whether a package version is a release candidate's, such as `7.3~rc7-1~exp1`.
pub(super) fn is_candidate(version: &str) -> bool {
    version.contains("~rc")
}

/// The numbers a release starts with.
pub(super) fn numbers(release: &str) -> Vec<u32> {
    release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::control::stanzas;
    use super::*;

    fn stanza(text: &str) -> Stanza {
        stanzas(text).remove(0)
    }

    #[test]
    fn a_series_matches_its_own_releases_only() {
        let series = KernelSpec::Series(6, 1);
        assert!(matches(&series, "6.1.0-30-cloud-amd64", "cloud-amd64"));
        assert!(matches(&series, "6.1-cloud-amd64", "cloud-amd64"));
        assert!(!matches(&series, "6.12.5+deb13-cloud-amd64", "cloud-amd64"));
        assert!(!matches(&series, "6.1.0-30-cloud-amd64", "amd64"));
        assert!(!matches(&series, "6.1.0-30-rt-amd64", "amd64"));
        assert!(matches(&series, "6.1.0-0.deb11.7-amd64", "amd64"));
        assert!(matches(&KernelSpec::Newest(6), "6.12.5+deb13-cloud-amd64", "cloud-amd64"));
        assert!(!matches(&KernelSpec::Newest(6), "61.2-cloud-amd64", "cloud-amd64"));
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
    fn what_is_not_found_is_answered_with_what_is_near() {
        let releases = [
            "6.1.0-9-amd64",
            "6.12.5-cloud-amd64",
            "6.1.0-30-amd64",
            "6.1.0-30-rt-amd64",
            "5.10-amd64",
        ];
        let by_release = near(&KernelSpec::Release("6.1.0-31-amd64".into()), &releases);
        let expected = ["6.1.0-30-amd64", "6.1.0-9-amd64", "6.12.5-cloud-amd64", "5.10-amd64"];
        assert_eq!(by_release, expected);
        assert_eq!(near(&KernelSpec::Series(6, 2), &releases), ["6.1", "6.12", "5.10"]);
        assert_eq!(near(&KernelSpec::Series(5, 15), &releases), ["5.10", "6.1", "6.12"]);
        assert_eq!(near(&KernelSpec::Newest(7), &releases), ["6.12", "6.1", "5.10"]);
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

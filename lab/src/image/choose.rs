//! Chooses, among the kernels on offer, the one that a SPEC names. Fetches none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::apt::{Apt, is_newer};
use super::catalogue::{IMAGE_PREFIX, OfferedKernel, flavour_of, numbers, release_of, series_of};
use super::error::ImageError;
use super::spec::KernelSpec;

/// Kinds of kernel, best first: the smallest with all that is needed, then those with drivers a
/// guest has no use for.
pub(super) const FLAVOURS: [&str; 3] = ["cloud-amd64", "amd64", "generic"];
/// How many releases an error lists.
const NEAR_MAX: usize = 12;

/// The kernel that the distribution's own meta-package for virtual machines stands for.
pub(super) fn default_kernel(
    apt: &Apt,
    kernels: &[OfferedKernel],
) -> Result<OfferedKernel, ImageError> {
    let meta = FLAVOURS.map(|flavour| format!("{IMAGE_PREFIX}{flavour}"));
    let meta = meta.iter().map(|name| apt.show([name.clone()])).collect::<Result<Vec<_>, _>>()?;
    let images = meta.iter().flatten().filter_map(|meta| {
        meta.depends().into_iter().find(|needed| release_of(&needed.name).is_some())
    });
    for image in images {
        if let Some(kernel) = kernels.iter().find(|k| image.is(&k.package, &k.version)) {
            return match &kernel.missing {
                None => Ok(kernel.clone()),
                Some(part) => Err(gone(&KernelSpec::Default, &kernel.package, part)),
            };
        }
    }
    Err(ImageError::NotFound {
        spec: KernelSpec::Default.to_string(),
        suites: "the configured package sources",
        near: Vec::new(),
    })
}

/// The newest kernel that `spec` (a series or release) names, of the best flavour there is, that
/// can be had whole: archives keep image packages longer than the packages that hold their modules.
pub(super) fn newest(
    spec: &KernelSpec,
    kernels: &[OfferedKernel],
) -> Result<OfferedKernel, ImageError> {
    for flavour in FLAVOURS {
        let mut wanted =
            kernels.iter().filter(|k| k.missing.is_none() && matches(spec, k, flavour));
        let best: Result<_, ImageError> =
            wanted.try_fold(None, |best: Option<&OfferedKernel>, kernel| match best {
                Some(best) if !is_newer(&kernel.version, &best.version)? => Ok(Some(best)),
                _ => Ok(Some(kernel)),
            });
        if let Some(best) = best? {
            return Ok(best.clone());
        }
    }
    let named = |kernel: &&OfferedKernel| FLAVOURS.iter().any(|f| matches(spec, kernel, f));
    let gap =
        kernels.iter().rev().filter(named).find_map(|k| Some((&k.package, k.missing.as_ref()?)));
    Err(match gap {
        Some((image, part)) => gone(spec, image, part),
        None => ImageError::NotFound {
            spec: spec.to_string(),
            suites: "any suite of the configured package sources",
            near: near(spec, kernels.iter().map(|kernel| kernel.release.as_str())),
        },
    })
}

/// A kernel of which the archive no longer has a part.
fn gone(spec: &KernelSpec, image: &str, part: &str) -> ImageError {
    ImageError::source(
        format!("kernel `{spec}`: {image} needs {part}, which the archive has no more"),
        "name another series or release, or bring its packages: `PATH.deb`, with all of them in \
         one folder",
    )
}

fn matches(spec: &KernelSpec, kernel: &OfferedKernel, flavour: &str) -> bool {
    match spec {
        KernelSpec::Series(major, minor) => {
            kernel.series == (*major, *minor) && kernel.flavour == flavour
        }
        KernelSpec::Newest(major) => {
            kernel.series.0 == *major && kernel.flavour == flavour && !kernel.is_candidate
        }
        KernelSpec::Release(exact) => *exact == kernel.release,
        _ => false,
    }
}

/// What an error offers instead of `spec`: all series, nearest first, or the releases that share
/// most of their beginning with it, newest first.
pub(super) fn near<'a>(spec: &KernelSpec, releases: impl Iterator<Item = &'a str>) -> Vec<String> {
    let releases = releases.filter(|release| FLAVOURS.contains(&flavour_of(release)));
    let wanted = match spec {
        KernelSpec::Series(major, minor) => Some((*major, *minor)),
        KernelSpec::Newest(major) => Some((*major, 0)),
        _ => None,
    };
    if let Some(wanted) = wanted {
        let series: BTreeSet<(u32, u32)> = releases.filter_map(series_of).collect();
        let mut series: Vec<(u32, u32)> = series.into_iter().collect();
        series.sort_by_key(|one| (age(*one).abs_diff(age(wanted)), *one));
        return series.iter().map(|(major, minor)| format!("{major}.{minor}")).collect();
    }
    let spec = spec.to_string();
    let shared = |release: &str| {
        let pairs = spec.bytes().zip(release.bytes());
        pairs.take_while(|(ours, theirs)| ours == theirs).count()
    };
    let mut near: Vec<&str> = releases.collect();
    near.sort_by_key(|release| Reverse((shared(release), numbers(release))));
    near.dedup();
    near.into_iter().take(NEAR_MAX).map(str::to_owned).collect()
}

/// Series in the order of their making: Linux 4 ended with 4.20, 5 with 5.19, 6 with 6.19.
fn age((major, minor): (u32, u32)) -> u32 {
    major.saturating_mul(20).saturating_add(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(release: &str) -> OfferedKernel {
        OfferedKernel {
            release: release.into(),
            series: series_of(release).unwrap(),
            flavour: flavour_of(release).into(),
            package: format!("{IMAGE_PREFIX}{release}"),
            version: format!("{}-1", release.split('-').next().unwrap()),
            suite: "s".into(),
            download_bytes: 0,
            companions: Vec::new(),
            missing: None,
            is_candidate: false,
        }
    }

    #[test]
    fn a_series_matches_its_own_releases_only() {
        let matches = |spec, release, flavour| matches(&spec, &kernel(release), flavour);
        let series = || KernelSpec::Series(6, 1);
        assert!(matches(series(), "6.1.0-30-cloud-amd64", "cloud-amd64"));
        assert!(matches(series(), "6.1-cloud-amd64", "cloud-amd64"));
        assert!(!matches(series(), "6.12.5+deb13-cloud-amd64", "cloud-amd64"));
        assert!(!matches(series(), "6.1.0-30-cloud-amd64", "amd64"));
        assert!(!matches(series(), "6.1.0-30-rt-amd64", "amd64"));
        assert!(matches(series(), "6.1.0-0.deb11.7-amd64", "amd64"));
        assert!(matches(KernelSpec::Newest(6), "6.12.5+deb13-cloud-amd64", "cloud-amd64"));
        assert!(!matches(KernelSpec::Newest(6), "61.2-cloud-amd64", "cloud-amd64"));
    }

    #[test]
    fn the_best_flavour_comes_first_and_what_lacks_a_part_is_told_if_there_is_no_other() {
        let mut kernels = ["6.1.9-amd64", "6.1.8-cloud-amd64", "6.12.1-amd64"].map(kernel);
        kernels[2].missing = Some("linux-modules-6.12.1-amd64".into());
        let found = |spec: &str| newest(&spec.parse().unwrap(), &kernels);
        assert_eq!(found("6.1").unwrap().release, "6.1.8-cloud-amd64");
        assert_eq!(found("6.x").unwrap().release, "6.1.8-cloud-amd64");
        assert_eq!(found("6.1.9-amd64").unwrap().release, "6.1.9-amd64");
        let gap = found("6.12").unwrap_err().to_string();
        assert!(gap.contains("linux-image-6.12.1-amd64 needs linux-modules-6.12.1-amd64"), "{gap}");
        let none = found("6.13").unwrap_err().to_string();
        assert!(none.contains("the nearest there are: 6.12, 6.1;"), "{none}");
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
        let near = |spec| near(&spec, releases.into_iter());
        let by_release = near(KernelSpec::Release("6.1.0-31-amd64".into()));
        let expected = ["6.1.0-30-amd64", "6.1.0-9-amd64", "6.12.5-cloud-amd64", "5.10-amd64"];
        assert_eq!(by_release, expected);
        assert_eq!(near(KernelSpec::Series(6, 2)), ["6.1", "6.12", "5.10"]);
        assert_eq!(near(KernelSpec::Series(5, 15)), ["5.10", "6.1", "6.12"]);
        assert_eq!(near(KernelSpec::Newest(7)), ["6.12", "6.1", "5.10"]);
    }
}

//! What a user may write to name a kernel. Looks for none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::ImageError;

/// Names a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KernelSpec {
    /// `default`: the newest kernel for virtual machines of the distribution release this machine
    /// runs.
    Default,
    /// `host`: the installed image of the kernel that runs this machine.
    Host,
    /// `6.1`: the newest package of this series in any suite of the configured package source.
    Series(u32, u32),
    /// `7.x`: the newest package of any series of this major version, release candidates left out.
    Newest(u32),
    /// `6.1.0-30-cloud-amd64`: the package of exactly this release.
    Release(String),
    /// `PATH.deb`: a package file.
    Package(PathBuf),
    /// `vmlinuz=PATH,modules=DIR`: a boot image (or an ELF `vmlinux`), and what is its
    /// `/lib/modules/RELEASE`.
    Files {
        /// The image.
        vmlinuz: PathBuf,
        /// The modules.
        modules: PathBuf,
    },
}

impl FromStr for KernelSpec {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let error = |problem| Err(ImageError::Spec { spec: text.to_owned(), problem });
        if let Some(files) = text.strip_prefix("vmlinuz=") {
            // The last one, since a path may hold a comma.
            return match files.rsplit_once(",modules=") {
                Some((vmlinuz, modules)) if !vmlinuz.is_empty() && !modules.is_empty() => {
                    Ok(Self::Files { vmlinuz: vmlinuz.into(), modules: modules.into() })
                }
                _ => error("`vmlinuz=` needs a path and `,modules=` another one"),
            };
        }
        if Path::new(text).extension().is_some_and(|ending| ending == "deb") {
            return Ok(Self::Package(text.into()));
        }
        match text {
            "default" => return Ok(Self::Default),
            "host" => return Ok(Self::Host),
            _ => {}
        }
        if let Some(major) = text.strip_suffix(".x").and_then(|major| major.parse().ok()) {
            return Ok(Self::Newest(major));
        }
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return error("it starts with no digit");
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c)) {
            return error("a release has letters, digits and . _ + ~ - only");
        }
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[major, minor]) => Ok(Self::Series(major, minor)),
            Some([_]) => error("a series has two numbers"),
            _ => Ok(Self::Release(text.to_owned())),
        }
    }
}

impl fmt::Display for KernelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::Host => write!(f, "host"),
            Self::Series(major, minor) => write!(f, "{major}.{minor}"),
            Self::Newest(major) => write!(f, "{major}.x"),
            Self::Release(release) => write!(f, "{release}"),
            Self::Package(path) => write!(f, "{}", path.display()),
            Self::Files { vmlinuz, modules } => {
                write!(f, "vmlinuz={},modules={}", vmlinuz.display(), modules.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        let forms = [
            ("default", KernelSpec::Default),
            ("host", KernelSpec::Host),
            ("6.12", KernelSpec::Series(6, 12)),
            ("7.x", KernelSpec::Newest(7)),
            ("6.1.0-30-cloud-amd64", KernelSpec::Release("6.1.0-30-cloud-amd64".into())),
            ("6.1.192", KernelSpec::Release("6.1.192".into())),
            ("./a.deb", KernelSpec::Package("./a.deb".into())),
            (
                "vmlinuz=/a,b,modules=/m",
                KernelSpec::Files { vmlinuz: "/a,b".into(), modules: "/m".into() },
            ),
        ];
        for (text, spec) in forms {
            assert_eq!(text.parse::<KernelSpec>().unwrap(), spec);
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn what_names_no_kernel_is_refused_with_the_forms_that_do() {
        for text in ["", "6", "x.x", "newest", "6.1/../x", "vmlinuz=/a", "vmlinuz=,modules=/m"] {
            let error = text.parse::<KernelSpec>().unwrap_err().to_string();
            assert!(error.contains("such as `6.1`"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_what_is_read_reads_back(text in "\\PC{0,40}") {
            if let Ok(spec) = text.parse::<KernelSpec>() {
                prop_assert_eq!(spec.to_string().parse::<KernelSpec>().unwrap(), spec);
            }
        }
    }
}

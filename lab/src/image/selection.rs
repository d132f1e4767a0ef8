//! Which kernels a user means by `6.12,7.x` or `5.10..7.3`: splits lists and turns ranges into
//! series. Fetches no kernel.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::cache::RangeAnswer;
use super::catalogue::OfferedKernel;
use super::choose::FLAVOURS;
use super::error::ImageError;
use super::kernels::Kernels;
use super::spec::KernelSpec;

/// Major and minor version.
type Series = (u32, u32);

/// One word of a list of kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// A single kernel: an error if it cannot be had.
    One(KernelSpec),
    /// `5.10..7.3`: the newest release of each series between the two, both included. A series that
    /// cannot be had whole is passed over with a warning.
    Range {
        /// The oldest series.
        from: Series,
        /// The newest series.
        to: Series,
    },
}

/// What a list of kernels comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// The kernels, in the order of the list, each once.
    pub specs: Vec<KernelSpec>,
    /// What was passed over, and why.
    pub warnings: Vec<String>,
}

/// Splits a list at its commas. `vmlinuz=PATH,modules=DIR` holds a comma itself and takes all that
/// follows, so it comes last.
///
/// # Errors
/// [`ImageError::Spec`] for the first word that names no kernel.
pub fn parse(list: &str) -> Result<Vec<Selection>, ImageError> {
    let (words, files) = match list.find("vmlinuz=") {
        Some(0) => ("", Some(list)),
        Some(at) if list.get(..at).is_some_and(|before| before.ends_with(',')) => {
            (list.get(..at - 1).unwrap_or_default(), list.get(at..))
        }
        _ => (list, None),
    };
    // Nothing before the files is no empty word; nothing at all is one, which is refused.
    let words = words.split(',').filter(|word| files.is_none() || !word.is_empty());
    words.chain(files).map(|word| word.trim().parse()).collect()
}

impl FromStr for Selection {
    type Err = ImageError;

    fn from_str(word: &str) -> Result<Self, ImageError> {
        let ends = word.split_once("..").filter(|_| !word.contains(['/', '=']));
        let Some((from, to)) = ends else { return word.parse().map(Self::One) };
        let error = |problem| ImageError::Spec { spec: word.to_owned(), problem };
        let (Ok(KernelSpec::Series(a, b)), Ok(KernelSpec::Series(c, d))) =
            (from.parse(), to.parse())
        else {
            return Err(error("a range goes from one series to another, as in `5.10..7.3`"));
        };
        let (from, to) = ((a, b), (c, d));
        if from > to {
            return Err(error("the range goes from the newer to the older"));
        }
        Ok(Self::Range { from, to })
    }
}

impl Kernels<'_> {
    /// The kernels that `lists` name. What a range came to is kept in the cache, so that a later
    /// run measures the same kernels, and needs no network for it.
    ///
    /// # Errors
    /// A word that names no kernel; for a range that was not asked before, those of
    /// [`Kernels::offered`]; a range without a kernel.
    pub fn select(&self, lists: &[impl AsRef<str>]) -> Result<Selected, ImageError> {
        let mut selected = Selected::default();
        for selection in parse_all(lists)? {
            let specs = match selection {
                Selection::One(spec) => vec![spec],
                Selection::Range { from, to } => {
                    let (series, warnings) = self.range(from, to)?;
                    selected.warnings.extend(warnings);
                    series.into_iter().map(|(a, b)| KernelSpec::Series(a, b)).collect()
                }
            };
            for spec in specs {
                if !selected.specs.contains(&spec) {
                    selected.specs.push(spec);
                }
            }
        }
        Ok(selected)
    }

    fn range(&self, from: Series, to: Series) -> Result<RangeAnswer, ImageError> {
        let name = format!("{}.{}..{}.{}", from.0, from.1, to.0, to.1);
        if let Some(known) = self.cache.range(&name) {
            return Ok(known);
        }
        let found = in_range(&self.offered()?, from, to);
        refuse_empty(&name, &found)?;
        self.cache.remember_range(&name, &found)?;
        Ok(found)
    }
}

/// Every word of `lists`.
///
/// # Errors
/// As [`parse`].
pub fn parse_all(lists: &[impl AsRef<str>]) -> Result<Vec<Selection>, ImageError> {
    let parsed: Result<Vec<_>, _> = lists.iter().map(|list| parse(list.as_ref())).collect();
    Ok(parsed?.concat())
}

fn refuse_empty(name: &str, found: &RangeAnswer) -> Result<(), ImageError> {
    if !found.0.is_empty() {
        return Ok(());
    }
    let reasons = if found.1.is_empty() { "none is on offer".into() } else { found.1.join("; ") };
    Err(ImageError::source(
        format!("kernels `{name}`: {reasons}"),
        "widen the range; `vipbench kernels list` shows what there is",
    ))
}

/// The series between `from` and `to` that have a kernel, and why others on offer have none.
fn in_range(kernels: &[OfferedKernel], from: Series, to: Series) -> RangeAnswer {
    let mut by_series: BTreeMap<Series, Vec<&OfferedKernel>> = BTreeMap::new();
    for kernel in kernels.iter().filter(|k| FLAVOURS.contains(&k.flavour.as_str())) {
        if (from..=to).contains(&kernel.series) {
            by_series.entry(kernel.series).or_default().push(kernel);
        }
    }
    let (mut series, mut warnings) = (Vec::new(), Vec::new());
    for (key, kernels) in by_series {
        if kernels.iter().any(|kernel| kernel.missing.is_none() && !kernel.is_candidate) {
            series.push(key);
            continue;
        }
        let reason =
            match kernels.iter().rev().find_map(|k| Some((&k.release, k.missing.as_ref()?))) {
                Some((release, part)) => {
                    format!("the package source has {release} without its package {part}")
                }
                None => "the package source has a release candidate only".to_owned(),
            };
        warnings.push(format!("kernel series {}.{} is passed over: {reason}", key.0, key.1));
    }
    (series, warnings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::super::cache::Cache;
    use super::*;

    fn one(text: &str) -> Selection {
        Selection::One(text.parse().unwrap())
    }

    #[test]
    fn lists_are_split_and_files_keep_their_commas() {
        assert_eq!(parse("6.12,7.x").unwrap(), [one("6.12"), one("7.x")]);
        assert_eq!(
            parse("6.1, ./a.deb,5.10..7.3").unwrap(),
            [one("6.1"), one("./a.deb"), Selection::Range { from: (5, 10), to: (7, 3) }]
        );
        let files = "vmlinuz=/a,b,modules=/m,n";
        assert_eq!(parse(files).unwrap(), [one(files)]);
        assert_eq!(parse(&format!("6.1,{files}")).unwrap(), [one("6.1"), one(files)]);
        assert_eq!(parse("../a..b.deb").unwrap(), [one("../a..b.deb")]);
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "starts with no digit"),
            ("6.1,", "starts with no digit"),
            ("7.3..5.10", "from the newer to the older"),
            ("5.10..", "goes from one series to another"),
            ("5.10..default", "goes from one series to another"),
            ("6.1,vmlinuz=/a", "needs a path"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    fn offered(series: Series, missing: Option<&str>, is_candidate: bool) -> OfferedKernel {
        let release = format!("{}.{}.9-cloud-amd64", series.0, series.1);
        OfferedKernel {
            series,
            flavour: "cloud-amd64".into(),
            package: format!("linux-image-{release}"),
            release,
            version: String::new(),
            suite: String::new(),
            download_bytes: 0,
            companions: Vec::new(),
            missing: missing.map(str::to_owned),
            is_candidate,
        }
    }

    #[test]
    fn a_range_holds_whole_series_only_and_names_the_others() {
        let mut foreign = offered((6, 2), None, false);
        foreign.flavour = "rt-amd64".into();
        let kernels = [
            offered((5, 10), None, false),
            foreign,
            offered((6, 12), Some("linux-modules-x"), false),
            offered((6, 12), None, false),
            offered((7, 0), Some("linux-modules-7.0"), false),
            offered((7, 3), None, true),
            offered((7, 4), None, false),
        ];
        let (series, warnings) = in_range(&kernels, (5, 10), (7, 3));
        assert_eq!(series, [(5, 10), (6, 12)]);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("7.0.9-cloud-amd64 without its package linux-modules-7.0"));
        assert!(warnings[1].contains("7.3 is passed over") && warnings[1].contains("candidate"));
        let none = in_range(&kernels, (7, 0), (7, 1));
        let error = refuse_empty("7.0..7.1", &none).unwrap_err().to_string();
        assert!(error.contains("linux-modules-7.0") && error.contains("widen"), "{error}");
    }

    #[test]
    fn a_range_that_was_answered_needs_no_package_source() {
        let folder = TempDir::new().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let found = (vec![(5, 10), (6, 1)], vec!["6.0 is passed over".to_owned()]);
        cache.remember_range("5.10..6.1", &found).unwrap();
        let kernels = Kernels { cache: &cache, progress: &|_| {} };
        let selected = kernels.select(&["5.10..6.1,6.1", "host"]).unwrap();
        let specs: Vec<String> = selected.specs.iter().map(ToString::to_string).collect();
        assert_eq!(specs, ["5.10", "6.1", "host"]);
        assert_eq!(selected.warnings, found.1);
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(text in "\\PC{0,60}", tail in "\\PC{0,20}") {
            let _either = parse(&text);
            let _either = parse(&format!("{text},vmlinuz={tail},modules={text}"));
        }
    }
}

//! Kernel releases as people use them: their order, the choice of one by its beginning, and short
//! names for a few of them.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::format::{list, plain};

/// Why a kernel cannot be chosen.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KernelError {
    /// No release begins like that.
    #[error(
        "no kernel here begins with {wanted:?}; there are {there}: name one of them, its beginning is enough"
    )]
    NotThere {
        /// What was asked for.
        wanted: String,
        /// The releases, oldest first.
        there: String,
    },
    /// Several do.
    #[error("{wanted:?} could be {candidates}; write as much of the release as tells them apart")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Those that begin like that.
        candidates: String,
    },
}

/// Order of two releases: versions by their numbers (5.9, 5.10, 6.1, 6.12), a release candidate
/// before its release, then runs of digits in the rest by their number.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    sort_key(a).cmp(&sort_key(b))
}

fn sort_key(text: &str) -> (Vec<u64>, u64, Vec<(u64, &str)>) {
    let version = text.split(|symbol: char| !symbol.is_ascii_digit() && symbol != '.').next();
    let numbers = version.unwrap_or_default().split('.').filter_map(|part| part.parse().ok());
    let pieces = text.split_inclusive(|symbol: char| !symbol.is_ascii_digit());
    let numbered = |piece| (leading_number(piece).unwrap_or(0), piece);
    (numbers.collect(), candidate(text), pieces.map(numbered).collect())
}

/// The number of a release candidate; a release comes after all of its candidates.
fn candidate(text: &str) -> u64 {
    let rest = text.split_once("-rc").or(text.split_once("~rc"));
    rest.and_then(|(_, rest)| leading_number(rest)).unwrap_or(u64::MAX)
}

fn leading_number(text: &str) -> Option<u64> {
    text.split(|symbol: char| !symbol.is_ascii_digit()).next()?.parse().ok()
}

/// The one release that is `wanted` or begins with it; a number is never cut, so `6.1` is not the
/// beginning of `6.12.9`.
///
/// # Errors
/// None or several of them do.
pub(crate) fn choose<'a>(kernels: &[&'a str], wanted: &str) -> Result<&'a str, KernelError> {
    if let Some(kernel) = kernels.iter().find(|kernel| **kernel == wanted) {
        return Ok(kernel);
    }
    let is_digit = |symbol: char| symbol.is_ascii_digit();
    let begins = |kernel: &&str| {
        let rest = kernel.strip_prefix(wanted).filter(|_| !wanted.is_empty());
        rest.is_some_and(|rest| !(wanted.ends_with(is_digit) && rest.starts_with(is_digit)))
    };
    let found: Vec<&str> = kernels.iter().copied().filter(begins).collect();
    let wanted = plain(wanted);
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(KernelError::NotThere { wanted, there: list(kernels) }),
        several => Err(KernelError::Ambiguous { wanted, candidates: list(several) }),
    }
}

/// The shortest names that still tell `kernels` apart, all cut after the same number of numbers:
/// `6.1` and `6.12`, or `6.1.0-56` and `6.1.0-57`, or the whole releases.
pub(crate) fn short_names(kernels: &[&str]) -> Vec<String> {
    let names = (2..=4).map(|numbers| kernels.iter().map(|kernel| cut(kernel, numbers)).collect());
    let distinct = |names: &Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let whole = || kernels.iter().map(|kernel| (*kernel).to_owned()).collect();
    names.into_iter().find(distinct).unwrap_or_else(whole)
}

/// The text up to the end of its `numbers`th number, and a release candidate's mark.
fn cut(kernel: &str, numbers: usize) -> String {
    let numeric = kernel.split(|symbol: char| symbol.is_ascii_alphabetic()).next();
    let parts =
        numeric.unwrap_or_default().split_inclusive(|symbol: char| !symbol.is_ascii_digit());
    let head: String = parts.take(numbers).collect();
    let head = match head.trim_end_matches(|symbol: char| !symbol.is_ascii_digit()) {
        "" => kernel,
        head => head,
    };
    match candidate(kernel) {
        u64::MAX => head.to_owned(),
        number => format!("{head}-rc{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut kernels = [
            "6.12.9-cloud-amd64",
            "7.2.0",
            "6.1.0-9-cloud",
            "5.10.0-32",
            "6.12-rc6-amd64",
            "6.1",
            "6.12-amd64",
            "6.1.0-56-cloud",
            "5.9",
        ];
        kernels.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            kernels,
            [
                "5.9",
                "5.10.0-32",
                "6.1",
                "6.1.0-9-cloud",
                "6.1.0-56-cloud",
                "6.12-rc6-amd64",
                "6.12-amd64",
                "6.12.9-cloud-amd64",
                "7.2.0",
            ]
        );
        assert_eq!(compare_versions("6.1", "6.1"), Ordering::Equal);
    }

    #[test]
    fn the_beginning_of_a_release_chooses_it_if_no_other_begins_so() {
        let kernels = ["6.1.0-56-cloud-amd64", "6.12.9-cloud-amd64", "6.12.10-cloud-amd64"];
        assert_eq!(choose(&kernels, "6.1"), Ok("6.1.0-56-cloud-amd64"));
        assert_eq!(choose(&kernels, "6.12.9"), Ok("6.12.9-cloud-amd64"));
        assert_eq!(choose(&kernels, "6.12.10-cloud-amd64"), Ok("6.12.10-cloud-amd64"));
        let several = choose(&kernels, "6.12").unwrap_err().to_string();
        assert!(several.contains("6.12.9-cloud-amd64 and 6.12.10-cloud-amd64"), "{several}");
        for wanted in ["5.10", "", "6.12.1"] {
            let none = choose(&kernels, wanted).unwrap_err().to_string();
            assert!(none.contains("there are 6.1.0-56-cloud-amd64, "), "{wanted}: {none}");
        }
    }

    #[test]
    fn short_names_tell_kernels_apart() {
        assert_eq!(short_names(&["6.1.0-56-cloud-amd64", "6.12.9-cloud-amd64"]), ["6.1", "6.12"]);
        assert_eq!(
            short_names(&["6.1.0-56-cloud-amd64", "6.1.0-57-cloud-amd64"]),
            ["6.1.0-56", "6.1.0-57"]
        );
        assert_eq!(short_names(&["6.12-rc6-amd64", "6.12.0-amd64"]), ["6.12-rc6", "6.12"]);
        assert_eq!(short_names(&["6.1-a", "6.1-b"]), ["6.1-a", "6.1-b"]);
        assert_eq!(short_names(&["odd"]), ["odd"]);
    }
}

//! Numbers as people type them: `1_000`, and for seeds ranges with both their ends, `1..20`.

use std::str::FromStr;

use anyhow::{Context, ensure};

/// Longer ranges are typing errors.
const SEEDS_MAX: u64 = 10_000;

/// A count.
///
/// # Errors
/// Text that is no number, or a number that is too large.
pub(super) fn count(text: &str) -> anyhow::Result<u32> {
    number(text).with_context(|| format!("{text:?}: write a number, such as 1000 or 1_000"))
}

/// The seeds of one item of a list.
///
/// # Errors
/// Text that is neither a number nor a range, or a range that is empty or too long.
pub(super) fn seeds(text: &str) -> anyhow::Result<Vec<u64>> {
    let seed = |text: &str| {
        number(text).with_context(|| format!("{text:?}: write a seed, or a range as 1..20"))
    };
    let Some((first, last)) = text.split_once("..") else { return Ok(vec![seed(text)?]) };
    let (first, last) = (seed(first)?, seed(last)?);
    ensure!(first <= last, "{text}: a range goes from its smaller end to its larger one");
    ensure!(last - first < SEEDS_MAX, "{text}: a range has at most {SEEDS_MAX} seeds");
    Ok((first..=last).collect())
}

/// Underscores may stand between digits, and spaces around the number.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    let text = text.trim();
    let is_framed = text.starts_with('_') || text.ends_with('_');
    text.replace('_', "").parse().ok().filter(|_| !is_framed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_and_spaces_are_no_obstacle() {
        assert_eq!(count("1_000").unwrap(), 1_000);
        assert_eq!(count(" 300").unwrap(), 300);
        for wrong in ["", "_1", "1_", "1.5", "1k", "-1", "4294967296"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_seed_or_a_range_with_both_ends() {
        assert_eq!(seeds("7").unwrap(), [7]);
        assert_eq!(seeds("3..5").unwrap(), [3, 4, 5]);
        assert_eq!(seeds("5..5").unwrap(), [5]);
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for wrong in ["", "a", "1..", "..2", "5..3", "0..10000", "-1", "1..=3"] {
            let error = format!("{:#}", seeds(wrong).unwrap_err());
            assert!(error.contains("range"), "{wrong}: {error}");
        }
    }
}

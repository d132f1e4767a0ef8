//! Seeds as they are typed: `7`, or a range with both its ends, `1..20`.

use anyhow::{Context, ensure};

/// Longer ranges are typing errors.
const SEEDS_MAX: u64 = 10_000;

/// The seeds of one option.
///
/// # Errors
/// Text that is neither a number nor a range, or a range that is empty or too long.
pub fn parse(text: &str) -> anyhow::Result<Vec<u64>> {
    let number = |text: &str| {
        text.parse::<u64>().with_context(|| format!("{text:?}: write a seed, or a range as 1..20"))
    };
    let Some((first, last)) = text.split_once("..") else { return Ok(vec![number(text)?]) };
    let (first, last) = (number(first)?, number(last)?);
    ensure!(first <= last, "{text}: a range goes from its smaller end to its larger one");
    ensure!(last - first < SEEDS_MAX, "{text}: a range has at most {SEEDS_MAX} seeds");
    Ok((first..=last).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_or_a_range_with_both_ends() {
        assert_eq!(parse("7").unwrap(), [7]);
        assert_eq!(parse("3..5").unwrap(), [3, 4, 5]);
        assert_eq!(parse("5..5").unwrap(), [5]);
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for wrong in ["", "a", "1..", "..2", "5..3", "0..10000", "-1", "1..=3"] {
            let error = format!("{:#}", parse(wrong).unwrap_err());
            assert!(error.contains("range"), "{wrong}: {error}");
        }
    }
}

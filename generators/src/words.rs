//! What a parser says, in words for people who do not know Rust.

/// Types as parsers name them, and what they hold.
const TYPES: [(&str, &str); 4] = [
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u32", "expected a whole number from 0 to 4294967295"),
    ("expected u64", "expected a whole number from 0"),
];

/// What a parser said, with ranges in the place of Rust's types.
pub fn in_words(said: &str) -> String {
    TYPES.iter().fold(said.to_owned(), |said, (of_rust, words)| said.replace(of_rust, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_becomes_the_numbers_it_holds() {
        let said = serde_json::from_str::<u16>("70000").unwrap_err().to_string();
        let wanted = "invalid value: integer `70000`, expected a whole number from 0 to 65535";
        assert!(in_words(&said).starts_with(wanted), "{said}");
    }

    #[test]
    fn other_words_stay() {
        let said = "unknown variant `conn`, expected one of `sync`, `connect`";
        assert_eq!(in_words(said), said);
    }
}

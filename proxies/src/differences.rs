//! What `verify` found wrong: all differences counted, the first put into words.

use crate::error::ProxyError;

/// How many differences are put into words.
const REPORTED_MAX: usize = 3;

/// The count of all differences and the words for the first.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    count: usize,
    first: Vec<String>,
}

impl Differences {
    /// One more; its words are only made if they will be reported.
    pub fn add(&mut self, words: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < REPORTED_MAX {
            self.first.push(words());
        }
    }

    /// Compares rules in their order. The first that is not as it should be is told, with its place
    /// (its number, from 1, in words), and hides those behind it.
    pub fn compare_rules<W: AsRef<str>, F: AsRef<str>>(
        &mut self,
        wanted: &[W],
        mut found: impl Iterator<Item = F>,
        is_same: impl Fn(&str, &str) -> bool,
        place: impl Fn(usize) -> String,
    ) {
        let quoted = |rule: Option<&str>| rule.map_or("nothing".into(), |rule| format!("`{rule}`"));
        let mut wanted = wanted.iter();
        for number in 1.. {
            let (wanted, found) = (wanted.next(), found.next());
            match (wanted.map(W::as_ref), found.as_ref().map(F::as_ref)) {
                (None, None) => return,
                (Some(wanted), Some(found)) if is_same(wanted, found) => {}
                (wanted, found) => {
                    let (wanted, found) = (quoted(wanted), quoted(found));
                    self.add(|| format!("{} should be {wanted}, is {found}", place(number)));
                    return;
                }
            }
        }
    }

    /// Nothing, or [`ProxyError::Mismatch`].
    ///
    /// # Errors
    /// The first differences.
    pub fn into_result(self) -> Result<(), ProxyError> {
        if self.count == 0 {
            return Ok(());
        }
        Err(ProxyError::Mismatch { count: self.count, first: self.first.join("; ") })
    }
}

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

//! What the operating system refused, with the verb and the object.

use std::io;

/// The operating system refused a file or a process.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}: {source}")]
pub struct IoError {
    /// The verb.
    pub operation: &'static str,
    /// What it was about.
    pub object: String,
    /// The refusal.
    pub source: io::Error,
}

impl IoError {
    /// Makes `map_err` short: names the verb and the object.
    pub fn of(
        operation: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(io::Error) -> Self {
        let object = object.into();
        move |source| Self { operation, object, source }
    }
}

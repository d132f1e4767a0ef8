//! Standard output of commands: data, which a reader may stop taking at any time.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line.
///
/// # Errors
/// Standard output cannot be written; [`reader_left`] tells whether that is an error at all.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes text as it is.
///
/// # Errors
/// As for [`line`].
pub fn text(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Whether the command only failed because whoever read its output, such as `head`, has enough.
pub fn reader_left(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
}

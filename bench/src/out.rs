//! Standard output of commands: data, which a reader such as `head` may stop taking at any time.

/// From here on a reader who has enough ends this process without a word, as with other Unix programs. Not before the last
/// child is fed: what is written to one that died must stay an error.
pub fn end_with_reader() {
    // SAFETY: resets one signal to its default action; nothing of ours handles it.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Columns of the terminal that standard output is; nothing when it is something else, which gets tables as wide as they are.
pub fn width() -> Option<u16> {
    /// What a table needs at least to be one.
    const COLUMNS_MIN: u16 = 60;
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then(|| size.ws_col.max(COLUMNS_MIN))
}

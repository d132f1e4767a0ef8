//! Standard output of commands: data, which a reader such as `head` may stop taking at any time.

/// From here on a reader who has enough ends this process without a word, as with other Unix programs. Not before the last
/// child is fed: what is written to one that died must stay an error.
pub fn end_with_reader() {
    // SAFETY: resets one signal to its default action; nothing of ours handles it.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

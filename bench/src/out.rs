//! Standard output of commands: data, which a reader such as `head` may stop taking at any time, and how tables look there.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// One line under the head, none elsewhere.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

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

/// A table without lines between its rows, for a terminal or a pipe.
pub fn table<'h>(header: impl IntoIterator<Item = &'h str>) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.into_iter().collect::<Vec<_>>());
    table
}

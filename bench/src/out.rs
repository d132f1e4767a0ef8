//! What commands give out: standard output, which a reader such as `head` may stop taking at any time, tables there, and the
//! files of a page with its plots.

use std::fs;
use std::path::Path;

use anyhow::Context;
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

/// The command as it is repeated by others: without the path of this program's file.
pub fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("vipbench {}", results::format::shell(&words))
}

/// Puts files, by name and content, into a folder that is made if need be.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn write_files(
    dir: &Path,
    files: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    for (name, content) in files {
        let path = dir.join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
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

//! Standard output and standard error: all that commands print goes through here.
//!
//! A reader of standard output who has gone, such as `head`, ends this process without a word. One
//! that cannot be written to is an error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use indicatif::ProgressBar;
use serde::Serialize;

/// One line under the head, none elsewhere.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// The live line on standard error, which other lines must not run into.
static LIVE: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Whether standard output was closed when this process began: before `main` the standard library
/// opens `/dev/null` in its place, and all that is printed would be lost without a word.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
// SAFETY: the loader calls each function in this section once before `main` (System V ABI,
// "Initialization and Termination Functions"); what it passes may be ignored.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_closed;

extern "C" fn note_closed() {
    // SAFETY: asks about a number, which need not be that of an open file.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags < 0, Ordering::Relaxed);
}

/// Standard output as a stream. Flush it at the end: what fails on drop is not noticed.
pub struct Stdout(io::StdoutLock<'static>);

/// Standard output, until it drops for this thread alone.
pub fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if WAS_CLOSED.load(Ordering::Relaxed) {
            return Err(refused(&io::Error::from_raw_os_error(libc::EBADF)));
        }
        self.0.write(bytes).map_err(|error| refused(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| refused(&error))
    }
}

/// Ends this process as other Unix programs end when their reader has gone; any other error names
/// the place.
fn refused(error: &io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        // SAFETY: gives a signal that nothing of ours handles its default action, and raises it.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::raise(libc::SIGPIPE);
        }
    }
    io::Error::new(error.kind(), format!("writing to standard output: {error}"))
}

/// Prints text as it is, with colours only where they can be seen.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let text = text.to_string();
    let shown = match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(&text).to_string(),
        _ => text,
    };
    let mut out = stdout();
    out.write_all(shown.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints a line.
///
/// # Errors
/// Standard output cannot be written.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    print(format_args!("{text}\n"))
}

/// Prints JSON for programs.
///
/// # Errors
/// Standard output cannot be written.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value).context("encoding JSON")?)
}

/// A line on standard error. Nobody can be told that it cannot be written.
pub fn note(text: impl Display) {
    let write = || {
        let _ = writeln!(anstream::stderr(), "{text}");
    };
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*live {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// What a user should know of a result, or of what is done to get it.
pub fn warn(text: impl Display) {
    note(format_args!("warning: {text}"));
}

/// Why a command failed.
pub fn error(text: impl Display) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    note(format_args!("{red}error:{red:#} {text}"));
}

/// From now on lines on standard error go above this one.
pub fn keep_apart(live: &ProgressBar) {
    *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
}

/// Whether somebody watches standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// The command as it is repeated by others: without the path of this program's file.
pub fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("vipbench {}", results::format::shell(&words))
}

/// Columns of the terminal that standard error is.
pub fn width_of_notes() -> usize {
    const COLUMNS_USUAL: usize = 80;
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.map_or(COLUMNS_USUAL, |size| usize::from(size.ws_col))
}

/// Columns of the terminal that standard output is; nothing when it is something else, which gets
/// tables as wide as they are.
pub fn width() -> Option<u16> {
    /// What a table needs at least to be one.
    const COLUMNS_MIN: u16 = 60;
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
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

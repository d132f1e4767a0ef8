//! Room for sockets: this process's limit of open files.

use linux::open_files;

/// Files that are open beside sockets.
const OTHER_FILES: u64 = 1_024;

/// Lets this process have so many sockets beside its other files.
///
/// # Errors
/// The limit is lower, and only root may raise it.
pub(crate) fn make_room_for_sockets(count: usize) -> anyhow::Result<()> {
    Ok(open_files::make_room(count as u64 + OTHER_FILES)?)
}

//! Room for sockets: this process's limit of open files.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open beside sockets.
const OTHER_FILES: u64 = 1_024;

/// Lets this process have so many sockets beside its other files.
///
/// # Errors
/// The limit is lower, and only root may raise it.
pub(crate) fn make_room_for_sockets(count: usize) -> anyhow::Result<()> {
    let wanted = count as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .with_context(|| format!("raising the limit of open files to {wanted}"))
}

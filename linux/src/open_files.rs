//! How many files this process may have open: sockets are files.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::IoError;

/// Lets this process have so many files open, if it may not yet.
///
/// # Errors
/// The limit is lower, and only root may raise it, up to `fs.nr_open`.
pub fn make_room(wanted: u64) -> Result<(), IoError> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .map_err(io::Error::from)
        .map_err(IoError::of("raise the limit of open files to", wanted.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_room_for_already_changes_nothing() {
        let before = getrlimit(Resource::Nofile).current;
        make_room(1).unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, before);
    }

    #[test]
    fn what_no_kernel_allows_is_told_with_the_number() {
        let error = make_room(u64::MAX - 1).unwrap_err().to_string();
        assert!(error.starts_with("cannot raise the limit of open files to 1844"), "{error}");
    }
}

//! What only the iptables backends take.

use std::path::PathBuf;

/// How the iptables backends run their tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IptablesOptions {
    /// Lock file for `iptables-legacy-restore` (`XTABLES_LOCKFILE`), so that namespaces that have
    /// nothing to do with each other do not wait for each other. Nothing: `/run/xtables.lock`, one
    /// for the whole mount namespace. The short `iptables` calls of `prepare` take the lock file of
    /// the process's own environment.
    pub lock_file: Option<PathBuf>,
}

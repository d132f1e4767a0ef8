//! What only the iptables backends take, and which of the two implementations they use.

use std::path::PathBuf;
use std::time::Duration;

/// Which of the two implementations of the iptables tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The kernel's own iptables tables (`ip_tables`).
    Legacy,
    /// iptables rules in nftables tables (`nf_tables` with `nft_compat`).
    Nft,
}

/// How the iptables backends run their tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IptablesOptions {
    /// Lock file for `iptables-legacy-restore` (`XTABLES_LOCKFILE`), so that namespaces that have
    /// nothing to do with each other do not wait for each other. Nothing: `/run/xtables.lock`, one
    /// for the whole mount namespace. The short `iptables` calls of `prepare` take the lock file of
    /// the process's own environment.
    pub lock_file: Option<PathBuf>,
    /// How long one `iptables-restore` or `iptables-save` may take before it is killed.
    pub deadline: Duration,
}

impl Default for IptablesOptions {
    fn default() -> Self {
        Self { lock_file: None, deadline: Duration::from_mins(10) }
    }
}

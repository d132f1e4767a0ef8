//! Rule-sync time onto identical state, as after a restart of the proxy.

use results::metrics;

use super::account;
use super::kind::Kind;
use super::sync::{Syncs, with_client};

/// The measure `restart`.
pub(super) const RESTART: Kind = Kind {
    applies: |proxy| !proxy.is_control(),
    takes_paths: false,
    cost: |cell| 2 * cell.sync() + cell.changes(),
    emits: &[
        metrics::SYNC_RESTART,
        metrics::RULES,
        metrics::MESSAGES,
        metrics::BYTES,
        metrics::CPU,
    ],
    emits_of_programs: &account::EMITS,
    run: |lab, _| {
        lab.load()?;
        with_client(lab, Syncs::restart)
    },
};

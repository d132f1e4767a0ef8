//! What the profiler can be asked for: the timed windows of connections and syncs, and the labels of their samples.
//!
//! Marking costs one instruction without effect, beside a timed window or between two parts of a sync; nobody has to look on.

use generators::{ChangeKind, Position};
use lab::guest::mark;

/// `connect()`.
pub const CONNECT: u8 = 1;
/// Request and first byte of the answer.
pub const REQUEST: u8 = 2;
/// `close()`.
pub const CLOSE: u8 = 3;
/// The parts of a sync. A probing connection inside [`EFFECTIVE`] counts for its own phases.
pub const PREPARE: u8 = 4;
/// User space makes text or messages.
pub const RENDER: u8 = 5;
/// The kernel takes them.
pub const SUBMIT: u8 = 6;
/// Until a new connection is answered.
pub const EFFECTIVE: u8 = 7;

/// What one sample of the profiler is a sample of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// A connection to the Service at this position.
    Connection(Position),
    /// A sync into an empty namespace.
    Full,
    /// A sync onto identical state.
    Restart,
    /// A sync of one Change.
    Change(ChangeKind),
}

impl Window {
    /// Its number in the profiler's file.
    pub fn label(self) -> u8 {
        match self {
            Self::Connection(Position::First) => 0,
            Self::Connection(Position::P25) => 1,
            Self::Connection(Position::P50) => 2,
            Self::Connection(Position::P75) => 3,
            Self::Connection(Position::Last) => 4,
            Self::Connection(Position::Random) => 5,
            Self::Full => 6,
            Self::Restart => 7,
            Self::Change(ChangeKind::EndpointChange) => 8,
            Self::Change(ChangeKind::ServiceAdd) => 9,
            Self::Change(ChangeKind::ServiceRemove) => 10,
        }
    }

    /// Books what was marked since [`begin`](mark::begin) as one sample of this window.
    pub fn keep(self) {
        mark::keep(self.label());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_a_label_of_its_own_that_the_profiler_has_room_for() {
        let windows = Position::ALL.map(Window::Connection).into_iter();
        let windows = windows.chain(ChangeKind::ALL.map(Window::Change));
        let mut labels: Vec<u8> =
            windows.chain([Window::Full, Window::Restart]).map(Window::label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), 11);
        assert!(labels.iter().all(|label| *label < mark::LABELS));
    }
}

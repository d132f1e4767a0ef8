//! What became of each connection, where that is asked for: by whom it was answered, and when.

use std::net::SocketAddr;

use super::tally::ErrorKind;

/// One connection. Times are readings of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whom it dialled, by its place in the plan.
    pub target: usize,
    /// When it was to begin.
    pub planned: u64,
    /// When it began.
    pub sent: u64,
    /// When it ended.
    pub ended: u64,
    /// Who answered, where answers tell; or why nobody did.
    pub outcome: Result<Option<SocketAddr>, ErrorKind>,
}

impl Ended {
    /// From the planned start to the end.
    pub fn total(&self) -> u64 {
        self.ended.saturating_sub(self.planned)
    }

    /// How late it began.
    pub fn lateness(&self) -> u64 {
        self.sent.saturating_sub(self.planned)
    }
}

/// The entries of one worker. It allocates nothing beyond the room that it was given; what comes
/// when that is full is left out.
#[derive(Debug, Default)]
pub(super) struct Journal(Vec<Ended>);

impl Journal {
    pub(super) fn new(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    pub(super) fn write(&mut self, entry: Ended) {
        if self.0.len() < self.0.capacity() {
            self.0.push(entry);
        }
    }

    pub(super) fn into_entries(self) -> Vec<Ended> {
        self.0
    }
}

//! What the profiler counts for: one connection by position, one sync by kind, one disturbance of
//! an idle node, each with a label.

use generators::{ChangeKind, Position};
use lab::guest::mark;

/// What one sample of the profiler is a sample of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A connection to the Service at this position.
    Connection(Position),
    /// A sync into an empty namespace.
    Full,
    /// A sync onto identical state.
    Restart,
    /// A sync of one Change.
    Change(ChangeKind),
    /// What an idle node interrupts a program with, once.
    Disturbance,
}

impl Sample {
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
            Self::Disturbance => 11,
        }
    }

    /// Keeps what was marked since [`begin`](mark::begin) as one sample of this kind.
    pub fn keep(self) {
        mark::keep(self.label());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_sample_has_a_label_of_its_own_that_the_profiler_has_room_for() {
        let samples = Position::ALL.map(Sample::Connection).into_iter();
        let samples = samples.chain(ChangeKind::ALL.map(Sample::Change));
        let others = [Sample::Full, Sample::Restart, Sample::Disturbance];
        let mut labels: Vec<u8> = samples.chain(others).map(Sample::label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), 12);
        assert!(labels.iter().all(|label| *label < mark::LABELS));
    }
}

//! Where a Service stands in its Cluster, by the names that reports use.

use serde::{Deserialize, Serialize};

use crate::random::scale;

/// A place in the list of Services: rules that are tried one by one make it matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Position {
    /// The first Service.
    First,
    /// A quarter of the way from the first to the last.
    P25,
    /// Half of the way.
    P50,
    /// Three quarters of the way.
    P75,
    /// The last Service.
    Last,
    /// Any Service, each equally likely.
    Random,
}

impl Position {
    /// Every Position, in the order of the list.
    pub const ALL: [Self; 6] =
        [Self::First, Self::P25, Self::P50, Self::P75, Self::Last, Self::Random];

    /// The name in scenarios, on the command line and in results.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The index of this Position in a list of `len`, rounded towards the first; 0 if `len` is 0.
    ///
    /// `draw` is 64 random bits, such as [`crate::SplitMix64::next_u64`] gives; only
    /// [`Position::Random`] looks at it.
    #[expect(clippy::cast_possible_truncation, reason = "every result is below len, a usize")]
    pub fn index(self, len: usize, draw: u64) -> usize {
        let last = len.saturating_sub(1);
        let part = |quarters: u128| (last as u128 * quarters / 4) as usize;
        match self {
            Self::First => 0,
            Self::P25 => part(1),
            Self::P50 => part(2),
            Self::P75 => part(3),
            Self::Last => last,
            Self::Random => scale(draw, len as u64) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_divide_the_way_from_first_to_last() {
        let indices = |len| Position::ALL.map(|position| position.index(len, u64::MAX / 3));
        assert_eq!(indices(1_001), [0, 250, 500, 750, 1_000, 333]);
        assert_eq!(indices(10), [0, 2, 4, 6, 9, 3]);
        assert_eq!(indices(2), [0, 0, 0, 0, 1, 0]);
        assert_eq!(indices(1), [0; 6]);
    }

    #[test]
    fn no_position_leaves_its_list() {
        for draw in [0, 1, u64::MAX / 2, u64::MAX] {
            for len in [1, 2, 3, 1_000_000, usize::MAX] {
                assert!(Position::ALL.iter().all(|position| position.index(len, draw) < len));
            }
            assert!(Position::ALL.iter().all(|position| position.index(0, draw) == 0));
        }
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for position in Position::ALL {
            let json = serde_json::to_string(&position).unwrap();
            assert_eq!(json, format!("\"{position}\""));
            assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
        }
        let error = serde_json::from_str::<Position>("\"middle\"").unwrap_err().to_string();
        assert!(error.contains("expected one of `first`, `p25`"), "{error}");
    }
}

//! Sides made anew from replicates that were measured: some of them, in another order, or scaled.

use super::side::Side;
use crate::proxies::CONTROL;

/// A replicate of a side made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    /// Seed of the replicate as measured.
    pub from: u64,
    /// Seed that it gets.
    pub to: u64,
    /// Which folder it seems to come from: 0, 1, ...
    pub folder: usize,
}

impl Side {
    /// The cells of the picked replicates. What is known of their run is that of the first.
    pub(crate) fn resampled(&self, picks: &[Pick]) -> Self {
        let folders = picks.iter().map(|pick| pick.folder + 1).max().unwrap_or(0);
        let sources = self.sources.iter().take(1).cycle().take(folders).cloned().collect();
        let mut cells = Vec::new();
        for pick in picks {
            for cell in self.cells.iter().filter(|cell| cell.labels.seed == pick.from) {
                let mut cell = cell.clone();
                cell.labels.seed = pick.to;
                cell.id = cell.labels.cell_id();
                cell.source = pick.folder;
                cells.push(cell);
            }
        }
        Self { sources, cells }
    }

    /// Sides as one, each a folder of its own.
    pub(crate) fn joined(sides: Vec<Self>) -> Self {
        let mut all = Self { sources: Vec::new(), cells: Vec::new() };
        for mut side in sides {
            let before = all.sources.len();
            side.cells.iter_mut().for_each(|cell| cell.source += before);
            all.sources.append(&mut side.sources);
            all.cells.append(&mut side.cells);
        }
        all
    }

    /// The same with every timing of a proxy, but not of the control, `factor` as long.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        let mut side = self.clone();
        for cell in side.cells.iter_mut().filter(|cell| cell.labels.proxy != CONTROL) {
            let unit = cell.labels.clock.unit();
            for (_, numbers) in cell.metrics.iter_mut().filter(|(key, _)| key.unit == unit) {
                numbers.p50 *= factor;
                numbers.p99 = numbers.p99.map(|p99| p99 * factor);
            }
        }
        side
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Statistic, compare};
    use crate::fixture;

    #[test]
    fn a_scaled_side_differs_by_the_factor_and_its_control_does_not() {
        let run = fixture::stored();
        let side = Side::of(std::slice::from_ref(&run)).unwrap();
        let comparison = compare(&side, &side.scaled(1.05)).unwrap();
        for effect in
            comparison.effects.iter().filter(|effect| effect.subject.statistic == Statistic::P50)
        {
            let expected = if effect.is_control() { 0.0 } else { 0.05 };
            assert!((effect.gross.share().unwrap() - expected).abs() < 1e-9, "{effect:?}");
        }
    }

    #[test]
    fn replicates_are_picked_renamed_and_put_into_folders() {
        let run = fixture::stored();
        let side = Side::of(std::slice::from_ref(&run)).unwrap();
        let pick = |from, to, folder| Pick { from, to, folder };
        let made = side.resampled(&[pick(2, 1, 0), pick(1, 7, 1)]);
        let mut seeds: Vec<(usize, u64)> =
            made.cells.iter().map(|cell| (cell.source, cell.labels.seed)).collect();
        seeds.dedup();
        assert_eq!(seeds, [(0, 1), (1, 7)]);
        assert_eq!(made.cells.len(), side.cells.len());
        assert_eq!(side.resampled(&[]).cells.len(), 0);
    }
}

//! Parts of a run for several machines: which cells are whose, so that all are done at about the
//! same time.
//!
//! Decided by the plan alone: every machine comes to the same division without hearing of the
//! others.

use anyhow::bail;
use results::ShardRecord;

use crate::measure::cost_ms;
use crate::measure::spec::CellSpec;

/// Which part of a run's cells to run: part `index` of `count`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// More shards than a plan has cells are of no use; this many are a typing error.
const COUNT_MAX: u32 = 20_000;

impl std::str::FromStr for Shard {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parsed =
            text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((index, count)) if 1 <= index && index <= count && count <= COUNT_MAX => {
                Ok(Self { index, count })
            }
            _ => bail!("--shard {text}: write K/N with 1 <= K <= N, for example 2/4"),
        }
    }
}

impl Shard {
    /// What a run of this shard is stored with, for `merge`: the whole plan beside its own part.
    pub fn record(self, plan: &[CellSpec]) -> ShardRecord {
        let planned = plan.iter().map(CellSpec::id).collect();
        ShardRecord { index: self.index, count: self.count, planned }
    }

    /// Its cells, in the order of the plan. Costliest first, each cell goes to the shard with the
    /// least to do so far.
    pub fn cells(self, plan: Vec<CellSpec>) -> Vec<CellSpec> {
        let mut by_cost: Vec<(usize, u64)> = plan.iter().map(cost_ms).enumerate().collect();
        // Stable: cells of equal cost stay in the order of the plan.
        by_cost.sort_by_key(|&(_, cost)| std::cmp::Reverse(cost));
        let mut loads = vec![0_u64; self.count as usize];
        let mut mine = vec![false; plan.len()];
        for (at, cost) in by_cost {
            let Some((shard, load)) = loads.iter_mut().enumerate().min_by_key(|(_, load)| **load)
            else {
                break;
            };
            *load = load.saturating_add(cost);
            mine[at] = shard + 1 == self.index as usize;
        }
        plan.into_iter().zip(mine).filter_map(|(cell, mine)| mine.then_some(cell)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Setting;
    use crate::run::check::{Overrides, validated};
    use crate::run::plan::expand;
    use proptest::prelude::*;
    use results::{Clock, Place};

    const SETTING: Setting = Setting { place: Place::Guest, clock: Clock::Instructions };

    fn plan(services: &[u32], seeds: u64, kernels: usize) -> Vec<CellSpec> {
        let seeds: Vec<u64> = (1..=seeds).collect();
        let text = format!(
            "name = 'x'\nservices = {services:?}\nseeds = {seeds:?}\n\
             proxies = ['none', 'iptables-legacy', 'iptables-nft', 'ipvs']"
        );
        let scenario = validated(toml::from_str(&text).unwrap(), Overrides::default()).unwrap();
        let kernels: Vec<String> = (0..kernels).map(|at| format!("6.{at}")).collect();
        expand(&scenario, SETTING, &kernels).unwrap()
    }

    fn ids(cells: &[CellSpec]) -> Vec<String> {
        cells.iter().map(CellSpec::id).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_cell_is_in_exactly_one_shard_in_the_order_of_the_plan(
            sizes in proptest::collection::btree_set(1_u32..2_000, 1..4),
            seeds in 1_u64..4,
            kernels in 1_usize..4,
            count in 1_u32..40,
        ) {
            let plan = plan(&sizes.into_iter().collect::<Vec<_>>(), seeds, kernels);
            let whole = ids(&plan);
            let mut found = Vec::new();
            let mut loads = Vec::new();
            for index in 1..=count {
                let shard = Shard { index, count }.cells(plan.clone());
                let at: Vec<usize> = ids(&shard)
                    .iter()
                    .map(|id| whole.iter().position(|other| other == id).unwrap())
                    .collect();
                prop_assert!(at.is_sorted());
                loads.push(shard.iter().map(cost_ms).sum::<u64>());
                found.extend(at);
            }
            found.sort_unstable();
            prop_assert_eq!(found, (0..whole.len()).collect::<Vec<_>>());
            // What costliest-first guarantees: nobody is ahead of another by more than one cell.
            let largest = plan.iter().map(cost_ms).max().unwrap();
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= largest);
        }
    }

    #[test]
    fn large_cells_do_not_pile_up_in_one_shard() {
        let plan = plan(&[100, 1_000, 5_000], 3, 2);
        let loads: Vec<u64> = (1..=4)
            .map(|index| Shard { index, count: 4 }.cells(plan.clone()).iter().map(cost_ms).sum())
            .collect();
        let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        assert!(most * 100 <= least * 105, "{loads:?}");
    }

    #[test]
    fn a_shard_is_written_k_of_n() {
        for wrong in ["0/3", "4/3", "x", "1/", "1/20001"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!("3/3".parse::<Shard>().unwrap(), Shard { index: 3, count: 3 });
    }
}

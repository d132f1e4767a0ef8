//! Sorts recorded runs: by clock and kernel, without and with a slowdown, in the order they were
//! recorded in.

use std::collections::BTreeMap;

use itertools::Itertools as _;
use serde_json::Value;

use super::data::{CalibrationError, Slowdown};
use crate::compare::Side;
use crate::record::Clock;
use crate::store::Run;

/// Runs of one clock and kernel, each decoded once.
pub(super) struct Pool {
    pub clock: Clock,
    pub kernel: String,
    /// Runs without a slowdown.
    pub same: Vec<Recorded>,
    /// Runs with one.
    pub slowed: BTreeMap<(u64, u64), Vec<Recorded>>,
}

/// A run and its replicates.
pub(super) struct Recorded {
    pub side: Side,
    /// Seeds in the order they were recorded in.
    pub seeds: Vec<u64>,
}

/// All pools; runs in them are ordered by their start.
pub(super) fn of(runs: &[Run]) -> Result<Vec<Pool>, CalibrationError> {
    let mut ordered: Vec<&Run> = runs.iter().collect();
    ordered.sort_by(|a, b| a.record.started.cmp(&b.record.started).then_with(|| a.dir.cmp(&b.dir)));
    let mut pools: BTreeMap<(Clock, String), Pool> = BTreeMap::new();
    for run in ordered {
        let Some(first) = run.cells.first() else { continue };
        let (clock, kernel) = (first.labels.clock, first.labels.kernel.clone());
        if !run.cells.iter().map(|cell| (cell.labels.clock, &cell.labels.kernel)).all_equal() {
            return Err(CalibrationError::Unfit {
                problem: format!("{} holds several kernels or clocks", run.dir.display()),
                remedy: "scripts/calibrate-wall or scripts/calibrate-instructions",
            });
        }
        let pool = pools.entry((clock, kernel.clone())).or_insert_with(|| Pool {
            clock,
            kernel,
            same: Vec::new(),
            slowed: BTreeMap::new(),
        });
        let recorded = Recorded::of(run)?;
        match injected(&run.record.scenario) {
            (0, 0) => pool.same.push(recorded),
            key => pool.slowed.entry(key).or_default().push(recorded),
        }
    }
    Ok(pools.into_values().collect())
}

impl Recorded {
    fn of(run: &Run) -> Result<Self, CalibrationError> {
        let seeds = run.cells.iter().map(|cell| cell.labels.seed).unique().collect();
        Ok(Self { side: Side::of(std::slice::from_ref(run))?, seeds })
    }
}

/// Rules a chain and nanoseconds of delay.
fn injected(scenario: &Value) -> (u64, u64) {
    let number = |key: &str| {
        let value = scenario.get("inject").and_then(|inject| inject.get(key));
        value.and_then(Value::as_u64).unwrap_or(0)
    };
    (number("rules_per_chain"), number("answer_delay_ns"))
}

/// The slowdown of a key of [`Pool::slowed`]; of two at once the rules are named.
pub(super) fn slowdown((rules, delay): (u64, u64)) -> Slowdown {
    if rules > 0 { Slowdown::Rules { per_chain: rules } } else { Slowdown::Delay { ns: delay } }
}

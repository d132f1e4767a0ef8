//! Pairs the timings of two runs, one on each clock, and measures how far they go together.

use std::path::PathBuf;

use itertools::Itertools as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::format::{fixed, list, position, quantity, thousands};
use crate::metrics::{self, Use};
use crate::proxies::Proxies;
use crate::record::{Clock, Unit};
use crate::stats::{self, Spread};
use crate::store::Run;
use crate::view::{Group, View, ViewError};

/// Two proxies that differ by less than this on either clock have no order there.
const ORDER_FROM: f64 = 0.05;

/// One timing, measured on both clocks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Pair {
    /// Metric.
    pub metric: String,
    /// Position or part.
    pub label: String,
    /// Proxy.
    pub proxy: String,
    /// Number of Services.
    pub services: u64,
    /// Median over the seeds of the p50.
    pub instructions: f64,
    /// The same on the wall clock.
    pub wall_ns: f64,
}

/// How the two clocks go together for one metric.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Agreement {
    /// Metric.
    pub metric: String,
    /// Pairs of values.
    pub pairs: usize,
    /// Nanoseconds a thousand instructions: smallest, median, largest.
    pub ns_per_1000: [f64; 3],
    /// Exponent of `time = a * instructions^b`: 1 when time follows instructions; nothing when they
    /// hardly vary.
    pub exponent: Option<f64>,
    /// Share of the variance of the logarithms that this explains.
    pub r2: Option<f64>,
    /// Pairs of proxies, at one size and label, that both clocks put in the same order.
    pub same_order: usize,
    /// Pairs of proxies that they put in opposite orders, in words.
    pub opposite_order: Vec<String>,
}

/// Both clocks over all cells that were measured on both.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Clocks {
    /// Kernel and place of the wall clock.
    pub wall: String,
    /// Kernel and place of the instructions clock.
    pub instructions: String,
    /// Every pair.
    pub pairs: Vec<Pair>,
    /// One entry a metric.
    pub agreements: Vec<Agreement>,
    /// What the runs tell of these proxies.
    #[serde(skip)]
    pub(crate) known: Proxies,
}

/// Why clocks cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ClocksError {
    /// A run that cannot be read as one.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A run with the other clock, or several kernels.
    #[error(
        "run {}: one kernel on the {clock} clock is wanted here, and it has {found}; name the run by wall clock first, \
         then the one by instructions, each of `vipbench run scenarios/clocks.toml`",
        .run.display()
    )]
    Groups {
        /// The folder.
        run: PathBuf,
        /// The clock that was asked for.
        clock: Clock,
        /// What it has.
        found: String,
    },
    /// Nothing in common.
    #[error(
        "the runs have no timing in common; run the same scenario with `--place host` and with `--clock instructions`"
    )]
    NothingInCommon,
}

/// Pairs what both runs measured.
///
/// # Errors
/// [`ClocksError`].
pub fn compare(wall: &Run, instructions: &Run) -> Result<Clocks, ClocksError> {
    let views =
        [View::new(std::slice::from_ref(wall))?, View::new(std::slice::from_ref(instructions))?];
    let wall = only_group(&views[0], wall, Clock::Wall)?;
    let instructions = only_group(&views[1], instructions, Clock::Instructions)?;
    let pairs = pairs(wall, instructions);
    let known = Proxies::of([&views[0].runs[0].record, &views[1].runs[0].record]);
    if pairs.is_empty() {
        return Err(ClocksError::NothingInCommon);
    }
    let agreements = metrics::used_by(Use::Clocks)
        .filter_map(|kind| {
            let of_metric: Vec<_> = pairs.iter().filter(|pair| pair.metric == kind.name).collect();
            agreement(kind.name, &of_metric)
        })
        .collect();
    let place = |group: &Group<'_>| format!("{} ({})", group.key.kernel, group.key.place);
    Ok(Clocks { wall: place(wall), instructions: place(instructions), pairs, agreements, known })
}

fn only_group<'v, 'a>(
    view: &'v View<'a>,
    run: &Run,
    clock: Clock,
) -> Result<&'v Group<'a>, ClocksError> {
    let groups: Vec<_> = view.groups.iter().filter(|group| group.key.clock == clock).collect();
    if let [group] = groups.as_slice() {
        return Ok(group);
    }
    let has = list(&view.groups.iter().map(|group| group.key.title()).collect_vec());
    let found = if has.is_empty() { "no measured cell".to_owned() } else { has };
    Err(ClocksError::Groups { run: run.dir.clone(), clock, found })
}

fn pairs(wall: &Group<'_>, instructions: &Group<'_>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for kind in metrics::used_by(Use::Clocks) {
        let metric = kind.name;
        for label in wall.labels(metric).into_iter().filter(|label| kind.is_whole(label)) {
            for proxy in wall.proxies(metric, label) {
                let pair = |(services, time): (u64, Spread)| {
                    let count = instructions.stat(metric, label, proxy, services, 0.5)?;
                    let (instructions, wall_ns) = (count.median, time.median);
                    let [metric, label, proxy] = [metric, label, proxy].map(str::to_owned);
                    Some(Pair { metric, label, proxy, services, instructions, wall_ns })
                };
                pairs.extend(wall.series(metric, label, proxy, 0.5).into_iter().filter_map(pair));
            }
        }
    }
    // A logarithm needs something to be taken of.
    pairs.retain(|pair| pair.instructions > 0.0 && pair.wall_ns > 0.0);
    pairs
}

impl Pair {
    /// Nanoseconds a thousand instructions.
    pub(super) fn ns_per_1000(&self) -> f64 {
        1000.0 * self.wall_ns / self.instructions
    }
}

fn agreement(metric: &str, pairs: &[&Pair]) -> Option<Agreement> {
    let rates = Spread::of(pairs.iter().map(|pair| pair.ns_per_1000()))?;
    let points: Vec<(f64, f64)> =
        pairs.iter().map(|pair| (pair.instructions.ln(), pair.wall_ns.ln())).collect();
    let counts = Spread::of(pairs.iter().map(|pair| pair.instructions))?;
    // A slope through points that lie together says nothing.
    let line = (counts.max >= 2.0 * counts.min).then(|| stats::fit_line(&points)).flatten();
    let (same_order, opposite_order) = orders(pairs);
    Some(Agreement {
        metric: metric.to_owned(),
        pairs: pairs.len(),
        ns_per_1000: [rates.min, rates.median, rates.max],
        exponent: line.map(|line| line.slope),
        r2: line.and_then(|line| line.r2),
        same_order,
        opposite_order,
    })
}

/// Of every two proxies at one size and label, whether the clocks agree which takes more.
fn orders(pairs: &[&Pair]) -> (usize, Vec<String>) {
    let (mut same, mut opposite) = (0, Vec::new());
    let clearly = |a: f64, b: f64| (a / b - 1.0).abs() >= ORDER_FROM;
    let comparable = |a: &Pair, b: &Pair| {
        (&a.label, a.services) == (&b.label, b.services)
            && clearly(a.instructions, b.instructions)
            && clearly(a.wall_ns, b.wall_ns)
    };
    for (a, b) in pairs.iter().tuple_combinations().filter(|(a, b)| comparable(a, b)) {
        if (a.instructions < b.instructions) == (a.wall_ns < b.wall_ns) {
            same += 1;
        } else {
            opposite.push(in_words(a, b));
        }
    }
    (same, opposite)
}

/// `none takes 100 instructions and 50 ns, ipvs 200 and 40 (last of 100 Services)`.
fn in_words(a: &Pair, b: &Pair) -> String {
    let side = |pair: &Pair| {
        let (count, time) = (fixed(pair.instructions, 0), quantity(Unit::Ns, pair.wall_ns));
        format!("{} takes {count} instructions and {time}", pair.proxy)
    };
    let place = format!("{}, {} Services", position(&a.label), thousands(a.services));
    format!("{} ({place})", list(&[side(a), side(b)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn what_both_clocks_measured_is_paired_and_nothing_else() {
        let (wall, stored) = (fixture::wall(), fixture::stored());
        let clocks = compare(&wall, &stored).unwrap();
        assert!(clocks.pairs.len() > 10, "{}", clocks.pairs.len());
        for agreement in &clocks.agreements {
            let [least, middle, most] = agreement.ns_per_1000;
            assert!(0.0 < least && least <= middle && middle <= most, "{agreement:?}");
        }
        let swapped = compare(&stored, &wall).unwrap_err().to_string();
        assert!(swapped.contains("wall clock is wanted") && swapped.contains("instructions"));
    }

    #[test]
    fn proxies_in_opposite_orders_are_named_and_close_ones_have_no_order() {
        let pair = |proxy: &str, instructions, wall_ns| Pair {
            metric: "connect".into(),
            label: "last".into(),
            proxy: proxy.into(),
            services: 100,
            instructions,
            wall_ns,
        };
        let (a, b, c) = (pair("a", 100.0, 50.0), pair("b", 200.0, 40.0), pair("c", 400.0, 50.5));
        let (same, opposite) = orders(&[&a, &b, &c]);
        assert_eq!(same, 1, "b and c; a and c are as good as equal in time");
        assert_eq!(opposite.len(), 1);
        assert!(
            opposite[0].starts_with("a takes 100 instructions")
                && opposite[0].contains(" and b takes 200"),
            "{opposite:?}"
        );
    }
}

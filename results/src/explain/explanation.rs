//! Profiles of one or two cells, and what they say together: differences by function and by area,
//! and whether these add up to what was measured.

use std::collections::BTreeMap;

use itertools::Itertools as _;
use serde::{Deserialize, Serialize};

use super::areas::area;
use crate::record::Labels;

/// Schema name of an explanation's JSON.
pub const EXPLAIN_SCHEMA: &str = "vipbench.explain/1";
/// The parts must add up to what was measured within this share.
pub const SUM_TOLERANCE: f64 = 0.01;

/// Instructions of a cell's samples that one function executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the function; in brackets what is none. All of user space is [`USER`](super::USER).
    pub function: String,
    /// Module it is in; `None` for the kernel itself. Of user space, the program or library.
    pub module: Option<String>,
    /// In all samples together.
    pub instructions: u64,
}

/// One cell's samples of a metric, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profiled {
    /// The cell's id.
    pub cell: String,
    /// Its dimensions.
    pub labels: Labels,
    /// The samples by the guest's own clock, in the order they were taken.
    pub measured: Vec<u64>,
    /// Largest distance of one sample's parts from what the guest's clock said of it.
    pub largest_gap: u64,
    /// p50 of the metric in the stored run.
    pub stored_p50: Option<u64>,
    /// Whether the profiled cell gave the stored cell's metrics to the last digit.
    pub as_stored: bool,
    /// Where the instructions went.
    pub parts: Vec<Part>,
}

/// What `vipbench explain` writes as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Always [`EXPLAIN_SCHEMA`].
    pub schema: String,
    /// The metric, for example `connect`.
    pub metric: String,
    /// Its label, for example `last`.
    pub label: String,
    /// Samples passed over, if not all were profiled: instructions that a sample had to take,
    /// inclusive.
    pub only: Option<(u64, u64)>,
    /// The cell that is explained.
    pub cell: Profiled,
    /// The cell that it is set against: differences go from `cell` to this one, as they go from the
    /// first run to the second in a comparison.
    pub against: Option<Profiled>,
}

/// One function, or several, instructions a sample: `from` one cell `to` the other, or from nothing
/// to the only one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProfileLine {
    pub function: String,
    pub module: Option<String>,
    pub from: f64,
    pub to: f64,
}

impl ProfileLine {
    /// Several as one.
    pub fn sum(function: String, lines: &[Self]) -> Self {
        let from = lines.iter().map(|line| line.from).sum();
        Self { function, module: None, from, to: lines.iter().map(|line| line.to).sum() }
    }

    /// How much more is spent here in the end.
    pub fn difference(&self) -> f64 {
        self.to - self.from
    }
}

/// The first `top` lines, and the others as one.
pub(super) fn shortened(lines: &[ProfileLine], top: usize) -> Vec<ProfileLine> {
    let (shown, rest) = lines.split_at_checked(top).unwrap_or((lines, &[]));
    let sum = || ProfileLine::sum(format!("({} other functions)", rest.len()), rest);
    let rest = (!rest.is_empty()).then(sum);
    shown.iter().cloned().chain(rest).collect()
}

impl Profiled {
    /// Instructions a sample by the guest's own clock.
    pub fn measured_mean(&self) -> f64 {
        self.a_sample(self.measured.iter().copied().fold(0, u64::saturating_add))
    }

    /// Instructions a sample in all parts.
    pub fn executed_mean(&self) -> f64 {
        let instructions = self.parts.iter().map(|part| part.instructions);
        self.a_sample(instructions.fold(0, u64::saturating_add))
    }

    fn a_sample(&self, sum: u64) -> f64 {
        sum as f64 / self.measured.len().max(1) as f64
    }
}

impl Explanation {
    /// The cell, and the one that it is set against.
    pub(super) fn cells(&self) -> impl Iterator<Item = &Profiled> {
        std::iter::once(&self.cell).chain(&self.against)
    }

    /// Every function, the largest difference first (with one cell: the largest count first).
    pub(super) fn lines(&self) -> Vec<ProfileLine> {
        self.summed(|part| (part.function.clone(), part.module.clone()))
    }

    /// The same by program and by area of the kernel.
    pub(super) fn areas(&self) -> Vec<ProfileLine> {
        self.summed(|part| (area(&part.function, part.module.as_deref()), None))
    }

    fn summed(&self, name: impl Fn(&Part) -> (String, Option<String>)) -> Vec<ProfileLine> {
        let mut sums: BTreeMap<(String, Option<String>), [f64; 2]> = BTreeMap::new();
        let (from, to) = self.ends();
        for (at, cell) in from.into_iter().map(|from| (0, from)).chain([(1, to)]) {
            for part in &cell.parts {
                sums.entry(name(part)).or_default()[at] += cell.a_sample(part.instructions);
            }
        }
        let lines = sums.into_iter().map(|((function, module), [from, to])| ProfileLine {
            function,
            module,
            from,
            to,
        });
        let size = |line: &ProfileLine| line.difference().abs();
        lines.sorted_by(|a, b| size(b).total_cmp(&size(a))).collect()
    }

    /// Between which cells the difference is: from nothing to the only one.
    fn ends(&self) -> (Option<&Profiled>, &Profiled) {
        match &self.against {
            Some(against) => (Some(&self.cell), against),
            None => (None, &self.cell),
        }
    }

    /// What the guest's clock says is to be explained, instructions a sample.
    pub fn measured(&self) -> f64 {
        let (from, to) = self.ends();
        to.measured_mean() - from.map_or(0.0, Profiled::measured_mean)
    }

    /// What the parts explain, instructions a sample.
    pub fn explained(&self) -> f64 {
        let (from, to) = self.ends();
        to.executed_mean() - from.map_or(0.0, Profiled::executed_mean)
    }

    /// How far the parts are from the measured difference, as a share of it.
    pub fn sum_error(&self) -> f64 {
        match (self.explained() - self.measured()).abs() {
            0.0 => 0.0,
            gap => gap / self.measured().abs(),
        }
    }

    /// Whether the parts add up to the measured difference within [`SUM_TOLERANCE`].
    pub fn adds_up(&self) -> bool {
        self.sum_error() <= SUM_TOLERANCE
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::{Clock, Place};

    fn profiled(
        proxy: &str,
        samples: usize,
        measured: u64,
        parts: &[(&str, Option<&str>, u64)],
    ) -> Profiled {
        let labels = Labels {
            kernel: "6.1.0-56-cloud-amd64".into(),
            place: Place::Guest,
            clock: Clock::Instructions,
            proxy: proxy.into(),
            services: 1000,
            endpoints: 1000,
            seed: 1,
            measure: "connect".into(),
            path: crate::Path::default(),
        };
        let parts = parts
            .iter()
            .map(|(function, module, instructions)| Part {
                function: (*function).into(),
                module: module.map(Into::into),
                instructions: *instructions,
            })
            .collect();
        Profiled {
            cell: labels.cell_id(),
            labels,
            measured: vec![measured; samples],
            largest_gap: 7,
            stored_p50: Some(measured),
            as_stored: true,
            parts,
        }
    }

    pub(crate) fn example() -> Explanation {
        let tables = Some("ip_tables");
        let legacy = [
            ("ipt_do_table", tables, 30_000),
            ("tcp_connect", None, 9_000),
            ("(user space)", None, 100),
        ];
        let none =
            [("tcp_connect", None, 10_000), ("schedule", None, 2_000), ("(user space)", None, 200)];
        Explanation {
            schema: EXPLAIN_SCHEMA.into(),
            metric: "connect".into(),
            label: "last".into(),
            only: None,
            cell: profiled("none", 20, 609, &none),
            against: Some(profiled("iptables-legacy", 10, 3_909, &legacy)),
        }
    }

    /// The dearer cell of the example alone.
    pub(crate) fn alone() -> Explanation {
        let mut explanation = example();
        explanation.cell = explanation.against.take().unwrap();
        explanation
    }

    #[test]
    fn differences_are_a_sample_each_and_the_largest_comes_first() {
        let lines = example().lines();
        let shown: Vec<(&str, f64)> =
            lines.iter().map(|line| (line.function.as_str(), line.difference())).collect();
        assert_eq!(
            shown,
            [
                ("ipt_do_table", 3000.0),
                ("tcp_connect", 400.0),
                ("schedule", -100.0),
                ("(user space)", 0.0)
            ]
        );
        let sum: f64 = lines.iter().map(ProfileLine::difference).sum();
        assert!((sum - example().explained()).abs() < 1e-6);
    }

    #[test]
    fn parts_that_do_not_add_up_are_noticed() {
        let mut explanation = example();
        assert!((explanation.measured() - 3300.0).abs() < 1e-6);
        assert!(explanation.adds_up(), "{}", explanation.sum_error());
        explanation.cell.parts.remove(1);
        assert!(!explanation.adds_up());
        let mut explanation = alone();
        explanation.cell.parts.remove(1);
        assert!(!explanation.adds_up());
    }

    #[test]
    fn a_cell_against_itself_adds_up_to_nothing() {
        let mut explanation = example();
        explanation.against = Some(explanation.cell.clone());
        assert!(explanation.adds_up());
        assert!(explanation.lines().iter().all(|line| line.difference() == 0.0));
    }

    #[test]
    fn areas_add_up_to_the_same() {
        let sum: f64 = example().areas().iter().map(ProfileLine::difference).sum();
        assert!((sum - example().explained()).abs() < 1e-6);
    }
}

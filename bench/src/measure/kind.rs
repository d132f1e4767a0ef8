//! What every measure tells of itself: which proxies it applies to, what it costs, what it gives.

use proxies::{Cost, Descriptor};
use results::Metric;
use results::metrics::MetricKind;

use super::lab::BenchLab;
use super::spec::CellSpec;

/// One measure.
pub struct Kind {
    /// Whether it can be measured of this proxy.
    pub applies: fn(&Descriptor) -> bool,
    /// Whether its connections may take another path than the usual one.
    pub takes_paths: bool,
    /// Roughly what it takes beside what every cell does, milliseconds.
    pub cost: fn(&Estimate<'_>) -> u64,
    /// What it gives, the metric that it is first of all about at the head.
    pub emits: &'static [MetricKind],
    /// What it gives beside that where the proxy is a program of somebody else.
    pub emits_of_programs: &'static [MetricKind],
    /// Measures; on a thread in the node's namespace.
    pub(super) run: fn(&BenchLab, &CellSpec) -> anyhow::Result<Measured>,
}

impl Kind {
    /// All that it may give.
    pub fn gives(&self) -> impl Iterator<Item = &'static MetricKind> {
        self.emits.iter().chain(self.emits_of_programs)
    }
}

/// Metrics of a measure and how many connections were verified beside them.
pub(super) struct Measured {
    pub(super) verified: u64,
    pub(super) metrics: Vec<Metric>,
}

/// A cell and what its proxy takes, as the parts that measures are made of.
pub struct Estimate<'a> {
    spec: &'a CellSpec,
    proxy: Cost,
}

impl<'a> Estimate<'a> {
    /// Of a proxy that nobody knows it is nothing.
    pub fn of(spec: &'a CellSpec) -> Self {
        let labels = &spec.labels;
        let cost = |proxy: &Descriptor| (proxy.cost)(labels.services, labels.endpoints);
        Self { spec, proxy: proxies::find(&labels.proxy).map(cost).unwrap_or_default() }
    }

    /// A full sync, milliseconds.
    pub fn sync(&self) -> u64 {
        self.proxy.sync + self.proxy.per_1000_endpoints * self.spec.labels.endpoints / 1_000
    }

    /// Changes after it, milliseconds.
    pub fn changes(&self) -> u64 {
        let endpoints = self.spec.labels.endpoints;
        self.proxy.per_million_pairs * endpoints / 1_000 * endpoints / 1_000
    }

    /// So many connections to each position, milliseconds.
    pub fn connections(&self, each: u32) -> u64 {
        let count = u64::from(each) * self.spec.load.positions.len() as u64;
        count * (300 + self.proxy.per_1000_services_passed * self.spec.labels.services / 1_000)
            / 1_000
    }

    /// The cell.
    pub fn spec(&self) -> &CellSpec {
        self.spec
    }
}

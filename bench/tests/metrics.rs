//! The table of metrics against what measures declare, and what they declare against what real
//! cells gave.
//!
//! Real cells are those of the committed reference runs; `end_to_end` looks at fresh ones.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use results::{CellRecord, metrics};
use vipbench::measure;
use vipbench::measure::spec::Measure;

/// Recorded runs that hold every measure between them.
const RECORDED: [&str; 9] = [
    "quick-6.1",
    "strided-vips",
    "replicate/one-by-one",
    "replicate/rules",
    "standing-5.10-7.3",
    "kube-proxy-6.1",
    "churn-6.1",
    "throughput-6.1",
    "cost-6.1",
];

fn recorded() -> Vec<CellRecord> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference");
    let mut cells = Vec::new();
    for run in RECORDED {
        let text = fs::read_to_string(folder.join(run).join("cells.jsonl")).unwrap();
        cells.extend(text.lines().map(|line| serde_json::from_str::<CellRecord>(line).unwrap()));
    }
    cells
}

#[test]
fn every_metric_of_the_table_is_declared_by_a_measure_and_no_other() {
    let declared: BTreeSet<&str> = Measure::ALL
        .into_iter()
        .flat_map(|one| measure::of(one).gives())
        .map(|kind| kind.name)
        .collect();
    assert_eq!(declared, metrics::ALL.iter().map(|kind| kind.name).collect());
}

#[test]
fn cells_of_every_measure_gave_what_it_declares_and_nothing_else() {
    let cells = recorded();
    for measure in Measure::ALL {
        let of_measure = cells.iter().filter(|cell| cell.labels.measure == measure.name());
        let mut given = BTreeSet::new();
        for cell in of_measure {
            for metric in &cell.metrics {
                let kind =
                    measure::of(measure).gives().find(|kind| kind.is_of(metric, cell.labels.clock));
                assert!(kind.is_some(), "{}: {} {}", cell.id, metric.name, metric.unit);
                given.insert(metric.name.as_str());
            }
        }
        assert_eq!(
            given,
            measure::of(measure).gives().map(|kind| kind.name).collect(),
            "{measure:?}"
        );
    }
}

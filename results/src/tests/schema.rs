//! JSON Schemas of the stored files and of what `--json` prints, made from their types; the
//! committed copies are in `results/schema`.

use std::path::Path;

use jsonschema::Validator;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::advise::{ADVISE_SCHEMA, Advice, AdviseOptions, Budgets, advise};
use crate::calibration::{CALIBRATION_SCHEMA, Calibration};
use crate::capacity::{Asked, CAPACITY_SCHEMA, CapacityPlan, ClockRate, PlanOptions};
use crate::check::{CHECK_SCHEMA, Check};
use crate::compare::{COMPARE_SCHEMA, Comparison, Side, compare};
use crate::fixture;
use crate::gate::{self, GATE_SCHEMA, Gate, Thresholds};
use crate::load::{LOAD_SCHEMA, Load};
use crate::record::{CellRecord, RUN_SCHEMA, RunRecord};
use crate::trace::{Record as TraceRecord, TRACE_SCHEMA};
use crate::trend::{Recorded, TREND_SCHEMA, Trend, trend};

/// Set to anything to write the committed files anew.
const UPDATE: &str = "VIPBENCH_UPDATE_SCHEMA";
/// Of a line of `cells.jsonl`, which does not hold it.
const CELL_SCHEMA: &str = "vipbench.cell/1";

/// Every schema with its name.
fn all() -> [(&'static str, Value); 11] {
    let (run, cell) = (
        "run.json of a vipbench results folder",
        "one line of cells.jsonl of a vipbench results folder",
    );
    [
        titled::<RunRecord>(RUN_SCHEMA, run),
        titled::<CellRecord>(CELL_SCHEMA, cell),
        titled::<Comparison>(COMPARE_SCHEMA, "two runs or kernels set against each other"),
        titled::<Gate>(GATE_SCHEMA, "a verdict on a run"),
        titled::<Calibration>(CALIBRATION_SCHEMA, "what is known of the gate"),
        titled::<Check>(CHECK_SCHEMA, "whether proxies conform"),
        titled::<CapacityPlan>(CAPACITY_SCHEMA, "what a budget allows each proxy and kernel"),
        titled::<Load>(LOAD_SCHEMA, "what a load came to"),
        titled::<Advice>(ADVISE_SCHEMA, "which proxy to use, and why"),
        titled::<Trend>(TREND_SCHEMA, "runs over time"),
        titled::<TraceRecord>(TRACE_SCHEMA, "one connection's packets at every device"),
    ]
}

fn titled<T: JsonSchema>(title: &'static str, description: &str) -> (&'static str, Value) {
    let mut schema = schema_for!(T);
    schema.insert("title".to_owned(), title.into());
    schema.insert("description".to_owned(), description.into());
    (title, schema.to_value())
}

/// What holds values against the schema of this name.
pub(crate) fn validator(name: &str) -> Validator {
    let (_, schema) = all().into_iter().find(|(known, _)| *known == name).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn errors(name: &str, value: &impl serde::Serialize) -> Vec<String> {
    let value = serde_json::to_value(value).unwrap();
    validator(name).iter_errors(&value).map(|error| error.to_string()).collect()
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for (name, schema) in all() {
        let path = folder.join(format!("{}.json", name.replace('/', "-")));
        let wanted = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(
            committed == wanted,
            "{name} is stale: run the tests with {UPDATE}=1 and commit it"
        );
    }
}

#[test]
fn a_comparison_satisfies_its_schema() {
    let run = [fixture::kernels()];
    let (base, new) = Side::two(&run, None, Some("6.1"), Some("7.2")).unwrap();
    let comparison = compare(&base, &new).unwrap();
    assert_eq!(errors(COMPARE_SCHEMA, &comparison), [""; 0]);
    let empty = serde_json::json!({"schema": COMPARE_SCHEMA});
    assert!(!validator(COMPARE_SCHEMA).is_valid(&empty));
}

#[test]
fn a_verdict_satisfies_its_schema() {
    let run = [fixture::stored()];
    let (base, new) = Side::two(&run, Some(&run), None, None).unwrap();
    let options = gate::Options { across: None, thresholds: Thresholds::default(), seed: 1 };
    let verdict = gate::judge(&base, &new, &options).unwrap();
    assert_eq!(errors(GATE_SCHEMA, &verdict), [""; 0]);
}

#[test]
fn a_capacity_plan_satisfies_its_schema() {
    let slo = "connect.p50 < 1.5x none and sync.full < 2G";
    let plan = crate::capacity::plan(&[fixture::kernels()], slo, &PlanOptions::default()).unwrap();
    assert_eq!(errors(CAPACITY_SCHEMA, &plan), [""; 0]);
}

#[test]
fn an_advice_satisfies_its_schema() {
    let options = AdviseOptions {
        asked: Asked { services: 1_000, endpoints: None, source: None },
        budgets: Budgets::default(),
        clock_rate: ClockRate::Recorded,
        left_out: Vec::new(),
    };
    assert_eq!(errors(ADVISE_SCHEMA, &advise(&[fixture::stored()], options).unwrap()), [""; 0]);
}

#[test]
fn a_trend_satisfies_its_schema() {
    let mut later = fixture::stored();
    later.record.started = "2027-01-01T00:00:00Z".to_owned();
    later.record.tool_version = "9.9".to_owned();
    let runs = [fixture::stored(), later].map(|run| Recorded::of(&run).unwrap());
    assert_eq!(errors(TREND_SCHEMA, &trend(runs.into()).unwrap()), [""; 0]);
}

#[test]
fn stored_records_satisfy_the_schemas() {
    let (record, cells) = fixture::run();
    assert_eq!(errors(RUN_SCHEMA, &record), [""; 0]);
    let lines = validator(CELL_SCHEMA);
    for cell in &cells {
        let value = serde_json::to_value(cell).unwrap();
        assert!(lines.is_valid(&value), "{}", cell.id);
    }
    let mut negative = serde_json::to_value(&cells[0]).unwrap();
    negative["verified"] = (-1).into();
    assert!(!lines.is_valid(&negative));
    let mut unknown = serde_json::to_value(&cells[0]).unwrap();
    unknown["outcome"]["kind"] = "splendid".into();
    assert!(!lines.is_valid(&unknown));
}

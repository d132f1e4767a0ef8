//! JSON Schemas of the stored files and of a comparison, made from their types; the committed
//! copies are in `results/schema`.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::calibration::{CALIBRATION_SCHEMA, Calibration};
use crate::capacity::{CAPACITY_SCHEMA, CapacityPlan};
use crate::compare::{COMPARE_SCHEMA, Comparison};
use crate::gate::{GATE_SCHEMA, Gate};
use crate::record::{CellRecord, RunRecord};

/// Schema of `run.json`, committed as `results/schema/vipbench.run-1.json`.
pub fn run_schema() -> Value {
    titled::<RunRecord>("vipbench.run/1", "run.json of a vipbench results folder")
}

/// Schema of one line of `cells.jsonl`, committed as `results/schema/vipbench.cell-1.json`.
pub fn cell_schema() -> Value {
    titled::<CellRecord>("vipbench.cell/1", "one line of cells.jsonl of a vipbench results folder")
}

/// Schema of `vipbench compare --json`, committed as `results/schema/vipbench.compare-1.json`.
pub fn compare_schema() -> Value {
    titled::<Comparison>(COMPARE_SCHEMA, "two runs or kernels set against each other")
}

/// Schema of `vipbench gate --format json`, committed as `results/schema/vipbench.gate-1.json`.
pub fn gate_schema() -> Value {
    titled::<Gate>(GATE_SCHEMA, "a verdict on a run")
}

/// Schema of `calibration.json`, committed as `results/schema/vipbench.calibration-1.json`.
pub fn calibration_schema() -> Value {
    titled::<Calibration>(CALIBRATION_SCHEMA, "what is known of the gate")
}

/// Schema of `vipbench capacity --json`, committed as `results/schema/vipbench.capacity-1.json`.
pub fn capacity_schema() -> Value {
    titled::<CapacityPlan>(CAPACITY_SCHEMA, "what a budget allows each proxy and kernel")
}

fn titled<T: JsonSchema>(title: &str, description: &str) -> Value {
    let mut schema = schema_for!(T);
    schema.insert("title".to_owned(), title.into());
    schema.insert("description".to_owned(), description.into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Side, compare};
    use crate::fixture;
    use crate::gate::{self, Thresholds};
    use std::path::Path;

    /// Set to anything to write the committed files anew.
    const UPDATE: &str = "VIPBENCH_UPDATE_SCHEMA";

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
        for (name, schema) in [
            ("vipbench.run-1.json", run_schema()),
            ("vipbench.cell-1.json", cell_schema()),
            ("vipbench.compare-1.json", compare_schema()),
            ("vipbench.gate-1.json", gate_schema()),
            ("vipbench.calibration-1.json", calibration_schema()),
            ("vipbench.capacity-1.json", capacity_schema()),
        ] {
            let path = folder.join(name);
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
        let value = serde_json::to_value(&comparison).unwrap();
        let validator = jsonschema::validator_for(&compare_schema()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert!(!validator.is_valid(&serde_json::json!({"schema": COMPARE_SCHEMA})));
    }

    #[test]
    fn a_verdict_satisfies_its_schema() {
        let run = [fixture::stored()];
        let (base, new) = Side::two(&run, Some(&run), None, None).unwrap();
        let options = gate::Options { across: None, thresholds: Thresholds::default(), seed: 1 };
        let verdict = gate::judge(&base, &new, &options).unwrap();
        let value = serde_json::to_value(&verdict).unwrap();
        let validator = jsonschema::validator_for(&gate_schema()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn a_capacity_plan_satisfies_its_schema() {
        let options = crate::capacity::Options::default();
        let slo = "connect.p50 < 1.5x none and sync.full < 2G";
        let plan = crate::capacity::plan(&[fixture::kernels()], slo, &options).unwrap();
        let value = serde_json::to_value(&plan).unwrap();
        let validator = jsonschema::validator_for(&capacity_schema()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn stored_records_satisfy_the_schemas() {
        let (record, cells) = fixture::run();
        let runs = jsonschema::validator_for(&run_schema()).unwrap();
        assert!(runs.is_valid(&serde_json::to_value(&record).unwrap()));
        let lines = jsonschema::validator_for(&cell_schema()).unwrap();
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
}

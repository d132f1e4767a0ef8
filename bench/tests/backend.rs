//! What a new backend touches: a folder (`toy`) and one line (here the call of `also_known`). It
//! goes through planning, the measures that apply to it, the contract that every backend is held
//! to, and a report, without anything else knowing it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../proxies/tests/kernel/contract.rs"]
mod contract;
#[path = "../../proxies/tests/kernel/flows.rs"]
mod flows;
#[path = "../../proxies/tests/golden/mod.rs"]
mod golden;
#[path = "../../proxies/tests/kernel/netns.rs"]
mod netns;
mod toy;
#[path = "../../proxies/tests/kernel/witness.rs"]
mod witness;

use std::collections::BTreeSet;

use proxies::{Descriptor, Options};
use results::{CellRecord, Clock, Environment, Outcome, Place, Run, RunRecord, RunWriter};
use vipbench::measure::{self, spec::CellSpec};
use vipbench::place::Setting;
use vipbench::run::check::{Overrides, validated};
use vipbench::run::plan::expand;
use vipbench::run::proxy_records;
use vipbench::scenario::Scenario;

use contract::{Subject, with_clauses};

/// The one line.
static KNOWN: [&Descriptor; 1] = [&toy::TOY];

const SCENARIO: &str = "
name = 'toy'
services = [10]
proxies = ['none', 'toy']
measures = ['sync', 'restart', 'connect', 'http', 'vip_bind', 'vip_layout', 'baseline', 'append', 'walk']
[cluster]
vip_layout = { strided = { step = 256 } }
[load]
connections = 5
http_connections = 2
keepalive_requests = 2
changes = 1
";

fn planned() -> (Scenario, Vec<CellSpec>) {
    proxies::also_known(&KNOWN);
    let scenario: Scenario = toml::from_str(SCENARIO).unwrap();
    let scenario = validated(scenario, Overrides::default()).unwrap();
    let setting = Setting { place: Place::Host, clock: Clock::Wall };
    let cells = expand(&scenario, setting, &["host".into()]).unwrap();
    (scenario, cells)
}

#[test]
fn it_is_planned_for_the_measures_that_apply_to_it() {
    let (_, cells) = planned();
    let of_toy = cells.iter().filter(|cell| cell.labels.proxy == "toy");
    let measures: BTreeSet<&str> = of_toy.map(|cell| cell.labels.measure.as_str()).collect();
    let expected = ["connect", "http", "restart", "sync", "vip_layout"];
    assert_eq!(measures, BTreeSet::from(expected));
    assert!(cells.iter().all(|cell| measure::cost_ms(cell) > 0));
}

#[test]
#[ignore = "needs root and nftables; run by scripts/test"]
fn it_is_measured_and_reported_under_its_name_and_in_its_colour() {
    let (scenario, cells) = planned();
    let records: Vec<CellRecord> = cells.iter().map(measured).collect();
    let folder = tempfile::tempdir().unwrap();
    let record = RunRecord {
        schema: results::RUN_SCHEMA.into(),
        tool_version: "0".into(),
        command: Vec::new(),
        started: "2026-01-01T00:00:00Z".into(),
        scenario_name: scenario.name.clone(),
        scenario: serde_json::to_value(&scenario).unwrap(),
        proxies: proxy_records(&scenario),
        cells: cells.iter().map(CellSpec::id).collect(),
        shard: None,
        environment: Environment::default(),
        guests: Vec::new(),
    };
    let dir = folder.path().join("run");
    let mut writer = RunWriter::create(&dir, &record).unwrap();
    for cell in &records {
        writer.append(cell).unwrap();
    }
    drop(writer);
    let run = Run::read(&dir).unwrap();
    let report = results::report::document(&[run], None, &dir).unwrap();
    results::print::write(&report, &dir, "report").unwrap();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains(">toy<"), "it has rows");
    assert!(page.contains("#B8860B"), "gold is its colour in the plots");
}

fn measured(cell: &CellSpec) -> CellRecord {
    let answer = measure::run(cell);
    assert_eq!(answer.outcome, Outcome::Measured, "{}", cell.id());
    let declared = measure::of(cell.measure).emits;
    for metric in &answer.metrics {
        assert!(declared.iter().any(|kind| kind.is_of(metric, Clock::Wall)), "{}", metric.name);
    }
    let mut record = CellRecord::new(cell.labels.clone(), answer.outcome);
    record.verified = answer.verified;
    record.metrics = answer.metrics;
    record
}

#[test]
#[ignore = "needs root and nftables; run by scripts/test"]
fn it_is_held_to_the_contract() {
    proxies::also_known(&KNOWN);
    let toy = Subject { backend: &toy::TOY, options: Options::default };
    macro_rules! each {
        ($($clause:ident,)+) => {
            $(
                println!(stringify!($clause));
                netns::in_new_namespace(|| contract::$clause(toy));
            )+
        };
    }
    with_clauses!(each);
}

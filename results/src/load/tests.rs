//! What a load says of itself, and how it is shown.

use std::collections::BTreeMap;

use super::*;
use crate::distribution::values_needed;
use crate::print;
use crate::record::{Clock, Distribution};
use crate::schema;

/// A load of 20,000 connections at 2,000 a second that went as planned.
fn fixture() -> Load {
    let values = |least: u64| -> Distribution {
        let counts: Vec<(u64, u64)> = (0..200).map(|step| (least + step * 500, 100)).collect();
        Distribution::counted(&counts).unwrap()
    };
    let latency =
        |phase: &str, start, least| Latency { phase: phase.to_owned(), start, data: values(least) };
    Load {
        schema: LOAD_SCHEMA.to_owned(),
        tool_version: "0.1.0".to_owned(),
        kernel_release: "6.1.0".to_owned(),
        clock: Clock::Wall,
        asked: Asked {
            targets: vec!["127.0.0.1:80".to_owned()],
            question: "http".to_owned(),
            client: "sockets".to_owned(),
            rate_per_s: Some(2_000.0),
            arrivals: Some("poisson".to_owned()),
            open_max: 1_000,
            requests: 1,
            duration: 10_000_000_000,
            workers: 1,
            seed: 1,
        },
        elapsed: 10_000_000_000,
        counts: Counts {
            due: 20_000,
            sockets: 20_000,
            completed: 20_000,
            answers: 20_000,
            errors: BTreeMap::new(),
            open_mean: 0.3,
            stay: 3_000_000_000,
        },
        latencies: vec![
            latency("connect", Start::Planned, 30_000),
            latency("connect", Start::Sent, 25_000),
            latency("total", Start::Planned, 150_000),
            latency("total", Start::Sent, 145_000),
            latency("lateness", Start::Planned, 5_000),
        ],
        intervals: (0..10)
            .map(|second| Interval {
                from: second * 1_000_000_000,
                due: 2_000,
                completed: 2_000,
                failed: 0,
                p50: 200_000,
                p90: 240_000,
                p99: 249_000,
                max: 249_500,
                late: 104_500,
            })
            .collect(),
        kernel: Kernel {
            opened: Some(20_003),
            sent_again: Some(0),
            syn_sent_again: Some(0),
            ..Kernel::default()
        },
        late_limit: 1_000_000,
    }
}

/// What does not hold.
fn broken(load: &Load) -> Vec<&'static str> {
    let broken = load.findings().into_iter().filter(|finding| finding.holds == Some(false));
    broken.map(|finding| finding.name).collect()
}

#[test]
fn a_load_survives_as_json_and_is_what_its_schema_says() {
    let json = serde_json::to_value(fixture()).unwrap();
    assert!(schema::validator(LOAD_SCHEMA).is_valid(&json));
    assert_eq!(serde_json::from_value::<Load>(json).unwrap(), fixture());
}

#[test]
fn what_went_as_planned_is_told_in_one_line() {
    let document = document(&fixture());
    insta::assert_snapshot!("load", print::terminal(&document, Some(100)));
    assert_eq!(document.plots().len(), 2);
    for plot in document.plots() {
        assert!(plot.svg.ends_with("</svg>\n"));
    }
}

#[test]
fn each_self_check_finds_what_it_is_for() {
    assert_eq!(broken(&fixture()), [""; 0]);
    let mut late = fixture();
    late.late_limit = 50_000;
    assert_eq!(broken(&late), ["lateness"]);
    let mut miscounted = fixture();
    miscounted.counts.open_mean = 0.32;
    assert_eq!(broken(&miscounted), ["Little's law"]);
    let mut unopened = fixture();
    unopened.counts.sockets -= 1;
    assert_eq!(broken(&unopened), ["sockets"]);
    unopened.counts.errors.insert("no-port".to_owned(), 1);
    assert_eq!(broken(&unopened), [""; 0], "the error says why");
    let mut uncounted = fixture();
    uncounted.kernel.opened = Some(19_999);
    assert_eq!(broken(&uncounted), ["sockets"]);
    let mut full = fixture();
    full.kernel.conntrack = Some(65_536);
    full.kernel.conntrack_dropped = Some(7);
    assert_eq!(broken(&full), ["conntrack"]);
    assert!(!full.is_valid());
}

#[test]
fn lateness_of_few_connections_is_their_longest_and_without_a_rate_there_is_none() {
    let mut few = fixture();
    few.late_limit = 3;
    let values = vec![1, 2, 4];
    assert!((values.len() as u64) < values_needed(0.99));
    let data = Distribution::Values { values };
    few.latencies = vec![Latency { phase: "lateness".to_owned(), start: Start::Planned, data }];
    assert_eq!(broken(&few), ["lateness"]);
    few.asked.rate_per_s = None;
    assert_eq!(broken(&few), [""; 0]);
}

#[test]
fn headlines_tell_what_matters_first() {
    let headline = |load: &Load| {
        let page = print::terminal(&document(load), None);
        page.lines().next().unwrap_or_default().to_owned()
    };
    assert!(headline(&fixture()).contains("COMPLETE: 2,000 connections a second of 2,000 asked"));
    let mut failed = fixture();
    failed.counts.completed -= 20;
    failed.counts.errors.insert("refused".to_owned(), 20);
    assert!(headline(&failed).contains("WITH ERRORS"), "{}", headline(&failed));
    let mut nothing = fixture();
    nothing.counts.completed = 0;
    assert!(headline(&nothing).contains("NOTHING COMPLETED"));
}

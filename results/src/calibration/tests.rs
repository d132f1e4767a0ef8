//! Calibrations of invented runs, in which the answer is known.

use super::*;
use crate::metrics::REQUEST;
use crate::record::{CellRecord, Labels, Outcome};
use crate::{fixture, print};

/// Nanoseconds of an invented timing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "invented, small and positive"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// A run on the wall clock with noise of some percent, `factor` slower than none but for the
/// control.
fn wall(seeds: std::ops::RangeInclusive<u64>, started: &str, delay_ns: u64, factor: f64) -> Run {
    let mut run = fixture::wall();
    let pattern = run.cells[0].labels.clone();
    run.cells.clear();
    let mut state = delay_ns + 7;
    for seed in seeds {
        for (proxy, cost) in [("none", 20_000.0), ("iptables-nft", 35_000.0 * factor)] {
            let labels = Labels { seed, proxy: proxy.into(), ..pattern.clone() };
            let mut cell = CellRecord::new(labels, Outcome::Measured);
            let noise = 1.0 + crate::stats::draw(&mut state, 31) as f64 / 1000.0;
            let value = whole(cost * noise);
            cell.metrics = vec![REQUEST.of("last", Clock::Wall, vec![value; 3])];
            run.cells.push(cell);
        }
    }
    run.record.started = started.into();
    run.record.cells = run.cells.iter().map(|cell| cell.id.clone()).collect();
    if delay_ns > 0 {
        run.record.scenario["inject"] = serde_json::json!({"answer_delay_ns": delay_ns});
    }
    run
}

fn options(gates: usize) -> CalibrationOptions {
    CalibrationOptions { gates, replicates: vec![10], seed: 1 }
}

fn recorded() -> Vec<Run> {
    let mut runs = vec![wall(1..=80, "2026-01-01T00:00:00Z", 0, 1.0)];
    for round in 0..3 {
        let seeds = round * 10 + 1..=round * 10 + 10;
        let at = format!("2026-01-02T00:0{round}:00Z");
        runs.push(wall(seeds.clone(), &at, 0, 1.0));
        runs.push(wall(seeds, &at, 3000, 1.12));
    }
    runs
}

#[test]
fn nothing_is_found_in_the_same_and_everything_in_a_large_slowdown() {
    let calibration = calibrate(&recorded(), &options(20)).unwrap();
    let find = |slowdown: &Slowdown| {
        calibration.points.iter().find(|point| point.slowdown == *slowdown).unwrap()
    };
    let same = find(&Slowdown::Same);
    assert_eq!((same.gates, same.lines, same.resampled), (20, 1, true));
    assert!(same.found <= 2 && same.found_high < 0.35, "{same:?}");
    assert_eq!(find(&Slowdown::Scaled { share: 0.1 }).found, 20);
    let delayed = find(&Slowdown::Delay { ns: 3000 });
    assert!(delayed.found >= 19, "{delayed:?}");
    let (low, high) = delayed.effect.unwrap();
    assert!((0.09..0.15).contains(&low) && (0.09..0.15).contains(&high), "{low} {high}");
    assert_eq!(calibration, calibrate(&recorded(), &options(20)).unwrap(), "draws are seeded");
}

#[test]
fn repetitions_on_the_instructions_clock_are_gated_pair_by_pair() {
    let repeated = |second| {
        let mut run = fixture::other_kernel();
        run.record.started = format!("2026-01-01T00:00:0{second}Z");
        run
    };
    let runs: Vec<Run> = (0..3).map(repeated).collect();
    let calibration = calibrate(&runs, &options(100)).unwrap();
    let same = &calibration.points[0];
    assert_eq!((same.gates, same.found, same.resampled), (3, 0, false));
    assert_eq!(same.verdicts, [3, 0, 0, 0]);
    let one_percent = &calibration.points[1];
    assert_eq!((one_percent.found, one_percent.gates), (3, 3));
    let refused = calibrate(&runs[..1], &options(100)).unwrap_err().to_string();
    assert!(refused.contains("scripts/calibrate-instructions"), "{refused}");
}

#[test]
fn a_run_that_is_too_short_is_refused_with_what_is_needed() {
    let options = CalibrationOptions { replicates: vec![40], ..options(5) };
    let refused = calibrate(&recorded(), &options).unwrap_err().to_string();
    assert!(refused.contains("need a run of 120, and the longest has 80"), "{refused}");
}

/// Set to anything to write the page anew from its numbers, after a change of its words.
const UPDATE: &str = "VIPBENCH_UPDATE_DOCS";

#[test]
fn the_pages_in_the_docs_are_those_of_their_numbers() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let stored = std::fs::read_to_string(docs.join("calibration.json")).unwrap();
    let calibration: Calibration = serde_json::from_str(&stored).unwrap();
    let page = docs.join("calibration.md");
    let written = std::fs::read_to_string(&page).unwrap();
    let command = written.split('`').nth(1).unwrap();
    let made = document(&calibration, command).unwrap();
    for (page, wanted) in [
        (page, print::markdown(&made)),
        (docs.join("calibration.html"), print::html(&made).unwrap()),
    ] {
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&page, &wanted).unwrap();
        }
        let written = std::fs::read_to_string(&page).unwrap();
        assert!(written == wanted, "{} is stale: run the tests with {UPDATE}=1", page.display());
    }
    for run in &calibration.runs {
        let folder = docs.join("..").join(run);
        assert!(folder.join(crate::RUN_FILE).exists(), "{run} is gone");
    }
}

#[test]
fn a_page_says_what_was_reached_and_shows_a_picture() {
    let calibration = calibrate(&recorded(), &options(20)).unwrap();
    let made = document(&calibration, "vipbench calibrate <runs>").unwrap();
    let page = print::markdown(&made);
    for wanted in
        ["resampled", "is reached with 10 replicates", "calibration-wall.svg", "delay 3,000 ns"]
    {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    let html = print::html(&made).unwrap();
    for fetched in ["http:", "https:", "src=", "<link", "@import", "url(", "<iframe"] {
        assert!(!html.contains(fetched), "{fetched}");
    }
    assert!(html.contains("&#60;runs&#62;") && html.contains("is reached with 10 replicates"));
    assert_eq!(html.matches("<svg").count(), 1);
    assert_eq!(html.matches("<summary>Numbers of this plot</summary>").count(), 1);
    let plots = made.plots();
    assert_eq!(plots.len(), 1);
    assert!(plots[0].svg.starts_with("<svg") && plots[0].svg.contains("10 a side"));
    let value = serde_json::to_value(&calibration).unwrap();
    assert!(crate::schema::validator(CALIBRATION_SCHEMA).is_valid(&value));
}

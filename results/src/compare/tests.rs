//! What a comparison of whole runs says, and what it refuses.

use super::*;
use crate::fixture;
use crate::metrics::CONNECT;
use crate::record::{CellRecord, Clock, Labels, Outcome};
use crate::store::Run;

fn of(base: &Run, new: Option<&Run>, kernels: Option<(&str, &str)>) -> Comparison {
    let (a, b) = kernels.unzip();
    let one = std::slice::from_ref::<Run>;
    let (base, new) = Side::two(one(base), new.map(one), a, b).unwrap();
    compare(&base, &new).unwrap()
}

fn refused(base: &Run, new: Option<&Run>, kernels: (Option<&str>, Option<&str>)) -> String {
    let one = std::slice::from_ref::<Run>;
    let sides = Side::two(one(base), new.map(one), kernels.0, kernels.1);
    sides.and_then(|(base, new)| compare(&base, &new)).unwrap_err().to_string()
}

/// A run on the wall clock whose `connect` takes `factor` as much, for each of `seeds`.
fn wall(seeds: u64, factor: u64) -> Run {
    let mut run = fixture::wall();
    let pattern: Vec<CellRecord> =
        run.cells.iter().filter(|cell| cell.labels.measure == "connect").cloned().collect();
    run.cells.clear();
    for seed in 1..=seeds {
        for cell in &pattern {
            let labels = Labels { seed, ..cell.labels.clone() };
            let mut cell = CellRecord::new(labels, Outcome::Measured);
            let cost = (1000 + seed % 3) * factor;
            cell.metrics = vec![CONNECT.of("last", Clock::Wall, vec![cost])];
            run.cells.push(cell);
        }
    }
    run.record.cells = run.cells.iter().map(|cell| cell.id.clone()).collect();
    run
}

#[test]
fn a_change_in_one_proxy_is_found_first_and_net_of_the_control() {
    let comparison = of(&fixture::kernels(), None, Some(("6.1", "6.12")));
    assert!(comparison.unmatched.is_empty() && comparison.surroundings.is_empty());
    let controls = comparison.effects.iter().take_while(|effect| effect.is_control()).count();
    assert_eq!(controls, comparison.effects.iter().filter(|e| e.is_control()).count());
    let first = &comparison.effects[controls];
    assert_eq!(
        (first.subject.proxy.as_str(), first.subject.metric.as_str()),
        ("iptables-nft", "connect")
    );
    let worst = comparison
        .effects
        .iter()
        .find(|effect| {
            let Subject { proxy, services, metric, label, .. } = &effect.subject;
            (proxy.as_str(), *services, metric.as_str(), label.as_str())
                == ("iptables-nft", 1000, "connect", "last")
                && effect.subject.statistic == Statistic::P50
        })
        .unwrap();
    let net = worst.net.as_ref().unwrap();
    assert!((worst.gross.share().unwrap() - 0.27).abs() < 0.005, "{worst:?}");
    assert!((net.share().unwrap() - 0.354).abs() < 0.002, "{net:?}");
    assert_eq!(worst.gross.pairs.len(), 2);
    assert!(worst.base_cell.id.starts_with("6.1.0-56") && worst.new_cell.id.contains(".s1."));
    let magnitudes: Vec<f64> =
        comparison.effects[controls..].iter().filter_map(Effect::magnitude).collect();
    assert!(magnitudes.windows(2).all(|pair| pair[0] >= pair[1]));
}

#[test]
fn the_same_against_the_same_is_no_change_at_all() {
    let run = fixture::stored();
    let comparison = of(&run, Some(&run), None);
    assert!(comparison.effects.iter().all(|effect| effect.gross.is_equal()));
    let (there, not) = (comparison.matched_cells, comparison.unmatched.len() as u64);
    assert_eq!((there + not, not), (run.cells.len() as u64, 2));
    assert!(comparison.unmatched.iter().all(|one| one.missing_in == MissingIn::Both));
}

#[test]
fn every_cell_without_a_partner_is_listed_with_its_reason() {
    let comparison = of(&fixture::kernels(), None, Some(("6.1", "7.2")));
    let reason = |proxy: &str| {
        let of_proxy = |one: &&Unmatched| one.proxy == proxy;
        comparison.unmatched.iter().find(of_proxy).map(|one| (one.missing_in, one.reason.as_str()))
    };
    assert_eq!(
        reason("iptables-legacy"),
        Some((MissingIn::New, "unsupported: the kernel has no ip_tables"))
    );
    assert_eq!(reason("ipvs"), Some((MissingIn::New, "invalid: kernel splat")));

    let mut smaller = fixture::stored();
    let gone = smaller.cells.remove(0);
    let why = |smaller: &Run| {
        let all = of(smaller, Some(&fixture::stored()), None).unmatched;
        all.into_iter().find(|one| one.cell == gone.id).map(|one| one.reason).unwrap()
    };
    assert!(why(&smaller).contains("--resume"));
    smaller.record.cells.retain(|id| *id != gone.id);
    assert_eq!(why(&smaller), "not planned there");

    let mut fewer = fixture::stored();
    fewer.cells[0].metrics.retain(|metric| metric.name != "close");
    let all = of(&fewer, Some(&fixture::stored()), None).unmatched;
    let metrics: Vec<_> =
        all.iter().filter_map(|one| Some((one.metric.as_deref()?, one.missing_in))).collect();
    assert_eq!(metrics.len(), 3, "{metrics:?}");
    assert!(metrics.contains(&("close first (instructions)", MissingIn::Base)), "{metrics:?}");
}

#[test]
fn runs_of_one_kernel_each_are_compared_across_kernels() {
    let comparison = of(&fixture::other_kernel(), Some(&fixture::stored()), None);
    assert_eq!(comparison.base.kernels, ["5.10.0-32-cloud-amd64"]);
    assert!(comparison.matched_cells > 0);
    let by_kernel = of(&fixture::kernels(), Some(&fixture::stored()), None);
    assert!(
        by_kernel
            .effects
            .iter()
            .all(|effect| effect.subject.base_kernel == effect.subject.new_kernel)
    );
}

#[test]
fn what_else_differs_is_told() {
    let mut new = fixture::stored();
    let facts = &mut new.record.environment.facts;
    facts.insert("tool.qemu-system-x86_64".into(), "10.0".into());
    facts.insert("host.cpu".into(), "another, which the instructions clock cannot see".into());
    facts.insert("guest.6.1.0-56-cloud-amd64.command_line".into(), "quiet".into());
    new.record.scenario = serde_json::json!({"connections": 100, "services": [1]});
    let comparison = of(&fixture::stored(), Some(&new), None);
    let facts: Vec<[&str; 3]> = comparison
        .surroundings
        .iter()
        .map(|one| [one.fact.as_str(), one.base.as_str(), one.new.as_str()])
        .collect();
    assert_eq!(
        facts,
        [
            ["guest.6.1.0-56-cloud-amd64.command_line", "not recorded", "quiet"],
            ["scenario.connections", "300", "100"],
            ["scenario.layout", "consecutive", "not recorded"],
            ["tool.qemu-system-x86_64", "QEMU emulator version 7.2.19", "10.0"],
        ]
    );
}

#[test]
fn the_wall_clock_has_an_interval_only_with_enough_seeds() {
    let effect = |seeds| of(&wall(seeds, 1), Some(&wall(seeds, 2)), None).effects.remove(0);
    assert!(matches!(
        effect(2).gross.certainty,
        Certainty::TooFewReplicates { replicates: 2, needed: REPLICATES_MIN }
    ));
    assert!(matches!(
        effect(6).gross.certainty,
        Certainty::Interval { low, high, .. } if (low - 2.0).abs() < 1e-9 && (high - 2.0).abs() < 1e-9
    ));
}

#[test]
fn sides_that_cannot_be_compared_are_refused_with_the_remedy() {
    let (run, wall) = (fixture::kernels(), fixture::wall());
    let none = (None, None);
    let cases = [
        (refused(&run, Some(&wall), none), "--clock"),
        (refused(&run, None, none), "--base-kernel"),
        (refused(&wall, None, none), "one kernel, 6.18.44"),
        (refused(&run, None, (Some("6.1"), Some("4.9"))), "begins with \"4.9\""),
        (refused(&run, None, (Some("6.1"), None)), "--new-kernel"),
        (refused(&run, None, (Some("6.1"), Some("6.1.0"))), "name two different ones"),
    ];
    for (said, wanted) in cases {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let mut empty = fixture::stored();
    empty.cells.clear();
    assert!(refused(&fixture::stored(), Some(&empty), none).contains("no finished cell"));
    let mut elsewhere = fixture::kernels();
    for cell in &mut elsewhere.cells {
        cell.labels.kernel = format!("9.{}", cell.labels.kernel);
    }
    assert!(refused(&run, Some(&elsewhere), none).contains("4 kernels"));
}

#[test]
fn the_finding_comes_first_and_only_what_is_wanted_is_left() {
    let whole = of(&fixture::kernels(), None, Some(("6.1", "6.12")));
    let finding = brief::finding(&whole);
    let words = "iptables-nft got 27% dearer from 6.1 to 6.12: a new connection to the last of 1,000 Services takes 264,512 instructions";
    assert!(finding.starts_with(words), "{finding}");
    let narrowed = |proxies: &[&str], metrics: &[&str], least| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        whole.clone().narrowed(&Wanted { proxies: names(proxies), metrics: names(metrics), least })
    };
    let ipvs = narrowed(&["ipvs"], &["connect"], 0.0).unwrap();
    assert!(ipvs.effects.iter().all(|effect| {
        ["none", "ipvs"].contains(&&*effect.subject.proxy) && effect.subject.metric == "connect"
    }));
    assert!(brief::finding(&ipvs).starts_with("No new connection, full sync or Change"));
    let large = narrowed(&[], &[], 0.2).unwrap();
    assert!(large.effects.iter().any(|effect| !effect.is_control()));
    let small = |effect: &Effect| effect.gross.share().is_none_or(|share| share.abs() < 0.2);
    assert!(!large.effects.iter().any(|effect| !effect.is_control() && small(effect)));
    let refused = narrowed(&["envoy"], &[], 0.0).unwrap_err().to_string();
    assert!(refused.contains("--proxy envoy") && refused.contains("iptables-nft"), "{refused}");
}

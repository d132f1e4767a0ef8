//! Advice read off recorded runs, against what is known of them.

use std::path::Path;

use super::{Advice, AdviseOptions, Budgets, Choice, LeftOut, Standing, advise, document};
use crate::capacity::{Asked, ClockRate};
use crate::print;
use crate::store::Run;

fn recorded(name: &str) -> Run {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(name);
    Run::read(&folder).unwrap()
}

fn of(run: &str, services: u64, budgets: &[&str], clock_rate: ClockRate) -> Advice {
    let changes: Vec<String> = budgets.iter().map(|text| (*text).to_owned()).collect();
    let options = AdviseOptions {
        asked: Asked { services, endpoints: None, source: None },
        budgets: Budgets::changed(&changes).unwrap(),
        clock_rate,
        left_out: vec![LeftOut { proxy: "ebpf".to_owned(), reason: "a test".to_owned() }],
    };
    advise(&[recorded(run)], options).unwrap()
}

fn choice<'a>(advice: &'a Advice, proxy: &str) -> &'a Choice {
    let mut choices = advice.groups[0].choices.iter();
    choices.find(|choice| choice.proxy == proxy).unwrap()
}

fn text(advice: &Advice) -> String {
    print::terminal(&document(advice).unwrap(), None)
}

#[test]
fn budgets_in_instructions_are_judged_by_what_was_measured() {
    let budgets = ["connect=150k", "change=600M", "start=20G"];
    let advice = of("nftables-6.1", 5_000, &budgets, ClockRate::Recorded);
    let standings = [
        ("ipvs", Standing::Use),
        ("nftables-1.37", Standing::WouldDo),
        ("iptables-legacy", Standing::Avoid),
        ("iptables-nft", Standing::Avoid),
        ("nftables-1.33", Standing::Avoid),
    ];
    for (proxy, standing) in standings {
        let found = choice(&advice, proxy);
        // Exact but for the range of a rate, which no budget in instructions has.
        assert!(found.usages.iter().all(|usage| usage.measured), "{found:?}");
        assert_eq!(found.standing, standing, "{found:?}");
    }
    assert_eq!(advice.groups[0].choices[0].proxy, "ipvs", "the best comes first");
}

#[test]
fn a_size_that_was_not_measured_is_fitted_and_says_so() {
    let budgets = ["connect=150k", "change=600M", "start=20G"];
    let advice = of("nftables-6.1", 3_000, &budgets, ClockRate::Recorded);
    assert!(choice(&advice, "ipvs").usages.iter().all(|usage| !usage.measured));
    assert!(text(&advice).contains("~"));
}

#[test]
fn a_time_where_only_instructions_were_measured_is_said_to_be_an_estimate() {
    let advice = of("nftables-6.1", 5_000, &[], ClockRate::Recorded);
    let said = text(&advice);
    assert!(said.contains("Time: only instructions were measured."), "{said}");
    assert!(said.contains("as recorded on one machine"), "{said}");
    assert!(advice.not_looked_at.iter().any(|line| line.contains("ebpf: a test")));
    for usage in advice.groups[0].choices.iter().flat_map(|choice| &choice.usages) {
        let (low, high) = usage.share_range.unwrap();
        assert!(low < usage.share && usage.share < high, "{usage:?}");
    }
}

#[test]
fn time_that_was_measured_needs_no_rate() {
    let advice = of("clocks-wall", 3_000, &[], ClockRate::Recorded);
    assert_eq!(advice.calibration, None);
    let said = text(&advice);
    assert!(!said.contains("only instructions"), "{said}");
    assert!(said.contains("At 3,000 Services use iptables-legacy, because"), "{said}");
}

#[test]
fn a_proxy_that_is_left_out_is_not_advised_and_named_with_the_reason() {
    let advice = of("default-6.1", 1_000, &["connect=150k"], ClockRate::Recorded);
    assert!(advice.groups[0].choices.iter().all(|choice| choice.proxy != "ebpf"));
    assert!(text(&advice).contains("ebpf: a test"));
}

#[test]
fn nothing_within_the_budgets_is_said_with_what_is_closest() {
    let said = text(&of("nftables-6.1", 5_000, &["connect=10k"], ClockRate::Recorded));
    assert!(said.contains("everything is over a budget"), "{said}");
    assert!(said.contains("times over the budget"), "{said}");
}

#[test]
fn the_page_has_a_plot_for_each_budget_and_fetches_nothing() {
    let advice = of("nftables-6.1", 3_000, &[], ClockRate::Recorded);
    let html = print::html(&document(&advice).unwrap()).unwrap();
    assert_eq!(html.matches("<svg").count(), 3);
    for fetched in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!html.contains(fetched), "{fetched}");
    }
}

//! Tests of the language of budgets.

use super::*;
use proptest::prelude::*;

fn one(text: &str) -> Condition {
    let slo: Slo = text.parse().unwrap();
    assert_eq!(slo.conditions.len(), 1, "{text}");
    slo.conditions[0].clone()
}

#[test]
fn the_budget_of_the_help_is_two_conditions() {
    let slo: Slo = "connect.p99 < 500us and sync.endpoint_change.total < 1s".parse().unwrap();
    let [connect, sync] = slo.conditions.as_slice() else { panic!("{slo:?}") };
    assert_eq!((connect.metric.as_str(), &connect.label), ("connect", &None));
    assert_eq!(connect.statistic, Statistic::Percentile(0.99));
    assert_eq!(connect.limit, Limit::Ns(500_000.0));
    assert_eq!(sync.metric, "sync.endpoint_change");
    assert_eq!(sync.label.as_deref(), Some("total"));
    assert_eq!((sync.statistic, sync.limit), (Statistic::Percentile(0.5), Limit::Ns(1e9)));
}

#[test]
fn limits_have_units_or_are_relative_to_none() {
    for (text, limit) in [
        ("150k", Limit::Plain(150_000.0)),
        ("1.5 G", Limit::Plain(1.5e9)),
        ("150k instructions", Limit::Instructions(150_000.0)),
        ("9 instructions", Limit::Instructions(9.0)),
        ("1.5x none", Limit::TimesNone(1.5)),
        ("2xnone", Limit::TimesNone(2.0)),
        ("3 µs", Limit::Ns(3_000.0)),
        ("20ms", Limit::Ns(2e7)),
        ("1e3ns", Limit::Ns(1e3)),
        ("100MB", Limit::Bytes(1e8)),
    ] {
        assert_eq!(one(&format!("connect.p50 < {text}")).limit, limit, "{text}");
    }
}

#[test]
fn positions_parts_and_statistics_are_selected_by_name() {
    assert_eq!(one("connect.p99@first<1ms").label.as_deref(), Some("first"));
    let part = one("sync.full.submit.max <= 2s");
    assert_eq!((part.label.as_deref(), part.statistic), (Some("submit"), Statistic::Max));
    assert!(part.inclusive && part.admits(2e9, 2e9) && !one("sync.full < 2s").inclusive);
    assert_eq!(one("rules < 100000").label.as_deref(), Some("sync.full"));
    assert_eq!(one("memory.kernel@sync.full < 1GB").label.as_deref(), Some("sync.full"));
    assert_eq!(one("cpu < 1s").label.as_deref(), Some("sync.full"));
    assert_eq!(one("http.connect.mean < 1ms").metric, "http.connect");
}

#[test]
fn what_is_no_budget_is_refused_with_the_place_and_the_remedy() {
    for (text, wanted) in [
        ("", "expected a metric such as connect.p99"),
        ("connect.p99", "expected `<` or `<=`"),
        ("connect.p99 > 5us", "expected `<` or `<=`"),
        ("connect.p99 < fast", "(character 15): expected a number with a unit"),
        ("connect.p99 < 5 parsec", "(character 17): expected a unit: ns, us"),
        ("connect.p99 < 5us or sync.full < 1s", "expected `and` with another condition"),
        ("connect.p99 < 5us and", "expected `and` with another"),
        ("connect < 5us", "connect has many values"),
        ("connection.p99 < 5us", "there is no metric \"connection.p99\"; choose among connect,"),
        ("connect.p99.p50 < 5us", "\"p50\" is one word too many after `connect`"),
        ("connect.last.p50 < 5us", "connect.p99@last"),
        ("sync.full < 2x none", "sync.full cannot be relative to none"),
        ("connect.p99 < -5us", "above 0"),
        ("connect.p99 < nan", "above 0"),
    ] {
        let error = text.parse::<Slo>().unwrap_err().to_string();
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
    assert!(matches!("x".repeat(5_000).parse::<Slo>(), Err(SloError::TooLong { .. })));
    let many = vec!["rules < 1"; 17].join(" and ");
    assert!(matches!(many.parse::<Slo>(), Err(SloError::TooLong { .. })));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = text.parse::<Slo>();
    }

    #[test]
    fn no_text_near_the_grammar_panics(text in "(connect|sync\\.full|rules)[.@a-z0-9]{0,6} ?<=? ?[0-9.e]{0,5}(us|k|x none| and)?") {
        let _ = text.parse::<Slo>();
    }
}

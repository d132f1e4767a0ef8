//! What a check says of itself, in every form.

use itertools::Itertools as _;

use super::*;
use crate::print;
use crate::record::{Place, Unit};

fn probe(subject: &str, verdict: Verdict) -> Probe {
    let words = |text: &str| text.to_owned();
    Probe {
        subject: subject.to_owned(),
        source: words("pod"),
        frontend: words("cluster IP"),
        protocol: words("tcp"),
        family: words("IPv4"),
        service: words("check/plain"),
        addresses: words("10.0.0.1 to 10.96.0.1:80"),
        expected: words("refused"),
        came: words(if verdict == Verdict::Good { "refused" } else { "nothing <came>" }),
        verdict,
        reason: (verdict == Verdict::Known).then(|| words("it is known")),
    }
}

fn check(verdicts: &[Verdict]) -> Check {
    let subject =
        |name: &str| Subject { name: name.to_owned(), says: format!("what {name} must do") };
    let proxy = CheckedProxy {
        name: "iptables-nft".to_owned(),
        probes: verdicts.iter().map(|verdict| probe("refusal", *verdict)).collect(),
        trials: Vec::new(),
        programmed: None,
        skipped: vec![Skipped { what: "SCTP".into(), reason: "no sockets".into() }],
        failed: None,
    };
    Check {
        schema: CHECK_SCHEMA.to_owned(),
        tool_version: "1.2.3".to_owned(),
        kernel: "6.1.0".to_owned(),
        place: Place::Host,
        topology: "one-node".to_owned(),
        subjects: vec![subject("refusal"), subject("hairpin")],
        proxies: vec![proxy],
        not_covered: vec![NotCovered { behaviour: "API".into(), reason: "no API here".into() }],
    }
}

/// The line of a table that begins with `first`, word by word.
fn line(page: &str, first: &str) -> Vec<String> {
    let line = page.lines().find(|line| line.trim_start().starts_with(first)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn exit_codes_tell_unexpected_from_broken_and_from_nothing() {
    use Verdict::{Good, Known, Unexpected};
    assert_eq!(check(&[Good, Known]).exit_code(), 0);
    assert_eq!(check(&[Good, Unexpected]).exit_code(), 2);
    assert_eq!(check(&[]).exit_code(), 1);
    let mut broken = check(&[Good]);
    broken.proxies[0].failed = Some("no memory".to_owned());
    assert_eq!(broken.exit_code(), 1);
    let page = print::terminal(&document(&broken), None);
    assert!(page.contains("The check of iptables-nft broke off: no memory"), "{page}");
}

#[test]
fn a_cell_of_the_matrix_tells_how_its_probes_ended() {
    use Verdict::{Good, Known, Unexpected};
    for (verdicts, mark, head) in [
        (vec![Good, Good], "ok 2", "AS EXPECTED: 2 probes"),
        (vec![Good, Known], "ok 1, known 1", "AS EXPECTED: 2 probes; 1 known to differ"),
        (vec![Known], "known 1", "AS EXPECTED: 1 probe; 1 known to differ"),
        (vec![Good, Known, Unexpected], "WRONG 1/3", "UNEXPECTED: 1 of 3 probes; 1 known"),
        (vec![], "-", "NOTHING CHECKED"),
    ] {
        let page = print::terminal(&document(&check(&verdicts)), None);
        assert!(page.starts_with(head), "{page}");
        assert_eq!(line(&page, "what refusal").join(" "), format!("what refusal must do {mark}"));
        assert_eq!(line(&page, "what hairpin").join(" "), "what hairpin must do -");
    }
}

#[test]
fn what_is_unexpected_stands_with_its_addresses() {
    let page = print::terminal(&document(&check(&[Verdict::Unexpected])), None);
    let row = page.lines().find(|line| line.contains("to 10.96.0.1:80")).unwrap();
    let line = row.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = "iptables-nft refusal pod to cluster IP, tcp, IPv4 10.0.0.1 to 10.96.0.1:80 \
                  refused nothing <came>";
    assert_eq!(line, wanted);
    let markdown = print::markdown(&document(&check(&[Verdict::Known])));
    assert!(markdown.contains("| it is known |"), "{markdown}");
    assert!(print::html(&document(&check(&[Verdict::Unexpected]))).unwrap().contains("&#60;came"));
}

#[test]
fn a_pipeline_gets_a_case_a_probe() {
    use Verdict::{Good, Known, Unexpected};
    let mut check = check(&[Good, Known, Unexpected]);
    check.proxies[0].failed = Some("no memory".to_owned());
    let xml = junit(&check).unwrap();
    let head = r#"<testsuite name="iptables-nft" tests="5" failures="1" errors="1" skipped="1">"#;
    assert!(xml.contains(head), "{xml}");
    assert!(xml.contains("expected: refused; came: nothing &#60;came&#62;"), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), 5);
}

#[test]
fn a_setting_that_does_something_else_is_unexpected_and_told_with_its_question() {
    let mut tried = check(&[Verdict::Good]);
    tried.proxies[0].trials = vec![Trial {
        question: "may it be so?".to_owned(),
        setting: "off".to_owned(),
        probe: probe("setting", Verdict::Unexpected),
        cost: None,
    }];
    assert_eq!(tried.exit_code(), 2);
    let page = print::terminal(&document(&tried), None);
    assert!(page.starts_with("UNEXPECTED: 1 of 2 probes"), "{page}");
    let words = line(&page, "may it be so?").join(" ");
    assert_eq!(words, "may it be so? off pod refused WRONG 1 nothing <came>");
    assert!(junit(&tried).unwrap().contains("off: pod to cluster IP"));
}

#[test]
fn a_terminal_shows_settings_of_one_outcome_together_and_a_page_each() {
    let mut tried = check(&[]);
    let trial = |setting: &str, verdict| Trial {
        question: "may it be so?".to_owned(),
        setting: setting.to_owned(),
        probe: probe("setting", verdict),
        cost: None,
    };
    let good = [trial("on", Verdict::Good), trial("off", Verdict::Good)];
    tried.proxies[0].trials = [&good[..], &[trial("half", Verdict::Unexpected)]].concat();
    let page = print::terminal(&document(&tried), None);
    let rows = page.lines().filter(|line| line.contains("may it be so?"));
    let rows: Vec<String> = rows.map(|row| row.split_whitespace().join(" ")).collect();
    assert_eq!(rows[0], "may it be so? on; off pod refused ok 2 refused");
    assert_eq!(rows[1..], ["may it be so? half pod refused WRONG 1 nothing <came>"]);
    let markdown = print::markdown(&document(&tried));
    assert_eq!(markdown.matches("| may it be so? |").count(), 2 + 3);
}

#[test]
fn known_deviations_are_a_row_a_proxy_and_reason_with_one_example() {
    let mut known = check(&[Verdict::Known; 3]);
    known.proxies[0].probes[1].subject = "hairpin".to_owned();
    known.proxies[0].probes[2].reason = Some("another".to_owned());
    let page = print::terminal(&document(&known), None);
    let (_, table) = page.split_once("Known deviations").unwrap();
    let example = "pod to cluster IP, tcp, IPv4: nothing <came>";
    assert_eq!(
        line(table, "iptables-nft").join(" "),
        format!("iptables-nft another 1 refusal {example}")
    );
    let second = table.lines().find(|line| line.contains("it is known")).unwrap();
    let second = second.split_whitespace().join(" ");
    assert_eq!(second, format!("iptables-nft it is known 2 refusal, hairpin {example}"));
}

#[test]
fn rules_that_differ_are_unexpected_though_every_packet_came() {
    let mut differs = check(&[Verdict::Good]);
    differs.proxies[0].programmed = Some(Programmed {
        as_by: "iptables-nft".to_owned(),
        same: 1_234,
        different: 1,
        first: vec!["nat: chain KUBE-X is missing".to_owned()],
    });
    assert_eq!(differs.exit_code(), 2);
    let page = print::terminal(&document(&differs), None);
    assert!(
        page.starts_with("UNEXPECTED: iptables-nft programmed something else; 1 probe"),
        "{page}"
    );
    assert!(page.contains("nat: chain KUBE-X is missing") && page.contains("1,234"), "{page}");
    assert!(junit(&differs).unwrap().contains("1 things differ: nat: chain KUBE-X is missing"));
    differs.proxies[0].programmed.as_mut().unwrap().different = 0;
    assert_eq!(differs.exit_code(), 0);
    let page = print::terminal(&document(&differs), None);
    assert!(page.contains("read back, is as it should be: 1,234 rules"), "{page}");
}

#[test]
fn costs_are_a_table_of_sizes_by_settings_and_no_settings_themselves() {
    let mut tried = check(&[Verdict::Good]);
    let trial = |setting: &str, vips, taken| Trial {
        question: "what does it cost?".to_owned(),
        setting: setting.to_owned(),
        probe: probe("cost", Verdict::Good),
        cost: Some(Cost { vips, unit: Unit::Instructions, taken }),
    };
    let route = trial("one route", 20_000, 30_000);
    let rest = CheckedProxy {
        trials: vec![trial("addresses", 20_000, 8_000_000_000), trial("addresses", 10, 500_000)],
        ..check(&[]).proxies.remove(0)
    };
    tried.proxies[0].trials.push(route);
    tried.proxies[0].take(rest);
    assert_eq!(tried.count(Verdict::Good), 4);
    let page = print::terminal(&document(&tried), None);
    let (_, table) = page.split_once("What it costs to make VIPs local, million").unwrap();
    assert_eq!(line(table, "VIPs").join(" "), "VIPs one route addresses");
    assert_eq!(line(table, "10 ").join(" "), "10 0.500");
    assert_eq!(line(table, "20,000").join(" "), "20,000 0.030 8,000.000");
    assert!(!page.contains("what does it cost?"), "{page}");
}

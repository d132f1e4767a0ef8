//! What a check says of itself, in every form.

use super::*;
use crate::print;
use crate::record::Place;

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
    }];
    assert_eq!(tried.exit_code(), 2);
    let page = print::terminal(&document(&tried), None);
    assert!(page.starts_with("UNEXPECTED: 1 of 2 probes"), "{page}");
    let words = line(&page, "may it be so?").join(" ");
    assert!(words.starts_with("may it be so? iptables-nft off pod refused nothing"), "{words}");
    assert!(words.ends_with("WRONG"), "{words}");
    assert!(junit(&tried).unwrap().contains("off: pod to cluster IP"));
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
}

//! Comparing what `nft list table` printed with what it should print.
//!
//! Order counts inside a chain; that of chains, sets and elements does not, since the kernel keeps
//! it as it likes. A chain of a Service that is empty and that nothing needs is no difference:
//! upstream deletes it a sync later.

use std::collections::BTreeSet;

use super::dump::{ContainerDump, Dump};
use super::names::is_service_chain;
use crate::differences::Differences;

/// Compares two tables.
pub(super) fn compare(expected: &Dump, found: &Dump, differences: &mut Differences) {
    for (name, wanted) in &expected.containers {
        match found.containers.get(name) {
            None => differences.add(|| format!("{} {name} is missing", wanted.kind)),
            Some(there) => compare_elements(name, wanted, there, differences),
        }
    }
    for (name, wanted) in &expected.chains {
        match found.chains.get(name) {
            None => differences.add(|| format!("chain {name} is missing")),
            Some(there) => compare_rules(name, wanted, there, differences),
        }
    }
    for (name, extra) in &found.containers {
        if !expected.containers.contains_key(name) {
            differences.add(|| format!("{} {name} should not be there", extra.kind));
        }
    }
    for (name, rules) in &found.chains {
        let is_stale = rules.is_empty() && is_service_chain(name);
        if !is_stale && !expected.chains.contains_key(name) {
            differences.add(|| format!("chain {name} should not be there"));
        }
    }
}

fn compare_elements(
    name: &str,
    wanted: &ContainerDump,
    there: &ContainerDump,
    differences: &mut Differences,
) {
    if (&wanted.kind, &wanted.head) != (&there.kind, &there.head) {
        let words = |one: &ContainerDump| {
            format!("{} of {}", one.kind, one.head.iter().cloned().collect::<Vec<_>>().join(", "))
        };
        differences.add(|| format!("{name} should be a {}, is a {}", words(wanted), words(there)));
    }
    // What packets add is not the backend's.
    if wanted.head.iter().any(|line| line.starts_with("flags dynamic")) {
        return;
    }
    let keys = |one: &ContainerDump| -> BTreeSet<String> {
        one.elements.iter().map(|element| without_comment(element)).collect()
    };
    let (wanted, there) = (keys(wanted), keys(there));
    differences.add_same(wanted.intersection(&there).count());
    for missing in wanted.difference(&there) {
        differences.add(|| format!("{name}: element {missing} is missing"));
    }
    for extra in there.difference(&wanted) {
        differences.add(|| format!("{name}: element {extra} should not be there"));
    }
}

/// `KEY comment "WORDS" : VERDICT` without the comment, which does not count: an element that stays
/// when its Service changes keeps its first, upstream too.
fn without_comment(element: &str) -> String {
    let parts = element.split_once(" comment \"").and_then(|(key, rest)| {
        let (_words, verdict) = rest.split_once('"')?;
        Some(format!("{key}{verdict}"))
    });
    parts.unwrap_or_else(|| element.to_owned())
}

fn compare_rules(name: &str, wanted: &[String], there: &[String], differences: &mut Differences) {
    let is_comment = |line: &&String| line.starts_with("comment ");
    let wanted: Vec<_> = wanted.iter().filter(|line| !is_comment(line)).collect();
    let there = there.iter().filter(|line| !is_comment(line)).map(|line| with_number(line));
    let place = |number| format!("line {number} of chain {name}");
    differences.compare_rules(&wanted, there, str::eq, place);
}

/// A line with the name of a priority put as its number, since versions of nft name different ones:
/// `dstnat - 10`, -110 (`std_prios` in src/rule.c, nftables 1.0.6).
pub(crate) fn with_number(line: &str) -> String {
    let parts = line.split_once(" priority ").and_then(|(before, rest)| {
        let (priority, after) = rest.split_once(';')?;
        let mut words = priority.split(' ');
        let base: i32 = match words.next()? {
            "dstnat" => -100,
            "filter" => 0,
            "srcnat" => 100,
            _ => return None,
        };
        let offset = match (words.next(), words.next().map(str::parse::<i32>)) {
            (None, None) => 0,
            (Some("+"), Some(Ok(by))) => by,
            (Some("-"), Some(Ok(by))) => by.checked_neg()?,
            _ => return None,
        };
        Some(format!("{before} priority {};{after}", base.checked_add(offset)?))
    });
    parts.unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = "table ip x {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1 }\n\t}\n\
        \tchain c {\n\t\ttype nat hook output priority -100; policy accept;\n\t\tjump d\n\t\treject\n\t}\n}\n";

    fn differences(found: &str) -> Option<String> {
        let expected = Dump::parse(EXPECTED.as_bytes()).expect("well formed");
        let found = Dump::parse(found.as_bytes()).expect("well formed");
        let mut differences = Differences::default();
        compare(&expected, &found, &mut differences);
        differences.into_result().err().map(|error| error.to_string())
    }

    #[test]
    fn equal_tables_pass_however_a_priority_is_named() {
        assert_eq!(differences(EXPECTED), None);
        assert_eq!(differences(&EXPECTED.replace("-100;", "dstnat;")), None);
        assert_eq!(differences(&EXPECTED.replace("-100;", "filter - 100;")), None);
    }

    #[test]
    fn a_priority_out_of_range_is_a_difference_and_no_panic() {
        for wild in ["dstnat - -2147483648;", "srcnat + 2147483647;"] {
            assert!(differences(&EXPECTED.replace("-100;", wild)).is_some());
        }
    }

    #[test]
    fn comments_of_elements_do_not_count() {
        let commented = EXPECTED.replace("10.0.0.1 }", "10.0.0.1 comment \"ns/a:p\" }");
        assert_eq!(differences(&commented), None);
    }

    #[test]
    fn an_empty_chain_of_a_service_is_left_for_later() {
        let with = |chain: &str| EXPECTED.replace("\tchain c", &format!("{chain}\tchain c"));
        assert_eq!(differences(&with("\tchain service-A-ns/a/tcp/p {\n\t}\n")), None);
        for extra in ["\tchain empty {\n\t}\n", "\tchain service-A-ns/a/tcp/p {\n\t\treject\n\t}\n"]
        {
            let told = differences(&with(extra)).expect("a difference");
            assert!(told.contains("should not be there"), "{told}");
        }
    }

    #[test]
    fn each_difference_is_told_with_its_place() {
        for (from, to, told) in [
            ("10.0.0.1", "10.0.0.2", "s: element 10.0.0.1 is missing; s: element 10.0.0.2 should"),
            ("\t\tjump d\n", "", "line 2 of chain c should be `jump d`, is `reject`"),
            ("\t\treject\n", "", "line 3 of chain c should be `reject`, is nothing"),
            (
                "reject\n",
                "reject\n\t\taccept\n",
                "line 4 of chain c should be nothing, is `accept`",
            ),
            ("set s", "map s", "s should be a set of type ipv4_addr, is a map"),
            ("ipv4_addr", "inet_proto", "is a set of type inet_proto"),
            ("set s", "set t", "set s is missing; set t should not be there"),
            ("chain c", "chain d", "chain c is missing; chain d should not be there"),
            ("-100;", "-90;", "priority -100; policy accept;`, is `type"),
        ] {
            let told_so = differences(&EXPECTED.replace(from, to)).expect("a difference");
            assert!(told_so.contains(told), "{told_so}");
        }
    }
}

//! Comparing what `iptables-save` printed with what it should print.
//!
//! Order counts inside a chain, since position is what is measured; the order of chains does not,
//! since legacy and nft list them differently. A kube-proxy has Services in the order of a Go map.

use super::dump::{Dump, Table};
use crate::backend::Maker;
use crate::differences::Differences;

/// The start of the name of every chain that belongs to the backend.
pub(super) const OWN_PREFIX: &str = "KUBE-";

/// Chains with rules of many Services, and the only ones whose order a kube-proxy draws.
pub(crate) const OF_SERVICES: [&str; 4] =
    ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"];

/// Compares all chains called `KUBE-*` and all jumps to them. Takes time linear in rules.
pub(crate) fn compare(
    expected: &Dump<'_>,
    found: &Dump<'_>,
    maker: Maker<'_>,
    differences: &mut Differences,
) {
    let empty = Table::new();
    for (name, table) in &expected.tables {
        let there = found.tables.get(name).unwrap_or(&empty);
        compare_table(name, table, there, maker, differences);
    }
    let is_unexpected = |(name, _): &(&&str, &Table<'_>)| !expected.tables.contains_key(*name);
    for (name, table) in found.tables.iter().filter(is_unexpected) {
        compare_table(name, &empty, table, maker, differences);
    }
}

fn compare_table(
    name: &str,
    expected: &Table<'_>,
    found: &Table<'_>,
    maker: Maker<'_>,
    differences: &mut Differences,
) {
    for (chain, rules) in expected {
        match found.get(chain) {
            None => differences.add(|| format!("{name}: chain {chain} is missing")),
            Some(there) => {
                compare_chain(&Place { table: name, chain }, rules, there, maker, differences);
            }
        }
    }
    for (chain, rules) in found.iter().filter(|(chain, _)| !expected.contains_key(*chain)) {
        if chain.starts_with(OWN_PREFIX) {
            differences.add(|| format!("{name}: chain {chain} should not be there"));
        }
        compare_chain(&Place { table: name, chain }, &[], rules, maker, differences);
    }
}

/// Where rules stand.
struct Place<'a> {
    table: &'a str,
    chain: &'a str,
}

fn compare_chain(
    Place { table, chain }: &Place<'_>,
    expected: &[&str],
    found: &[&str],
    maker: Maker<'_>,
    differences: &mut Differences,
) {
    let is_own = chain.starts_with(OWN_PREFIX);
    let found = found.iter().copied().filter(|rule| is_own || is_jump(rule));
    let is_same = |wanted: &str, there: &str| is_same(chain, wanted, there);
    let place = |number| format!("{table}: rule {number} of {chain}");
    match maker {
        Maker::Ours => differences.compare_rules(expected, found, is_same, place),
        Maker::KubeProxy(_) => {
            let expected: Vec<String> = expected.iter().map(|rule| (*rule).to_owned()).collect();
            let (expected, found) = (in_order(chain, expected), uncounted(found));
            let found = in_order(chain, found);
            differences.compare_rules(&expected, found.iter(), is_same, place);
        }
    }
}

/// Rules in an order of ours where a kube-proxy draws it. The one that leads to node ports, which
/// must be the last, keeps its place.
fn in_order(chain: &str, mut rules: Vec<String>) -> Vec<String> {
    if OF_SERVICES.contains(&chain) {
        let is_fixed = |rule: &String| rule.ends_with("-j KUBE-NODEPORTS");
        rules.split_mut(is_fixed).for_each(<[String]>::sort_unstable);
    }
    rules
}

/// Takes off the counters that a kube-proxy has on a kernel with `xt_nfacct`, one of them a rule of
/// its own (`writeIptablesRules` and `setupNFAcctCounters`, pkg/proxy/iptables/proxier.go,
/// Kubernetes 1.36).
pub(crate) fn uncounted<'a>(rules: impl Iterator<Item = &'a str>) -> Vec<String> {
    let counts_alone = |rule: &&str| rule.contains("localhost_nps_accepted_pkts");
    let rules = rules.filter(|rule| !counts_alone(rule));
    let counter = "-m nfacct --nfacct-name  ct_state_invalid_dropped_pkts ";
    rules.map(|rule| rule.replace(counter, "")).collect()
}

/// Whether a rule of a built-in chain leads to the backend's chains.
pub(super) fn is_jump(rule: &str) -> bool {
    rule.rsplit_once("-j ").is_some_and(|(_, target)| target.starts_with(OWN_PREFIX))
}

/// Whether two rules do the same. Comments of Endpoint rules may differ: after a Cluster has grown
/// past 1,000 Endpoints those of unchanged Services stay until the next full sync, upstream too
/// (`TestSyncProxyRulesLargeClusterMode` in `pkg/proxy/iptables/proxier_test.go`, Kubernetes 1.35).
fn is_same(chain: &str, expected: &str, found: &str) -> bool {
    expected == found
        || ((chain.starts_with("KUBE-SVC-") || chain.starts_with("KUBE-SEP-"))
            && without_comment(expected) == without_comment(found))
}

fn without_comment(rule: &str) -> String {
    const OPENING: &str = "-m comment --comment \"";
    let parts = rule.split_once(OPENING).and_then(|(before, rest)| {
        let (_comment, after) = rest.split_once("\" ")?;
        Some(format!("{before}{after}"))
    });
    parts.unwrap_or_else(|| rule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = "*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-A - [0:0]\n:KUBE-SVC-B - [0:0]\n\
                            -A OUTPUT -j KUBE-A\n-A KUBE-A -j RETURN\n\
                            -A KUBE-SVC-B -m comment --comment \"n\" -j KUBE-A\nCOMMIT\n";

    fn differences(found: &str) -> Option<String> {
        let expected = Dump::parse(EXPECTED.as_bytes()).expect("well formed");
        let found = Dump::parse(found.as_bytes()).expect("well formed");
        let mut differences = Differences::default();
        compare(&expected, &found, Maker::Ours, &mut differences);
        differences.into_result().err().map(|error| error.to_string())
    }

    #[test]
    fn equal_rules_pass_and_so_do_those_of_others() {
        assert_eq!(differences(EXPECTED), None);
        let others = "-A OUTPUT -j ACCEPT\n-A OUTPUT -j KUBE-A\n";
        assert_eq!(differences(&EXPECTED.replace("-A OUTPUT -j KUBE-A\n", others)), None);
        assert_eq!(differences(&format!("*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n{EXPECTED}")), None);
    }

    #[test]
    fn the_comment_of_an_endpoint_rule_may_be_missing() {
        let silent = EXPECTED.replace("-m comment --comment \"n\" ", "");
        assert_eq!(differences(&silent), None);
    }

    #[test]
    fn a_kube_proxy_may_draw_the_order_of_services_and_count_packets_and_nothing_else() {
        let rules = |lines: &[&str]| {
            let lines: Vec<String> =
                lines.iter().map(|rule| format!("-A KUBE-SERVICES {rule}\n")).collect();
            format!("*nat\n:KUBE-SERVICES - [0:0]\n{}COMMIT\n", lines.concat())
        };
        let (a, b, last) = ("-d 10.0.0.1/32 -j A", "-d 10.0.0.2/32 -j B", "-j KUBE-NODEPORTS");
        let expected = rules(&[a, b, last]);
        let compared = |found: &str, maker| {
            let dump = |text| Dump::parse(text).expect("well formed");
            let mut differences = Differences::default();
            let (wanted, there) = (dump(expected.as_bytes()), dump(found.as_bytes()));
            compare(&wanted, &there, maker, &mut differences);
            (differences.same(), differences.count())
        };
        let theirs = Maker::KubeProxy(&[generators::Family::V4]);
        let counted = "-m nfacct --nfacct-name  localhost_nps_accepted_pkts -j ACCEPT";
        assert_eq!(compared(&rules(&[b, counted, a, last]), theirs), (3, 0));
        assert_eq!(compared(&rules(&[b, a, last]), Maker::Ours), (0, 1));
        assert_eq!(compared(&rules(&[last, a, b]), theirs).1, 1, "the last one has its place");
        assert_eq!(compared(&rules(&[a, last]), theirs).1, 1);
        assert_eq!(compared(&rules(&[b, a]), theirs), (2, 1), "the last one is missing");
    }

    #[test]
    fn each_difference_is_told_by_table_chain_and_rule() {
        for (from, to, told) in [
            ("-j RETURN", "-j ACCEPT", "rule 1 of KUBE-A should be `-j RETURN`, is `-j ACCEPT`"),
            ("-A KUBE-A -j RETURN\n", "", "rule 1 of KUBE-A should be `-j RETURN`, is nothing"),
            ("-A OUTPUT -j KUBE-A\n", "", "rule 1 of OUTPUT should be `-j KUBE-A`, is nothing"),
            ("-j RETURN\n", "-j RETURN\n-A KUBE-A -j DROP\n", "rule 2 of KUBE-A should be nothing"),
            ("COMMIT", ":KUBE-X - [0:0]\nCOMMIT", "chain KUBE-X should not be there"),
            ("*nat", "*mangle", "nat: chain"),
        ] {
            let told_so = differences(&EXPECTED.replacen(from, to, 1)).expect("a difference");
            assert!(told_so.contains(told), "{told_so}");
        }
    }

    #[test]
    fn only_the_first_differences_are_told_but_all_are_counted() {
        let error = differences("").expect("everything is missing");
        assert!(error.contains("3 places"), "{error}");
        let chains: Vec<_> = (0..50).map(|n| format!(":KUBE-{n} - [0:0]\n")).collect();
        let many = format!("*nat\n{}COMMIT\n", chains.concat());
        let error = differences(&many).expect("differences");
        assert!(error.contains("53 places") && error.matches("; ").count() == 2, "{error}");
    }
}

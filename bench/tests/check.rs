//! The checker checked: rules broken behind a proxy's back are seen, each by the behaviour that it
//! is for and by no other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use lab::topology::Shape;
use results::check::{CheckedProxy, Verdict};
use vipbench::check::{Job, Part, run_disturbed};
use vipbench::kube_proxy::KubeProxyFile;

fn job(proxy: &str) -> Job {
    let kube_proxy = KubeProxyFile::default();
    let (proxy, part) = (proxy.to_owned(), Part::Behaviours);
    Job { proxy, part, kube_proxy, topology: Shape::OneNode, ipv4: true, ipv6: false }
}

/// Runs a program and gives what it prints.
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program on this input.
fn feed(program: &str, args: &[&str], input: &str) {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program}: {input}");
}

/// Subjects with an unexpected probe, and all that was unexpected in words.
fn unexpected(checked: &CheckedProxy) -> (BTreeSet<&str>, String) {
    assert_eq!(checked.failed, None);
    assert!(checked.probes.len() > 300, "{} probes", checked.probes.len());
    let wrong = checked.probes.iter().filter(|probe| probe.verdict == Verdict::Unexpected);
    let words = wrong.clone().map(|probe| {
        let path = format!("{}, {} to {}", probe.subject, probe.source, probe.frontend);
        format!("{path}, {}: {}, not {}", probe.addresses, probe.came, probe.expected)
    });
    (
        wrong.clone().map(|probe| probe.subject.as_str()).collect(),
        words.collect::<Vec<_>>().join("\n"),
    )
}

/// The rules of a table, to be changed and written back: chains that change are written anew, since
/// the tool does not find a rule that remembers clients by its text.
struct Saved {
    table: &'static str,
    rules: Vec<String>,
    changed: BTreeSet<String>,
}

impl Saved {
    fn of(table: &'static str) -> Self {
        let text = output("iptables-nft-save", &["-t", table]);
        let rules = text.lines().filter(|line| line.starts_with("-A ")).map(str::to_owned);
        Self { table, rules: rules.collect(), changed: BTreeSet::new() }
    }

    /// Positions of the rules that hold all these words.
    fn find(&self, words: &[&str]) -> Vec<usize> {
        let has_all = |at: &usize| words.iter().all(|word| self.rules[*at].contains(word));
        let found: Vec<usize> = (0..self.rules.len()).filter(has_all).collect();
        assert!(!found.is_empty(), "no rule has {words:?}");
        found
    }

    /// Deletes those rules: all of them, or the first.
    fn delete(&mut self, words: &[&str], only_first: bool) {
        let count = if only_first { 1 } else { usize::MAX };
        for at in self.find(words).into_iter().take(count).rev() {
            let rule = self.rules.remove(at);
            self.changed.insert(chain(&rule).to_owned());
        }
    }

    /// Puts a rule first in its chain.
    fn insert(&mut self, chain: &str, rule: &str) {
        self.rules.insert(0, format!("-A {chain} {rule}"));
        self.changed.insert(chain.to_owned());
    }

    /// Replaces words in a rule.
    fn replace(&mut self, at: usize, from: &str, to: &str) {
        let rule = &mut self.rules[at];
        assert!(rule.contains(from), "{rule}");
        *rule = rule.replace(from, to);
        self.changed.insert(chain(rule).to_owned());
    }

    fn submit(&self) {
        let flushes = self.changed.iter().map(|chain| format!("-F {chain}\n"));
        let rules = self.rules.iter().filter(|rule| self.changed.contains(chain(rule)));
        let changes: String = flushes.chain(rules.map(|rule| format!("{rule}\n"))).collect();
        let text = format!("*{}\n{changes}COMMIT\n", self.table);
        feed("iptables-nft-restore", &["--noflush"], &text);
    }
}

/// The chain that a rule is in.
fn chain(rule: &str) -> &str {
    rule.split(' ').nth(1).unwrap()
}

fn break_iptables() {
    let mut nat = Saved::of("nat");
    // Node ports are not masqueraded any more.
    nat.delete(&["-A KUBE-EXT-", "check/node-port-", "KUBE-MARK-MASQ"], false);
    // Clients of the policy Local are.
    let external = nat.find(&["-A KUBE-EXT-", "check/external-local-"]).into_iter();
    let mut external = external.map(|at| nat.rules[at].clone());
    let external = external.find(|rule| !rule.contains("-away-")).unwrap();
    nat.insert(chain(&external), "-j KUBE-MARK-MASQ");
    // One Endpoint gets nothing.
    nat.delete(&["-A KUBE-SVC-", "check/spread-", "-j KUBE-SEP-"], true);
    // An Endpoint sees itself as the client.
    nat.delete(&["-A KUBE-SEP-", "check/hairpin-", "KUBE-MARK-MASQ"], false);
    // Clients do not stay.
    nat.delete(&["-A KUBE-SV", "check/affinity-", "--rcheck"], false);
    // Everybody may use a load balancer's address.
    let ranged = nat.find(&["-A KUBE-FW-", "check/source-ranges-", "-j KUBE-EXT-"]).into_iter();
    for rule in ranged.map(|at| nat.rules[at].clone()).collect::<Vec<_>>() {
        let (_, target) = rule.rsplit_once(' ').unwrap();
        nat.insert(chain(&rule), &format!("-j {target}"));
    }
    // A pod's connections to another are masqueraded.
    let direct = "-s 10.128.0.2/32 -p tcp -m conntrack ! --ctstate DNAT -j MASQUERADE";
    nat.insert("POSTROUTING", direct);
    nat.submit();
    let mut filter = Saved::of("filter");
    filter.delete(&["check/no-endpoints-", "has no endpoints"], false);
    filter.insert("FORWARD", "-p udp -m length --length 2000:65535 -j DROP");
    filter.submit();
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn broken_rules_of_iptables_are_seen_each_by_its_behaviour() {
    let checked = run_disturbed(&job("iptables-nft"), || {
        break_iptables();
        Ok(())
    });
    let (mut subjects, words) = unexpected(&checked);
    // Where clients do not stay, whether some move afterwards is left to chance.
    subjects.remove("affinity-ends");
    let broken = [
        "affinity",
        "external-local",
        "hairpin",
        "large",
        "no-endpoints",
        "node-port",
        "pod-to-pod",
        "source-ranges",
        "spread",
    ];
    assert_eq!(subjects, BTreeSet::from(broken), "{words}");
}

/// Deletes the elements of an nftables map that hold this word.
fn delete_elements(map: &str, word: &str) {
    let text = output("nft", &["list", "map", "ip", "kube-proxy", map]);
    let elements = text.split_once("elements = {").unwrap().1;
    let keys = elements.split(['{', '}', ',', '\n']).filter(|one| one.contains(word));
    let keys: Vec<&str> = keys.map(|one| one.split(" : ").next().unwrap().trim()).collect();
    assert!(!keys.is_empty(), "{map} has no {word}: {text}");
    for key in keys {
        let key = key.split(" comment ").next().unwrap();
        output("nft", &["delete", "element", "ip", "kube-proxy", map, &format!("{{ {key} }}")]);
    }
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn broken_elements_of_nftables_are_seen_each_by_its_behaviour() {
    let checked = run_disturbed(&job("nftables-1.36"), || {
        delete_elements("no-endpoint-services", "goto reject-chain");
        delete_elements("firewall-ips", "goto firewall-");
        Ok(())
    });
    let (subjects, words) = unexpected(&checked);
    let broken = BTreeSet::from(["no-endpoints", "not-ready", "source-ranges"]);
    assert_eq!(subjects, broken, "{words}");
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn affinity_that_does_not_end_is_seen() {
    let checked = run_disturbed(&job("iptables-nft"), || {
        let mut nat = Saved::of("nat");
        for at in nat.find(&["-A KUBE-SV", "check/affinity-", "--rcheck"]) {
            nat.replace(at, "--seconds 3 ", "--seconds 300 ");
        }
        nat.submit();
        Ok(())
    });
    let (subjects, words) = unexpected(&checked);
    assert_eq!(subjects, BTreeSet::from(["affinity-ends"]), "{words}");
}

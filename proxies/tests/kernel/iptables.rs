//! The iptables backends: the contract for both, and rules compared with upstream's.

use linux::ToolError;
use std::process::Command;

use proxies::{Options, ProxyError, ProxyKind, SyncRequest, open};

use crate::contract::{Backend, contract_tests, full_sync, sync};
use crate::golden;
use crate::netns::in_new_namespace;

const ROUTE_LOCALNET: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";

fn options() -> Options {
    Options { local_cidr: Some(golden::LOCAL_CIDR), ..Options::default() }
}

/// What `iptables-save` of a variant prints, `TABLE LINE` a line, chains in the order of their
/// names and rules in their own order, without counters and built-in chains; and `route_localnet`
/// if on.
pub fn saved(variant: &str) -> Vec<String> {
    let output = Command::new(format!("iptables-{variant}-save")).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut table = "";
    let mut lines = Vec::new();
    let text = String::from_utf8(output.stdout).expect("ASCII");
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some((chain, policy)) = line.strip_prefix(':').and_then(|l| l.split_once(' '))
        {
            if !policy.starts_with("ACCEPT") {
                lines.push((table, chain, line.split(" [").next().unwrap_or(line)));
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            lines.push((table, rule.split(' ').next().unwrap_or(rule), line));
        }
    }
    // Stable, so that rules of a chain keep their order.
    lines.sort_by_key(|(table, chain, _)| (*table, *chain));
    let mut lines: Vec<_> =
        lines.into_iter().map(|(table, _, line)| format!("{table} {line}")).collect();
    let route_localnet = std::fs::read_to_string(ROUTE_LOCALNET).expect("a setting");
    if route_localnet.trim() != "0" {
        lines.push(format!("route_localnet {}", route_localnet.trim()));
    }
    lines
}

/// Rules only, sorted: the format of the golden file.
fn saved_rules(variant: &str) -> String {
    let mut rules = saved(variant);
    rules.retain(|line| line.contains(" -A "));
    rules.sort_unstable();
    rules.join("\n") + "\n"
}

/// The tests of one variant.
macro_rules! variant_tests {
    ($module:ident, $kind:expr, $variant:literal) => {
        mod $module {
            use super::*;

            const BACKEND: Backend = Backend { kind: $kind, options, witness: || saved($variant) };

            contract_tests!(BACKEND);

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn the_kernel_holds_the_rules_that_upstream_expects() {
                in_new_namespace(|| rules_are_those_of_upstream($kind, $variant));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn a_refused_program_names_its_line() {
                in_new_namespace(|| refusal_names_the_line($kind));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn verify_tells_what_was_damaged() {
                in_new_namespace(|| damage_is_told($kind, concat!("iptables-", $variant)));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn rules_of_others_survive() {
                in_new_namespace(|| others_survive($kind, $variant));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn a_cluster_may_grow_past_a_thousand_endpoints() {
                in_new_namespace(|| growing_is_verified($kind));
            }
        }
    };
}

variant_tests!(legacy, ProxyKind::IptablesLegacy, "legacy");
variant_tests!(nft, ProxyKind::IptablesNft, "nft");

#[test]
#[ignore = "needs root and netfilter; run by scripts/test"]
fn the_lock_file_is_the_one_of_the_options() {
    in_new_namespace(|| {
        let path = std::path::Path::new("/run/another.lock");
        let mut options = options();
        options.iptables.lock_file = Some(path.to_owned());
        let mut proxy = open(ProxyKind::IptablesLegacy, &options);
        assert!(!path.exists());
        full_sync(&mut *proxy, &golden::overall());
        assert!(path.exists());
    });
}

fn rules_are_those_of_upstream(kind: ProxyKind, variant: &str) {
    full_sync(&mut *open(kind, &options()), &golden::overall());
    assert_eq!(saved_rules(variant), golden::OVERALL_SAVED);
}

/// A partial sync leads to chains of unchanged Services, which an empty namespace does not have.
fn refusal_names_the_line(kind: ProxyKind) {
    let (before, change) = golden::endpoint_replaced();
    let after = before.apply(&change).expect("it fits");
    let request = SyncRequest::Incremental { before: &before, after: &after, changes: &[change] };
    let error = sync(&mut *open(kind, &options()), &request).expect_err("chains are missing");
    let ProxyError::Tool(ToolError::Failed { command, input: Some(input), .. }) = &error else {
        panic!("{error}")
    };
    assert!(command.contains("-restore -w 5 --noflush --counters"), "{command}");
    let first_missing = "KUBE-SVC-XPGD46QRK7WJZT7O";
    let names_the_rule = input.contains(first_missing) || error.to_string().contains(first_missing);
    let names_the_commit = input.contains("`COMMIT`");
    assert!(names_the_rule || names_the_commit, "{error}");
}

fn damage_is_told(kind: ProxyKind, tool: &str) {
    let cluster = golden::overall();
    let mut proxy = open(kind, &options());
    full_sync(&mut *proxy, &cluster);
    let chain = "KUBE-SEP-SXIVWICOYRO3J4NJ";
    run(&format!("{tool} -w -t nat -D {chain} 1"));
    let error = proxy.verify(&cluster).expect_err("a rule is missing").to_string();
    assert!(error.contains("1 places") && error.contains(chain), "{error}");
    full_sync(&mut *proxy, &cluster);
    proxy.verify(&cluster).expect("a full sync repairs");
    run(&format!("{tool} -w -t nat -D OUTPUT 1"));
    let error = proxy.verify(&cluster).expect_err("a jump is missing").to_string();
    assert!(error.contains("rule 1 of OUTPUT"), "{error}");
}

fn others_survive(kind: ProxyKind, variant: &str) {
    run(&format!("iptables-{variant} -w -t nat -N OTHERS"));
    run(&format!("iptables-{variant} -w -t nat -A OUTPUT -j OTHERS"));
    run(&format!("iptables-{variant} -w -A INPUT -s 192.0.2.1 -j DROP"));
    let before = saved(variant);
    let cluster = golden::overall();
    let mut proxy = open(kind, &options());
    full_sync(&mut *proxy, &cluster);
    proxy.verify(&cluster).expect("the rules of others do not disturb");
    assert_eq!(saved(variant).iter().filter(|line| before.contains(line)).count(), before.len());
    proxy.teardown().expect("a teardown");
    assert_eq!(saved(variant), before);
}

/// Above the threshold comments are left out of what is written, and stay in what is there.
fn growing_is_verified(kind: ProxyKind) {
    let services = (0..1000).map(|at| {
        let vip = format!("172.30.{}.{}", at >> 8, at & 255);
        let endpoint = format!("10.1.{}.{}:80", at >> 8, at & 255);
        golden::service(&format!("ns/svc-{at}:p80"), &vip, &[&endpoint])
    });
    let before = generators::Cluster::new(services.collect()).expect("a Cluster");
    let added = golden::service("ns/last:p80", "172.31.0.1", &["10.2.0.1:80", "10.2.0.2:80"]);
    let change = generators::Change::ServiceAdded(added);
    let after = before.apply(&change).expect("it fits");
    let mut proxy = open(kind, &options());
    full_sync(&mut *proxy, &before);
    let request = SyncRequest::Incremental { before: &before, after: &after, changes: &[change] };
    sync(&mut *proxy, &request).expect("an incremental sync");
    proxy.verify(&after).expect("old comments are no difference");
    full_sync(&mut *proxy, &after);
    proxy.verify(&after).expect("nor are missing ones");
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().expect("a program")).args(words).status();
    assert!(status.expect("it runs").success(), "{command}");
}

//! The iptables backends: rules compared with upstream's, and what only they do.

use std::process::Command;

use linux::ToolError;
use proxies::{Options, ProxyError};

use crate::drive::{Drive, full_sync, open};
use crate::golden;
use crate::netns::in_new_namespace;
use crate::witness::saved;

fn options() -> Options {
    Options { local_cidrs: vec![golden::LOCAL_CIDR.into()], ..Options::default() }
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
    ($module:ident, $name:literal, $variant:literal) => {
        mod $module {
            use super::*;

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn the_kernel_holds_the_rules_that_upstream_expects() {
                in_new_namespace(|| rules_are_those_of_upstream($name, $variant));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn a_refused_program_names_its_line() {
                in_new_namespace(|| refusal_names_the_line($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn verify_tells_what_was_damaged() {
                in_new_namespace(|| damage_is_told($name, concat!("iptables-", $variant)));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn rules_of_others_survive() {
                in_new_namespace(|| others_survive($name, $variant));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn a_cluster_may_grow_past_a_thousand_endpoints() {
                in_new_namespace(|| growing_is_verified($name));
            }
        }
    };
}

variant_tests!(legacy, "iptables-legacy", "legacy");
variant_tests!(nft, "iptables-nft", "nft");

#[test]
#[ignore = "needs root and netfilter; run by scripts/test"]
fn the_lock_file_is_the_one_of_the_options() {
    in_new_namespace(|| {
        let path = std::path::Path::new("/run/another.lock");
        let mut options = options();
        options.xtables_lock = Some(path.to_owned());
        let mut proxy = open("iptables-legacy", &options);
        assert!(!path.exists());
        full_sync(&mut *proxy, &golden::overall());
        assert!(path.exists());
    });
}

fn rules_are_those_of_upstream(name: &str, variant: &str) {
    full_sync(&mut *open(name, &options()), &golden::overall());
    assert_eq!(saved_rules(variant), golden::OVERALL_SAVED);
}

/// A partial sync leads to chains of unchanged Services, which an empty namespace does not have.
fn refusal_names_the_line(name: &str) {
    let (before, change) = golden::endpoint_replaced();
    let step = before.step(vec![change]).expect("it fits");
    let error = open(name, &options()).apply(&step).expect_err("chains are missing");
    let ProxyError::Tool(ToolError::Failed { command, input: Some(input), .. }) = &error else {
        panic!("{error}")
    };
    assert!(command.contains("-restore -w 5 --noflush --counters"), "{command}");
    let first_missing = "KUBE-SVC-XPGD46QRK7WJZT7O";
    let names_the_rule = input.contains(first_missing) || error.to_string().contains(first_missing);
    let names_the_commit = input.contains("`COMMIT`");
    assert!(names_the_rule || names_the_commit, "{error}");
}

fn damage_is_told(name: &str, tool: &str) {
    let cluster = golden::overall();
    let mut proxy = open(name, &options());
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

fn others_survive(name: &str, variant: &str) {
    run(&format!("iptables-{variant} -w -t nat -N OTHERS"));
    run(&format!("iptables-{variant} -w -t nat -A OUTPUT -j OTHERS"));
    run(&format!("iptables-{variant} -w -A INPUT -s 192.0.2.1 -j DROP"));
    let before = saved(variant);
    let cluster = golden::overall();
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &cluster);
    proxy.verify(&cluster).expect("the rules of others do not disturb");
    assert_eq!(saved(variant).iter().filter(|line| before.contains(line)).count(), before.len());
    proxy.stop().expect("a teardown");
    assert_eq!(saved(variant), before);
}

/// Above the threshold comments are left out of what is written, and stay in what is there.
fn growing_is_verified(name: &str) {
    let services = (0..1000).map(|at| {
        let vip = format!("172.30.{}.{}", at >> 8, at & 255);
        let endpoint = format!("10.1.{}.{}:80", at >> 8, at & 255);
        golden::service(&format!("ns/svc-{at}:p80"), &vip, &[&endpoint])
    });
    let before = generators::Cluster::new(services.collect()).expect("a Cluster");
    let added = golden::service("ns/last:p80", "172.31.0.1", &["10.2.0.1:80", "10.2.0.2:80"]);
    let change = generators::Change::ServiceAdded(added);
    let step = before.step(vec![change]).expect("it fits");
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &before);
    proxy.apply(&step).expect("an incremental sync");
    proxy.verify(step.after()).expect("old comments are no difference");
    full_sync(&mut *proxy, step.after());
    proxy.verify(step.after()).expect("nor are missing ones");
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().expect("a program")).args(words).status();
    assert!(status.expect("it runs").success(), "{command}");
}

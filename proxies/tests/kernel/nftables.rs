//! The nftables backends: what only they do, for each layout.

use std::net::Ipv4Addr;
use std::process::Command;

use generators::{Change, Cluster, Ipv4Net};
use linux::ToolError;
use proxies::{Listing, Options, ProxyError, SyncRequest};

use crate::drive::{Drive, full_sync, open};
use crate::golden;
use crate::netns::in_new_namespace;
use crate::witness::listed;

fn options() -> Options {
    let mut options =
        Options { local_cidrs: vec![golden::LOCAL_CIDR.into()], ..Options::default() };
    options.nftables.service_cidrs =
        vec![Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, 0), 16).into()];
    options
}

/// The tests of one layout.
macro_rules! layout_tests {
    ($module:ident, $name:literal) => {
        mod $module {
            use super::*;

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn a_refused_program_changes_nothing_and_names_its_line() {
                in_new_namespace(|| refusal_changes_nothing($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn verify_tells_what_was_damaged() {
                in_new_namespace(|| damage_is_told($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn tables_of_others_survive() {
                in_new_namespace(|| others_survive($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn the_next_sync_deletes_chains_that_lost_their_service() {
                in_new_namespace(|| stale_chains_are_deleted($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn a_refused_deletion_is_tried_again_and_spares_what_came_back() {
                in_new_namespace(|| refused_deletion_is_repeated($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn the_longest_name_of_a_service_is_taken() {
                in_new_namespace(|| longest_name_is_taken($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn a_restart_writes_elements_only_where_they_differ() {
                in_new_namespace(|| restart_writes_differences($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn every_set_of_options_is_verified() {
                in_new_namespace(|| options_are_verified($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn services_may_share_a_vip_and_an_endpoint() {
                in_new_namespace(|| shared_elements_stay($name));
            }

            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn every_way_of_listing_finds_what_is_there() {
                in_new_namespace(|| every_listing_serves($name));
            }
        }
    };
}

layout_tests!(v1_33, "nftables-1.33");
layout_tests!(v1_36, "nftables-1.36");
layout_tests!(v1_37, "nftables-1.37");

/// A restart writes what differs from what it listed, so that it must have listed all.
fn every_listing_serves(name: &str) {
    let (before, change) = golden::endpoint_replaced();
    for listing in [Listing::ChainsAndSets, Listing::Terse, Listing::Netlink] {
        let mut options = options();
        options.nftables.listing = Some(listing);
        let mut proxy = open(name, &options);
        full_sync(&mut *proxy, &before);
        let step = before.step(vec![change.clone()]).expect("it fits");
        proxy.apply(&step).expect("a partial sync");
        let mut restarted = open(name, &options);
        full_sync(&mut *restarted, step.after());
        restarted.verify(step.after()).expect("the new Cluster is there");
        full_sync(&mut *restarted, &before);
        restarted.verify(&before).expect("nothing of the other is left");
        restarted.stop().expect("it cleans up");
    }
}

/// A partial sync needs the table, which an empty namespace does not have.
fn refusal_changes_nothing(name: &str) {
    let (before, change) = golden::endpoint_replaced();
    let step = before.step(vec![change]).expect("it fits");
    let error = open(name, &options()).apply(&step).expect_err("the table is missing");
    let ProxyError::Tool(ToolError::Failed { command, input: Some(input), .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(command, "nft -f -");
    assert!(input.starts_with("line 1 `add chain ip kube-proxy "), "{error}");
    assert!(!error.to_string().contains("^^^"), "{error}");
    assert_eq!(listed(), Vec::<String>::new());
}

fn damage_is_told(name: &str) {
    let cluster = golden::overall();
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &cluster);
    run("nft delete element ip kube-proxy service-ips { 172.30.0.41 . tcp . 80 }");
    run("nft flush chain ip kube-proxy nat-output");
    let error = proxy.verify(&cluster).expect_err("an element is missing").to_string();
    assert!(error.contains("2 places"), "{error}");
    assert!(
        error.contains("service-ips: element 172.30.0.41 . tcp . 80 : goto service-"),
        "{error}"
    );
    assert!(error.contains("chain nat-output should be `jump services`, is nothing"), "{error}");
    full_sync(&mut *open(name, &options()), &cluster);
    proxy.verify(&cluster).expect("a full sync repairs");
}

fn others_survive(name: &str) {
    run("nft add table ip other");
    run("nft add chain ip other service-like/chain");
    run("nft add rule ip other service-like/chain accept");
    let before = listed();
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &golden::overall());
    proxy.verify(&golden::overall()).expect("tables of others do not disturb");
    proxy.stop().expect("a teardown");
    assert_eq!(listed(), before);
}

fn chains_named(part: &str) -> usize {
    let output = Command::new("nft").args(["list", "chains", "ip"]).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains(part)).count()
}

fn stale_chains_are_deleted(name: &str) {
    let before = golden::overall();
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &before);
    let change = Change::ServiceRemoved("ns4/svc4:p80".parse().expect("a name"));
    let step = before.step(vec![change]).expect("it fits");
    let there = chains_named("ns4/svc4");
    proxy.apply(&step).expect("an incremental sync");
    assert!(there > 1 && chains_named("ns4/svc4") == there, "they are emptied first");
    let after = step.into_after();
    let nothing = after.step(Vec::new()).expect("it fits");
    for _ in 0..50 {
        proxy.apply(&nothing).expect("a sync without changes");
        if chains_named("ns4/svc4") == 0 {
            break;
        }
        // Kernels before 6.2 notice a little later that nothing leads to a chain.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(chains_named("ns4/svc4"), 0);
    proxy.verify(&after).expect("the rest is there");
    full_sync(&mut *proxy, &before);
    proxy.verify(&before).expect("a Service may come back");
}

/// Two Services go while a rule of somebody else leads to the chain of one, and that one comes
/// back.
fn refused_deletion_is_repeated(name: &str) {
    let all = golden::overall();
    let service = |text: &str| text.parse().expect("a name");
    let first = all.get(&service("ns1/svc1:p80")).expect("it is there").clone();
    let gone = vec![
        Change::ServiceRemoved(service("ns1/svc1:p80")),
        Change::ServiceRemoved(service("ns4/svc4:p80")),
    ];
    let to_few = all.step(gone).expect("they fit");
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &all);
    proxy.apply(&to_few).expect("an incremental sync");
    run("nft add chain ip kube-proxy others");
    run("nft add rule ip kube-proxy others jump service-ULMVA6XW-ns1/svc1/tcp/p80");
    let few = to_few.into_after();
    let to_more = few.step(vec![Change::ServiceAdded(first)]).expect("it fits");
    proxy.apply(&to_more).expect("a refused deletion is no failure");
    assert!(chains_named("ns4/svc4") > 1, "one refused is all refused");
    run("nft delete chain ip kube-proxy others");
    let more = to_more.into_after();
    let nothing = more.step(Vec::new()).expect("it fits");
    for _ in 0..50 {
        proxy.apply(&nothing).expect("a sync without changes");
        if chains_named("ns4/svc4") == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(chains_named("ns4/svc4"), 0, "it is tried again");
    proxy.verify(&more).expect("what came back is spared");
}

/// nft refuses comments above 128 bytes; a Service without Endpoints has its name in one.
fn longest_name_is_taken(name: &str) {
    let [namespace, service, port] = ["a", "b", "c"].map(|letter| letter.repeat(63));
    let silent = golden::service(&format!("{namespace}/{service}:{port}"), "172.30.0.1", &[]);
    let talking =
        golden::service(&format!("{service}/{namespace}:{port}"), "172.30.0.2", &["10.1.2.3:80"]);
    let cluster = Cluster::new(vec![silent, talking]).expect("a Cluster");
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &cluster);
    proxy.verify(&cluster).expect("the Cluster is in the kernel");
}

fn element_commands(name: &str, cluster: &Cluster) -> Vec<String> {
    let mut proxy = open(name, &options());
    let request = SyncRequest::Full(cluster);
    proxy.prepare(&request).expect("it lists");
    let program = proxy.render(&request).expect("it renders");
    let text = String::from_utf8_lossy(program.text().expect("text")).into_owned();
    proxy.submit(&program).expect("it is taken");
    text.lines().filter(|line| line.contains(" element ")).map(str::to_owned).collect()
}

fn restart_writes_differences(name: &str) {
    let cluster = golden::overall();
    assert!(element_commands(name, &cluster).len() > 8);
    assert_eq!(element_commands(name, &cluster), Vec::<String>::new());
    let change = Change::ServiceRemoved("ns1/svc1:p80".parse().expect("a name"));
    let after = cluster.apply(&change).expect("it fits");
    let commands = element_commands(name, &after);
    assert!(commands.iter().all(|line| line.starts_with("delete ")), "{commands:?}");
    assert!(
        commands.contains(&"delete element ip kube-proxy cluster-ips { 172.30.0.41 }".to_owned())
    );
    open(name, &options()).verify(&after).expect("only the new Cluster is there");
}

fn options_are_verified(name: &str) {
    let none = Options { local_cidrs: Vec::new(), ..options() };
    let mut no_network = options();
    no_network.nftables.service_cidrs = Vec::new();
    let all = Options { masquerade_all: true, ..options() };
    let addresses = ["192.0.2.1", "127.0.0.1"].map(|address| address.parse().expect("an address"));
    let restricted = Options { node_addresses: addresses.into(), ..options() };
    let host = Options {
        local_cidrs: vec![Ipv4Net::from(Ipv4Addr::new(10, 1, 2, 3)).into()],
        ..options()
    };
    let cluster = golden::overall();
    for options in [none, no_network, all, restricted, host] {
        // On top of one another: a process restarted with other options.
        let mut proxy = open(name, &options);
        full_sync(&mut *proxy, &cluster);
        if let Err(error) = proxy.verify(&cluster) {
            panic!("{options:?}: {error}");
        }
    }
}

/// A second port of a VIP whose Endpoint serves another VIP too comes and goes.
fn shared_elements_stay(name: &str) {
    let udp = |name: &str, vip: &str, endpoints: &[&str]| {
        let tcp = golden::service(name, vip, endpoints);
        let endpoints = tcp.endpoints().to_vec();
        generators::Service::new(
            tcp.name().clone(),
            tcp.vip(),
            53,
            generators::Protocol::Udp,
            endpoints,
        )
        .expect("a Service")
    };
    let first = golden::service("ns/a:tcp", "172.30.0.1", &["10.0.0.1:80"]);
    let before = Cluster::new(vec![first, udp("ns/b:udp", "172.30.0.2", &["10.0.0.2:53"])]);
    let mut cluster = before.expect("a Cluster");
    let mut proxy = open(name, &options());
    full_sync(&mut *proxy, &cluster);
    let changes = [
        Change::ServiceAdded(udp("ns/a:udp", "172.30.0.1", &["10.0.0.2:53"])),
        Change::ServiceRemoved("ns/b:udp".parse().expect("a name")),
        Change::ServiceRemoved("ns/a:tcp".parse().expect("a name")),
    ];
    for change in changes {
        let step = cluster.step(vec![change]).expect("it fits");
        proxy.apply(&step).expect("an incremental sync");
        proxy.verify(step.after()).expect("what others share stays");
        cluster = step.into_after();
    }
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().expect("a program")).args(words).status();
    assert!(status.expect("it runs").success(), "{command}");
}

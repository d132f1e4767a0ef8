//! The rules of this crate held to those of real kube-proxies, kind by kind of Services: see
//! `README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use generators::{Cluster, OnBadObject, from_k8s};
use serde_json::Value;

use crate::nftables::Layout;
use crate::options::Options;
use crate::{iptables, ipvs, nftables};

/// What is programmed in one form: the lines of each place (a chain, the elements of a set, ...).
type Blocks = BTreeMap<String, Vec<String>>;

/// Renders a Cluster in one form.
type Render = fn(&Cluster) -> Blocks;

const IPTABLES: &str = "iptables-1.36";
const NFT_1_33: &str = "nftables-1.33";
const NFT_1_36: &str = "nftables-1.36";
const IPVSADM: &str = "ipvs-1.36/ipvsadm";
const IPTABLES_6: &str = "iptables-1.36-v6";
const NFT_1_33_6: &str = "nftables-1.33-v6";
const NFT_1_36_6: &str = "nftables-1.36-v6";
const IPVSADM_6: &str = "ipvs-1.36/ipvsadm-v6";

/// The forms that are compared, with what renders them, if anything does.
const FORMS: [(&str, Option<Render>); 8] = [
    (IPTABLES, Some(of_iptables)),
    (NFT_1_33, Some(|cluster| of_nftables(Layout::V1_33, cluster))),
    (NFT_1_36, Some(|cluster| of_nftables(Layout::V1_36, cluster))),
    (IPVSADM, Some(of_ipvs)),
    (IPTABLES_6, None),
    (NFT_1_33_6, None),
    (NFT_1_36_6, None),
    (IPVSADM_6, None),
];

const IN_IPV4: &[&str] = &[IPTABLES, NFT_1_33, NFT_1_36, IPVSADM];
const IN_IPV6: &[&str] = &[IPTABLES_6, NFT_1_33_6, NFT_1_36_6, IPVSADM_6];

/// What is programmed otherwise today: kinds, forms, and why.
const DIFFERENT: &[(&[&str], &[&str], &str)] = &[
    (&["affinity"], IN_IPV4, "session affinity is not in the model"),
    (&["loadbalancer"], IN_IPV4, "load-balancer addresses are not in the model"),
    (&["dual-stack-loadbalancer"], IN_IPV4, "load-balancer addresses are not in the model"),
    (&["etp-local"], IN_IPV4, "traffic policies are not in the model"),
    (&["itp-local-no-local-ep"], IN_IPV4, "traffic policies are not in the model"),
    (&["topology-hints"], IN_IPV4, "zones are not in the model"),
    (&["no-slice"], IN_IPV4, "a list without any slice is not imported"),
    (&["ep-is-vip-of-itself"], IN_IPV4, "an Endpoint at the address of a VIP is not imported"),
    (MIXED, IN_IPV4, "there are Services with affinity, policies and load balancers"),
    (WITH_REMOTE_ENDPOINTS, &[NFT_1_36], "every Endpoint counts as one of this node: hairpins"),
    (WITH_IPV6, IN_IPV6, "IPv6 is not in the model"),
    (MIXED, IN_IPV6, "IPv6 is not in the model"),
    (&["empty"], &[IPTABLES_6, NFT_1_33_6, NFT_1_36_6], "IPv6 is not in the model"),
];

/// Forty Services of many kinds, and two Changes to them.
const MIXED: &[&str] = &["mixed-0-start", "mixed-1-endpoint-replaced", "mixed-2-service-added"];

/// What differs in the Endpoints of other nodes alone.
const WITH_REMOTE_ENDPOINTS: &[&str] = &[
    "clusterip-1ep-remote",
    "clusterip-3ep",
    "dns-tcp-udp-same-port",
    "dual-stack-v6-first",
    "external-ips",
    "loadbalancer-proxy-mode",
    "nodeport",
];

const WITH_IPV6: &[&str] = &[
    "dual-stack-loadbalancer",
    "dual-stack-v6-first",
    "ipv6-affinity",
    "ipv6-clusterip-3ep",
    "ipv6-external-ips",
    "ipv6-no-endpoints",
    "ipv6-nodeport",
    "ipv6-only",
];

fn of_iptables(cluster: &Cluster) -> Blocks {
    let saved = iptables::saved_text(cluster, &Options::default());
    let dump = iptables::dump::Dump::parse(saved.as_bytes()).expect("well formed");
    let mut blocks = Blocks::new();
    for (table, chains) in dump.tables {
        for (chain, rules) in chains {
            blocks
                .insert(format!("{table} {chain}"), rules.into_iter().map(str::to_owned).collect());
        }
    }
    blocks
}

fn of_nftables(layout: Layout, cluster: &Cluster) -> Blocks {
    let options = Options { node_addresses: vec![[192, 0, 2, 10].into()], ..Options::default() };
    let dump = nftables::listed(layout, cluster, &options);
    let mut blocks = Blocks::new();
    for (name, container) in dump.containers {
        blocks.insert(format!("{} {name}", container.kind), container.head.into_iter().collect());
        blocks.insert(format!("elements {name}"), container.elements.into_iter().collect());
    }
    blocks.extend(dump.chains.into_iter().map(|(name, lines)| (format!("chain {name}"), lines)));
    blocks
}

fn of_ipvs(cluster: &Cluster) -> Blocks {
    let options = Options { node_addresses: vec![[192, 0, 2, 10].into()], ..Options::default() };
    let mut blocks = Blocks::new();
    for line in ipvs::save_text(cluster, &options).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [verb, protocol, address, rest @ ..] = words.as_slice() else { panic!("{line}") };
        let at = format!("{protocol} {address} -s rr");
        let servers = blocks.entry(at).or_default();
        if *verb == "-a" {
            servers.push(rest.join(" "));
        }
    }
    blocks
}

/// Where the fixtures are.
fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "kube-proxy"].iter().collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The names of all kinds.
fn kinds() -> Vec<String> {
    let files = fs::read_dir(folder()).expect("the folder");
    let name = |file: std::io::Result<fs::DirEntry>| {
        let name = file.expect("a file").file_name().into_string().expect("ASCII");
        name.strip_suffix(".txt").map(str::to_owned)
    };
    let mut kinds: Vec<_> = files.filter_map(name).collect();
    kinds.sort_unstable();
    kinds
}

/// What a kube-proxy programmed of a kind, by form.
fn programmed(kind: &str) -> BTreeMap<String, Blocks> {
    let text = read(&format!("{kind}.txt"));
    let mut forms: BTreeMap<String, Blocks> = BTreeMap::new();
    let mut below = BTreeMap::new();
    let (mut form, mut place) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(other) = line.strip_prefix("beyond ") {
            below = programmed(other);
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut form);
            forms.insert(form.clone(), below.remove(name).unwrap_or_default());
        } else if let Some(place) = line.strip_prefix("gone ") {
            forms.get_mut(&form).expect("a form").remove(place).expect("it was there");
        } else if let Some(line) = line.strip_prefix("  ") {
            let blocks = forms.get_mut(&form).expect("a form");
            blocks.get_mut(&place).expect("a place").push(line.to_owned());
        } else {
            line.clone_into(&mut place);
            forms.get_mut(&form).expect("a form").insert(place.clone(), Vec::new());
        }
    }
    forms
}

/// The objects of a kind: of one beyond another those of the other, with what was applied put in
/// their place.
fn objects(kind: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(&read(&format!("{kind}.json"))).expect("JSON");
    let applied = list["items"].as_array().expect("a List").clone();
    let first = read(&format!("{kind}.txt"));
    let below = first.lines().next().and_then(|line| line.strip_prefix("beyond "));
    let Some(below) = below.filter(|below| *below != "empty") else { return applied };
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        [&object["kind"], &metadata["namespace"], &metadata["name"]].map(Value::to_string)
    };
    let is_replaced = |object: &Value| applied.iter().any(|other| name(other) == name(object));
    let mut objects = objects(below);
    objects.retain(|object| !is_replaced(object));
    objects.extend(applied);
    objects
}

/// The Cluster of a kind, if its objects make one.
fn cluster(kind: &str) -> Option<Cluster> {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects(kind)});
    let imported = from_k8s(list.to_string().as_bytes(), OnBadObject::Refuse);
    imported.ok().map(|imported| imported.cluster)
}

/// Chains that kube-proxy fills in an order drawn anew at every sync: only that of the rules of one
/// port counts, and that the rule that says so is the last.
const UNORDERED: [&str; 4] =
    ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"];

/// Hooks of 1.33.0 to 1.33.2, which this crate has, and of 1.33.13, which programmed the fixtures.
const HOOKS_OF_1_33: [&str; 7] = [
    "filter-input",
    "filter-forward",
    "filter-output",
    "filter-prerouting",
    "filter-output-post-dnat",
    "filter-output-pre-dnat",
    "filter-prerouting-pre-dnat",
];

/// Blocks without what is not of a kind, in an order that can be compared.
fn comparable(form: &str, mut blocks: Blocks) -> Blocks {
    if form.starts_with("iptables") {
        // Built-in chains that lead nowhere.
        blocks.retain(|place, rules| place.contains("KUBE-") || !rules.is_empty());
        for (place, rules) in &mut blocks {
            without_nfacct(rules);
            if UNORDERED.iter().any(|chain| place.ends_with(chain)) {
                rules.sort_by_key(|rule| {
                    let comment = rule.split_once("--comment ").map(|(_, rest)| rest);
                    let comment = comment.and_then(|rest| rest.split('"').nth(1));
                    (rule.contains("this must be the last rule"), comment.map(str::to_owned))
                });
            }
        }
    } else if form.starts_with("nftables") {
        blocks.retain(|place, lines| {
            let Some(chain) = place.strip_prefix("chain ") else { return true };
            let is_stale = lines.is_empty() && chain.contains('/');
            let is_hook = form.starts_with(NFT_1_33) && HOOKS_OF_1_33.contains(&chain);
            !is_stale && !is_hook
        });
        for line in blocks.values_mut().flatten() {
            *line = nftables::with_number(line);
        }
    } else {
        // `ipvsadm` sorts what it lists.
        for servers in blocks.values_mut() {
            servers.sort_unstable();
        }
    }
    blocks
}

/// Takes off the counters that kube-proxy has on a kernel with `xt_nfacct`.
fn without_nfacct(rules: &mut Vec<String>) {
    rules.retain(|rule| !rule.contains("localhost_nps_accepted_pkts"));
    for rule in rules {
        *rule = rule.replace("-m nfacct --nfacct-name  ct_state_invalid_dropped_pkts ", "");
    }
}

/// The lines that stand in one of the two only, or in another order.
fn difference(real: &Blocks, ours: &Blocks) -> Vec<String> {
    let mut lines = Vec::new();
    let places: BTreeSet<_> = real.keys().chain(ours.keys()).collect();
    for place in places {
        let (there, here) = (real.get(place), ours.get(place));
        if there == here {
            continue;
        }
        let before = lines.len();
        for (who, one, other) in [("real", there, here), ("ours", here, there)] {
            let mut rest = other.cloned().unwrap_or_default();
            if one.is_some() && other.is_none() {
                lines.push(format!("    {who} [{place}] (all of it)"));
            }
            for line in one.into_iter().flatten() {
                match rest.iter().position(|same| same == line) {
                    Some(at) => drop(rest.swap_remove(at)),
                    None => lines.push(format!("    {who} [{place}] {line}")),
                }
            }
        }
        if lines.len() == before {
            lines.push(format!("    both [{place}] the same lines in another order"));
        }
    }
    lines
}

/// How what this crate programs of a kind differs from the fixture.
fn difference_of(
    real: &Blocks,
    empty: &Blocks,
    cluster: Option<&Cluster>,
    (form, render): (&str, Option<Render>),
) -> Vec<String> {
    let real = comparable(form, real.clone());
    let ours = match (cluster, render) {
        (Some(cluster), Some(render)) => comparable(form, render(cluster)),
        // No Cluster is made of objects of which nothing is programmed.
        (None, Some(_)) => comparable(form, empty.clone()),
        (_, None) => Blocks::new(),
    };
    difference(&real, &ours)
}

#[test]
fn every_kind_is_programmed_as_kube_proxy_does_but_for_those_named() {
    let empty = programmed("empty");
    let mut wrong = String::new();
    for kind in kinds() {
        let (programmed, cluster) = (programmed(&kind), cluster(&kind));
        for (form, render) in FORMS {
            let Some(real) = programmed.get(form) else { continue };
            let lines = difference_of(real, &empty[form], cluster.as_ref(), (form, render));
            let named = DIFFERENT
                .iter()
                .find(|(kinds, forms, _)| kinds.contains(&&*kind) && forms.contains(&form));
            let told = match (named, lines.is_empty()) {
                (None, true) | (Some(_), false) => continue,
                (None, false) => writeln!(wrong, "{kind} {form} differs\n{}", lines.join("\n")),
                (Some((.., why)), true) => writeln!(wrong, "{kind} {form} is equal now: {why}"),
            };
            told.expect("a String takes all");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_difference_that_is_named_is_one_of_a_fixture() {
    let kinds = kinds();
    assert_eq!(kinds.len(), 44);
    for (named, forms, why) in DIFFERENT {
        for kind in *named {
            assert!(kinds.iter().any(|known| known == kind), "{kind}: {why}");
            let programmed = programmed(kind);
            assert!(forms.iter().all(|form| programmed.contains_key(*form)), "{kind}: {why}");
        }
    }
}

#[test]
fn what_a_tool_lists_is_the_listed_form_of_itself() {
    for kind in kinds() {
        for (form, blocks) in programmed(&kind) {
            let is_ipv6 = form.ends_with("-v6");
            for (place, lines) in &blocks {
                for line in lines {
                    if form.contains("iptables") {
                        let rule = format!("-A {line}\n").replacen("-A ", "-A X ", 1);
                        assert_eq!(iptables::saved::text(&rule, is_ipv6), rule, "{kind} {place}");
                    } else if form.starts_with("nftables") && place.starts_with("chain ") {
                        assert_eq!(nftables::listed_rule(line), *line, "{kind} {place}");
                    }
                }
            }
        }
    }
}

//! The rules of this crate held to those of real kube-proxies, kind by kind of Services: see
//! `README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use generators::{Cluster, Family, Importer, OnBadObject, Viewpoint};
use serde_json::Value;

use crate::iptables::verify::{OF_SERVICES, uncounted};
use crate::ipvs_kube_proxy::listed::{self, Listing};
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
const SYSCTLS: &str = "ipvs-1.36/sysctls";
const IPTABLES_6: &str = "iptables-1.36-v6";
const NFT_1_33_6: &str = "nftables-1.33-v6";
const NFT_1_36_6: &str = "nftables-1.36-v6";
const IPVSADM_6: &str = "ipvs-1.36/ipvsadm-v6";

/// The forms that are compared, with what renders them.
const FORMS: [(&str, Render); 17] = [
    (IPTABLES, |cluster| of_iptables(Family::V4, cluster)),
    (NFT_1_33, |cluster| of_nftables(Family::V4, Layout::V1_33, cluster)),
    (NFT_1_36, |cluster| of_nftables(Family::V4, Layout::V1_36, cluster)),
    (IPVSADM, |cluster| of_ipvs(Family::V4, cluster)),
    (IPTABLES_6, |cluster| of_iptables(Family::V6, cluster)),
    (NFT_1_33_6, |cluster| of_nftables(Family::V6, Layout::V1_33, cluster)),
    (NFT_1_36_6, |cluster| of_nftables(Family::V6, Layout::V1_36, cluster)),
    (IPVSADM_6, |cluster| of_ipvs(Family::V6, cluster)),
    (IPVSADM, |cluster| of_ipvs_kube_proxy(Family::V4, cluster, Listing::Servers)),
    ("ipvs-1.36/ipset", |cluster| of_ipvs_kube_proxy(Family::V4, cluster, Listing::Sets)),
    ("ipvs-1.36/iptables", |cluster| of_ipvs_kube_proxy(Family::V4, cluster, Listing::Chains)),
    ("ipvs-1.36/addr", |cluster| of_ipvs_kube_proxy(Family::V4, cluster, Listing::Addresses)),
    (SYSCTLS, |cluster| of_ipvs_kube_proxy(Family::V4, cluster, Listing::Sysctls)),
    (IPVSADM_6, |cluster| of_ipvs_kube_proxy(Family::V6, cluster, Listing::Servers)),
    ("ipvs-1.36/ipset-v6", |cluster| of_ipvs_kube_proxy(Family::V6, cluster, Listing::Sets)),
    ("ipvs-1.36/iptables-v6", |cluster| of_ipvs_kube_proxy(Family::V6, cluster, Listing::Chains)),
    ("ipvs-1.36/addr-v6", |cluster| of_ipvs_kube_proxy(Family::V6, cluster, Listing::Addresses)),
];

/// What the kernel changes when `ip_forward` is set (`inet_forward_change`, `net/ipv4/devinet.c`,
/// Linux 6.1).
const BY_IP_FORWARD: [&str; 3] = [
    "net/ipv4/conf/all/accept_redirects 1 -> 0",
    "net/ipv4/conf/all/forwarding 0 -> 1",
    "net/ipv4/conf/default/forwarding 0 -> 1",
];

/// The settings of the node that the fixtures were made on.
fn options(node_addresses: &[&str]) -> Options {
    let ranges = |texts: [&str; 2]| texts.map(|text| text.parse().expect("a range")).to_vec();
    let mut options = Options {
        local_cidrs: ranges(["10.128.0.0/9", "fd00:10:100::/40"]),
        node_addresses: node_addresses.iter().map(|ip| ip.parse().expect("an address")).collect(),
        ..Options::default()
    };
    options.nftables.service_cidrs = ranges(["10.96.0.0/12", "fd00:172:30::/112"]);
    options
}

/// The addresses of that node, which mode iptables does not ask for.
const NODE: &[&str] = &["192.0.2.10", "2001:db8::10"];

fn of_iptables(family: Family, cluster: &Cluster) -> Blocks {
    let saved = iptables::saved_text(family, cluster, &options(&[]));
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

fn of_nftables(family: Family, layout: Layout, cluster: &Cluster) -> Blocks {
    let dump = nftables::listed(layout, family, cluster, &options(NODE));
    let mut blocks = Blocks::new();
    for (name, container) in dump.containers {
        blocks.insert(format!("{} {name}", container.kind), container.head.into_iter().collect());
        // Packets add those that remember clients.
        if !name.starts_with("affinity-") {
            blocks.insert(format!("elements {name}"), container.elements.into_iter().collect());
        }
    }
    blocks.extend(dump.chains.into_iter().map(|(name, lines)| (format!("chain {name}"), lines)));
    blocks
}

fn of_ipvs(family: Family, cluster: &Cluster) -> Blocks {
    let mut blocks = Blocks::new();
    let mut at = String::new();
    for line in ipvs::save_text(cluster, &options(NODE)).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [verb, protocol, address, rest @ ..] = words.as_slice() else { panic!("{line}") };
        if address.starts_with('[') != (family == Family::V6) {
            continue;
        }
        if *verb == "-A" {
            at = format!("{protocol} {address} {}", rest.join(" "));
            blocks.insert(at.clone(), Vec::new());
        } else {
            blocks.get_mut(&at).expect("a virtual service").push(rest.join(" "));
        }
    }
    blocks
}

fn of_ipvs_kube_proxy(family: Family, cluster: &Cluster, what: Listing) -> Blocks {
    listed::of(family, cluster, &options(NODE), what)
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
    let node = Viewpoint { node: Some("kp-node".into()), zone: Some("zone-a".into()) };
    let mut importer = Importer::seen_from(node);
    importer.read("", list.to_string().as_bytes()).expect("a List");
    Some(importer.finish(OnBadObject::Refuse).ok()?.cluster)
}

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
            *rules = uncounted(rules.iter().map(String::as_str));
            // Only the order of the rules of one port counts, and that the last one is.
            if OF_SERVICES.iter().any(|chain| place.ends_with(chain)) {
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
    } else if form.contains("/iptables") {
        blocks.retain(|place, rules| place.contains("KUBE-") || !rules.is_empty());
    } else {
        // `ipvsadm` sorts what it lists, and the others list what has no order.
        for lines in blocks.values_mut() {
            lines.retain(|line| form != SYSCTLS || !BY_IP_FORWARD.contains(&line.as_str()));
            lines.sort_unstable();
        }
    }
    blocks
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
    (form, render): (&str, Render),
) -> Vec<String> {
    let real = comparable(form, real.clone());
    // No Cluster is made of objects of which nothing is programmed.
    let ours = cluster.map_or_else(|| empty.clone(), render);
    difference(&real, &comparable(form, ours))
}

#[test]
fn every_kind_is_programmed_as_kube_proxy_does() {
    let (empty, kinds) = (programmed("empty"), kinds());
    assert_eq!(kinds.len(), 44);
    assert!(FORMS.iter().all(|(form, _)| empty.contains_key(*form)));
    let mut wrong = String::new();
    for kind in kinds {
        let (programmed, cluster) = (programmed(&kind), cluster(&kind));
        for (form, render) in FORMS {
            let Some(real) = programmed.get(form) else { continue };
            let lines = difference_of(real, &empty[form], cluster.as_ref(), (form, render));
            if !lines.is_empty() {
                writeln!(wrong, "{kind} {form} differs\n{}", lines.join("\n")).expect("room");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn what_a_tool_lists_is_the_listed_form_of_itself() {
    for kind in kinds() {
        for (form, blocks) in programmed(&kind) {
            let family = if form.ends_with("-v6") { Family::V6 } else { Family::V4 };
            for (place, lines) in &blocks {
                for line in lines {
                    if form.contains("iptables") {
                        let rule = format!("-A {line}\n").replacen("-A ", "-A X ", 1);
                        assert_eq!(iptables::saved::text(&rule, family), rule, "{kind} {place}");
                    } else if form.starts_with("nftables") && place.starts_with("chain ") {
                        assert_eq!(nftables::listed_rule(line), *line, "{kind} {place}");
                    }
                }
            }
        }
    }
}

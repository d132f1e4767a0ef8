//! What the current namespace holds of any backend, seen by the tools of others. Equal states give
//! equal lines; a namespace without a proxy gives none.

use std::path::Path;
use std::process::Command;

use aya::Pod;
use aya::maps::{HashMap, Map, MapData, loaded_maps};

const ROUTE_LOCALNET: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";
/// Settings that are 0 in a new namespace and 1 under the IPVS backend.
pub const SYSCTLS: [&str; 4] =
    ["vs/conntrack", "vs/expire_nodest_conn", "vs/expire_quiescent_template", "ip_forward"];

/// Tables that `iptables-nft` makes and leaves; what it put into them is in [`saved`].
const OF_IPTABLES: [&str; 6] = [
    "table ip filter",
    "table ip mangle",
    "table ip nat",
    "table ip6 filter",
    "table ip6 mangle",
    "table ip6 nat",
];

/// Everything that any backend could have put there.
pub fn state() -> Vec<String> {
    let mut lines = [saved("legacy"), saved("nft"), listed()].concat();
    for tool in ["ip6tables-legacy-save", "ip6tables-nft-save"] {
        lines.extend(printed(tool).into_iter().map(|line| format!("ip6 {line}")));
    }
    if Path::new("/proc/net/ip_vs").exists() {
        lines.extend(ipvs());
    } else {
        lines.extend(local_routes());
    }
    lines.extend(translations());
    lines
}

/// What `nft list ruleset` prints, `TABLE BLOCK LINE` a line, blocks in the order of their names,
/// elements one a line and sorted. Chains of Services that are empty are left out: the next sync
/// deletes them.
pub fn listed() -> Vec<String> {
    let output = Command::new("nft").args(["list", "ruleset"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("ASCII");
    let mut blocks: Vec<(String, Vec<String>)> =
        tables(&text).iter().flat_map(|(table, text)| blocks_of(table, text)).collect();
    blocks.sort();
    let lines = blocks.into_iter().flat_map(|(name, lines)| {
        let within = lines.into_iter().map({
            let name = name.clone();
            move |line| format!("{name} {line}")
        });
        within.chain([name]).collect::<Vec<_>>()
    });
    lines.collect()
}

/// The tables of a ruleset, name and text, but for those that `iptables-nft` makes and leaves.
fn tables(ruleset: &str) -> Vec<(&str, String)> {
    let mut tables: Vec<(&str, String)> = Vec::new();
    for line in ruleset.lines() {
        if let Some(name) = line.strip_suffix(" {").filter(|line| line.starts_with("table ")) {
            tables.push((name, String::new()));
        } else if let Some((_, text)) = tables.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    tables.retain(|(name, _)| !OF_IPTABLES.contains(name));
    tables
}

/// The chains, sets and maps of a table, and a block without a name for what is in none.
fn blocks_of(table: &str, text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = vec![(table.to_owned(), Vec::new())];
    for block in text.split("\n\n").flat_map(|part| part.split("\n\tset ")) {
        let mut lines = block.lines().map(str::trim).filter(|line| !matches!(*line, "" | "}"));
        let Some(name) = lines.next() else { continue };
        let mut lines: Vec<String> = lines
            .flat_map(|line| line.split(", "))
            .map(|line| line.trim_matches(',').into())
            .collect();
        if name.starts_with("set ") || name.starts_with("map ") {
            for line in &mut lines {
                let element = line.trim_start_matches("elements = { ").trim_end_matches(" }");
                *line = element.to_owned();
            }
            lines.sort();
        }
        if !(lines.is_empty() && name.contains('/')) {
            blocks.push((format!("{table} {name}"), lines));
        }
    }
    blocks
}

/// What `iptables-save` of a variant prints, `TABLE LINE` a line, chains in the order of their
/// names and rules in their own order, without counters and built-in chains; and `route_localnet`
/// if on.
pub fn saved(variant: &str) -> Vec<String> {
    let mut lines = printed(&format!("iptables-{variant}-save"));
    let route_localnet = std::fs::read_to_string(ROUTE_LOCALNET).expect("a setting");
    if route_localnet.trim() != "0" {
        lines.push(format!("route_localnet {}", route_localnet.trim()));
    }
    lines
}

/// The rules that a tool prints.
fn printed(tool: &str) -> Vec<String> {
    let output = Command::new(tool).output().expect("it runs");
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
    lines.into_iter().map(|(table, _, line)| format!("{table} {line}")).collect()
}

/// What the tools around IPVS see.
pub fn ipvs() -> Vec<String> {
    let mut lines = Vec::new();
    let mut see = |command: &str, keep: fn(&str) -> bool| {
        let text = output(command);
        lines.extend(
            text.lines()
                .filter(|line| keep(line))
                .map(|line| format!("{command}: {}", line.trim())),
        );
    };
    see("ipvsadm -S -n", |_| true);
    see("ipset save", |_| true);
    see("ip -o -4 addr show", |line| line.contains("kube-ipvs0"));
    see("ip -o -6 addr show", |line| line.contains("kube-ipvs0"));
    see("ip -o link show", |line| line.contains("kube-ipvs0"));
    lines.extend(local_routes());
    // Indexes, hardware addresses and hash seeds differ from one link or set to the next.
    let mut lines: Vec<_> = lines.iter().map(|line| steady(line)).collect();
    lines.sort_unstable();
    let on = |name: &&str| sysctl(name) != "0";
    lines.extend(SYSCTLS.into_iter().filter(on).map(|name| format!("{name} {}", sysctl(name))));
    lines
}

/// The routes by which proxies make VIPs local.
fn local_routes() -> Vec<String> {
    let of = |command: &str| -> Vec<String> {
        let text = output(command);
        let own = text.lines().filter(|line| line.contains("proto 118"));
        own.map(|line| format!("{command}: {}", line.trim())).collect()
    };
    ["ip route show table local", "ip -6 route show table local"].map(of).concat()
}

/// What programs of eBPF know of this namespace: each address of a Service, and its Endpoints, as
/// the bytes that they are in maps.
fn translations() -> Vec<String> {
    let namespace = linux::netns::cookie().expect("a cookie");
    let namespaces: Vec<HashMap<MapData, u64, u32>> = maps_named("namespaces");
    let scope = namespaces.iter().find_map(|map| map.get(&namespace, 0).ok());
    let Some(scope) = scope else { return Vec::new() };
    let services: Vec<HashMap<MapData, [u8; 24], [u32; 2]>> = maps_named("services");
    let endpoints: Vec<HashMap<MapData, [u32; 2], [u8; 20]>> = maps_named("endpoints");
    let mut lines = Vec::new();
    for (key, [id, count]) in services.iter().flat_map(HashMap::iter).filter_map(Result::ok) {
        let (place, of) = key.split_at(20);
        if of != scope.to_ne_bytes() {
            continue;
        }
        let endpoint = |number| endpoints.iter().find_map(|map| map.get(&[id, number], 0).ok());
        let all: Vec<_> = (0..count).map(endpoint).collect();
        lines.push(format!("eBPF {place:?}: {all:?}"));
    }
    lines.sort_unstable();
    lines
}

/// Every map of that name in the kernel; numbers of Services are those of one process.
fn maps_named<K: Pod, V: Pod>(name: &str) -> Vec<HashMap<MapData, K, V>> {
    let infos = loaded_maps().filter_map(Result::ok);
    let own = infos.filter(|info| info.name_as_str() == Some(name));
    let data = own.filter_map(|info| MapData::from_id(info.id()).ok());
    data.filter_map(|data| HashMap::try_from(Map::HashMap(data)).ok()).collect()
}

fn steady(line: &str) -> String {
    let mut words: Vec<_> = line.split_whitespace().collect();
    for (word, value_follows) in [("link/ether", true), ("initval", true), ("hashsize", true)] {
        if let Some(at) = words.iter().position(|found| *found == word) {
            words.drain(at..=at + usize::from(value_follows));
        }
    }
    words.retain(|word| !word.trim_end_matches(':').bytes().all(|byte| byte.is_ascii_digit()));
    words.join(" ")
}

pub fn sysctl(name: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/{name}");
    std::fs::read_to_string(path).expect("a setting").trim().to_owned()
}

pub fn output(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().expect("a program")).args(words).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

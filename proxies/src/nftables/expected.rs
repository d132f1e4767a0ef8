//! What `nft list table ip kube-proxy` prints of a namespace that holds a Cluster: the expectation
//! of `verify`.
//!
//! Rules are written from the Cluster, not from the text of a sync, so that a mistake in one shows
//! against the other. Names of chains, elements of Services and what `fixed` and `layout` hold as
//! data are the same that a sync uses: a mistake there is for the golden cases to find. Comments of
//! elements are left out: the one of an element that stays when its Service changes is its first,
//! upstream too. nft 1.0.6 prints numbers of marks with eight digits, single elements without
//! braces, and `dnat ip to` for `dnat ip addr . port to`.

use std::collections::BTreeSet;

use generators::{Cluster, Ipv4Net, Service};

use super::dump::{ContainerDump, Dump};
use super::elements::{self, Container, Definition};
use super::fixed;
use super::layout::Layout;
use super::names::{ENDPOINT, EXTERNAL, Names, SERVICE};
use super::render::verdict;
use crate::options::Options;

const SET_MARK: &str = "meta mark set meta mark | 0x00004000";
const CLEAR_MARK: &str = "meta mark set meta mark ^ 0x00004000";
const DESTINATION: &str = "ip daddr . meta l4proto . th dport";
const PORT: &str = "meta l4proto . th dport";

/// The whole table.
pub(super) fn table(layout: Layout, options: &Options, cluster: &Cluster) -> Dump {
    let mut table = Dump::default();
    write_containers(&mut table, layout, options);
    write_fixed_chains(&mut table, layout, options);
    for service in cluster.services() {
        write_service(&mut table, layout, options, service);
    }
    table
}

fn quoted(words: &str) -> String {
    format!("comment \"{words}\"")
}

fn write_containers(table: &mut Dump, layout: Layout, options: &Options) {
    let mut add = |container: Definition, elements: BTreeSet<String>| {
        let head = vec![format!("type {}", container.of), quoted(container.comment)];
        let dump = ContainerDump { kind: container.kind.into(), head, elements };
        table.containers.insert(container.name.into(), dump);
    };
    for container in Container::of(layout) {
        add(container.definition(), BTreeSet::new());
    }
    if !options.node_addresses.is_empty() {
        let addresses = fixed::node_port_addresses(options);
        add(fixed::NODE_PORT_IPS, addresses.iter().map(ToString::to_string).collect());
    }
}

fn write_fixed_chains(table: &mut Dump, layout: Layout, options: &Options) {
    for &(name, kind, hook, priority) in layout.base_chains() {
        let head = format!("type {kind} hook {hook} priority {priority}; policy accept;");
        table.chains.insert(name.into(), vec![head]);
    }
    let mut add = |chain: &str, rule: String| {
        table.chains.entry(chain.to_owned()).or_default().push(rule);
    };
    for (from, to, new_only) in layout.jumps() {
        add(from, format!("{}jump {to}", if *new_only { "ct state new " } else { "" }));
    }
    let all = options.node_addresses.is_empty();
    let local = if all { "ip daddr != 127.0.0.0/8" } else { "ip daddr @nodeport-ips" };
    let node = if all { "fib daddr type local ip daddr != 127.0.0.0/8" } else { local };
    add("nodeport-endpoints-check", format!("{local} {PORT} vmap @no-endpoint-nodeports"));
    add("service-endpoints-check", format!("{DESTINATION} vmap @no-endpoint-services"));
    add("firewall-check", format!("{DESTINATION} vmap @firewall-ips"));
    let invalid = quoted(fixed::INVALID_PORT_COMMENT);
    add("cluster-ips-check", format!("ip daddr @cluster-ips reject {invalid}"));
    if let Some(cidr) = options.nftables.service_cidr {
        let unallocated = quoted(fixed::UNALLOCATED_COMMENT);
        add("cluster-ips-check", format!("ip daddr {} drop {unallocated}", printed(cidr)));
    }
    add("reject-chain", "reject".to_owned());
    write_masquerading(layout, options, &mut add);
    add("services", format!("{DESTINATION} vmap @service-ips"));
    add("services", format!("{node} {PORT} vmap @service-nodeports"));
}

fn write_masquerading(layout: Layout, options: &Options, add: &mut impl FnMut(&str, String)) {
    match layout {
        Layout::V1_33 => {
            add("mark-for-masquerade", SET_MARK.to_owned());
            add("masquerading", "meta mark & 0x00004000 == 0x00000000 return".to_owned());
            add("masquerading", CLEAR_MARK.to_owned());
            add("masquerading", "masquerade fully-random".to_owned());
        }
        Layout::V1_36 | Layout::V1_37 => {
            let marked = "meta mark & 0x00004000 != 0x00000000";
            add("masquerading", format!("{marked} {CLEAR_MARK} masquerade fully-random"));
            let hairpin = format!("ip saddr . {DESTINATION} @hairpin-connections");
            add("masquerading", format!("ct status dnat {hairpin} masquerade fully-random"));
            if let Some(outside) = outside(options) {
                let comment = quoted(fixed::masquerade_comment(options));
                add("services", format!("ip daddr @cluster-ips {outside}{SET_MARK} {comment}"));
            }
        }
    }
}

/// The match on the source of VIP traffic that is masqueraded; nothing if none is.
fn outside(options: &Options) -> Option<String> {
    if options.masquerade_all {
        return Some(String::new());
    }
    options.local_cidr.map(|cidr| format!("ip saddr != {} ", printed(cidr)))
}

/// `nft` prints one address without prefix length.
fn printed(network: Ipv4Net) -> String {
    let words = network.trunc().to_string();
    words.strip_suffix("/32").unwrap_or(&words).to_owned()
}

fn write_service(table: &mut Dump, layout: Layout, options: &Options, service: &Service) {
    let names = Names::of(service, layout == Layout::V1_33);
    elements::of_service(service, layout, &mut |element| {
        let key = element.key.to_string();
        let leads_to = match verdict(&element, &names) {
            nowhere if nowhere.is_empty() => nowhere,
            somewhere => format!(" : {somewhere}"),
        };
        if let Some(container) = table.containers.get_mut(element.container.name()) {
            container.elements.insert(format!("{key}{leads_to}"));
        }
    });
    if service.endpoints().is_empty() {
        return;
    }
    let own = format!("{SERVICE}{}", names.own);
    if service.is_external() {
        let mark = match layout {
            Layout::V1_33 => "jump mark-for-masquerade".to_owned(),
            Layout::V1_36 | Layout::V1_37 => {
                format!("{SET_MARK} {}", quoted(fixed::EXTERNAL_COMMENT))
            }
        };
        table.chains.insert(format!("{EXTERNAL}{}", names.own), vec![mark, format!("goto {own}")]);
    }
    let rules = match layout {
        Layout::V1_33 => rules_with_endpoint_chains(table, options, &names),
        Layout::V1_36 | Layout::V1_37 => vec![translation(layout, service)],
    };
    table.chains.insert(own, rules);
}

/// The rules of a Service's chain, having written the chains of its Endpoints.
fn rules_with_endpoint_chains(
    table: &mut Dump,
    options: &Options,
    names: &Names<'_>,
) -> Vec<String> {
    let service = names.service;
    let (vip, protocol, port) = (service.vip(), service.protocol(), service.port());
    let mut rules = Vec::new();
    if let Some(outside) = outside(options) {
        let to_vip = format!("ip daddr {vip} {protocol} dport {port}");
        rules.push(format!("{to_vip} {outside}jump mark-for-masquerade"));
    }
    let mut choices = Vec::new();
    for (at, (endpoint, name)) in service.endpoints().iter().zip(&names.endpoints).enumerate() {
        let chain = format!("{ENDPOINT}{name}");
        choices.push(format!("{at} : goto {chain}"));
        let hairpin = format!("ip saddr {} jump mark-for-masquerade", endpoint.address);
        let translated = format!("meta l4proto {protocol} dnat to {endpoint}");
        table.chains.insert(chain, vec![hairpin, translated]);
    }
    rules.push(format!("numgen random mod {} vmap {{ {} }}", choices.len(), choices.join(", ")));
    rules
}

fn translation(layout: Layout, service: &Service) -> String {
    let (protocol, endpoints) = (service.protocol(), service.endpoints());
    match endpoints {
        [only] if layout == Layout::V1_37 => format!("meta l4proto {protocol} dnat to {only}"),
        all => {
            let choices = all
                .iter()
                .enumerate()
                .map(|(at, endpoint)| format!("{at} : {} . {}", endpoint.address, endpoint.port));
            let choices = choices.collect::<Vec<_>>().join(", ");
            let draw = format!("numgen random mod {}", all.len());
            format!("meta l4proto {protocol} dnat ip to {draw} map {{ {choices} }}")
        }
    }
}

//! What a full sync makes whatever the Cluster: the table, its chains, sets and maps, and the rules
//! that lead to them.
//!
//! `setupNFTables` in pkg/proxy/nftables/proxier.go, Kubernetes 1.33, and its changes up to 1.37
//! (see `layout`).

use std::net::IpAddr;

use generators::Family;

use super::elements::{Container, Definition, define};
use super::layout::Layout;
use crate::families::loopback;
use crate::options::Options;
use crate::text::Text;

/// The mark of what is to be masqueraded, as in iptables mode (`--iptables-masquerade-bit` 14).
pub(super) const MARK: &str = "0x4000";
/// Comment of the rule that marks traffic to VIPs since 1.36.
const MASQUERADE_COMMENT: &str = "masquerade clusterIP traffic from outside cluster";
/// The same where all traffic to VIPs is masqueraded.
const MASQUERADE_ALL_COMMENT: &str = "masquerade all clusterIP traffic";
/// Comment of the rule that marks traffic from outside since 1.36.
pub(super) const EXTERNAL_COMMENT: &str = "masquerade";
/// Comments of `cluster-ips-check`.
const INVALID_PORT_COMMENT: &str = "Reject traffic to invalid ports of ClusterIPs";
/// The same.
const UNALLOCATED_COMMENT: &str = "Drop traffic to unallocated ClusterIPs";
/// Comment of the table.
const TABLE_COMMENT: &str = "rules for kube-proxy";
/// Comment of `reject-chain`.
const REJECT_COMMENT: &str = "helper for @no-endpoint-services / @no-endpoint-nodeports";
/// The set of addresses that `NodePort`s answer on.
const NODE_PORT_IPS: Definition =
    define("set", "nodeport-ips", "ADDRESS", "IPs that accept NodePort traffic");
/// Protocol and port behind the destination of a packet.
const DESTINATION: &str = " daddr . meta l4proto . th dport";
/// Protocol and port of a packet.
const PORT: &str = "meta l4proto . th dport";

/// Chains that other rules lead to, whatever the Cluster.
fn regular_chains(layout: Layout) -> impl Iterator<Item = &'static str> {
    let mark = layout.has_endpoint_chains().then_some("mark-for-masquerade");
    let fixed = [
        "nodeport-endpoints-check",
        "service-endpoints-check",
        "firewall-check",
        "services",
        "masquerading",
        "cluster-ips-check",
    ];
    fixed.into_iter().chain(mark)
}

/// Addresses that `NodePort`s answer on, if not all do: loopback is left out, as upstream leaves it
/// out.
fn node_port_addresses(options: &Options, family: Family) -> Vec<IpAddr> {
    options.node_addresses(family).filter(|address| !address.is_loopback()).collect()
}

/// Whether every local address answers at `NodePort`s.
fn matches_all_addresses(options: &Options) -> bool {
    options.node_addresses.is_empty()
}

/// Writes everything of a family that does not depend on the Cluster. What the namespace holds of
/// it already is emptied, but for sets and maps.
pub(super) fn write(text: &mut Text, layout: Layout, options: &Options, family: Family) {
    text.str("add table ").table().str(" { comment \"").str(TABLE_COMMENT).str("\" ; }").end();
    write_base_chains(text, layout);
    for chain in regular_chains(layout) {
        text.renew_chain(chain, "");
    }
    for (from, to, new_only) in layout.jumps() {
        text.add_rule(from).str(if *new_only { "ct state new jump " } else { "jump " }).str(to);
        text.end();
    }
    write_masquerading(text, layout);
    write_containers(text, layout, options, family);
    text.renew_chain("reject-chain", &format!(" {{ comment \"{REJECT_COMMENT}\" ; }}"));
    text.add_rule("reject-chain").str("reject").end();
    write_checks(text, options, family);
    write_services(text, layout, options, family);
}

/// Base chains are deleted first, since the priority of one that is there cannot be changed.
fn write_base_chains(text: &mut Text, layout: Layout) {
    for (name, ..) in layout.base_chains() {
        text.str("add chain ").table().str(" ").str(name).end();
        text.str("delete chain ").table().str(" ").str(name).end();
    }
    for (name, kind, hook, priority) in layout.base_chains() {
        text.renew_chain(name, &format!(" {{ type {kind} hook {hook} priority {priority} ; }}"));
    }
}

fn write_masquerading(text: &mut Text, layout: Layout) {
    if layout.has_endpoint_chains() {
        text.add_rule("mark-for-masquerade").str("mark set mark or ").str(MARK).end();
        text.add_rule("masquerading").str("mark and ").str(MARK).str(" == 0 return").end();
        text.add_rule("masquerading").str("mark set mark xor ").str(MARK).end();
        text.add_rule("masquerading").str("masquerade fully-random").end();
    }
}

fn write_containers(text: &mut Text, layout: Layout, options: &Options, family: Family) {
    for container in Container::of(layout) {
        text.add_container(container.definition());
    }
    // Made before it is deleted: deleting what is not there is an error.
    text.add_container(NODE_PORT_IPS);
    if matches_all_addresses(options) {
        text.delete_set("", NODE_PORT_IPS.name);
        return;
    }
    text.str("flush set ").table().str(" ").str(NODE_PORT_IPS.name).end();
    for address in node_port_addresses(options, family) {
        text.str("add element ").table().str(" ").str(NODE_PORT_IPS.name).str(" { ");
        text.address(address).str(" }").end();
    }
}

fn write_checks(text: &mut Text, options: &Options, family: Family) {
    let check = text.add_rule("cluster-ips-check").ip().str(" daddr @cluster-ips reject");
    check.comment(INVALID_PORT_COMMENT).end();
    let mut networks = options.nftables.service_cidrs(family).peekable();
    if networks.peek().is_some() {
        text.add_rule("cluster-ips-check").ip().str(" daddr { ");
        for (at, network) in networks.enumerate() {
            text.str(if at == 0 { "" } else { " , " }).network(network);
        }
        text.str(" } drop").comment(UNALLOCATED_COMMENT).end();
    }
    let check = text.add_rule("service-endpoints-check").ip().str(DESTINATION);
    check.str(" vmap @no-endpoint-services").end();
    let rule = text.add_rule("nodeport-endpoints-check");
    write_node(rule, options, family, "").str(PORT).str(" vmap @no-endpoint-nodeports").end();
    text.add_rule("firewall-check").ip().str(DESTINATION).str(" vmap @firewall-ips").end();
}

/// The match on an address that `NodePort`s answer on, behind `all` where every local one does.
fn write_node<'a>(
    rule: &'a mut Text,
    options: &Options,
    family: Family,
    all: &str,
) -> &'a mut Text {
    if !matches_all_addresses(options) {
        return rule.ip().str(" daddr @nodeport-ips ");
    }
    let loopback = loopback(family);
    rule.str(all).ip().str(" daddr != ").str(loopback).str(" ")
}

fn write_services(text: &mut Text, layout: Layout, options: &Options, family: Family) {
    if !layout.has_endpoint_chains() {
        write_shared_masquerading(text, options, family);
    }
    text.add_rule("services").ip().str(DESTINATION).str(" vmap @service-ips").end();
    let rule = text.add_rule("services");
    let rule = write_node(rule, options, family, "fib daddr type local ");
    rule.str(PORT).str(" vmap @service-nodeports").end();
}

/// One rule for all VIPs, and one for all hairpins.
fn write_shared_masquerading(text: &mut Text, options: &Options, family: Family) {
    if options.masquerades_vips(family) {
        let rule = text.add_rule("services").ip().str(" daddr @cluster-ips ");
        write_outside(rule, options, family).str("mark set mark or ").str(MARK);
        rule.comment(masquerade_comment(options)).end();
    }
    let rule = text.add_rule("masquerading").str("mark and ").str(MARK).str(" != 0 ");
    rule.str("mark set mark xor ").str(MARK).str(" masquerade fully-random").end();
    let rule = text.add_rule("masquerading").str("ct status dnat ").ip().str(" saddr . ").ip();
    rule.str(DESTINATION).str(" @hairpin-connections masquerade fully-random").end();
}

/// The comment of the rule that marks traffic to VIPs since 1.36.
const fn masquerade_comment(options: &Options) -> &'static str {
    if options.masquerade_all { MASQUERADE_ALL_COMMENT } else { MASQUERADE_COMMENT }
}

/// `ip saddr != CIDR `: from outside the Cluster; nothing if everything is masqueraded.
pub(super) fn write_outside<'a>(
    text: &'a mut Text,
    options: &Options,
    family: Family,
) -> &'a mut Text {
    match options.local_cidr(family) {
        Some(network) if !options.masquerade_all => {
            text.ip().str(" saddr != ").network(network).str(" ")
        }
        _ => text,
    }
}

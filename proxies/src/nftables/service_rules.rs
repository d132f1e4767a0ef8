//! The chains and rules of one Service: who is masqueraded, who is admitted, which Endpoint is
//! drawn.
//!
//! `syncProxyRules` and `writeServiceToEndpointRules` in pkg/proxy/nftables/proxier.go, Kubernetes
//! 1.33, and their changes up to 1.37 (see `layout`).

use generators::{Endpoint, TrafficPolicy};

use super::fixed::{EXTERNAL_COMMENT, MARK, write_outside};
use super::layout::Layout;
use super::names::{AFFINITY, ENDPOINT, EXTERNAL, FIREWALL, LOCAL, Names, SERVICE};
use crate::options::Options;
use crate::routing::{Fate, among};
use crate::text::Text;

/// Makes and empties the chains of a Service, and makes the sets of its clients.
pub(super) fn write_chains(text: &mut Text, names: &Names<'_>) {
    for (prefix, name) in names.chains() {
        text.str("add chain ").table().str(" ").str(prefix).str(name).end();
        text.flush_chain(prefix, name);
    }
    if let Some(affinity_s) = names.routing.service.extras().affinity_s {
        for (_, name) in &names.endpoints {
            text.add_affinity_set(name, affinity_s);
        }
    }
}

/// All rules in a Service's own chains.
pub(super) fn write_rules(text: &mut Text, layout: Layout, options: &Options, names: &Names<'_>) {
    if !names.routing.targets.has_any {
        return;
    }
    write_masquerade(text, layout, options, names);
    write_external(text, layout, options, names);
    write_firewall(text, options, names);
    for (policy, prefix) in [(TrafficPolicy::Cluster, SERVICE), (TrafficPolicy::Local, LOCAL)] {
        match names.routing.targets.under(policy) {
            [] => {}
            chosen if names.endpoints.is_empty() => {
                write_choice_of_address(text, layout, names, prefix, chosen);
            }
            chosen => write_choice_of_chain(text, names, prefix, chosen),
        }
    }
    write_endpoints(text, layout, names);
}

/// Until 1.35 every Service marks VIP traffic from outside the Cluster itself.
fn write_masquerade(text: &mut Text, layout: Layout, options: &Options, names: &Names<'_>) {
    let service = names.routing.service;
    let is_marked = options.masquerades_vips(service.family());
    if !layout.has_endpoint_chains() || !is_marked || names.routing.internal != Fate::Served {
        return;
    }
    let prefix = match service.extras().internal_policy {
        TrafficPolicy::Cluster => SERVICE,
        TrafficPolicy::Local => LOCAL,
    };
    let rule = text.add_rule_to(prefix, &names.own).ip().str(" daddr ").address(service.vip());
    rule.str(" ").str(service.protocol().as_str()).str(" dport ").number(service.port()).str(" ");
    write_outside(rule, options, service.family()).str("jump mark-for-masquerade").end();
}

/// The chain of traffic from outside. Under the policy Local, clients of this node and Pods of the
/// Cluster reach the Endpoints of every node all the same (short circuit).
fn write_external(text: &mut Text, layout: Layout, options: &Options, names: &Names<'_>) {
    let (routing, own) = (&names.routing, names.own.as_str());
    if !routing.has_external_chain() {
        return;
    }
    let mark = |rule: &mut Text, comment: &str, has_comment_always: bool| {
        if layout.has_endpoint_chains() {
            rule.str("jump mark-for-masquerade");
            if has_comment_always {
                rule.comment(comment);
            }
        } else {
            rule.str("mark set mark or ").str(MARK).comment(comment);
        }
        rule.end();
    };
    let policy = routing.service.extras().external_policy;
    let chosen = match policy {
        TrafficPolicy::Cluster => {
            mark(text.add_rule_to(EXTERNAL, own), EXTERNAL_COMMENT, false);
            SERVICE
        }
        TrafficPolicy::Local => {
            if let Some(cidr) = options.local_cidr(routing.service.family()) {
                let rule = text.add_rule_to(EXTERNAL, own).ip().str(" saddr ").network(cidr);
                rule.str(" goto ").str(SERVICE).str(own).comment("short-circuit pod traffic").end();
            }
            let rule = text.add_rule_to(EXTERNAL, own).str("fib saddr type local ");
            mark(rule, "masquerade local traffic", true);
            let rule = text.add_rule_to(EXTERNAL, own).str("fib saddr type local goto ");
            rule.str(SERVICE).str(own).comment("short-circuit local traffic").end();
            LOCAL
        }
    };
    if routing.external == Fate::Served {
        text.add_rule_to(EXTERNAL, own).str("goto ").str(chosen).str(own).end();
    }
}

/// Drops what comes to a load balancer's address from clients that are not admitted. A node may
/// hold that address itself; then it comes from there.
fn write_firewall(text: &mut Text, options: &Options, names: &Names<'_>) {
    if !names.routing.has_firewall() {
        return;
    }
    let extras = names.routing.service.extras();
    text.add_rule_to(FIREWALL, &names.own).ip().str(" saddr != { ");
    for (at, range) in extras.source_ranges.iter().enumerate() {
        text.str(if at == 0 { "" } else { " , " }).network(*range);
    }
    if options.is_node_in(&extras.source_ranges) {
        for address in &extras.load_balancer_ips {
            text.str(" , ").address(*address);
        }
    }
    text.str(" } drop").end();
}

/// Goes to the chain of the Endpoint that a client had before, or else draws a number and goes to
/// the chain of that one.
fn write_choice_of_chain(text: &mut Text, names: &Names<'_>, prefix: &str, chosen: &[Endpoint]) {
    let chains = || among(&names.endpoints, chosen).map(|(_, name)| name.as_str());
    if names.routing.service.extras().affinity_s.is_some() {
        for name in chains() {
            let rule = text.add_rule_to(prefix, &names.own).ip().str(" saddr @").str(AFFINITY);
            rule.str(name).str(" goto ").str(ENDPOINT).str(name).end();
        }
    }
    write_draw(text.add_rule_to(prefix, &names.own), chosen.len()).str("vmap {");
    for (number, name) in chains().enumerate() {
        write_number(text, number).str(" : goto ").str(ENDPOINT).str(name);
    }
    text.str(" }").end();
}

fn write_endpoints(text: &mut Text, layout: Layout, names: &Names<'_>) {
    let service = names.routing.service;
    for (endpoint, name) in &names.endpoints {
        if layout.has_endpoint_chains() {
            let rule = text.add_rule_to(ENDPOINT, name).ip().str(" saddr ");
            rule.address(endpoint.address).str(" jump mark-for-masquerade").end();
        }
        if service.extras().affinity_s.is_some() {
            let rule = text.add_rule_to(ENDPOINT, name).str("update @").str(AFFINITY).str(name);
            rule.str(" { ").ip().str(" saddr }").end();
        }
        let rule = text.add_rule_to(ENDPOINT, name).str("meta l4proto ");
        rule.str(service.protocol().as_str()).str(" dnat to ").endpoint(*endpoint).end();
    }
}

/// Draws a number and translates to the address of that Endpoint, or translates to the only one.
fn write_choice_of_address(
    text: &mut Text,
    layout: Layout,
    names: &Names<'_>,
    prefix: &str,
    chosen: &[Endpoint],
) {
    let rule = text.add_rule_to(prefix, &names.own).str("meta l4proto ");
    rule.str(names.routing.service.protocol().as_str()).str(" dnat ");
    if !layout.chooses_by_map(chosen.len())
        && let [only] = chosen
    {
        text.str("to ").endpoint(*only).end();
        return;
    }
    write_draw(text.ip().str(" addr . port to "), chosen.len()).str("map {");
    for (number, endpoint) in chosen.iter().enumerate() {
        write_number(text, number).str(" : ").address(endpoint.address);
        text.str(" . ").number(endpoint.port);
    }
    text.str(" }").end();
}

fn write_draw(text: &mut Text, endpoints: usize) -> &mut Text {
    text.str("numgen random mod ").count(endpoints).str(" ")
}

fn write_number(text: &mut Text, number: usize) -> &mut Text {
    text.str(if number == 0 { " " } else { " , " }).count(number)
}

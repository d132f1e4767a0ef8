//! The text of a sync: a Cluster, or a Change of one, as input of `iptables-restore --noflush`.
//!
//! `syncProxyRules` in pkg/proxy/iptables/proxier.go, Kubernetes 1.35: same chains, same rules,
//! same order, same order of arguments. Left out are the nfacct counters, which upstream leaves out
//! too where the kernel has no `xt_nfacct`. Nothing here touches a kernel; the rules of a Service
//! are in `service_rules`.

use std::collections::HashSet;

use generators::{Change, Cluster, Family, FrontendKind, Service, Step};

use super::names::{Chain, ServiceChains};
use super::service_rules::{ServiceRules, write_protocol};
use crate::options::Options;
use crate::routing::{Fate, Routing};
use crate::text::Text;

const FILTER_CHAINS: &str = "\
*filter
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
";

/// Closes the hole that `route_localnet` opens (Kubernetes issue 90259).
const LOCALNET_FIREWALL: &str = "\
-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8 \
! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
";

const FORWARD_RULES: &str = "\
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" \
-m mark --mark 0x00004000/0x00004000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" \
-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
";

const NAT_CHAINS: &str = "\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
";

/// `--random-fully` needs iptables 1.6.2; tools named `iptables-legacy` and `iptables-nft` exist
/// since 1.8.0.
const MASQUERADE_RULES: &str = "\
-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" \
-j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000
";

const NODE_PORTS_COMMENT: &str = "-m comment --comment \
\"kubernetes service nodeports; NOTE: this must be the last rule in this chain\"";

/// The text of a full sync of one family. Chains of Services in `existing` that the Cluster does
/// not have are deleted.
pub(super) fn full(
    options: &Options,
    family: Family,
    cluster: &Cluster,
    existing: &[Chain],
) -> Text {
    let services: Vec<_> = cluster.of_family(family).map(ServiceChains::all).collect();
    let stale = without_written(existing.iter().copied(), &services);
    Sync { options, family, services: &services, stale: &stale }.text()
}

/// The text of a partial sync of one family (KEP-3453): all entrances, but only the chains of
/// changed Services.
///
/// Chains in `existing` that lost their Service or Endpoint are deleted at once, as kube-proxy does
/// when it listed them.
pub(super) fn incremental(
    options: &Options,
    family: Family,
    step: &Step<'_>,
    existing: &[Chain],
) -> Text {
    let touched: Vec<_> = step.changes().iter().map(Change::service_id).collect();
    let touched: HashSet<_> = touched.iter().map(|id| (&id.name, id.family)).collect();
    let is_touched = |service: &&Service| touched.contains(&(service.name(), service.family()));
    let old = step.before().of_family(family).filter(is_touched);
    let old: Vec<_> = old.map(ServiceChains::all).collect();
    let chains = |service| {
        if is_touched(&service) {
            ServiceChains::all(service)
        } else {
            ServiceChains::entrances(service)
        }
    };
    let services: Vec<_> = step.after().of_family(family).map(chains).collect();
    let mut stale = without_written(old.iter().flat_map(ServiceChains::written), &services);
    let existing: HashSet<_> = existing.iter().collect();
    stale.retain(|chain| existing.contains(chain));
    Sync { options, family, services: &services, stale: &stale }.text()
}

/// Those of some chains that the sync does not write, so that nothing leads to them any more.
fn without_written(
    chains: impl Iterator<Item = Chain>,
    services: &[ServiceChains<'_>],
) -> Vec<Chain> {
    let mut chains = chains.peekable();
    if chains.peek().is_none() {
        return Vec::new();
    }
    let written: HashSet<_> = services.iter().flat_map(ServiceChains::written).collect();
    chains.filter(|chain| !written.contains(chain)).collect()
}

/// One sync, planned.
struct Sync<'a> {
    options: &'a Options,
    family: Family,
    services: &'a [ServiceChains<'a>],
    stale: &'a [Chain],
}

impl Sync<'_> {
    /// The tables filter and nat, each committed apart, in this order.
    fn text(&self) -> Text {
        let mut text = Text::with_capacity(self.estimated_bytes());
        self.write_filter(&mut text);
        self.write_nat(&mut text);
        text
    }

    /// Room for the text, so that it is not copied while it grows. Generous: memory that is never
    /// written costs nothing.
    fn estimated_bytes(&self) -> usize {
        let endpoints: usize =
            self.services.iter().filter_map(|chains| chains.endpoints.as_ref()).map(Vec::len).sum();
        4096 + self.services.len() * 768 + endpoints * 640 + self.stale.len() * 80
    }

    fn write_filter(&self, text: &mut Text) {
        text.str(FILTER_CHAINS);
        match self.family {
            Family::V4 if !self.options.has_localhost_node_ports() => {}
            Family::V4 => {
                text.make_chain("KUBE-FIREWALL");
                text.rules(LOCALNET_FIREWALL);
            }
            // kube-proxy makes it with the jump to it, and leaves it empty.
            Family::V6 => text.make_chain("KUBE-FIREWALL"),
        }
        for chains in self.services {
            write_filter_rules(text, chains);
        }
        text.rules(FORWARD_RULES).str("COMMIT\n");
    }

    fn write_nat(&self, text: &mut Text) {
        text.str(NAT_CHAINS);
        for chain in self.services.iter().flat_map(ServiceChains::written) {
            text.make_hashed_chain(chain);
        }
        for chain in self.stale {
            text.make_hashed_chain(*chain);
        }
        text.rules(MASQUERADE_RULES);
        let endpoints = self.services.iter().map(|chains| chains.routing.service.endpoints().len());
        let mut rules = ServiceRules::new(self.options, self.family, endpoints.sum());
        for chains in self.services.iter().filter(|chains| chains.routing.targets.has_any) {
            rules.write(text, chains);
        }
        for chain in self.stale {
            text.str("-X ").chain(*chain).end();
        }
        self.write_node_port_jumps(text);
        text.str("COMMIT\n");
    }

    /// The end of KUBE-SERVICES, behind every VIP.
    fn write_node_port_jumps(&self, text: &mut Text) {
        if self.options.node_addresses.is_empty() {
            text.append_to("KUBE-SERVICES ").str(NODE_PORTS_COMMENT);
            text.str(" -m addrtype --dst-type LOCAL");
            // IPv6 has no route_localnet (`NewProxier`).
            text.str(if self.family == Family::V6 { " ! -d ::1/128" } else { "" });
            text.str(" -j KUBE-NODEPORTS").end();
        }
        for address in self.options.node_addresses(self.family) {
            text.append_to("KUBE-SERVICES ").str(NODE_PORTS_COMMENT);
            text.str(" -d ").address(address).str(" -j KUBE-NODEPORTS").end();
        }
    }
}

/// What the filter table says of a Service: where its traffic goes nowhere, which clients it does
/// not admit, and which port tells load balancers about it.
fn write_filter_rules(text: &mut Text, chains: &ServiceChains<'_>) {
    let Routing { service, internal, external, .. } = chains.routing;
    let extras = service.extras();
    if (internal, external) != (Fate::Served, Fate::Served) {
        write_dead_ends(text, &chains.routing);
    }
    if chains.routing.has_firewall() {
        for address in &extras.load_balancer_ips {
            text.append_to("KUBE-PROXY-FIREWALL -m comment --comment \"");
            text.str(service.name().as_str()).str(" traffic not accepted by ");
            text.chain(chains.firewall()).str("\"");
            write_protocol(text, service);
            text.str(" -d ").address(*address).str(" --dport ").number(service.port());
            text.str(" -j DROP").end();
        }
    }
    if let Some(port) = extras.health_check_node_port {
        text.append_to("KUBE-NODEPORTS -m comment --comment \"").str(service.name().as_str());
        text.str(" health check node port\" -m tcp -p tcp --dport ").number(port);
        text.str(" -j ACCEPT").end();
    }
}

/// Refuses connections to a Service without Endpoints, so that clients need not time out, and drops
/// those to one that has none on this node where it must.
fn write_dead_ends(text: &mut Text, routing: &Routing<'_>) {
    let service = routing.service;
    let mut protocol = Text::default();
    write_protocol(&mut protocol, service);
    for frontend in service.frontends() {
        let (chain, fate) = match frontend.kind {
            FrontendKind::ClusterIp => ("KUBE-SERVICES", routing.internal),
            _ => ("KUBE-EXTERNAL-SERVICES", routing.external),
        };
        let target = match fate {
            Fate::Served => continue,
            Fate::Refused => "REJECT",
            Fate::Dropped => "DROP",
        };
        text.append_to(chain).str(" -m comment --comment \"").str(service.name().as_str());
        text.str(" ").str(fate.reason()).str("\"");
        match frontend.address {
            Some(address) => text.text(&protocol).str(" -d ").address(address),
            None => text.str(" -m addrtype --dst-type LOCAL").text(&protocol),
        };
        text.str(" --dport ").number(frontend.port).str(" -j ").str(target).end();
    }
}

#[cfg(test)]
mod tests {
    use generators::ServiceId;

    use super::*;
    use crate::golden::{self, service};

    fn options() -> Options {
        Options { local_cidrs: vec![golden::LOCAL_CIDR.into()], ..Options::default() }
    }

    fn string(text: Text) -> String {
        String::from_utf8(text.into_parts().0).expect("rules are ASCII")
    }

    fn full_text(options: &Options, cluster: &Cluster) -> String {
        string(full(options, Family::V4, cluster, &[]))
    }

    /// The text of a Change of a Cluster whose chains are all there.
    fn incremental_text(before: &Cluster, change: Change) -> String {
        let services: Vec<_> = before.of_family(Family::V4).map(ServiceChains::all).collect();
        let existing: Vec<Chain> = services.iter().flat_map(ServiceChains::written).collect();
        let step = before.step(vec![change]).expect("the Change fits");
        string(incremental(&options(), Family::V4, &step, &existing))
    }

    fn lines_with<'a>(text: &'a str, part: &str) -> Vec<&'a str> {
        text.lines().filter(|line| line.contains(part)).collect()
    }

    /// As many Services of `per_service` Endpoints.
    fn plain(services: usize, per_service: usize) -> Cluster {
        let services = (0..services).map(|at| {
            let endpoints: Vec<_> = (0..per_service)
                .map(|k| format!("10.{}.{}.{}:8080", at >> 8, at & 255, k + 1))
                .collect();
            let endpoints: Vec<_> = endpoints.iter().map(String::as_str).collect();
            let vip = format!("172.30.{}.{}", at >> 8, at & 255);
            service(&format!("ns/svc-{at}:http"), &vip, &endpoints)
        });
        Cluster::new(services.collect()).expect("a Cluster")
    }

    #[test]
    fn a_full_sync_is_the_text_that_kube_proxy_writes() {
        assert_eq!(full_text(&options(), &golden::overall()), golden::OVERALL_RESTORE);
    }

    #[test]
    fn a_partial_sync_holds_all_entrances_and_the_chains_of_one_service() {
        let (before, change) = golden::endpoint_replaced();
        assert_eq!(incremental_text(&before, change), golden::ENDPOINT_REPLACED_RESTORE);
    }

    #[test]
    fn a_removed_service_loses_its_chains_and_its_entrances() {
        let before = golden::overall();
        let id: ServiceId = "ns3/svc3:p80".parse().expect("a name");
        let text = incremental_text(&before, Change::ServiceRemoved(id));
        for chain in ["EXT-X27LE4BHSL4DOUIK", "SVC-X27LE4BHSL4DOUIK", "SEP-OYPFS5VJICHGATKP"] {
            let chain = format!("KUBE-{chain}");
            let expected = [format!(":{chain} - [0:0]"), format!("-X {chain}")];
            assert_eq!(lines_with(&text, &chain), expected);
        }
        assert!(lines_with(&text, "svc3").is_empty());
    }

    #[test]
    fn an_added_service_brings_its_chains_and_no_other() {
        let added = service("ns9/svc9:p80", "172.30.0.49", &["10.180.0.9:80"]);
        let text = incremental_text(&golden::overall(), Change::ServiceAdded(added));
        let made: Vec<_> = lines_with(&text, " - [0:0]");
        assert_eq!(lines_with(&text, ":KUBE-S").len(), 2 + 2, "{made:?}");
        assert_eq!(lines_with(&text, "ns9/svc9").len(), 5);
        assert!(lines_with(&text, "-X ").is_empty());
    }

    #[test]
    fn a_full_sync_deletes_the_chains_that_are_left_from_before() {
        let kept = Chain::parse("KUBE-SVC-XPGD46QRK7WJZT7O").expect("a Service's chain");
        let stale = Chain::parse("KUBE-SEP-BSWRHOQ77KEXZLNL").expect("an Endpoint's chain");
        let text = string(full(&options(), Family::V4, &golden::overall(), &[kept, stale]));
        assert_eq!(lines_with(&text, "-X "), [format!("-X {stale}")]);
        assert_eq!(lines_with(&text, &format!(":{stale} - [0:0]")).len(), 1);
        assert_eq!(lines_with(&text, &format!(":{kept} - [0:0]")).len(), 1);
    }

    #[test]
    fn rules_are_as_many_as_the_formula_says() {
        // Per Service 2 + 3k rules in nat; fixed are 5 in nat and 4 in filter.
        for (services, k) in [(1, 1), (20, 1), (20, 3), (300, 4)] {
            let (text, rules) = full(&options(), Family::V4, &plain(services, k), &[]).into_parts();
            assert_eq!(rules, (services * (2 + 3 * k) + 5 + 4) as u64);
            let text = String::from_utf8(text).expect("rules are ASCII");
            assert_eq!(text.lines().filter(|line| line.starts_with("-A ")).count() as u64, rules);
        }
    }

    #[test]
    fn endpoint_comments_are_left_out_above_a_thousand_endpoints() {
        let small = full_text(&options(), &plain(500, 2));
        assert_eq!(lines_with(&small, " -> ").len(), 1000);
        let large = full_text(&options(), &plain(1001, 1));
        assert!(lines_with(&large, " -> ").is_empty());
        assert!(lines_with(&large, "-A KUBE-SEP-").iter().all(|line| !line.contains("comment")));
        assert_eq!(lines_with(&large, "cluster IP").len(), 2 * 1001);
    }

    #[test]
    fn each_endpoint_is_drawn_with_the_share_that_is_left() {
        let text = full_text(&options(), &plain(1, 4));
        let shares: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once("--probability ")?.1.split(' ').next())
            .collect();
        assert_eq!(shares, ["0.2500000000", "0.3333333333", "0.5000000000"]);
    }

    #[test]
    fn what_is_masqueraded_follows_the_options() {
        let marked = |options: &Options| {
            let text = full_text(options, &plain(1, 1));
            let lines = lines_with(&text, "--dport 80");
            lines.into_iter().filter(|l| l.ends_with("MASQ")).map(str::to_owned).collect::<Vec<_>>()
        };
        let all = marked(&Options { masquerade_all: true, ..options() });
        assert!(all.len() == 1 && all[0].ends_with(" --dport 80 -j KUBE-MARK-MASQ"), "{all:?}");
        assert!(marked(&Options { local_cidrs: Vec::new(), ..options() }).is_empty());
    }

    #[test]
    fn restricted_node_addresses_replace_every_local_address() {
        let node_addresses = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let text = full_text(&Options { node_addresses, ..options() }, &golden::overall());
        assert!(lines_with(&text, "addrtype").is_empty());
        assert!(lines_with(&text, "KUBE-FIREWALL").is_empty());
        let jumps = lines_with(&text, "-j KUBE-NODEPORTS");
        assert_eq!(jumps.len(), 2);
        assert!(jumps[0].ends_with("chain\" -d 192.0.2.1 -j KUBE-NODEPORTS"), "{jumps:?}");
    }

    #[test]
    fn a_service_without_endpoints_is_refused_wherever_it_answers() {
        let silent = service("ns6/svc6:p80", "172.30.0.46", &[])
            .with(|extras| {
                extras.node_port = Some(30_006);
                extras.external_ips = vec![[192, 0, 2, 6].into()];
            })
            .expect("a Service");
        let text = full_text(&options(), &Cluster::new(vec![silent]).expect("a Cluster"));
        let comment = "-m comment --comment \"ns6/svc6:p80 has no endpoints\"";
        assert_eq!(
            lines_with(&text, "svc6"),
            [
                format!(
                    "-A KUBE-SERVICES {comment} -m tcp -p tcp -d 172.30.0.46 --dport 80 -j REJECT"
                ),
                format!(
                    "-A KUBE-EXTERNAL-SERVICES {comment} -m tcp -p tcp -d 192.0.2.6 --dport 80 \
                     -j REJECT"
                ),
                format!(
                    "-A KUBE-EXTERNAL-SERVICES {comment} -m addrtype --dst-type LOCAL \
                     -m tcp -p tcp --dport 30006 -j REJECT"
                ),
            ]
        );
    }
}

//! The nat rules of one Service: its entrances, who is masqueraded, which Endpoint is drawn.
//!
//! `syncProxyRules` and `writeServiceToEndpointRules` in pkg/proxy/iptables/proxier.go, Kubernetes
//! 1.36.

use generators::{Endpoint, Family, FrontendKind, IpNet, Service, TrafficPolicy};

use super::names::{Chain, ChainHash, ServiceChains};
use crate::options::Options;
use crate::routing::{Fate, among};
use crate::text::Text;

/// Above this many Endpoints the comments of Endpoint rules are left out
/// (`largeClusterEndpointsThreshold`).
const LARGE_CLUSTER_ENDPOINTS: usize = 1000;

/// ` -m tcp -p tcp`: the match before the protocol it belongs to, as upstream writes it.
pub(super) fn write_protocol(text: &mut Text, service: &Service) {
    let protocol = service.protocol().as_str();
    text.str(" -m ").str(protocol).str(" -p ").str(protocol);
}

/// Writes the nat rules of Services, one after the other, reusing what they have in common.
pub(super) struct ServiceRules<'a> {
    options: &'a Options,
    /// The pod network.
    local_cidr: Option<IpNet>,
    /// The match on traffic to a VIP that is masqueraded, ` ! -s CIDR` or none, if any is.
    outside: Option<Text>,
    /// Whether rules of Endpoints carry comments.
    endpoint_comments: bool,
    /// `1/n` by `n`: kube-proxy formats each once, too (`proxier.probability`).
    probabilities: Vec<String>,
    protocol: Text,
}

impl<'a> ServiceRules<'a> {
    /// Rules of a Cluster with so many Endpoints of this family.
    pub(super) fn new(options: &'a Options, family: Family, endpoints: usize) -> Self {
        let local_cidr = options.local_cidr(family);
        let outside = match local_cidr {
            _ if options.masquerade_all => Some(Text::default()),
            None => None,
            Some(network) => {
                let mut outside = Text::default();
                outside.str(" ! -s ").network(network);
                Some(outside)
            }
        };
        Self {
            options,
            local_cidr,
            outside,
            endpoint_comments: endpoints <= LARGE_CLUSTER_ENDPOINTS,
            probabilities: Vec::new(),
            protocol: Text::default(),
        }
    }

    /// All nat rules of a Service that has Endpoints.
    pub(super) fn write(&mut self, text: &mut Text, chains: &ServiceChains<'_>) {
        self.protocol.clear();
        write_protocol(&mut self.protocol, chains.routing.service);
        self.write_entrances(text, chains);
        let Some(endpoints) = &chains.endpoints else { return };
        self.write_masquerade(text, chains);
        self.write_external(text, chains);
        self.write_firewall(text, chains);
        let targets = &chains.routing.targets;
        for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
            self.write_choice(text, chains, policy, targets.under(policy), endpoints);
        }
        self.write_endpoints(text, chains, endpoints);
    }

    /// The rules by which traffic for a Service leaves the shared chains.
    fn write_entrances(&self, text: &mut Text, chains: &ServiceChains<'_>) {
        let routing = &chains.routing;
        let service = routing.service;
        let name = service.name().as_str();
        for frontend in service.frontends() {
            let (what, chain) = match frontend.kind {
                FrontendKind::ClusterIp if routing.internal != Fate::Served => continue,
                FrontendKind::ClusterIp => {
                    (" cluster IP", chains.choice(service.extras().internal_policy))
                }
                FrontendKind::ExternalIp => (" external IP", chains.external()),
                FrontendKind::LoadBalancerIp if routing.has_firewall() => {
                    (" loadbalancer IP", chains.firewall())
                }
                FrontendKind::LoadBalancerIp => (" loadbalancer IP", chains.external()),
                FrontendKind::NodePort => ("", chains.external()),
            };
            if let Some(address) = frontend.address {
                text.append_to("KUBE-SERVICES -m comment --comment \"").str(name).str(what);
                text.str("\"").text(&self.protocol).str(" -d ").address(address);
            } else {
                text.append_to("KUBE-NODEPORTS -m comment --comment ").str(name);
                text.text(&self.protocol);
            }
            text.str(" --dport ").number(frontend.port).str(" -j ").chain(chain).end();
        }
    }

    /// Marks VIP traffic from outside the Cluster, which must return by this node.
    fn write_masquerade(&self, text: &mut Text, chains: &ServiceChains<'_>) {
        let service = chains.routing.service;
        let Some(outside) = &self.outside else { return };
        if chains.routing.internal != Fate::Served {
            return;
        }
        text.append_to_hashed(chains.choice(service.extras().internal_policy));
        text.str(" -m comment --comment \"").str(service.name().as_str()).str(" cluster IP\"");
        text.text(&self.protocol).str(" -d ").address(service.vip());
        text.str(" --dport ").number(service.port());
        text.text(outside).str(" -j KUBE-MARK-MASQ").end();
    }

    /// The chain of traffic from outside. Under the policy Local, clients of this node and Pods of
    /// the Cluster reach the Endpoints of every node all the same (short circuit).
    fn write_external(&self, text: &mut Text, chains: &ServiceChains<'_>) {
        let routing = &chains.routing;
        if !routing.has_external_chain() {
            return;
        }
        let name = routing.service.name().as_str();
        let mut rule = |before: &str, matches: &dyn Fn(&mut Text), target: Option<Chain>| {
            text.append_to_hashed(chains.external()).str(" -m comment --comment \"").str(before);
            text.str(name).str(" external destinations\"");
            matches(text);
            match target {
                Some(chain) => text.str(" -j ").chain(chain).end(),
                None => text.str(" -j KUBE-MARK-MASQ").end(),
            }
        };
        let all = chains.choice(TrafficPolicy::Cluster);
        let policy = routing.service.extras().external_policy;
        match policy {
            TrafficPolicy::Cluster => rule("masquerade traffic for ", &|_| {}, None),
            TrafficPolicy::Local => {
                let from_node = |text: &mut Text| {
                    text.str(" -m addrtype --src-type LOCAL");
                };
                if let Some(cidr) = self.local_cidr {
                    let from_pod = |text: &mut Text| {
                        text.str(" -s ").network(cidr);
                    };
                    rule("pod traffic for ", &from_pod, Some(all));
                }
                rule("masquerade LOCAL traffic for ", &from_node, None);
                rule("route LOCAL traffic for ", &from_node, Some(all));
            }
        }
        if routing.external == Fate::Served {
            text.append_to_hashed(chains.external());
            text.str(" -j ").chain(chains.choice(policy)).end();
        }
    }

    /// The chain that admits the clients of some ranges. What comes to its end is dropped in
    /// filter's KUBE-PROXY-FIREWALL.
    fn write_firewall(&self, text: &mut Text, chains: &ServiceChains<'_>) {
        let routing = &chains.routing;
        if !routing.has_firewall() {
            return;
        }
        let (name, extras) = (routing.service.name().as_str(), routing.service.extras());
        let mut admit = |source: &dyn Fn(&mut Text)| {
            text.append_to_hashed(chains.firewall()).str(" -m comment --comment \"").str(name);
            text.str(" loadbalancer IP\" -s ");
            source(text);
            text.str(" -j ").chain(chains.external()).end();
        };
        for range in &extras.source_ranges {
            admit(&|text| {
                text.network(*range);
            });
        }
        // A node may hold the load balancer's address itself; then it comes from there.
        if self.options.is_node_in(&extras.source_ranges) {
            for address in &extras.load_balancer_ips {
                admit(&|text| {
                    text.address(*address);
                });
            }
        }
        text.append_to_hashed(chains.firewall()).str(" -m comment --comment \"other traffic to ");
        text.str(name).str(" will be dropped by KUBE-PROXY-FIREWALL\"").end();
    }

    /// The chain that draws one Endpoint: that of an earlier connection, or else each rule takes
    /// its share of what the ones before left.
    fn write_choice(
        &mut self,
        text: &mut Text,
        chains: &ServiceChains<'_>,
        policy: TrafficPolicy,
        chosen: &[Endpoint],
        hashes: &[(Endpoint, ChainHash)],
    ) {
        let service = chains.routing.service;
        let count = chosen.len();
        let chosen = || among(hashes, chosen).copied();
        let begin = |text: &mut Text, endpoint: Endpoint, has_comment: bool| {
            text.append_to_hashed(chains.choice(policy));
            if has_comment {
                text.str(" -m comment --comment \"").str(service.name().as_str()).str(" -> ");
                text.endpoint(endpoint).str("\"");
            }
        };
        if let Some(affinity_s) = service.extras().affinity_s {
            let seconds = affinity_s.to_string();
            for (endpoint, hash) in chosen() {
                let chain = hash.chain("KUBE-SEP-");
                begin(text, endpoint, self.endpoint_comments);
                text.str(" -m recent --name ").chain(chain).str(" --rcheck --seconds ");
                text.str(&seconds).str(" --reap -j ").chain(chain).end();
            }
        }
        for (at, (endpoint, hash)) in chosen().enumerate() {
            begin(text, endpoint, self.endpoint_comments);
            let left = count - at;
            if left > 1 {
                text.str(" -m statistic --mode random --probability ").str(self.probability(left));
            }
            text.str(" -j ").chain(hash.chain("KUBE-SEP-")).end();
        }
    }

    /// The chains that translate, and mark what comes back to where it came from (hairpin).
    fn write_endpoints(
        &self,
        text: &mut Text,
        chains: &ServiceChains<'_>,
        endpoints: &[(Endpoint, ChainHash)],
    ) {
        let service = chains.routing.service;
        let name = service.name().as_str();
        for &(endpoint, hash) in endpoints {
            let chain = hash.chain("KUBE-SEP-");
            self.begin_endpoint_rule(text, chain, name);
            text.str(" -s ").address(endpoint.address).str(" -j KUBE-MARK-MASQ").end();
            self.begin_endpoint_rule(text, chain, name);
            if service.extras().affinity_s.is_some() {
                text.str(" -m recent --name ").chain(chain).str(" --set");
            }
            text.text(&self.protocol).str(" -j DNAT --to-destination ").endpoint(endpoint).end();
        }
    }

    fn begin_endpoint_rule(&self, text: &mut Text, chain: Chain, name: &str) {
        text.append_to_hashed(chain);
        if self.endpoint_comments {
            text.str(" -m comment --comment ").str(name);
        }
    }

    /// `1/n` as kube-proxy prints it (`%0.10f`).
    fn probability(&mut self, n: usize) -> &str {
        for known in self.probabilities.len()..=n {
            self.probabilities.push(format!("{:.10}", 1.0 / known as f64));
        }
        self.probabilities.get(n).map_or("", String::as_str)
    }
}

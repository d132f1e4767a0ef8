//! The iptables rules of kube-proxy's IPVS mode. They match sets, so that their number does not
//! depend on the number of Services, but for load balancers that are closed to the node.
//!
//! `iptablesChains`, `iptablesJumpChain`, `ipsetWithIptablesChain`, `writeIptablesRules` and
//! `acceptIPVSTraffic` in pkg/proxy/ipvs/proxier.go, Kubernetes 1.36. Nothing here runs a tool.

use super::desired::Desired;
use super::sets::Set;
use crate::families::loopback;
use crate::iptables::jumps::{Jump, jump, saved_jumps};
use crate::iptables::saved;
use crate::options::Options;
use crate::text::Text;

/// The chains, each with its table, in the order in which they are made.
pub(super) const CHAINS: [(&str, &str); 11] = [
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-POSTROUTING"),
    ("nat", "KUBE-NODE-PORT"),
    ("nat", "KUBE-LOAD-BALANCER"),
    ("nat", "KUBE-MARK-MASQ"),
    ("filter", "KUBE-FORWARD"),
    ("filter", "KUBE-NODE-PORT"),
    ("filter", "KUBE-PROXY-FIREWALL"),
    ("filter", "KUBE-SOURCE-RANGES-FIREWALL"),
    ("filter", "KUBE-IPVS-FILTER"),
    ("filter", "KUBE-IPVS-OUT-FILTER"),
];

const PORTALS: &str = "-m comment --comment \"kubernetes service portals\" ";
const POSTROUTING: &str = "-m comment --comment \"kubernetes postrouting rules\" ";
const FORWARDING: &str = "-m comment --comment \"kubernetes forwarding rules\" ";
const HEALTH: &str = "-m comment --comment \"kubernetes health check rules\" ";
const FIREWALL: &str = "-m comment --comment \"kube-proxy firewall rules\" ";
const ACCESS: &str = "-m comment --comment \"kubernetes ipvs access filter\" ";

/// The jumps, in the order in which they are made; each goes to the front of its chain.
pub(super) const JUMPS: [Jump; 9] = [
    jump("nat", "OUTPUT", "KUBE-SERVICES", PORTALS),
    jump("nat", "PREROUTING", "KUBE-SERVICES", PORTALS),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", POSTROUTING),
    jump("filter", "FORWARD", "KUBE-FORWARD", FORWARDING),
    jump("filter", "INPUT", "KUBE-NODE-PORT", HEALTH),
    jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", FIREWALL),
    jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", FIREWALL),
    jump("filter", "INPUT", "KUBE-IPVS-FILTER", ACCESS),
    jump("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", ACCESS),
];

/// A rule that is there while its set has entries: the set, the chain with the protocol, the fields
/// of a packet that are looked up, and the target.
type SetRule = (Set, &'static str, &'static str, &'static str);

/// Those of the table nat. A rule for the policy Local comes before the one that masquerades.
const NAT_BY_SET: [SetRule; 9] = [
    (Set::LoopBack, "KUBE-POSTROUTING", "dst,dst,src", "MASQUERADE"),
    (Set::LoadBalancer, "KUBE-SERVICES", "dst,dst", "KUBE-LOAD-BALANCER"),
    (Set::LoadBalancerLocal, "KUBE-LOAD-BALANCER", "dst,dst", "RETURN"),
    (Set::NodePortLocalTcp, "KUBE-NODE-PORT -p tcp", "dst", "RETURN"),
    (Set::NodePortTcp, "KUBE-NODE-PORT -p tcp", "dst", "KUBE-MARK-MASQ"),
    (Set::NodePortLocalUdp, "KUBE-NODE-PORT -p udp", "dst", "RETURN"),
    (Set::NodePortUdp, "KUBE-NODE-PORT -p udp", "dst", "KUBE-MARK-MASQ"),
    (Set::NodePortLocalSctp, "KUBE-NODE-PORT -p sctp", "dst,dst", "RETURN"),
    (Set::NodePortSctp, "KUBE-NODE-PORT -p sctp", "dst,dst", "KUBE-MARK-MASQ"),
];

/// Those of the table filter.
const FILTER_BY_SET: [SetRule; 3] = [
    (Set::LoadBalancerFirewall, "KUBE-PROXY-FIREWALL", "dst,dst", "KUBE-SOURCE-RANGES-FIREWALL"),
    (Set::LoadBalancerSourceRange, "KUBE-SOURCE-RANGES-FIREWALL", "dst,dst,src", "RETURN"),
    (Set::LoadBalancerSourceIp, "KUBE-SOURCE-RANGES-FIREWALL", "dst,dst,src", "RETURN"),
];

/// Sets whose packets may come in, and the fields that are looked up.
const ADMITTED: [(Set, &str); 5] = [
    (Set::LoadBalancer, "dst,dst"),
    (Set::ClusterIp, "dst,dst"),
    (Set::ExternalIp, "dst,dst"),
    (Set::ExternalIpLocal, "dst,dst"),
    (Set::HealthCheckNodePort, "dst"),
];

const END_OF_FORWARD: &str = "\
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x00004000/0x00004000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
";

const END_OF_NAT: &str = "\
-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000
";

/// Input for `iptables-restore --noflush`, or `ip6tables-restore`, that makes the chains as they
/// should be, whatever they hold.
pub(super) fn restore_text(desired: &Desired, options: &Options) -> Text {
    let mut rules = Rules { text: Text::default(), desired };
    rules.begin("nat");
    rules.write_nat(options);
    rules.text.str("COMMIT\n");
    rules.begin("filter");
    rules.write_filter();
    rules.text.str("COMMIT\n");
    rules.text
}

/// What `iptables-save`, or `ip6tables-save`, prints of a namespace that got this and the jumps.
pub(super) fn saved_text(desired: &Desired, options: &Options) -> String {
    let (restore, _) = restore_text(desired, options).into_parts();
    saved::text(&String::from_utf8_lossy(&restore), desired.family) + &saved_jumps(&JUMPS)
}

/// Rules under construction.
struct Rules<'a> {
    text: Text,
    desired: &'a Desired,
}

impl Rules<'_> {
    fn begin(&mut self, table: &str) {
        self.text.str("*").str(table).str("\n");
        for (_, chain) in CHAINS.iter().filter(|(of, _)| *of == table) {
            self.text.str(":").str(chain).str(" - [0:0]\n");
        }
    }

    /// Begins a rule that matches a set.
    fn on(&mut self, chain: &str, set: Set, fields: &str) -> &mut Text {
        let name = set.name(self.desired.family);
        self.text.count_rule().str("-A ").str(chain);
        self.text.str(" -m set --match-set ").str(&name).str(" ").str(fields)
    }

    /// Begins a rule that says what it matches a set for.
    fn on_commented(&mut self, chain: &str, set: Set, fields: &str) -> &mut Text {
        let comment = set.comment();
        self.on(&format!("{chain} -m comment --comment \"{comment}\""), set, fields)
    }

    fn by_set(&mut self, rules: &[SetRule]) {
        for &(set, chain, fields, target) in rules {
            if self.has(set) {
                self.on_commented(chain, set, fields).str(" -j ").str(target).end();
            }
        }
    }

    fn has(&self, set: Set) -> bool {
        !self.desired.entries.of(set).is_empty()
    }

    fn write_nat(&mut self, options: &Options) {
        let loopback = loopback(self.desired.family);
        self.text.count_rule().str("-A KUBE-SERVICES -s ").str(loopback).str(" -j RETURN").end();
        self.by_set(&NAT_BY_SET);
        if self.has(Set::ClusterIp) {
            self.write_masquerade(options);
        }
        if self.has(Set::ExternalIp) {
            let rule = self.on_commented("KUBE-SERVICES", Set::ExternalIp, "dst,dst");
            rule.str(" -j KUBE-MARK-MASQ").end();
            self.accept_external(Set::ExternalIp);
        }
        if self.has(Set::ExternalIpLocal) {
            self.accept_external(Set::ExternalIpLocal);
        }
        self.text.rules("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT\n");
        self.text.rules("-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ\n");
        for set in [Set::ClusterIp, Set::LoadBalancer] {
            if self.has(set) {
                self.on("KUBE-SERVICES", set, "dst,dst").str(" -j ACCEPT").end();
            }
        }
        self.text.rules(END_OF_NAT);
    }

    /// Marks VIP traffic for masquerading: all of it, that from outside the pod network, or, where
    /// that is unknown, what has a VIP as its own source, which is how the node's own connections
    /// to its VIPs begin.
    fn write_masquerade(&mut self, options: &Options) {
        let cidr = options.local_cidr(self.desired.family);
        let (fields, cidr) = match cidr {
            _ if options.masquerade_all => ("dst,dst", None),
            None => ("src,dst", None),
            Some(cidr) => ("dst,dst", Some(cidr)),
        };
        let rule = self.on_commented("KUBE-SERVICES", Set::ClusterIp, fields);
        if let Some(cidr) = cidr {
            rule.str(" ! -s ").network(cidr);
        }
        rule.str(" -j KUBE-MARK-MASQ").end();
    }

    /// Traffic to external IPs that comes from off the node or is delivered here.
    fn accept_external(&mut self, set: Set) {
        for matches in [
            " -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL",
            " -m addrtype --dst-type LOCAL",
        ] {
            let rule = self.on_commented("KUBE-SERVICES", set, "dst,dst");
            rule.str(matches).str(" -j ACCEPT").end();
        }
    }

    fn write_filter(&mut self) {
        self.by_set(&FILTER_BY_SET);
        self.text.rules("-A KUBE-SOURCE-RANGES-FIREWALL -j DROP\n");
        for &(address, protocol, port) in &self.desired.closed {
            // IPVS gives the node's own packets the VIP as their source.
            self.text.count_rule().str("-A KUBE-IPVS-OUT-FILTER -s ").address(address);
            self.text.str(" -m ipvs --vaddr ").address(address).str(" --vproto ");
            self.text.str(protocol.as_str()).str(" --vport ").number(port).str(" -j DROP").end();
        }
        self.text.rules(END_OF_FORWARD);
        let health = Set::HealthCheckNodePort;
        self.on_commented("KUBE-NODE-PORT", health, "dst").str(" -j ACCEPT").end();
        for (set, fields) in ADMITTED {
            self.on("KUBE-IPVS-FILTER", set, fields).str(" -j RETURN").end();
        }
        let bound = "KUBE-IPVS-FILTER -m conntrack --ctstate NEW";
        self.on(bound, Set::IpvsIps, "dst").str(" -j REJECT").end();
    }
}

#[cfg(test)]
mod tests {
    use generators::{Cluster, Family, Protocol, Service, TrafficPolicy};

    use super::*;
    use crate::ipvs_kube_proxy::desired::Node;

    fn saved(options: &Options, change: impl FnOnce(&mut generators::Extras)) -> String {
        let (name, vip) = ("ns/a".parse().unwrap(), "10.96.0.1".parse().unwrap());
        let service = Service::new(name, vip, 80, Protocol::Udp, Vec::new()).unwrap();
        let cluster = Cluster::new(vec![service.with(change).unwrap()]).unwrap();
        let node = Node::new(Family::V4, options, vec![[192, 0, 2, 9].into()]);
        saved_text(&Desired::of(&cluster, &node, options), options)
    }

    fn rules<'a>(saved: &'a str, chain: &str) -> Vec<&'a str> {
        let start = format!("-A {chain} ");
        saved.lines().filter_map(|line| line.strip_prefix(start.as_str())).collect()
    }

    #[test]
    fn source_ranges_are_looked_up_in_sets_and_a_closed_address_has_a_rule() {
        let saved = saved(&Options::default(), |extras| {
            extras.load_balancer_ips = vec![[203, 0, 113, 1].into()];
            extras.source_ranges = vec!["10.0.0.0/8".parse().unwrap()];
        });
        assert_eq!(
            rules(&saved, "KUBE-PROXY-FIREWALL"),
            [
                "-m comment --comment \"Kubernetes service load balancer ip + port for load balancer \
              with sourceRange\" -m set --match-set KUBE-LOAD-BALANCER-FW dst,dst \
              -j KUBE-SOURCE-RANGES-FIREWALL"
            ]
        );
        assert_eq!(
            rules(&saved, "KUBE-SOURCE-RANGES-FIREWALL"),
            [
                "-m comment --comment \"Kubernetes service load balancer ip + port + source cidr \
                 for packet filter purpose\" -m set --match-set KUBE-LOAD-BALANCER-SOURCE-CIDR \
                 dst,dst,src -j RETURN",
                "-j DROP",
            ]
        );
        let closed = "-s 203.0.113.1/32 -m ipvs --vproto 17 --vaddr 203.0.113.1 --vport 80 -j DROP";
        assert_eq!(rules(&saved, "KUBE-IPVS-OUT-FILTER"), [closed]);
    }

    #[test]
    fn external_ips_under_the_policy_local_are_not_masqueraded() {
        let with = |policy| {
            saved(&Options::default(), |extras| {
                extras.external_ips = vec![[198, 51, 100, 7].into()];
                (extras.node_port, extras.external_policy) = (Some(30_053), policy);
            })
        };
        let (cluster, local) = (with(TrafficPolicy::Cluster), with(TrafficPolicy::Local));
        let about = |saved: &str, set: &str| {
            let named = format!("--match-set {set} dst,dst");
            rules(saved, "KUBE-SERVICES").iter().filter(|rule| rule.contains(&named)).count()
        };
        assert_eq!(about(&cluster, "KUBE-EXTERNAL-IP"), 3);
        assert_eq!(about(&cluster, "KUBE-EXTERNAL-IP-LOCAL"), 0);
        assert_eq!(about(&local, "KUBE-EXTERNAL-IP"), 0);
        assert_eq!(about(&local, "KUBE-EXTERNAL-IP-LOCAL"), 2);
        let ports = rules(&local, "KUBE-NODE-PORT");
        assert!(ports[0].contains("KUBE-NODE-PORT-LOCAL-UDP dst -j RETURN"), "{ports:?}");
        assert!(ports[1].contains("KUBE-NODE-PORT-UDP dst -j KUBE-MARK-MASQ"), "{ports:?}");
    }

    #[test]
    fn what_is_masqueraded_follows_what_is_known_of_the_pod_network() {
        let rule = |options: &Options| {
            let saved = saved(options, |_| {});
            let marks = |rule: &&&str| rule.ends_with("-j KUBE-MARK-MASQ");
            let rules = rules(&saved, "KUBE-SERVICES");
            let rule = rules.iter().find(marks).expect("a rule that marks");
            rule.replace(Set::ClusterIp.comment(), "C")
        };
        let matches = "-m comment --comment \"C\" -m set --match-set KUBE-CLUSTER-IP";
        let known = Options::default();
        let marked =
            |source: &str, fields: &str| format!("{source}{matches} {fields} -j KUBE-MARK-MASQ");
        assert_eq!(rule(&known), marked("! -s 10.128.0.0/9 ", "dst,dst"));
        let unknown = Options { local_cidrs: Vec::new(), ..Options::default() };
        assert_eq!(rule(&unknown), marked("", "src,dst"));
        let all = Options { masquerade_all: true, ..Options::default() };
        assert_eq!(rule(&all), marked("", "dst,dst"));
    }
}

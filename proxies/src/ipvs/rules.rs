//! The iptables rules of one family around IPVS. Their number does not depend on the number of
//! Services: they match sets.
//!
//! `writeIptablesRules` in pkg/proxy/ipvs/proxier.go, Kubernetes 1.30, in the form that
//! `iptables-save` prints, so that what was loaded can be found again line by line. As upstream,
//! rules for empty sets are left out; chains that only load balancers, source ranges or health
//! checks would fill are left out too. Nothing here runs a tool.

use generators::{Cluster, Family, Service};
use ipnet::IpNet;

use super::sets::Set;
use crate::families::loopback;
use crate::iptables::dump::Dump;
use crate::options::Options;

/// What the rules of a Cluster depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ServiceKinds {
    external_ips: bool,
    /// By protocol, in the order of their declaration.
    node_ports: [bool; 3],
    /// The range of VIPs that is local as a whole.
    range: Option<IpNet>,
}

impl ServiceKinds {
    /// What the Services of a family need, of whose VIPs this range is local.
    pub fn of(family: Family, cluster: &Cluster, range: Option<IpNet>) -> Self {
        cluster.of_family(family).fold(Self { range, ..Self::default() }, Self::and)
    }

    fn and(mut self, service: &Service) -> Self {
        let extras = service.extras();
        self.external_ips |=
            !extras.external_ips.is_empty() || !extras.load_balancer_ips.is_empty();
        if extras.node_port.is_some()
            && let Some(node_ports) = self.node_ports.get_mut(service.protocol() as usize)
        {
            *node_ports = true;
        }
        self
    }
}

/// A table: its chains, the jumps to them, and their rules, as lines of a saved ruleset.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    chains: &'static [&'static str],
    /// Built-in chain, and the rest of the rule. Each goes to the front of its chain, in this
    /// order.
    jumps: &'static [(&'static str, &'static str)],
    rules: Vec<String>,
}

const NAT_CHAINS: &[&str] =
    &["KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-NODE-PORT", "KUBE-MARK-MASQ"];
const NAT_JUMPS: &[(&str, &str)] = &[
    ("OUTPUT", r#"-m comment --comment "kubernetes service portals" -j KUBE-SERVICES"#),
    ("PREROUTING", r#"-m comment --comment "kubernetes service portals" -j KUBE-SERVICES"#),
    ("POSTROUTING", r#"-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING"#),
];
const FILTER_CHAINS: &[&str] = &["KUBE-FORWARD", "KUBE-NODE-PORT", "KUBE-IPVS-FILTER"];
const FILTER_JUMPS: &[(&str, &str)] = &[
    ("FORWARD", r#"-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD"#),
    ("INPUT", r#"-m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT"#),
    ("INPUT", r#"-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER"#),
];

const LOOP_BACK: &str = "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose";
const CLUSTER_IP: &str = "Kubernetes service cluster ip + port for masquerade purpose";
const EXTERNAL_IP: &str = "Kubernetes service external ip + port for masquerade and filter purpose";
const NODE_PORT_TCP: &str = "Kubernetes nodeport TCP port for masquerade purpose";
const NODE_PORT_UDP: &str = "Kubernetes nodeport UDP port for masquerade purpose";
const NODE_PORT_SCTP: &str =
    r"Kubernetes nodeport SCTP port for masquerade purpose with type \'hash ip:port\'";

/// The tables of a family for these options and kinds of Services.
pub(super) fn tables(family: Family, options: &Options, kinds: ServiceKinds) -> [Table; 2] {
    let nat = nat_rules(family, options, kinds);
    let filter = filter_rules(family, kinds);
    [
        Table { name: "nat", chains: NAT_CHAINS, jumps: NAT_JUMPS, rules: nat },
        Table { name: "filter", chains: FILTER_CHAINS, jumps: FILTER_JUMPS, rules: filter },
    ]
}

/// A match of a set, with what it is for.
fn commented(family: Family, comment: &str, set: Set, fields: &str) -> String {
    let name = set.name(family);
    format!(r#"-m comment --comment "{comment}" -m set --match-set {name} {fields}"#)
}

fn nat_rules(family: Family, options: &Options, kinds: ServiceKinds) -> Vec<String> {
    let set = |comment, set, fields| commented(family, comment, set, fields);
    let loopback = loopback(family);
    let mut rules = vec![format!("-A KUBE-SERVICES -s {loopback} -j RETURN")];
    let hairpin = set(LOOP_BACK, Set::LoopBack, "dst,dst,src");
    rules.push(format!("-A KUBE-POSTROUTING {hairpin} -j MASQUERADE"));
    let node_ports = [
        ("tcp", NODE_PORT_TCP, Set::NodePortTcp, "dst"),
        ("udp", NODE_PORT_UDP, Set::NodePortUdp, "dst"),
        ("sctp", NODE_PORT_SCTP, Set::NodePortSctp, "dst,dst"),
    ];
    for ((protocol, comment, name, fields), used) in node_ports.into_iter().zip(kinds.node_ports) {
        if used {
            let matches = set(comment, name, fields);
            rules.push(format!("-A KUBE-NODE-PORT -p {protocol} {matches} -j KUBE-MARK-MASQ"));
        }
    }
    rules.push(cluster_ip_rule(family, options));
    if kinds.external_ips {
        let external = set(EXTERNAL_IP, Set::ExternalIp, "dst,dst");
        rules.push(format!("-A KUBE-SERVICES {external} -j KUBE-MARK-MASQ"));
        for origin in [
            "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL",
            "-m addrtype --dst-type LOCAL",
        ] {
            rules.push(format!("-A KUBE-SERVICES {external} {origin} -j ACCEPT"));
        }
    }
    rules.push("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT".to_owned());
    let cluster_ip = Set::ClusterIp.name(family);
    rules.push(format!("-A KUBE-SERVICES -m set --match-set {cluster_ip} dst,dst -j ACCEPT"));
    rules.extend(
        [
            "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
            "-A KUBE-POSTROUTING -m comment --comment \
             \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully",
            "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
        ]
        .map(str::to_owned),
    );
    rules
}

/// Marks VIP traffic for masquerading: all of it, that from outside the pod network, or, where that
/// is unknown, what has a VIP as its own source, which is how the node's own connections to its
/// VIPs begin.
fn cluster_ip_rule(family: Family, options: &Options) -> String {
    let (fields, source) = match (options.masquerade_all, options.local_cidr(family)) {
        (true, _) => ("dst,dst", String::new()),
        (false, Some(cidr)) => ("dst,dst", format!("! -s {} ", cidr.trunc())),
        (false, None) => ("src,dst", String::new()),
    };
    let matches = commented(family, CLUSTER_IP, Set::ClusterIp, fields);
    format!("-A KUBE-SERVICES {source}{matches} -j KUBE-MARK-MASQ")
}

fn filter_rules(family: Family, kinds: ServiceKinds) -> Vec<String> {
    let let_in = |set: Set| {
        let name = set.name(family);
        format!("-A KUBE-IPVS-FILTER -m set --match-set {name} dst,dst -j RETURN")
    };
    let mut rules = vec![
        r#"-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT"#.to_owned(),
        r#"-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"#.to_owned(),
        let_in(Set::ClusterIp),
    ];
    if kinds.external_ips {
        rules.push(let_in(Set::ExternalIp));
    }
    // Not upstream's, which binds addresses one by one: an address of the range that no Service has
    // is local too.
    let range = kinds.range.map(|range| format!("-d {range} -m conntrack --ctstate NEW"));
    let bound = Set::IpvsIps.name(family);
    let bound = format!("-m conntrack --ctstate NEW -m set --match-set {bound} dst");
    let protocol = match family {
        Family::V4 => "icmp",
        Family::V6 => "icmp6",
    };
    for matches in range.into_iter().chain([bound]) {
        let target = format!("-j REJECT --reject-with {protocol}-port-unreachable");
        rules.push(format!("-A KUBE-IPVS-FILTER {matches} {target}"));
    }
    rules
}

/// Input for `iptables-restore --noflush` that makes the chains as they should be, whatever they
/// hold, and adds the jumps that `saved` (of `iptables-save`) does not show.
pub(super) fn restore_text(tables: &[Table], saved: &Dump<'_>) -> String {
    text(tables, |table, text| {
        for (from, rule) in table.jumps {
            let there = saved.tables.get(table.name).and_then(|table| table.get(from));
            if there.is_none_or(|rules| !rules.contains(rule)) {
                text.extend(["-I ", from, " ", rule, "\n"]);
            }
        }
    })
}

/// What `iptables-save` prints of them: the jump made last is in front.
pub(super) fn saved_text(tables: &[Table]) -> String {
    text(tables, |table, text| {
        for (from, rule) in table.jumps.iter().rev() {
            text.extend([":", from, " ACCEPT [0:0]\n-A ", from, " ", rule, "\n"]);
        }
    })
}

fn text(tables: &[Table], write_jumps: impl Fn(&Table, &mut String)) -> String {
    let mut text = String::new();
    for table in tables {
        text.extend(["*", table.name, "\n"]);
        for chain in table.chains {
            text.extend([":", chain, " - [0:0]\n"]);
        }
        write_jumps(table, &mut text);
        for rule in &table.rules {
            text.extend([rule, "\n"]);
        }
        text.push_str("COMMIT\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Maker;
    use crate::differences::Differences;
    use crate::iptables::verify;
    use crate::ipvs::render::tests::{cluster, service};

    fn kinds() -> ServiceKinds {
        let service = service("a", "10.96.0.1", &[]).with(|extras| {
            extras.node_port = Some(30_080);
            extras.external_ips = vec![[198, 51, 100, 7].into()];
        });
        let range = "10.96.0.0/12".parse().ok();
        ServiceKinds::of(Family::V4, &cluster(vec![service.expect("a Service")]), range)
    }

    fn dump(saved: &str) -> Dump<'_> {
        Dump::parse(saved.as_bytes()).expect("well formed")
    }

    #[test]
    fn the_rules_are_those_of_kube_proxy() {
        let tables = tables(Family::V4, &Options::default(), kinds());
        insta::assert_snapshot!(restore_text(&tables, &Dump::default()), @r#"
        *nat
        :KUBE-SERVICES - [0:0]
        :KUBE-POSTROUTING - [0:0]
        :KUBE-NODE-PORT - [0:0]
        :KUBE-MARK-MASQ - [0:0]
        -I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        -I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        -I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
        -A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN
        -A KUBE-POSTROUTING -m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
        -A KUBE-NODE-PORT -p tcp -m comment --comment "Kubernetes nodeport TCP port for masquerade purpose" -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
        -A KUBE-SERVICES ! -s 10.128.0.0/9 -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
        -A KUBE-SERVICES -m comment --comment "Kubernetes service external ip + port for masquerade and filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst -j KUBE-MARK-MASQ
        -A KUBE-SERVICES -m comment --comment "Kubernetes service external ip + port for masquerade and filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT
        -A KUBE-SERVICES -m comment --comment "Kubernetes service external ip + port for masquerade and filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL -j ACCEPT
        -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
        -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
        -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
        -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
        -A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
        -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
        COMMIT
        *filter
        :KUBE-FORWARD - [0:0]
        :KUBE-NODE-PORT - [0:0]
        :KUBE-IPVS-FILTER - [0:0]
        -I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
        -I INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT
        -I INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
        -A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
        -A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
        -A KUBE-IPVS-FILTER -m set --match-set KUBE-EXTERNAL-IP dst,dst -j RETURN
        -A KUBE-IPVS-FILTER -d 10.96.0.0/12 -m conntrack --ctstate NEW -j REJECT --reject-with icmp-port-unreachable
        -A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT --reject-with icmp-port-unreachable
        COMMIT
        "#);
    }

    #[test]
    fn the_mark_rule_follows_what_is_known_of_the_pod_network() {
        let rule = |local_cidr: Option<IpNet>, masquerade_all| {
            let local_cidrs = local_cidr.into_iter().collect();
            let options = Options { local_cidrs, masquerade_all, ..Options::default() };
            let [nat, _] = tables(Family::V4, &options, ServiceKinds::default());
            let cluster_ip = |rule: &&String| rule.contains(CLUSTER_IP);
            nat.rules.iter().find(cluster_ip).expect("the rule").replace(CLUSTER_IP, "C")
        };
        let matches = "-m comment --comment \"C\" -m set --match-set KUBE-CLUSTER-IP";
        let cidr = "10.1.2.3/8".parse().ok();
        assert_eq!(
            rule(cidr, false),
            format!("-A KUBE-SERVICES ! -s 10.0.0.0/8 {matches} dst,dst -j KUBE-MARK-MASQ")
        );
        assert_eq!(
            rule(None, false),
            format!("-A KUBE-SERVICES {matches} src,dst -j KUBE-MARK-MASQ")
        );
        assert_eq!(
            rule(cidr, true),
            format!("-A KUBE-SERVICES {matches} dst,dst -j KUBE-MARK-MASQ")
        );
    }

    /// All that differs: names of sets, loopback, the pod network and how is rejected.
    #[test]
    fn the_rules_of_ipv6_are_the_same_with_its_own_names() {
        let of_ipv6 = ServiceKinds { range: "fd00:96::/108".parse().ok(), ..kinds() };
        let options =
            Options { local_cidrs: vec!["fd00:128::/48".parse().unwrap()], ..Options::default() };
        let found = saved_text(&tables(Family::V6, &options, of_ipv6));
        let mut expected = saved_text(&tables(Family::V4, &Options::default(), kinds()));
        for (four, six) in [
            ("--match-set KUBE-", "--match-set KUBE-6-"),
            ("127.0.0.0/8", "::1/128"),
            ("10.128.0.0/9", "fd00:128::/48"),
            ("10.96.0.0/12", "fd00:96::/108"),
            ("icmp-port", "icmp6-port"),
        ] {
            assert!(expected.contains(four), "{four}");
            expected = expected.replace(four, six);
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn jumps_that_are_there_are_not_added_again() {
        let tables = tables(Family::V4, &Options::default(), kinds());
        let first = restore_text(&tables, &Dump::default());
        assert_eq!(first.matches("-I ").count(), 6);
        let second = restore_text(&tables, &dump(&saved_text(&tables)));
        assert_eq!(second.matches("-I ").count(), 0);
    }

    #[test]
    fn a_missing_and_an_unexpected_rule_are_told() {
        let tables = tables(Family::V4, &Options::default(), kinds());
        let saved = saved_text(&tables);
        let differences = |found: &str| {
            let mut differences = Differences::default();
            verify::compare(&dump(&saved), &dump(found), Maker::Ours, &mut differences);
            differences.into_result().map_err(|error| error.to_string())
        };
        assert_eq!(differences(&saved), Ok(()));
        let damaged = saved.replace(
            "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
            "-A KUBE-MARK-MASQ -j RETURN\n:OTHERS - [0:0]\n-A OTHERS -j DROP",
        );
        let told = differences(&damaged).expect_err("a difference");
        let expected = "nat: rule 1 of KUBE-MARK-MASQ should be `-j MARK --set-xmark \
                        0x4000/0x4000`, is `-j RETURN`";
        assert!(told.contains("1 places") && told.contains(expected), "{told}");
    }
}

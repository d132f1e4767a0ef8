//! What `iptables-save` prints of a namespace that holds a Cluster: the expectation of `verify`.
//!
//! Written from the Cluster, not from the text of a sync, so that a mistake in one shows against
//! the other. Legacy and nft print rules alike (iptables 1.8.9): addresses with their prefix length
//! come first, `-p` before the matches, marks and probabilities as the kernel keeps them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use generators::{Cluster, Service};

use super::jumps::{CANARY, JUMPS};
use super::names::ServiceChains;
use crate::options::Options;

const FILTER_CHAINS: [&str; 7] = [
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FIREWALL",
    "KUBE-FORWARD",
    "KUBE-NODEPORTS",
    CANARY,
    "KUBE-PROXY-FIREWALL",
    "KUBE-SERVICES",
];

const NAT_CHAINS: [&str; 5] =
    ["KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", CANARY, "KUBE-SERVICES"];

const LOCALNET_FIREWALL: &str = "\
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 \
-m comment --comment \"block incoming localnet connections\" \
-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
";

const FORWARD_RULES: &str = "\
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" \
-m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" \
-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
";

const MASQUERADE_RULES: &str = "\
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" \
-j MASQUERADE --random-fully
";

const NODE_PORTS_COMMENT: &str = "-m comment --comment \
\"kubernetes service nodeports; NOTE: this must be the last rule in this chain\"";

const REJECT: &str = "-j REJECT --reject-with icmp-port-unreachable";

/// Everything this backend has in a namespace, as text in the format of `iptables-save`. Built-in
/// chains hold its own rules only; Endpoint rules always have their comments.
pub(super) fn text(options: &Options, cluster: &Cluster) -> String {
    let mut writer = Writer { options, text: String::new() };
    writer.mangle();
    writer.filter(cluster);
    writer.nat(cluster);
    writer.text
}

struct Writer<'a> {
    options: &'a Options,
    text: String,
}

/// Writes one line. A `String` takes whatever it is given.
macro_rules! line {
    ($writer:expr, $($args:tt)*) => {{
        let _ = writeln!($writer.text, $($args)*);
    }};
}

impl Writer<'_> {
    fn mangle(&mut self) {
        line!(self, "*mangle\n:{CANARY} - [0:0]\nCOMMIT");
    }

    fn filter(&mut self, cluster: &Cluster) {
        self.begin("filter", ["INPUT", "FORWARD", "OUTPUT"], &FILTER_CHAINS);
        if self.options.has_localhost_node_ports() {
            self.text.push_str(LOCALNET_FIREWALL);
        }
        self.text.push_str(FORWARD_RULES);
        for service in cluster.services().iter().filter(|service| service.endpoints().is_empty()) {
            self.rejects(service);
        }
        line!(self, "COMMIT");
    }

    fn nat(&mut self, cluster: &Cluster) {
        self.begin("nat", ["PREROUTING", "OUTPUT", "POSTROUTING"], &NAT_CHAINS);
        let with_endpoints = |service: &&Service| !service.endpoints().is_empty();
        for service in cluster.services().iter().filter(with_endpoints) {
            let chains = ServiceChains::all(service);
            for chain in chains.written() {
                line!(self, ":{chain} - [0:0]");
            }
            self.entrances(&chains);
            self.service_chains(&chains);
        }
        self.text.push_str(MASQUERADE_RULES);
        self.node_port_jumps();
        line!(self, "COMMIT");
    }

    /// The table, its chains, and the jumps: the one made last is in front.
    fn begin(&mut self, table: &str, built_in: [&str; 3], chains: &[&str]) {
        line!(self, "*{table}");
        for chain in built_in {
            line!(self, ":{chain} ACCEPT [0:0]");
        }
        for chain in chains {
            line!(self, ":{chain} - [0:0]");
        }
        for jump in JUMPS.iter().rev().filter(|jump| jump.table == table) {
            line!(self, "-A {} {}", jump.from, jump.rule());
        }
    }

    fn rejects(&mut self, service: &Service) {
        let (name, protocol, port) = (service.name(), service.protocol(), service.port());
        let vip = std::iter::once(("KUBE-SERVICES", service.vip()));
        let external = service.external_ips().iter().map(|ip| ("KUBE-EXTERNAL-SERVICES", *ip));
        for (chain, address) in vip.chain(external) {
            let matches = destination(service, Some(address), port, " has no endpoints");
            line!(self, "-A {chain} {matches} {REJECT}");
        }
        if let Some(node_port) = service.node_port() {
            line!(
                self,
                "-A KUBE-EXTERNAL-SERVICES -p {protocol} -m comment --comment \
                 \"{name} has no endpoints\" -m addrtype --dst-type LOCAL \
                 -m {protocol} --dport {node_port} {REJECT}"
            );
        }
    }

    fn entrances(&mut self, chains: &ServiceChains<'_>) {
        let (service, port) = (chains.service, chains.service.port());
        let (own, external) = (chains.hash.chain("KUBE-SVC-"), chains.hash.chain("KUBE-EXT-"));
        let matches = destination(service, Some(service.vip()), port, " cluster IP");
        line!(self, "-A KUBE-SERVICES {matches} -j {own}");
        for &address in service.external_ips() {
            let matches = destination(service, Some(address), port, " external IP");
            line!(self, "-A KUBE-SERVICES {matches} -j {external}");
        }
        if let Some(node_port) = service.node_port() {
            let matches = destination(service, None, node_port, "");
            line!(self, "-A KUBE-NODEPORTS {matches} -j {external}");
        }
    }

    fn service_chains(&mut self, chains: &ServiceChains<'_>) {
        let service = chains.service;
        let (name, protocol) = (service.name(), service.protocol());
        let (own, external) = (chains.hash.chain("KUBE-SVC-"), chains.hash.chain("KUBE-EXT-"));
        if let Some(from) = self.masqueraded_sources() {
            let matches = destination(service, Some(service.vip()), service.port(), " cluster IP");
            line!(self, "-A {own} {from}{matches} -j KUBE-MARK-MASQ");
        }
        if chains.has_external_chain() {
            line!(
                self,
                "-A {external} -m comment --comment \
                 \"masquerade traffic for {name} external destinations\" -j KUBE-MARK-MASQ\n\
                 -A {external} -j {own}"
            );
        }
        let hashes = chains.endpoints.as_deref().unwrap_or_default();
        for (at, (endpoint, hash)) in service.endpoints().iter().zip(hashes).enumerate() {
            let chain = hash.chain("KUBE-SEP-");
            let share = share(hashes.len() - at);
            line!(self, "-A {own} -m comment --comment \"{name} -> {endpoint}\" {share}-j {chain}");
            line!(
                self,
                "-A {chain} -s {}/32 -m comment --comment \"{name}\" -j KUBE-MARK-MASQ\n\
                 -A {chain} -p {protocol} -m comment --comment \"{name}\" -m {protocol} \
                 -j DNAT --to-destination {endpoint}",
                endpoint.address
            );
        }
    }

    /// The match on the source of VIP traffic that is masqueraded; nothing if none is.
    fn masqueraded_sources(&self) -> Option<String> {
        if self.options.masquerade_all {
            return Some(String::new());
        }
        Some(format!("! -s {} ", self.options.local_cidr?.trunc()))
    }

    fn node_port_jumps(&mut self) {
        let addresses = &self.options.node_addresses;
        if addresses.is_empty() {
            line!(
                self,
                "-A KUBE-SERVICES {NODE_PORTS_COMMENT} -m addrtype --dst-type LOCAL \
                 -j KUBE-NODEPORTS"
            );
        }
        for address in addresses {
            line!(self, "-A KUBE-SERVICES -d {address}/32 {NODE_PORTS_COMMENT} -j KUBE-NODEPORTS");
        }
    }
}

/// The match on where a packet goes, with the name of the Service and more as its comment.
fn destination(service: &Service, to: Option<Ipv4Addr>, port: u16, comment: &str) -> String {
    let (name, protocol) = (service.name(), service.protocol());
    let to = to.map(|address| format!("-d {address}/32 ")).unwrap_or_default();
    let comment = format!("-m comment --comment \"{name}{comment}\"");
    format!("{to}-p {protocol} {comment} -m {protocol} --dport {port}")
}

/// The share of the first of `left` Endpoints. The kernel keeps it in 31 bits and `iptables-save`
/// prints 11 decimals (`extensions/libxt_statistic.c`, iptables 1.8.9).
fn share(left: usize) -> String {
    const ONE: f64 = 2_147_483_648.0;
    if left <= 1 {
        return String::new();
    }
    // The rule was written with ten decimals; rounding is of what was written.
    let written = (1e10 / left as f64).round() / 1e10;
    let kept = (written * ONE).round() / ONE;
    format!("-m statistic --mode random --probability {kept:.11} ")
}

#[cfg(test)]
mod tests {
    use generators::Ipv4Net;

    use super::*;
    use crate::golden;

    #[test]
    fn the_expectation_is_what_iptables_save_is_known_to_print() {
        let options = Options { local_cidr: Some(golden::LOCAL_CIDR), ..Options::default() };
        let text = text(&options, &golden::overall());
        let mut table = "";
        let mut rules = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if line.starts_with("-A ") {
                rules.push(format!("{table} {line}\n"));
            }
        }
        rules.sort_unstable();
        assert_eq!(rules.concat(), golden::OVERALL_SAVED);
    }

    #[test]
    fn the_pod_network_is_printed_without_host_bits() {
        for (address, prefix, printed) in
            [([10, 140, 1, 2], 9, "10.128.0.0/9"), ([10, 1, 2, 3], 32, "10.1.2.3/32")]
        {
            let local_cidr = Ipv4Net::new(address.into(), prefix).ok();
            let options = Options { local_cidr, ..Options::default() };
            let writer = Writer { options: &options, text: String::new() };
            assert_eq!(writer.masqueraded_sources(), Some(format!("! -s {printed} ")));
        }
    }

    #[test]
    fn shares_are_printed_as_the_kernel_keeps_them() {
        for (left, kept) in [
            (2, "0.50000000000"),
            (3, "0.33333333349"),
            (5, "0.20000000019"),
            (6, "0.16666666651"),
            (7, "0.14285714272"),
            (9, "0.11111111101"),
            (10, "0.10000000009"),
        ] {
            assert_eq!(share(left), format!("-m statistic --mode random --probability {kept} "));
        }
        assert_eq!(share(1), "");
    }
}

//! What the tools list of a namespace that was synced, by place, in the words of
//! `tests/kube-proxy/README.md`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use generators::{Cluster, Family, Protocol};

use super::desired::{Desired, Node, VirtualServer};
use super::sets::Set;
use super::{rules, verify};
use crate::iptables::dump::Dump;
use crate::ipvs::setup::{CONNTRACK, SYSCTLS};
use crate::options::Options;

/// The lines of each place.
type Blocks = BTreeMap<String, Vec<String>>;

/// What is listed.
#[derive(Clone, Copy)]
pub(crate) enum Listing {
    /// `ipvsadm -S -n`
    Servers,
    /// `ipset save`
    Sets,
    /// `iptables-save` or `ip6tables-save`
    Chains,
    /// `ip addr show dev kube-ipvs0`
    Addresses,
    /// The kernel parameters that are set.
    Sysctls,
}

/// What is listed of a Cluster on a node that has the addresses of the options.
pub(crate) fn of(family: Family, cluster: &Cluster, options: &Options, what: Listing) -> Blocks {
    let own: Vec<IpAddr> = options.node_addresses(family).collect();
    let desired = Desired::of(cluster, &Node::new(family, options, own), options);
    match what {
        Listing::Servers => servers(&desired),
        Listing::Sets => sets(&desired),
        Listing::Chains => chains(&desired, options),
        Listing::Addresses => addresses(&desired),
        Listing::Sysctls => sysctls(),
    }
}

fn servers(desired: &Desired) -> Blocks {
    let place = |VirtualServer { key, settings, .. }: &VirtualServer| {
        let protocol = match key.protocol {
            Protocol::Tcp => "-t",
            Protocol::Udp => "-u",
            Protocol::Sctp => "--sctp-service",
        };
        let persistence = match settings.timeout_s {
            0 => String::new(),
            seconds => format!(" -p {seconds}"),
        };
        let at = SocketAddr::new(key.address, key.port);
        format!("{protocol} {at} -s {}{persistence}", settings.scheduler)
    };
    let reals = |server: &VirtualServer| {
        let lines = server.reals.iter();
        lines.map(|real| format!("-r {} -m -w {}", real.socket(), real.weight)).collect()
    };
    desired.servers.iter().map(|server| (place(server), reals(server))).collect()
}

fn sets(desired: &Desired) -> Blocks {
    let mut blocks = Blocks::new();
    for set in Set::ALL {
        let (name, properties) = (set.name(desired.family), set.properties(desired.family));
        let by_kernel = if properties.starts_with("hash") { " bucketsize 12" } else { "" };
        blocks.insert(format!("set {name}"), vec![format!("{properties}{by_kernel}")]);
        let entries = desired.entries.of(set).iter();
        let entries = entries.map(|entry| verify::listed(entry).to_owned());
        blocks.insert(format!("members {name}"), entries.collect());
    }
    blocks
}

fn chains(desired: &Desired, options: &Options) -> Blocks {
    let saved = rules::saved_text(desired, options);
    let mut blocks = Blocks::new();
    for (table, chains) in Dump::parse(saved.as_bytes()).expect("well formed").tables {
        for (chain, rules) in chains {
            let rules = rules.into_iter().map(str::to_owned).collect();
            blocks.insert(format!("{table} {chain}"), rules);
        }
    }
    blocks
}

fn addresses(desired: &Desired) -> Blocks {
    let length = desired.family.address_bits();
    let bound = desired.entries.of(Set::IpvsIps).iter();
    let bound = bound.map(|address| format!("{address}/{length}"));
    Blocks::from([("kube-ipvs0".into(), bound.collect())])
}

fn sysctls() -> Blocks {
    let set = std::iter::once(CONNTRACK).chain(SYSCTLS);
    let set = set.map(|(name, value)| format!("{} 0 -> {value}", name.replace('.', "/")));
    Blocks::from([("sysctls".into(), set.collect())])
}

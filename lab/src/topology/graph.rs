//! A topology as plain data: hosts, the links and tunnels between them, and who owns which prefix.
//!
//! [`Graph::validate`] finds every mistake before anything touches the kernel; [`Topology`] makes
//! namespaces of it.
//!
//! [`Topology`]: super::Topology

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use linux::netlink::host::check_prefix;
use linux::netlink::link::{Mac, check_interface};

use super::error::TopologyError;

/// Set in every host before it has a link. Saved TCP metrics would make a connection depend on
/// those before it.
const COMMON: [(&str, &str); 6] = [
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.ip_local_port_range", "1024 65535"),
    ("net.ipv4.tcp_no_metrics_save", "1"),
];
/// Set where the kernel has IPv6: it would send router solicitations and probes for duplicate
/// addresses at times of its own. Every device of a host has it disabled, and the host itself has
/// not: by `all` programs tell whether a node has IPv6, and then serve it as well
/// (`platformCheckSupported` in cmd/kube-proxy/app/server_linux.go, Kubernetes 1.36).
const WITHOUT_IPV6: &[(&str, &str)] = &[
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
    ("net.ipv6.conf.lo.disable_ipv6", "1"),
];
/// The same for a host that speaks IPv6. Addresses that a host owns by a route of type local can
/// be dialled from only by `ip_nonlocal_bind` (`__inet6_bind`, `net/ipv6/af_inet6.c`, Linux 6.1).
/// Multicast groups are reported after a random part of the interval (`mld_ifc_start_work`,
/// `net/ipv6/mcast.c`, Linux 6.1): within a day, and so not during a measurement. Without
/// `accept_redirects` no host learns a route: a node that sends a packet back to where it came from
/// tells the sender of a shorter way.
const WITH_IPV6: &[(&str, &str)] = &[
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.mldv1_unsolicited_report_interval", "86400000"),
    ("net.ipv6.conf.default.mldv2_unsolicited_report_interval", "86400000"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
    ("net.ipv6.ip_nonlocal_bind", "1"),
];

/// Who dials.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Source {
    /// A machine outside of the cluster, one link away from the node.
    Outside,
    /// A pod of the node.
    Pod,
    /// The node itself.
    Node,
    /// A pod of another node.
    OtherNodePod,
    /// A pod that is an Endpoint.
    Endpoint,
}

/// Hosts and what joins them. Order counts: hosts and links are made in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Its name, for errors.
    pub name: &'static str,
    /// The hosts. Everything else names a host by its position here.
    pub hosts: Vec<Host>,
    /// What joins them.
    pub links: Vec<Link>,
    /// The host that a proxy programs.
    pub node: usize,
    /// Hosts with Endpoints, and addresses that answer there: as often as a host has prefixes.
    pub endpoints: Vec<(usize, IpNet)>,
    /// Hosts to dial from.
    pub sources: Vec<(Source, usize)>,
}

/// A network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name, unlike that of any other host.
    pub name: String,
    /// Under which name its kernel parameters are recorded: hosts that are alike share it.
    pub kind: &'static str,
    /// Kernel parameters of its own, beside those of every host.
    pub sysctls: Vec<(&'static str, &'static str)>,
    /// Whether it speaks IPv6.
    pub ipv6: bool,
    /// Whether it is on another node, or is one.
    pub is_remote: bool,
}

impl Host {
    /// Kernel parameters that it must have, name and value.
    pub(super) fn required(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        COMMON.iter().chain(&self.sysctls).copied()
    }

    /// Kernel parameters that are set where the kernel has IPv6.
    pub(super) fn optional(&self) -> &'static [(&'static str, &'static str)] {
        if self.ipv6 { WITH_IPV6 } else { WITHOUT_IPV6 }
    }

    /// All of them by `KIND.PARAMETER`, for the record of the environment.
    pub(super) fn intended_sysctls(&self) -> BTreeMap<String, String> {
        let all = self.required().chain(self.optional().iter().copied());
        all.map(|(name, value)| (format!("{}.{name}", self.kind), value.to_owned())).collect()
    }
}

/// Two interfaces that carry each other's packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What carries them.
    pub medium: Medium,
    /// Both interfaces. A veth pair is made in the namespace of the first.
    pub ends: [End; 2],
}

/// What carries the packets of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A veth pair.
    Veth {
        /// Hardware addresses of the ends.
        macs: [Mac; 2],
        /// Longest packet that either sends, bytes; nothing: the driver's 1500.
        mtu_bytes: Option<u32>,
    },
    /// An IPIP tunnel: IPv4 packets in IPv4 packets. It needs the module `ipip`.
    Ipip {
        /// The addresses that the ends send from, each its host's own.
        outer: [Ipv4Addr; 2],
    },
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Position of its host.
    pub host: usize,
    /// Name of the interface, 1 to 15 bytes, one of its kind in the host.
    pub name: String,
    /// Index of the interface, from 2 on, one of its kind in the host.
    pub index: u32,
    /// Its addresses, each in a network with one of the other end.
    pub addresses: Vec<IpNet>,
    /// Prefixes whose every address is its host's. The other end gets a route to them.
    pub owns: Vec<IpNet>,
    /// Further prefixes that its host sends to the other end.
    pub reaches: Vec<IpNet>,
}

impl End {
    /// Its address of the same family as `prefix`.
    pub(super) fn address_for(&self, prefix: &IpNet) -> Option<IpAddr> {
        let alike = |address: &&IpNet| address.addr().is_ipv4() == prefix.addr().is_ipv4();
        self.addresses.iter().find(alike).map(IpNet::addr)
    }
}

impl Link {
    /// The end on one side (0 or 1) and the other.
    pub(super) fn seen_from(&self, side: usize) -> [&End; 2] {
        let [first, second] = &self.ends;
        if side == 0 { [first, second] } else { [second, first] }
    }

    /// What the host on one side sends into this link.
    pub(super) fn sent_from(&self, side: usize) -> impl Iterator<Item = IpNet> {
        let [own, other] = self.seen_from(side);
        other.owns.iter().chain(&own.reaches).copied()
    }
}

impl Graph {
    /// Finds every mistake before anything touches the kernel.
    ///
    /// # Errors
    /// [`TopologyError::Graph`] with the first, and what would be right.
    pub fn validate(&self) -> Result<(), TopologyError> {
        self.check_hosts()
            .and_then(|()| self.links.iter().try_for_each(|link| self.check_link(link)))
            .and_then(|()| self.check_owners())
            .map_err(|reason| TopologyError::Graph { name: self.name, reason })
    }

    /// Every interface of a host, as link and side.
    pub(super) fn sides_of(&self, host: usize) -> impl Iterator<Item = (&Link, usize)> {
        let sides = self.links.iter().flat_map(|link| [(link, 0), (link, 1)]);
        sides.filter(move |(link, side)| link.ends[*side].host == host)
    }

    fn check_hosts(&self) -> Result<(), String> {
        for (at, host) in self.hosts.iter().enumerate() {
            if self.hosts.iter().skip(at + 1).any(|other| other.name == host.name) {
                return Err(format!("two hosts are called `{}`", host.name));
            }
        }
        let ends = self.links.iter().flat_map(|link| &link.ends).map(|end| end.host);
        let endpoints = self.endpoints.iter().map(|(host, _)| *host);
        let sources = self.sources.iter().map(|(_, host)| *host);
        let mut named = ends.chain(endpoints).chain(sources).chain([self.node]);
        match named.find(|host| *host >= self.hosts.len()) {
            Some(host) => Err(format!("there is no host {host}; count from 0")),
            None => Ok(()),
        }
    }

    fn check_link(&self, link: &Link) -> Result<(), String> {
        for side in [0, 1] {
            let [own, other] = link.seen_from(side);
            let host = &self.hosts[own.host];
            let checked = check_end(link, side)
                .and_then(|()| check_interface(&own.name, own.index))
                .and_then(|()| {
                    own.owns.iter().chain(&own.reaches).copied().try_for_each(check_prefix)
                });
            checked.map_err(|reason| format!("{}, link `{}`: {reason}", host.name, own.name))?;
            if own.host == other.host {
                return Err(format!("`{}` is linked to itself", host.name));
            }
            let alike = |(link, side): &(&Link, usize)| {
                let end = &link.ends[*side];
                end.name == own.name || end.index == own.index
            };
            if self.sides_of(own.host).filter(alike).count() > 1 {
                return Err(format!(
                    "{}: two interfaces are `{}` or have index {}",
                    host.name, own.name, own.index
                ));
            }
            let prefixes = || own.addresses.iter().chain(&own.owns).chain(&own.reaches);
            if !host.ipv6 && prefixes().any(|prefix| prefix.addr().is_ipv6()) {
                return Err(format!("{} has IPv6 addresses and `ipv6` off", host.name));
            }
        }
        Ok(())
    }

    /// No address belongs to two hosts, and what Endpoints answer at, and what a tunnel sends from,
    /// belongs to their own.
    fn check_owners(&self) -> Result<(), String> {
        let ends = self.links.iter().flat_map(|link| &link.ends);
        let of_end = |end: &End| -> Vec<(usize, IpNet)> {
            let addresses = end.addresses.iter().map(|address| address.addr().into());
            end.owns.iter().copied().chain(addresses).map(|prefix| (end.host, prefix)).collect()
        };
        let owned: Vec<(usize, IpNet)> = ends.flat_map(of_end).collect();
        let name = |host: usize| &self.hosts[host].name;
        for (at, (host, prefix)) in owned.iter().enumerate() {
            let overlaps = |other: &IpNet| prefix.contains(other) || other.contains(prefix);
            let mut rest = owned.iter().skip(at + 1);
            if let Some((owner, other)) =
                rest.find(|(owner, other)| owner != host && overlaps(other))
            {
                let [first, second] = [*host, *owner].map(name);
                return Err(format!("{first} has {prefix}, and {second} {other}; keep them apart"));
            }
        }
        let endpoints = self.endpoints.iter().copied();
        let outer = self.links.iter().flat_map(|link| {
            let outer =
                if let Medium::Ipip { outer } = link.medium { outer.to_vec() } else { Vec::new() };
            link.ends
                .iter()
                .zip(outer)
                .map(|(end, address)| (end.host, IpAddr::from(address).into()))
        });
        let is_owned = |(host, used): &(usize, IpNet)| {
            owned.iter().any(|(owner, own)| owner == host && own.contains(used))
        };
        match endpoints.chain(outer).find(|used| !is_owned(used)) {
            Some((host, used)) => Err(format!("{} does not own {used}", name(host))),
            None => Ok(()),
        }
    }
}

fn check_end(link: &Link, side: usize) -> Result<(), String> {
    let [own, other] = link.seen_from(side);
    for address in &own.addresses {
        let joined = |other: &IpNet| other.trunc() == address.trunc() && other != address;
        if !other.addresses.iter().any(joined) {
            return Err(format!("no address at the other end is in the network of {address}"));
        }
    }
    match link.medium {
        Medium::Veth { macs, .. } => {
            macs[side].check()?;
            match link.sent_from(side).find(|prefix| other.address_for(prefix).is_none()) {
                Some(prefix) => Err(format!("the other end has no address to send {prefix} to")),
                None => Ok(()),
            }
        }
        Medium::Ipip { .. } => {
            let mut carried = own.addresses.iter().copied().chain(link.sent_from(side));
            match carried.find(|prefix| prefix.addr().is_ipv6()) {
                Some(prefix) => Err(format!("an IPIP tunnel cannot carry {prefix}")),
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::star::tests::spec;
    use super::*;

    fn fault(change: impl FnOnce(&mut Graph)) -> String {
        let mut graph = spec().graph().unwrap();
        change(&mut graph);
        graph.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_mistake_is_named() {
        let tunnel = || Medium::Ipip { outer: [Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST] };
        for (text, expected) in [
            (fault(|graph| graph.hosts[2].name = "node".into()), "two hosts are called `node`"),
            (fault(|graph| graph.node = 9), "no host 9"),
            (fault(|graph| graph.links[0].ends[0].host = 0), "`client` is linked to itself"),
            (fault(|graph| graph.links[1].ends[0].index = 32), "or have index 32"),
            (fault(|graph| graph.links[0].ends[0].index = 1), "take 2 or more"),
            (
                fault(|graph| graph.links[0].ends[0].addresses.clear()),
                "no address at the other end",
            ),
            (
                fault(|graph| graph.links[0].ends[1].reaches = vec!["fd00::/8".parse().unwrap()]),
                "no address to send",
            ),
            (
                fault(|graph| graph.links[0].ends[0].reaches = vec!["10.0.0.1/8".parse().unwrap()]),
                "write 10.0.0.0/8",
            ),
            (
                fault(|graph| graph.links[0].ends[1].owns = vec!["10.128.0.0/16".parse().unwrap()]),
                "keep them apart",
            ),
            (fault(|graph| graph.links[2].ends[1].owns.clear()), "does not own 10.192.0.0/10"),
            (fault(|graph| graph.links[0].medium = tunnel()), "node does not own 127.0.0.1"),
        ] {
            assert!(text.starts_with("topology `star`: ") && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_host_without_ipv6_has_no_ipv6_address() {
        let text = fault(|graph| {
            for (end, address) in graph.links[0].ends.iter_mut().zip(["fd00::1/126", "fd00::2/126"])
            {
                end.addresses.push(address.parse().unwrap());
            }
        });
        assert!(text.contains("has IPv6 addresses and `ipv6` off"), "{text}");
    }
}

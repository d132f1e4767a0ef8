//! The star: a client, a node and endpoint hosts, each joined to the node by a veth pair.
//!
//! ```text
//! client (owns the client prefix) --veth-- node (forwards)
//! node --veth-- endpoint host 0 (owns slice 0 of the endpoint prefix)
//! node --veth-- endpoint host 1 ...
//! ```

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use linux::netlink::link::Mac;

use super::error::TopologyError;
use super::graph::{End, Graph, Host, Link, Medium, Source};

/// Most endpoint hosts of a lab. A real node has one an endpoint; beyond two they differ only in
/// address.
const ENDPOINT_HOSTS_MAX: usize = 64;
/// Position of the node among the hosts.
const NODE: usize = 1;
const NAME: &str = "star";
/// Point-to-point prefix: two hosts, network and broadcast address.
const LINK_PREFIX_LEN: u8 = 30;
/// Index of the only veth of client and endpoint hosts; the node's come one a link from here on.
/// Above those of the fallback devices that tunnel modules make in every namespace (`tunl0`;
/// `net/ipv4/ip_tunnel.c`, Linux 6.1).
const FIRST_INDEX: u32 = 32;
/// What a star sets in its hosts, by `HOST.PARAMETER`, for the record of the environment.
/// Parameters of IPv6 are set where the kernel has it; [`Topology::sysctls`] tells what one kernel
/// then showed.
///
/// [`Topology::sysctls`]: super::Topology::sysctls
pub fn intended_sysctls() -> BTreeMap<String, String> {
    hosts(1, false).iter().flat_map(Host::intended_sysctls).collect()
}

/// Client, node and endpoint hosts.
fn hosts(endpoint_hosts: usize, node_has_ipv6: bool) -> Vec<Host> {
    let host = |name: &str, kind, sysctls: &[_]| Host {
        name: name.to_owned(),
        kind,
        sysctls: sysctls.to_vec(),
        ipv6: false,
        is_remote: false,
    };
    // The accept queue's limit: `listen` silently cuts its backlog to it.
    let endpoint_host = |number| {
        host(&format!("endpoints{number}"), "endpoints", &[("net.core.somaxconn", "65535")])
    };
    let node = host("node", "node", &[("net.ipv4.ip_forward", "1")]);
    let first = [host("client", "client", &[]), Host { ipv6: node_has_ipv6, ..node }];
    first.into_iter().chain((0..endpoint_hosts).map(endpoint_host)).collect()
}

/// Addresses of a star.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Star {
    /// Addresses that the client owns and dials from.
    pub clients: Ipv4Net,
    /// VIPs: the client and the endpoint hosts send these to the node.
    pub services: Ipv4Net,
    /// Addresses of all Endpoints, cut into equal slices, one an endpoint host.
    pub endpoints: Ipv4Net,
    /// Addresses of the links themselves, one /30 a host.
    pub links: Ipv4Net,
    /// How many namespaces share the Endpoints: a power of two, at most 64. Two
    /// let one Endpoint dial another through the node; those of one host reach each other without
    /// it.
    pub endpoint_hosts: usize,
    /// Whether devices of the node, such as one that holds VIPs, can have addresses of IPv6. None
    /// is dialled.
    pub node_has_ipv6: bool,
}

impl Star {
    /// Finds every mistake before anything touches the kernel.
    ///
    /// # Errors
    /// [`TopologyError::Graph`]: overlapping or ill-formed prefixes, a number of hosts that is no
    /// power of two, prefixes too small for the hosts.
    pub fn validate(&self) -> Result<(), TopologyError> {
        let wrong = |reason: String| Err(TopologyError::Graph { name: NAME, reason });
        let prefixes = [
            ("clients", self.clients),
            ("services", self.services),
            ("endpoints", self.endpoints),
            ("links", self.links),
        ];
        for (at, (name, prefix)) in prefixes.into_iter().enumerate() {
            if let Some(reason) = prefix_fault(prefix) {
                return wrong(format!("{name} {prefix}: {reason}"));
            }
            for (other_name, other) in prefixes.into_iter().skip(at + 1) {
                if prefix.contains(&other) || other.contains(&prefix) {
                    return wrong(format!(
                        "{name} {prefix} and {other_name} {other} overlap; keep them apart"
                    ));
                }
            }
        }
        if !self.endpoint_hosts.is_power_of_two() || self.endpoint_hosts > ENDPOINT_HOSTS_MAX {
            return wrong(format!(
                "{} endpoint hosts; take a power of two up to {ENDPOINT_HOSTS_MAX}",
                self.endpoint_hosts
            ));
        }
        if self.slice_prefix_len() > LINK_PREFIX_LEN {
            return wrong(format!(
                "endpoints {} is too small for {} hosts; take a shorter prefix",
                self.endpoints, self.endpoint_hosts
            ));
        }
        if self.link_networks().count() <= self.endpoint_hosts {
            return wrong(format!(
                "links {} has no /{LINK_PREFIX_LEN} for each of {} hosts; take a shorter prefix",
                self.links,
                self.endpoint_hosts + 1
            ));
        }
        Ok(())
    }

    /// The graph: client, node and endpoint hosts, in this order.
    ///
    /// # Errors
    /// As for [`Star::validate`].
    pub fn graph(&self) -> Result<Graph, TopologyError> {
        self.validate()?;
        let hosts = hosts(self.endpoint_hosts, self.node_has_ipv6);
        let endpoints: Vec<_> = (NODE + 1..).zip(self.slices()).collect();
        let client = (0, self.clients, vec![self.services.into(), self.endpoints.into()]);
        let all = || vec![Ipv4Net::default().into()];
        let leaves =
            [client].into_iter().chain(endpoints.iter().map(|&(host, owns)| (host, owns, all())));
        let link = |((host, owns, reaches), (number, network))| {
            let [node, leaf] = link_ends(&hosts, host, number, network);
            let leaf = End { owns: vec![IpNet::from(owns)], reaches, ..leaf };
            // 02: locally administered, unicast (IEEE 802).
            let macs = [1, 2].map(|side| Mac([0x02, 0, 0, 0, number, side]));
            Link { medium: Medium::Veth { macs, mtu_bytes: None }, ends: [node, leaf] }
        };
        let links = leaves.zip((0..).zip(self.link_networks())).map(link).collect();
        let sources = vec![(Source::Outside, 0)];
        let endpoints = endpoints.into_iter().map(|(host, slice)| (host, slice.into())).collect();
        Ok(Graph { name: NAME, hosts, links, node: NODE, endpoints, sources })
    }

    /// Endpoint hosts halve the prefix as often as their number is divisible by two.
    fn slice_prefix_len(&self) -> u8 {
        let halvings = u8::try_from(self.endpoint_hosts.trailing_zeros()).unwrap_or(u8::MAX);
        self.endpoints.prefix_len().saturating_add(halvings)
    }

    fn slices(&self) -> impl Iterator<Item = Ipv4Net> {
        self.endpoints
            .subnets(self.slice_prefix_len())
            .into_iter()
            .flatten()
            .take(self.endpoint_hosts)
    }

    fn link_networks(&self) -> impl Iterator<Item = Ipv4Net> {
        self.links.subnets(LINK_PREFIX_LEN).into_iter().flatten().take(ENDPOINT_HOSTS_MAX + 1)
    }
}

/// `None` for a prefix that hosts can own.
fn prefix_fault(prefix: Ipv4Net) -> Option<String> {
    let (first, last) = (prefix.network(), prefix.broadcast());
    if prefix != prefix.trunc() {
        return Some(format!("has address bits beyond its length; write {}", prefix.trunc()));
    }
    if prefix.prefix_len() == 0 || prefix.prefix_len() > LINK_PREFIX_LEN {
        return Some(format!("its length must be 1 to {LINK_PREFIX_LEN}"));
    }
    // First byte 0 is "this network", 127 loopback, 224 and above multicast and reserved.
    let loopback = Ipv4Addr::LOCALHOST.octets()[0];
    let [first, last] = [first, last].map(|address| address.octets()[0]);
    if first == 0 || (first..=last).contains(&loopback) || last >= 224 {
        return Some("no host can own these addresses; take unicast ones".to_owned());
    }
    None
}

/// A host's link to the node: the node's end, and its own.
fn link_ends(hosts: &[Host], host: usize, number: u8, network: Ipv4Net) -> [End; 2] {
    // Each end is named after the other.
    [(NODE, host, 1), (host, NODE, 2)].map(|(at, other, offset)| {
        let address = Ipv4Addr::from(u32::from(network.network()) | offset);
        End {
            host: at,
            name: hosts[other].name.clone(),
            index: FIRST_INDEX + if at == NODE { number.into() } else { 0 },
            // The prefix length was valid a moment ago.
            addresses: vec![Ipv4Net::new(address, network.prefix_len()).unwrap_or(network).into()],
            owns: Vec::new(),
            reaches: Vec::new(),
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn spec() -> Star {
        Star {
            clients: "172.16.0.0/12".parse().unwrap(),
            services: "10.96.0.0/12".parse().unwrap(),
            endpoints: "10.128.0.0/9".parse().unwrap(),
            links: "198.18.0.0/24".parse().unwrap(),
            endpoint_hosts: 2,
            node_has_ipv6: false,
        }
    }

    fn fault(change: impl FnOnce(&mut Star)) -> String {
        let mut spec = spec();
        change(&mut spec);
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn endpoint_hosts_share_the_prefix_in_equal_slices() {
        let slices: Vec<String> = spec().slices().map(|slice| slice.to_string()).collect();
        assert_eq!(slices, ["10.128.0.0/10", "10.192.0.0/10"]);
        let one = Star { endpoint_hosts: 1, ..spec() };
        assert_eq!(one.slices().collect::<Vec<_>>(), [one.endpoints]);
    }

    #[test]
    fn links_are_numbered_and_addressed_in_order() {
        let graph = spec().graph().unwrap();
        graph.validate().unwrap();
        let Link { medium: Medium::Veth { macs, .. }, ends: [node, host] } = &graph.links[1] else {
            panic!("a veth pair")
        };
        assert_eq!(node.name, "endpoints0");
        assert_eq!((node.index, host.index), (FIRST_INDEX + 1, FIRST_INDEX));
        assert_eq!(
            (node.addresses[0].to_string(), host.addresses[0].to_string()),
            ("198.18.0.5/30".into(), "198.18.0.6/30".into())
        );
        assert_eq!(macs[0].to_string(), "02:00:00:00:01:01");
    }

    #[test]
    fn a_good_spec_passes() {
        spec().validate().unwrap();
    }

    #[test]
    fn every_mistake_is_named_with_its_remedy() {
        assert!(fault(|spec| spec.services = spec.clients).contains("overlap; keep them apart"));
        assert!(fault(|spec| spec.endpoint_hosts = 3).contains("take a power of two up to 64"));
        assert!(fault(|spec| spec.endpoint_hosts = 0).contains("take a power of two"));
        assert!(fault(|spec| spec.endpoint_hosts = 128).contains("take a power of two"));
        assert!(
            fault(|spec| spec.links = "198.18.0.0/29".parse().unwrap())
                .contains("for each of 3 hosts")
        );
        assert!(
            fault(|spec| spec.endpoints = "10.128.0.0/30".parse().unwrap())
                .contains("too small for 2 hosts")
        );
        assert!(
            fault(|spec| spec.clients = "172.16.0.1/12".parse().unwrap())
                .contains("write 172.16.0.0/12")
        );
        assert!(fault(|spec| spec.clients = "172.16.0.1/32".parse().unwrap()).contains("1 to 30"));
        for prefix in ["126.0.0.0/7", "127.0.0.0/24", "224.0.0.0/8", "0.0.0.0/8", "192.0.0.0/2"] {
            let text = fault(|spec| spec.clients = prefix.parse().unwrap());
            assert!(text.contains("take unicast ones"), "{prefix}: {text}");
        }
    }
}

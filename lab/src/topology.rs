//! The lab: a client, a node and endpoint hosts, each a network namespace, joined by veth.
//!
//! ```text
//! client (owns the client prefix) --veth-- node (forwards) --veth-- endpoint host 0 (owns slice 0 of the endpoint prefix)
//!                                                          --veth-- endpoint host 1 ...
//! ```
//!
//! A host owns every address of its prefix by one `local` route, so a million addresses cost one kernel object, and
//! every neighbour is permanent, so that no ARP lands in a measurement. What proxies program into the node, and who
//! sends traffic, is not known here.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::Duration;

use ipnet::Ipv4Net;
use linux::netlink::link::{LOOPBACK_INDEX, LinkError, Mac, Rtnl, VethEnd, Via};
use linux::netns::{Namespace, NamespaceError};
use linux::sysctl::{SysctlError, Sysctls};

/// Most endpoint hosts of a lab. A real node has one an endpoint; beyond two they differ only in address.
pub const ENDPOINT_HOSTS_MAX: usize = 64;
/// Point-to-point prefix: two hosts, network and broadcast address.
const LINK_PREFIX_LEN: u8 = 30;
/// Index of the only veth of client and endpoint hosts; the node's come one a link from here on. Above those of the
/// fallback devices that tunnel modules make in every namespace (`tunl0`; `net/ipv4/ip_tunnel.c`, Linux 6.1).
const FIRST_INDEX: i32 = 32;
/// Far more than the work queue that brings a carrier up ever takes.
const CARRIER_LIMIT: Duration = Duration::from_secs(5);

/// Set in every host before it has a link. IPv6 would send router solicitations and duplicate address detection
/// probes at times of its own; saved TCP metrics would make a connection depend on those before it.
const HOST_SYSCTLS: [(&str, &str); 6] = [
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.ip_local_port_range", "1024 65535"),
    ("net.ipv4.tcp_no_metrics_save", "1"),
];
/// Set where the kernel has IPv6 at all.
const IPV6_SYSCTLS: [(&str, &str); 2] =
    [("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1")];
/// The accept queue's limit: `listen` silently cuts its backlog to it.
const ENDPOINT_SYSCTLS: [(&str, &str); 1] = [("net.core.somaxconn", "65535")];
const NODE_SYSCTLS: [(&str, &str); 1] = [("net.ipv4.ip_forward", "1")];

/// What a lab sets in its hosts, by `HOST.PARAMETER`, for the record of the environment. Parameters of IPv6 are set where
/// the kernel has it; [`Topology::sysctls`] tells what one kernel then showed.
pub fn intended_sysctls() -> BTreeMap<String, String> {
    let hosts: [(&str, &[(&str, &str)]); 3] =
        [("client", &[]), ("node", &NODE_SYSCTLS), ("endpoints", &ENDPOINT_SYSCTLS)];
    let settings = hosts.into_iter().flat_map(|(host, own)| {
        let all = HOST_SYSCTLS.iter().chain(own).chain(&IPV6_SYSCTLS);
        all.map(move |(name, value)| (format!("{host}.{name}"), (*value).to_owned()))
    });
    settings.collect()
}

/// Addresses of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopologySpec {
    /// Addresses that the client owns and dials from.
    pub clients: Ipv4Net,
    /// VIPs: the client and the endpoint hosts send these to the node.
    pub services: Ipv4Net,
    /// Addresses of all Endpoints, cut into equal slices, one an endpoint host.
    pub endpoints: Ipv4Net,
    /// Addresses of the links themselves, one /30 a host.
    pub links: Ipv4Net,
    /// How many namespaces share the Endpoints: a power of two, at most [`ENDPOINT_HOSTS_MAX`]. Two let one Endpoint
    /// dial another through the node; those of one host reach each other without it.
    pub endpoint_hosts: usize,
}

/// Why a lab could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// Addresses that cannot work together.
    #[error("lab addresses: {reason}")]
    Spec {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A link, address, route or neighbour.
    #[error("{host}: {source}")]
    Link {
        /// Which host.
        host: String,
        /// What is wrong.
        source: LinkError,
    },
    /// A kernel parameter.
    #[error("{host}: {source}")]
    Sysctl {
        /// Which host.
        host: String,
        /// What is wrong.
        source: SysctlError,
    },
}

impl TopologySpec {
    /// Finds every mistake before anything touches the kernel.
    ///
    /// # Errors
    /// [`TopologyError::Spec`]: overlapping or ill-formed prefixes, a number of hosts that is no power of two, prefixes
    /// too small for the hosts.
    pub fn validate(&self) -> Result<(), TopologyError> {
        let wrong = |reason: String| Err(TopologyError::Spec { reason });
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

/// A host with Endpoints.
#[derive(Debug, Clone)]
pub struct EndpointHost {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its slice of the endpoint prefix: every address answers.
    pub addresses: Ipv4Net,
}

/// A lab that is up. It vanishes, links and all, when the last thread, socket or clone of its namespaces is gone.
#[derive(Debug)]
pub struct Topology {
    client: Namespace,
    node: Namespace,
    endpoint_hosts: Vec<EndpointHost>,
    node_address: Ipv4Addr,
    sysctls: BTreeMap<String, String>,
}

impl Topology {
    /// Builds the lab in some milliseconds. The same `spec` gives the same interface indices, hardware addresses and
    /// routes each time.
    ///
    /// # Errors
    /// [`TopologyError`]: a faulty `spec`, no root, a kernel without veth.
    pub fn build(spec: &TopologySpec) -> Result<Self, TopologyError> {
        spec.validate()?;
        let (client, client_sysctls) = make_host("client", &[])?;
        let (node, node_sysctls) = make_host("node", &NODE_SYSCTLS)?;
        let mut sysctls = prefixed("client", &client_sysctls);
        sysctls.extend(prefixed("node", &node_sysctls));
        let mut endpoint_hosts = Vec::new();
        for (number, addresses) in spec.slices().enumerate() {
            let (namespace, set) = make_host(&format!("endpoints{number}"), &ENDPOINT_SYSCTLS)?;
            sysctls.extend(prefixed("endpoints", &set));
            endpoint_hosts.push(EndpointHost { namespace, addresses });
        }
        let mut wires = vec![Wire { host: &client, owned: spec.clients }];
        wires.extend(
            endpoint_hosts.iter().map(|host| Wire { host: &host.namespace, owned: host.addresses }),
        );
        let links: Vec<Link> = spec
            .link_networks()
            .zip(0..)
            .take(wires.len())
            .map(|(network, number)| Link::new(number, network))
            .collect();
        connect(&node, &wires, &links, spec)?;
        let node_address = links.first().map_or(Ipv4Addr::UNSPECIFIED, |link| link.node.addr());
        Ok(Self { client, node, endpoint_hosts, node_address, sysctls })
    }

    /// Where connections come from.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// Where the proxy is programmed.
    pub fn node(&self) -> &Namespace {
        &self.node
    }

    /// The node's address on the client's link: what a client dials to reach a NodePort.
    pub fn node_address(&self) -> Ipv4Addr {
        self.node_address
    }

    /// All endpoint hosts, in the order of their slices.
    pub fn endpoint_hosts(&self) -> &[EndpointHost] {
        &self.endpoint_hosts
    }

    /// The host that owns an Endpoint's address, or `None` if it lies outside the endpoint prefix.
    pub fn endpoint_host(&self, address: Ipv4Addr) -> Option<&EndpointHost> {
        self.endpoint_hosts.iter().find(|host| host.addresses.contains(&address))
    }

    /// Sets a parameter of the node and remembers it.
    ///
    /// # Errors
    /// [`TopologyError`]: the kernel has no such parameter, or refuses the value.
    pub fn set_node_sysctl(&mut self, name: &str, value: &str) -> Result<(), TopologyError> {
        let mut set = Sysctls::default();
        self.node.enter(|| set.set(name, value))?.map_err(|source| sysctl_error("node", source))?;
        self.sysctls.extend(prefixed("node", &set));
        Ok(())
    }

    /// Every kernel parameter set in this lab, as `node.net.ipv4.ip_forward`, with the value in force.
    pub fn sysctls(&self) -> &BTreeMap<String, String> {
        &self.sysctls
    }
}

/// A host that hangs off the node.
struct Wire<'a> {
    host: &'a Namespace,
    /// What it owns, and the node routes to it.
    owned: Ipv4Net,
}

/// Both ends of one veth pair between the node and a host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    node_name: String,
    node_index: i32,
    node: Ipv4Net,
    node_mac: Mac,
    host: Ipv4Net,
    host_mac: Mac,
}

impl Link {
    fn new(number: u8, network: Ipv4Net) -> Self {
        let end = |offset: u32| {
            let address = Ipv4Addr::from(u32::from(network.network()) | offset);
            // The prefix length was valid a moment ago.
            Ipv4Net::new(address, network.prefix_len()).unwrap_or(network)
        };
        // 02: locally administered, unicast (IEEE 802).
        let mac = |side: u8| Mac([0x02, 0, 0, 0, number, side]);
        Self {
            node_name: number
                .checked_sub(1)
                .map_or("client".to_owned(), |host| format!("endpoints{host}")),
            node_index: FIRST_INDEX + i32::from(number),
            node: end(1),
            node_mac: mac(1),
            host: end(2),
            host_mac: mac(2),
        }
    }
}

fn connect(
    node: &Namespace,
    wires: &[Wire<'_>],
    links: &[Link],
    spec: &TopologySpec,
) -> Result<(), TopologyError> {
    let pairs = || wires.iter().zip(links);
    in_host(node, |rtnl| {
        for (wire, link) in pairs() {
            let end = VethEnd { name: &link.node_name, index: link.node_index, mac: link.node_mac };
            let peer = VethEnd { name: "node", index: FIRST_INDEX, mac: link.host_mac };
            rtnl.add_veth(end, peer, wire.host.as_fd())?;
        }
        Ok(())
    })?;
    for (at, (wire, link)) in pairs().enumerate() {
        let reached: &[Ipv4Net] =
            if at == 0 { &[spec.services, spec.endpoints] } else { &[Ipv4Net::default()] };
        in_host(wire.host, |rtnl| set_up_host(rtnl, wire.owned, link, reached))?;
    }
    in_host(node, |rtnl| {
        for (wire, link) in pairs() {
            set_up_end(rtnl, link.node_index, link.node, link.host, link.host_mac)?;
            let via = Via::Gateway { address: link.host.addr(), index: link.node_index };
            rtnl.add_route(wire.owned, via)?;
        }
        links.iter().try_for_each(|link| rtnl.wait_up(link.node_index, CARRIER_LIMIT))
    })?;
    wires
        .iter()
        .try_for_each(|wire| in_host(wire.host, |rtnl| rtnl.wait_up(FIRST_INDEX, CARRIER_LIMIT)))
}

fn set_up_host(
    rtnl: &mut Rtnl,
    owned: Ipv4Net,
    link: &Link,
    reached: &[Ipv4Net],
) -> Result<(), LinkError> {
    set_up_end(rtnl, FIRST_INDEX, link.host, link.node, link.node_mac)?;
    rtnl.add_route(owned, Via::Local)?;
    let via = Via::Gateway { address: link.node.addr(), index: FIRST_INDEX };
    reached.iter().try_for_each(|prefix| rtnl.add_route(*prefix, via))
}

fn set_up_end(
    rtnl: &mut Rtnl,
    index: i32,
    own: Ipv4Net,
    other: Ipv4Net,
    mac: Mac,
) -> Result<(), LinkError> {
    rtnl.set_up(index)?;
    rtnl.add_address(index, own)?;
    rtnl.add_neighbour(index, other.addr(), mac)
}

/// A namespace with its parameters set and `lo` up.
fn make_host(label: &str, own: &[(&str, &str)]) -> Result<(Namespace, Sysctls), TopologyError> {
    let host = Namespace::new(label)?;
    let sysctls = host.enter(|| {
        let mut set = Sysctls::default();
        for (name, value) in HOST_SYSCTLS.iter().chain(own) {
            set.set(name, value)?;
        }
        for (name, value) in IPV6_SYSCTLS {
            set.set_if_present(name, value)?;
        }
        Ok(set)
    })?;
    let sysctls = sysctls.map_err(|source| sysctl_error(label, source))?;
    in_host(&host, |rtnl| rtnl.set_up(LOOPBACK_INDEX))?;
    Ok((host, sysctls))
}

fn in_host(
    host: &Namespace,
    work: impl FnOnce(&mut Rtnl) -> Result<(), LinkError> + Send,
) -> Result<(), TopologyError> {
    host.enter(|| work(&mut Rtnl::open()?))?
        .map_err(|source| TopologyError::Link { host: host.label().to_owned(), source })
}

fn sysctl_error(host: &str, source: SysctlError) -> TopologyError {
    TopologyError::Sysctl { host: host.to_owned(), source }
}

fn prefixed(host: &str, set: &Sysctls) -> BTreeMap<String, String> {
    set.values().iter().map(|(name, value)| (format!("{host}.{name}"), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TopologySpec {
        TopologySpec {
            clients: "172.16.0.0/12".parse().unwrap(),
            services: "10.96.0.0/12".parse().unwrap(),
            endpoints: "10.128.0.0/9".parse().unwrap(),
            links: "198.18.0.0/24".parse().unwrap(),
            endpoint_hosts: 2,
        }
    }

    fn fault(change: impl FnOnce(&mut TopologySpec)) -> String {
        let mut spec = spec();
        change(&mut spec);
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn endpoint_hosts_share_the_prefix_in_equal_slices() {
        let slices: Vec<String> = spec().slices().map(|slice| slice.to_string()).collect();
        assert_eq!(slices, ["10.128.0.0/10", "10.192.0.0/10"]);
        let one = TopologySpec { endpoint_hosts: 1, ..spec() };
        assert_eq!(one.slices().collect::<Vec<_>>(), [one.endpoints]);
    }

    #[test]
    fn links_are_numbered_and_addressed_in_order() {
        let second = Link::new(1, spec().link_networks().nth(1).unwrap());
        assert_eq!(second.node_name, "endpoints0");
        assert_eq!(second.node_index, FIRST_INDEX + 1);
        assert_eq!(
            (second.node.to_string(), second.host.to_string()),
            ("198.18.0.5/30".into(), "198.18.0.6/30".into())
        );
        assert_eq!(second.node_mac.to_string(), "02:00:00:00:01:01");
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

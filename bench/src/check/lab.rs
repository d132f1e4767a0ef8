//! The lab of a check: who dials, which Endpoints there are, and the addresses of Services.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use generators::{Cluster, Endpoint, Family, FrontendKind, IpNet, Protocol};
use lab::topology::{Member, Preset, Ranges, Shape, Source, Topology};
use linux::netns::Namespace;
use proxies::{Descriptor, Sees};

use super::expectation::Caller;
use super::server::Listening;
use crate::hosts::{must_reach, nth, own};

/// Endpoint pods of this node, or that stand for those of another.
const PODS: usize = 2;

/// The first address of a range that is taken. Before it are the network's own, which in IPv6 is
/// the routers' (RFC 4291), and one more.
const FIRST: usize = 2;

/// A lab that is up.
pub struct CheckLab {
    preset: Preset,
    /// Its hosts.
    pub topology: Topology,
}

/// What a check knows of its lab in one family.
pub struct Site {
    ranges: Ranges,
    /// Addresses of Endpoints on this node, each in a namespace of its own.
    pub here: [IpAddr; PODS],
    /// Addresses of Endpoints on another node. Where there is no other, pods of this node stand for
    /// them: a proxy goes by what it is told.
    pub away: [IpAddr; PODS],
    /// The address at which the node is known.
    pub node: IpAddr,
    /// All of the node's.
    pub node_addresses: Vec<IpAddr>,
    /// Whose address Endpoints of the proxy are known to see.
    pub sees: Sees,
    /// Who dials.
    pub dialers: Vec<Dialer>,
}

/// A namespace to dial from.
pub struct Dialer {
    /// What it is, and its own address.
    pub caller: Caller,
    /// The namespace.
    pub namespace: Namespace,
    /// Further addresses of it.
    further: Option<IpNet>,
}

impl CheckLab {
    /// Builds it.
    ///
    /// # Errors
    /// Not root, a kernel without the drivers.
    pub fn build(shape: Shape) -> anyhow::Result<Self> {
        let preset = Preset::new(shape);
        Ok(Self { preset, topology: Topology::build(&preset.graph()?)? })
    }

    /// The pods' addresses of the node, of both families.
    ///
    /// # Errors
    /// Ranges that cannot be cut in two.
    pub fn pod_networks(&self) -> anyhow::Result<Vec<IpNet>> {
        Family::ALL.into_iter().map(|family| half(self.ranges(family).pods)).collect()
    }

    /// The addresses that cluster IPs are taken from, of both families.
    pub fn service_networks(&self) -> Vec<IpNet> {
        Family::ALL.map(|family| self.ranges(family).services).to_vec()
    }

    fn ranges(&self, family: Family) -> Ranges {
        match family {
            Family::V4 => self.preset.ipv4,
            Family::V6 => self.preset.ipv6,
        }
    }

    /// What there is of one family.
    ///
    /// # Errors
    /// A topology without the hosts that a check needs.
    pub fn site(&self, family: Family, proxy: &Descriptor) -> anyhow::Result<Site> {
        let own = |member: &Member| own(member, family);
        let pods = |remote: bool| {
            let of_node = self.topology.endpoint_hosts().filter(move |pod| pod.is_remote == remote);
            of_node.map(own).collect::<anyhow::Result<Vec<_>>>()
        };
        let (mut here, mut away) = (pods(false)?, pods(true)?);
        ensure!(here.len() >= 2 * PODS, "the topology has {} endpoint pods", here.len());
        if away.is_empty() {
            away = here.split_off(PODS);
        }
        let pair = |pods: &[IpAddr]| {
            pods.first_chunk().copied().context("the topology has too few endpoint pods")
        };
        let node = self.topology.node_host();
        let mut node_addresses = node.addresses.clone();
        node_addresses.retain(|one| Family::of(*one) == family);
        Ok(Site {
            ranges: self.ranges(family),
            here: pair(&here)?,
            away: pair(&away)?,
            node: own(node)?,
            node_addresses,
            sees: proxy.endpoints_see,
            dialers: self.dialers(family, proxy)?,
        })
    }

    fn dialers(&self, family: Family, proxy: &Descriptor) -> anyhow::Result<Vec<Dialer>> {
        let pods = half(self.ranges(family).pods)?;
        let mut dialers = Vec::new();
        for source in
            [Source::Outside, Source::Pod, Source::Endpoint, Source::Node, Source::OtherNodePod]
        {
            // Not every topology has every source.
            let Ok(host) = self.topology.source_host(source) else { continue };
            if must_reach(proxy, source).is_err() {
                continue;
            }
            let address = own(host, family)?;
            let in_pod_network = source != Source::Node && pods.contains(&address);
            let mut ranges = host.ranges.iter().copied();
            dialers.push(Dialer {
                caller: Caller { source, address, in_pod_network },
                namespace: host.namespace.clone(),
                further: ranges.find(|range| Family::of(range.addr()) == family),
            });
        }
        Ok(dialers)
    }

    /// The host that has an address.
    ///
    /// # Errors
    /// There is none.
    pub fn host_of(&self, address: IpAddr) -> anyhow::Result<&Member> {
        let mut hosts = self.topology.hosts.iter();
        let host = hosts.find(|host| host.has(address));
        host.with_context(|| format!("no host has the address {address}"))
    }

    /// Servers of all Endpoints of a Cluster, each in the namespace that has its address.
    ///
    /// # Errors
    /// An Endpoint that no host of the topology has.
    pub fn listening(&self, cluster: &Cluster) -> anyhow::Result<Vec<Listening>> {
        let of_services = cluster.services().iter().flat_map(|service| {
            service.endpoints().iter().map(|endpoint| (endpoint.socket(), service.protocol()))
        });
        let wanted: BTreeSet<(SocketAddr, Protocol)> = of_services.collect();
        let mut sockets = Vec::new();
        for (address, protocol) in wanted {
            let host = self.host_of(address.ip())?;
            sockets.push(host.namespace.enter(|| Listening::open(address, protocol))??);
        }
        Ok(sockets)
    }
}

impl Site {
    /// Cluster IP number `at`, from 0.
    ///
    /// # Errors
    /// There are not so many.
    pub fn vip(&self, at: usize) -> anyhow::Result<IpAddr> {
        nth(self.ranges.services, FIRST + at)
    }

    /// External IP or load balancer's address number `at`, from 0.
    ///
    /// # Errors
    /// There are not so many.
    pub fn external(&self, at: usize) -> anyhow::Result<IpAddr> {
        nth(self.ranges.external, FIRST + at)
    }

    /// The addresses that cluster IPs are taken from: nobody dials from there.
    pub fn service_network(&self) -> IpNet {
        self.ranges.services
    }

    /// Where the machine outside dials from.
    pub fn clients(&self) -> IpNet {
        self.ranges.clients
    }

    /// An Endpoint on this node.
    pub fn endpoint(&self, at: usize, port: u16) -> Endpoint {
        Endpoint::new(self.here[at], port)
    }

    /// An Endpoint on another node.
    pub fn endpoint_away(&self, at: usize, port: u16) -> Endpoint {
        Endpoint { is_remote: true, ..Endpoint::new(self.away[at], port) }
    }

    /// From where a frontend is meant to be dialled: from outside, where that is served, if it is
    /// no cluster IP.
    pub fn natural_source(&self, kind: FrontendKind) -> Source {
        match kind {
            FrontendKind::ClusterIp => Source::Pod,
            _ if self.dialer(Source::Outside).is_err() => Source::Pod,
            _ => Source::Outside,
        }
    }

    /// Who dials from there.
    ///
    /// # Errors
    /// The topology has nobody there.
    pub fn dialer(&self, source: Source) -> anyhow::Result<&Dialer> {
        let mut dialers = self.dialers.iter();
        let found = dialers.find(|dialer| dialer.caller.source == source);
        found.with_context(|| format!("the topology has no source `{source}`"))
    }
}

impl Dialer {
    /// The address to dial from; the node's own choice is left to it.
    pub fn address(&self) -> Option<IpAddr> {
        (self.caller.source != Source::Node).then_some(self.caller.address)
    }

    /// Its further address number `at`, from 0.
    ///
    /// # Errors
    /// There are not so many.
    pub fn further(&self, at: usize) -> anyhow::Result<IpAddr> {
        let further = self.further;
        let further = further.with_context(|| format!("{} has one address", self.caller.source))?;
        nth(further, FIRST + at)
    }
}

/// The node's half of the pods' addresses.
fn half(pods: IpNet) -> anyhow::Result<IpNet> {
    let mut halves = pods.subnets(pods.prefix_len() + 1)?;
    halves.next().context("a pod network of one address")
}

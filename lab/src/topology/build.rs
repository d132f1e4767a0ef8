//! Makes namespaces, links and routes of a [`Graph`].

use std::collections::BTreeMap;
use std::error::Error;
use std::os::fd::AsFd;
use std::time::Duration;

use ipnet::IpNet;
use linux::netlink::host::Via;
use linux::netlink::link::VethEnd;
use linux::netlink::{LOOPBACK_INDEX, Rtnl, RtnlError};
use linux::netns::Namespace;
use linux::sysctl::{SysctlError, Sysctls};

use super::graph::{End, Graph, Host, Link, Medium};
use super::{Member, Topology, TopologyError};

/// Far more than the work queue that brings a carrier up ever takes.
const CARRIER_LIMIT: Duration = Duration::from_secs(5);

impl Topology {
    /// Builds it in some milliseconds. The same graph gives the same interface indices, hardware
    /// addresses and routes, made in the same order, each time.
    ///
    /// # Errors
    /// [`TopologyError`]: a faulty graph, no root, a kernel without the drivers.
    pub fn build(graph: &Graph) -> Result<Self, TopologyError> {
        graph.validate()?;
        let mut hosts = Vec::new();
        let mut sysctls = BTreeMap::new();
        for host in &graph.hosts {
            let (namespace, set) = make_host(host)?;
            let named = |(name, value): (&String, &String)| {
                (format!("{}.{name}", host.kind), value.clone())
            };
            sysctls.extend(set.values().iter().map(named));
            hosts.push(namespace);
        }
        connect(graph, &hosts)?;
        let mut endpoint_hosts: Vec<usize> =
            graph.endpoints.iter().map(|(host, _)| *host).collect();
        endpoint_hosts.dedup();
        Ok(Self {
            name: graph.name,
            hosts: hosts
                .into_iter()
                .enumerate()
                .map(|(at, host)| member(graph, at, host))
                .collect(),
            node: graph.node,
            endpoint_hosts,
            sources: graph.sources.clone(),
            sysctls,
        })
    }
}

/// What callers are told of a host.
fn member(graph: &Graph, host: usize, namespace: Namespace) -> Member {
    let ends: Vec<&End> = graph.sides_of(host).map(|(link, side)| &link.ends[side]).collect();
    Member {
        namespace,
        addresses: ends.iter().flat_map(|end| &end.addresses).map(IpNet::addr).collect(),
        ranges: ends.iter().flat_map(|end| &end.owns).copied().collect(),
        is_remote: graph.hosts[host].is_remote,
    }
}

/// Makes every pair, sets up the interfaces of the hosts that made none and then those of the
/// others, and waits for the carriers.
fn connect(graph: &Graph, hosts: &[Namespace]) -> Result<(), TopologyError> {
    let made_by = |host: usize| graph.links.iter().filter(move |link| link.ends[0].host == host);
    let (makers, others): (Vec<usize>, Vec<usize>) =
        (0..hosts.len()).partition(|host| made_by(*host).next().is_some());
    for &host in &makers {
        in_host(&hosts[host], |rtnl| {
            made_by(host).try_for_each(|link| add_veth(rtnl, link, hosts))
        })?;
    }
    for &host in others.iter().chain(&makers) {
        in_host(&hosts[host], |rtnl| {
            graph.sides_of(host).try_for_each(|(link, side)| set_up_end(rtnl, link, side))
        })?;
    }
    for &host in makers.iter().chain(&others) {
        in_host(&hosts[host], |rtnl| {
            let pairs =
                graph.sides_of(host).filter(|(link, _)| matches!(link.medium, Medium::Veth { .. }));
            let indices = pairs.map(|(link, side)| link.ends[side].index);
            indices.into_iter().try_for_each(|index| rtnl.wait_up(index, CARRIER_LIMIT))
        })?;
    }
    Ok(())
}

fn add_veth(rtnl: &mut Rtnl, link: &Link, hosts: &[Namespace]) -> Result<(), RtnlError> {
    let Medium::Veth { macs, mtu_bytes } = link.medium else { return Ok(()) };
    let [end, peer] = [0, 1].map(|side| {
        let end = &link.ends[side];
        VethEnd { name: &end.name, index: end.index, mac: macs[side], mtu_bytes }
    });
    rtnl.add_veth(end, peer, hosts[link.ends[1].host].as_fd())
}

fn set_up_end(rtnl: &mut Rtnl, link: &Link, side: usize) -> Result<(), RtnlError> {
    let [own, other] = link.seen_from(side);
    let index = own.index;
    if let Medium::Ipip { outer } = link.medium {
        rtnl.add_ipip(&own.name, index, outer[side], outer[1 - side])?;
    }
    rtnl.set_up(index)?;
    for address in &own.addresses {
        rtnl.add_address(index, *address)?;
    }
    if let Medium::Veth { macs, .. } = link.medium {
        for address in &other.addresses {
            rtnl.add_neighbour(index, address.addr(), macs[1 - side])?;
        }
    }
    for prefix in &own.owns {
        rtnl.add_route(*prefix, Via::Local)?;
    }
    for prefix in link.sent_from(side) {
        let via = match (link.medium, other.address_for(&prefix)) {
            (Medium::Veth { .. }, Some(address)) => Via::Gateway { address, index },
            _ => Via::Device { index },
        };
        rtnl.add_route(prefix, via)?;
    }
    Ok(())
}

/// A namespace with its parameters set and `lo` up.
fn make_host(host: &Host) -> Result<(Namespace, Sysctls), TopologyError> {
    let namespace = Namespace::new(&host.name)?;
    let set = namespace.enter(|| {
        let mut set = Sysctls::default();
        for (name, value) in host.required() {
            set.set(name, value)?;
        }
        for (name, value) in host.optional() {
            set.set_if_present(name, value)?;
        }
        Ok(set)
    })?;
    let set = set.map_err(|error: SysctlError| at(&host.name, error))?;
    in_host(&namespace, |rtnl| rtnl.set_up(LOOPBACK_INDEX))?;
    Ok((namespace, set))
}

fn in_host(
    host: &Namespace,
    work: impl FnOnce(&mut Rtnl) -> Result<(), RtnlError> + Send,
) -> Result<(), TopologyError> {
    host.enter(|| work(&mut Rtnl::open()?))?.map_err(|error| at(host.label(), error))
}

fn at(host: &str, source: impl Error + Send + Sync + 'static) -> TopologyError {
    TopologyError::Host { host: host.to_owned(), source: source.into() }
}

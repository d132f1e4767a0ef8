//! What all labs ask: the addresses of hosts, ranges and frontends, and Endpoints that answer for
//! VIPs by themselves. Each lab builds its own topology.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, ensure};
use generators::{Family, FrontendKind, Service};
use lab::IpNet;
use lab::topology::{Holding, Member, Source, Topology};
use linux::netns::{self, Namespace};
use linux::sysctl::Sysctls;
use proxies::ipvs::Forwarding;
use proxies::{Acts, Descriptor};

/// The address of a family that a host is known at.
///
/// # Errors
/// It has none.
pub(crate) fn own(host: &Member, family: Family) -> anyhow::Result<IpAddr> {
    let address = match family {
        Family::V4 => host.ipv4().map(IpAddr::from),
        Family::V6 => host.ipv6().map(IpAddr::from),
    };
    address.with_context(|| format!("{} has no {family} address", host.namespace.label()))
}

/// The namespaces of the node's pods by cookie, for a proxy that acts on sockets: all hosts that
/// are neither the node nor `outside` nor on another node. Another proxy is told of none.
///
/// # Errors
/// A kernel that does not tell cookies.
pub(crate) fn pod_namespaces(
    proxy: &Descriptor,
    topology: &Topology,
    outside: Option<&Member>,
) -> anyhow::Result<Vec<u64>> {
    if proxy.acts == Acts::OnPackets {
        return Ok(Vec::new());
    }
    let is = |host: &Member, other: &Member| std::ptr::eq(host, other);
    let is_pod = |host: &&Member| {
        let is_outside = outside.is_some_and(|outside| is(host, outside));
        !host.is_remote && !is(host, topology.node_host()) && !is_outside
    };
    let pods = topology.hosts.iter().filter(is_pod);
    pods.map(|pod| Ok(pod.namespace.enter(netns::cookie)??)).collect()
}

/// Whether a proxy serves connections from a source at all.
///
/// # Errors
/// It does not.
pub(crate) fn must_reach(proxy: &Descriptor, source: Source) -> anyhow::Result<()> {
    let is_outside = matches!(source, Source::Outside | Source::OtherNodePod);
    ensure!(
        proxy.acts == Acts::OnPackets || !is_outside,
        "proxy {} acts on sockets of the node and its pods, and source `{source}` is neither",
        proxy.name
    );
    Ok(())
}

/// Address number `number` of a network, counted from the network's own, 0.
///
/// # Errors
/// There are not so many.
pub(crate) fn nth(network: IpNet, number: usize) -> anyhow::Result<IpAddr> {
    let after = u32::try_from(number).map(|number| after(network.network(), number));
    let inside = after.ok().filter(|address| network.contains(address));
    inside.with_context(|| format!("{network} has no address {number}"))
}

/// The address so many after `first`; after the last comes the first of all.
pub(crate) fn after(first: IpAddr, count: u32) -> IpAddr {
    match first {
        IpAddr::V4(first) => Ipv4Addr::from(u32::from(first).wrapping_add(count)).into(),
        IpAddr::V6(first) => Ipv6Addr::from(u128::from(first).wrapping_add(count.into())).into(),
    }
}

/// What a client dials at a frontend, on a node of this address.
///
/// # Errors
/// A Service without it.
pub(crate) fn dialled_of(
    service: &Service,
    kind: FrontendKind,
    node: IpAddr,
) -> anyhow::Result<SocketAddr> {
    let frontend = service.frontends().find(|frontend| frontend.kind == kind);
    let frontend = frontend.with_context(|| format!("Service {} has no {kind}", service.name()))?;
    Ok(SocketAddr::new(frontend.address.unwrap_or(node), frontend.port))
}

/// By `dr` and `tun` an Endpoint takes packets to VIPs (IPv4) and answers from them, and its
/// answers pass a node that holds the same addresses.
///
/// # Errors
/// What the kernel refuses; `tun` needs the module `ipip`.
pub(crate) fn let_hold_vips(
    endpoint: &Member,
    vips: IpNet,
    forwarding: Forwarding,
    node: &Namespace,
) -> anyhow::Result<()> {
    let is_tunnelled = forwarding == Forwarding::Tunnel;
    endpoint.hold(vips, if is_tunnelled { Holding::Tunnelled } else { Holding::Direct })?;
    // Dropped without being restored: the namespace goes with the lab.
    node.enter(|| Sysctls::default().set("net.ipv4.conf.all.accept_local", "1"))??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_range_are_counted_from_its_own_and_end_with_it() {
        let nth =
            |range: &str, number| nth(range.parse().unwrap(), number).map(|ip| ip.to_string());
        assert_eq!(nth("10.96.0.0/12", 10).unwrap(), "10.96.0.10");
        assert_eq!(nth("fd00::100/120", 255).unwrap(), "fd00::1ff");
        for (range, number) in [("10.0.0.0/30", 4), ("255.255.255.252/30", 4), ("fd00::/126", 4)] {
            let error = nth(range, number).unwrap_err().to_string();
            assert_eq!(error, format!("{range} has no address 4"));
        }
    }
}

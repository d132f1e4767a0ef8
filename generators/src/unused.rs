//! What a Cluster does not use yet: names, addresses and node ports for Changes, each given once.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use crate::addresses::Addresses;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::family::Family;
use crate::kinds::NODE_PORTS;
use crate::names::Names;
use crate::random::SplitMix64;
use crate::service::Protocol;
use crate::service_name::ServiceName;

/// Every address of one family in a Cluster, of Services and of Endpoints.
pub(crate) fn in_use(cluster: &Cluster, family: Family) -> impl Iterator<Item = IpAddr> {
    cluster.of_family(family).flat_map(|service| {
        let endpoints = service.endpoints().iter().map(|endpoint| endpoint.address);
        service.frontends().filter_map(|frontend| frontend.address).chain(endpoints)
    })
}

/// Gives out addresses that are not in use.
#[derive(Debug)]
pub(crate) struct UnusedAddresses {
    addresses: Addresses,
    next: u64,
    left: u64,
    used: Vec<IpAddr>,
}

impl UnusedAddresses {
    /// The search begins at number `first` and goes once around. Of the addresses `in_use`, only
    /// those in the range are remembered.
    pub(crate) fn new(
        addresses: Addresses,
        first: u64,
        in_use: impl Iterator<Item = IpAddr>,
    ) -> Self {
        let in_range = |address: &IpAddr| addresses.range().contains(address);
        let mut used: Vec<IpAddr> = in_use.filter(in_range).collect();
        used.sort_unstable();
        let left = addresses.capacity();
        Self { addresses, next: first, left, used }
    }

    /// The next unused address, or none if all are taken.
    pub(crate) fn take(&mut self) -> Option<IpAddr> {
        while self.left > 0 {
            let address = self.addresses.at(self.next);
            self.next = self.next.wrapping_add(1);
            self.left -= 1;
            if self.used.binary_search(&address).is_err() {
                return Some(address);
            }
        }
        None
    }
}

/// Gives out node ports that no Service has, of any protocol.
#[derive(Debug)]
pub(crate) struct UnusedNodePorts {
    ports: std::ops::RangeInclusive<u16>,
    used: BTreeSet<u16>,
}

impl UnusedNodePorts {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let used = cluster.services().iter().flat_map(|service| {
            let extras = service.extras();
            extras.node_port.into_iter().chain(extras.health_check_node_port)
        });
        Self { ports: NODE_PORTS, used: used.collect() }
    }

    /// The next one, or none if all are taken.
    pub(crate) fn take(&mut self) -> Option<u16> {
        self.ports.find(|port| !self.used.contains(port))
    }
}

/// Gives out names that no Service has.
#[derive(Debug)]
pub(crate) struct UnusedNames<'a> {
    names: Names,
    next: u64,
    used: HashSet<&'a str>,
}

impl<'a> UnusedNames<'a> {
    /// There are more than `count` names: those of the Cluster and those that will be taken.
    pub(crate) fn new(cluster: &'a Cluster, count: u64, random: SplitMix64) -> Self {
        let names = Names::more_than(count, random);
        let used =
            cluster.services().iter().map(|service| service.name().namespaced_name()).collect();
        Self { names, next: 0, used }
    }

    /// Always finds one, since there are more names than `count`.
    pub(crate) fn take(&mut self, protocol: Protocol) -> Result<ServiceName, ClusterError> {
        loop {
            let name = self.names.at(self.next, protocol)?;
            self.next += 1;
            if !self.used.contains(name.namespaced_name()) || self.next >= self.names.capacity() {
                return Ok(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::VipLayout;
    use crate::service::Service;
    use crate::spec::SyntheticSpec;
    use crate::synthetic::{Purpose, generate};

    #[test]
    fn unused_addresses_are_given_once_until_none_is_left() {
        for (range, in_use) in
            [("10.0.0.0/29", ["10.0.0.3", "10.9.9.9"]), ("fd00::/125", ["fd00::3", "fd00:9::9"])]
        {
            let range = range.parse().unwrap();
            let addresses = Addresses::new(range, VipLayout::Random, SplitMix64::new(1));
            let in_use = in_use.into_iter().map(|address| address.parse().unwrap());
            let mut unused = UnusedAddresses::new(addresses, 4, in_use);
            let last = |address| crate::family::bits(address) & 7;
            let mut taken: Vec<u128> = std::iter::from_fn(|| unused.take()).map(last).collect();
            taken.sort_unstable();
            assert_eq!(taken, [1, 2, 4, 5, 6]);
            assert_eq!(unused.take(), None);
        }
    }

    #[test]
    fn node_ports_in_use_are_passed_over() {
        let service = |name: &str, vip: [u8; 4], node_port, health| {
            let name = name.parse().unwrap();
            let service = Service::new(name, vip.into(), 80, Protocol::Tcp, vec![]).unwrap();
            let set = |extras: &mut crate::extras::Extras| {
                (extras.node_port, extras.health_check_node_port) = (Some(node_port), health);
            };
            service.with(set).unwrap()
        };
        let services = vec![
            service("a/a", [10, 0, 0, 1], 30_001, Some(30_002)),
            service("a/b", [10, 0, 0, 2], 29_999, None),
        ];
        let mut unused = UnusedNodePorts::new(&Cluster::new(services).unwrap());
        assert_eq!([unused.take(), unused.take()], [Some(30_000), Some(30_003)]);
        assert_eq!(std::iter::from_fn(|| unused.take()).last(), Some(65_535));
    }

    #[test]
    fn names_in_use_are_passed_over() {
        let spec = SyntheticSpec { services: 20, ..SyntheticSpec::default() };
        let cluster = generate(&spec, 11).unwrap();
        let mut names = UnusedNames::new(&cluster, 21, SplitMix64::new(1));
        // The order in which the Cluster itself took its names.
        names.names = Names::more_than(20, Purpose::Names.stream(11));
        let taken = names.take(Protocol::Udp).unwrap();
        assert_eq!(names.next, 21);
        let clash = |service: &Service| service.name().namespaced_name() == taken.namespaced_name();
        assert!(!cluster.services().iter().any(clash));
    }
}

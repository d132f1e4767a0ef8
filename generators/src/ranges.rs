//! The ranges that a cluster takes its Pods and Services from, as far as the addresses in a Cluster
//! tell.
//!
//! Rules that kube-proxy writes have both, and no Service or `EndpointSlice` object does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::Cluster;
use crate::family::{Family, bits};
use crate::relocate::endpoint_addresses;
use crate::service::Service;

/// Longest prefix of a range that is guessed, unless a longer one keeps Pods and Services apart.
const fn longest_prefix(family: Family) -> u8 {
    match family {
        Family::V4 => 16,
        Family::V6 => 64,
    }
}

/// Where Pods and Services are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// Range of the Pods.
    pub pods: Option<IpNet>,
    /// Range of the VIPs.
    pub services: Option<IpNet>,
}

impl Cluster {
    /// The smallest network of /16 (IPv6: /64) or larger around the Endpoints of a family, and
    /// around its VIPs; of those that lie under the first byte that most of them have, so that
    /// nodes and single addresses elsewhere count for nothing. The range of the VIPs is smaller
    /// where Endpoints would be in it, and nothing where they lie among each other.
    pub fn ranges(&self, family: Family) -> Ranges {
        // Endpoints of the API server are nodes.
        let pods = self.of_family(family).filter(|service| {
            (service.name().namespace(), service.name().name()) != ("default", "kubernetes")
        });
        let pods = pods.flat_map(Service::endpoints).map(|endpoint| endpoint.address);
        let longest = longest_prefix(family);
        let pods = around(pods.collect()).map(|network| widened(network, longest));
        let endpoints = endpoint_addresses(self.of_family(family));
        let services = around(self.of_family(family).map(Service::vip).collect());
        let services = services.and_then(|network| {
            (longest.min(network.prefix_len())..=network.prefix_len())
                .map(|prefix_len| widened(network, prefix_len))
                .find(|range| endpoints.range(range.network()..=range.broadcast()).next().is_none())
        });
        Ranges { pods, services }
    }
}

/// The smallest network around the addresses, of one family, that have the most frequent first
/// byte.
fn around(addresses: BTreeSet<IpAddr>) -> Option<IpNet> {
    let mut blocks: BTreeMap<u128, Vec<IpAddr>> = BTreeMap::new();
    for address in addresses {
        let first_byte = bits(address) >> (Family::of(address).address_bits() - 8);
        blocks.entry(first_byte).or_default().push(address);
    }
    let block = blocks.into_values().rev().max_by_key(Vec::len)?;
    let (first, last) = (*block.first()?, *block.last()?);
    let unused = 128 - u32::from(Family::of(first).address_bits());
    let common = (bits(first) ^ bits(last)).leading_zeros() - unused;
    IpNet::new(first, u8::try_from(common).ok()?).ok().map(|network| network.trunc())
}

fn widened(network: IpNet, prefix_len: u8) -> IpNet {
    let prefix_len = network.prefix_len().min(prefix_len);
    IpNet::new(network.network(), prefix_len).map_or(network, |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::service::Protocol;

    /// Ranges of a Cluster of Services with one Endpoint each.
    fn ranges(services: &[(&str, &str, &str)]) -> [String; 2] {
        ranges_of(Family::V4, services)
    }

    fn ranges_of(family: Family, services: &[(&str, &str, &str)]) -> [String; 2] {
        let service = |(name, vip, endpoint): &(&str, &str, &str)| {
            let endpoint = Endpoint::new(endpoint.parse().unwrap(), 80);
            let (name, vip) = (name.parse().unwrap(), vip.parse().unwrap());
            Service::new(name, vip, 80, Protocol::Tcp, vec![endpoint]).unwrap()
        };
        let Ranges { pods, services } =
            Cluster::new(services.iter().map(service).collect()).unwrap().ranges(family);
        [pods, services].map(|range| range.map_or("-".to_owned(), |range| range.to_string()))
    }

    #[test]
    fn ranges_are_around_what_there_is_and_at_least_a_16th() {
        let one = ("shop/a", "172.20.0.7", "10.42.1.5");
        assert_eq!(ranges(&[one]), ["10.42.0.0/16", "172.20.0.0/16"]);
        let second = ("shop/b", "172.21.0.1", "10.44.1.5");
        assert_eq!(ranges(&[one, second]), ["10.40.0.0/13", "172.20.0.0/15"]);
    }

    #[test]
    fn each_family_has_ranges_of_its_own() {
        let both = [
            ("shop/a", "172.20.0.7", "10.42.1.5"),
            ("shop/a", "fd00:20::7", "fd00:42:0:1::5"),
            ("shop/b", "fd00:20::8", "fd00:42:0:2::5"),
        ];
        assert_eq!(ranges_of(Family::V6, &both), ["fd00:42::/62", "fd00:20::/64"]);
        assert_eq!(ranges_of(Family::V4, &both), ["10.42.0.0/16", "172.20.0.0/16"]);
    }

    #[test]
    fn nodes_do_not_count_as_pods() {
        let api = ("default/kubernetes:https", "10.96.0.1", "10.0.0.4");
        let host = ("kube-system/kubelet", "10.96.0.9", "192.168.7.4");
        let pods = [("shop/a", "10.96.0.2", "10.244.1.5"), ("shop/b", "10.96.0.3", "10.244.2.5")];
        assert_eq!(ranges(&[api, host, pods[0], pods[1]]), ["10.244.0.0/16", "10.96.0.0/16"]);
        assert_eq!(ranges(&[api]), ["-", "10.96.0.0/16"]);
    }

    #[test]
    fn no_endpoint_is_in_the_range_of_the_vips() {
        let near = [("shop/a", "10.0.0.1", "10.0.128.1"), ("shop/b", "10.0.1.1", "10.0.129.1")];
        assert_eq!(ranges(&near), ["10.0.0.0/16", "10.0.0.0/17"]);
        let among = [("shop/a", "10.0.0.1", "10.0.0.2"), ("shop/b", "10.0.0.4", "10.0.0.3")];
        assert_eq!(ranges(&among), ["10.0.0.0/16", "-"]);
    }
}

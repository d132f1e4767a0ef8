//! The ranges that a cluster takes its Pods and Services from, as far as the addresses in a Cluster
//! tell.
//!
//! Rules that kube-proxy writes have both, and no Service or `EndpointSlice` object does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::cluster::Cluster;
use crate::relocate::endpoint_addresses;
use crate::service::Service;

/// Longest prefix of a range that is guessed, unless a longer one keeps Pods and Services apart.
const PREFIX_LEN: u8 = 16;

/// Where Pods and Services are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// Range of the Pods.
    pub pods: Option<Ipv4Net>,
    /// Range of the VIPs.
    pub services: Option<Ipv4Net>,
}

impl Cluster {
    /// The smallest network of /16 or larger around the Endpoints, and around the VIPs; of those
    /// that lie under the first octet that most of them have, so that nodes and single addresses
    /// elsewhere count for nothing. The range of the VIPs is smaller than /16 where Endpoints would
    /// be in it, and nothing where they lie among each other.
    pub fn ranges(&self) -> Ranges {
        // Endpoints of the API server are nodes.
        let pods = self.services().iter().filter(|service| {
            (service.name().namespace(), service.name().name()) != ("default", "kubernetes")
        });
        let pods = pods.flat_map(Service::endpoints).map(|endpoint| endpoint.address);
        let pods = around(pods.collect()).map(|network| widened(network, PREFIX_LEN));
        let endpoints = endpoint_addresses(self);
        let services = around(self.services().iter().map(Service::vip).collect());
        let services = services.and_then(|network| {
            (PREFIX_LEN.min(network.prefix_len())..=network.prefix_len())
                .map(|prefix_len| widened(network, prefix_len))
                .find(|range| endpoints.range(range.network()..=range.broadcast()).next().is_none())
        });
        Ranges { pods, services }
    }
}

/// The smallest network around the addresses that have the most frequent first octet.
fn around(addresses: BTreeSet<Ipv4Addr>) -> Option<Ipv4Net> {
    let mut blocks: BTreeMap<u8, Vec<Ipv4Addr>> = BTreeMap::new();
    for address in addresses {
        blocks.entry(address.octets()[0]).or_default().push(address);
    }
    let block = blocks.into_values().rev().max_by_key(Vec::len)?;
    let (first, last) = (block.first()?, block.last()?);
    let common = (first.to_bits() ^ last.to_bits()).leading_zeros();
    Ipv4Net::new(*first, u8::try_from(common).ok()?).ok().map(|network| network.trunc())
}

fn widened(network: Ipv4Net, prefix_len: u8) -> Ipv4Net {
    let prefix_len = network.prefix_len().min(prefix_len);
    Ipv4Net::new(network.network(), prefix_len).map_or(network, |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Endpoint, Protocol};

    /// Ranges of a Cluster of Services with one Endpoint each.
    fn ranges(services: &[(&str, &str, &str)]) -> [String; 2] {
        let service = |(name, vip, endpoint): &(&str, &str, &str)| {
            let endpoint = Endpoint { address: endpoint.parse().unwrap(), port: 80 };
            let (name, vip) = (name.parse().unwrap(), vip.parse().unwrap());
            Service::new(name, vip, 80, Protocol::Tcp, vec![endpoint]).unwrap()
        };
        let Ranges { pods, services } =
            Cluster::new(services.iter().map(service).collect()).unwrap().ranges();
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

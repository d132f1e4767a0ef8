//! Gives a Cluster other addresses, network by network, so that what lay together still does.
//!
//! Within a network only the leading bits change: hash tables that look at the others, as IPVS'
//! does up to Linux 7.0 (the last octet and the port), fill as before.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::cluster::Cluster;
use crate::endpoint::Endpoint;
use crate::error::ClusterError;
use crate::service::Service;
use crate::service_name::ServiceName;

/// Sizes of networks that are moved as one, largest first.
pub(crate) const PREFIX_LENS: [u8; 2] = [16, 24];

/// Why addresses do not fit into a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelocateError {
    /// More networks than the range has room for.
    #[error("{0}: take a larger range")]
    NoRoom(String),
    /// The Cluster that came out is not valid.
    #[error("relocating made an invalid Cluster, please report it: {0}")]
    Cluster(#[from] ClusterError),
}

impl Cluster {
    /// The same Cluster with every IPv4 address of a Service in `services`, and every IPv4 Endpoint
    /// in `endpoints`; `None` if they all are already. Addresses that are in their range stay;
    /// others move there by whole networks. IPv6 stays as it is.
    ///
    /// # Errors
    /// [`RelocateError::NoRoom`].
    pub fn relocated(
        &self,
        services: Ipv4Net,
        endpoints: Ipv4Net,
    ) -> Result<Option<Self>, RelocateError> {
        let vips = Moves::into("VIPs", services, &of_ipv4(vips(self)))?;
        let addresses = endpoint_addresses(self.services().iter());
        let endpoints = Moves::into("endpoints", endpoints, &of_ipv4(addresses))?;
        if vips.networks.is_empty() && endpoints.networks.is_empty() {
            return Ok(None);
        }
        Ok(Some(rebuilt(self, &mut Kept, &vips, &endpoints)?))
    }
}

/// Every address at which a Service answers.
pub(crate) fn vips(cluster: &Cluster) -> BTreeSet<IpAddr> {
    let frontends = cluster.services().iter().flat_map(Service::frontends);
    frontends.filter_map(|frontend| frontend.address).collect()
}

/// Addresses of Endpoints.
pub(crate) fn endpoint_addresses<'a>(
    services: impl Iterator<Item = &'a Service>,
) -> BTreeSet<IpAddr> {
    services.flat_map(Service::endpoints).map(|endpoint| endpoint.address).collect()
}

pub(crate) fn of_ipv4(addresses: BTreeSet<IpAddr>) -> BTreeSet<Ipv4Addr> {
    let four = |address| if let IpAddr::V4(address) = address { Some(address) } else { None };
    addresses.into_iter().filter_map(four).collect()
}

/// What becomes of names, and of the clients that a Service admits.
pub(crate) trait Renames {
    /// The new name.
    fn name(&mut self, name: &ServiceName) -> Result<ServiceName, ClusterError>;
    /// The new range of clients.
    fn source_range(&mut self, range: IpNet) -> IpNet;
}

/// They stay.
struct Kept;

impl Renames for Kept {
    fn name(&mut self, name: &ServiceName) -> Result<ServiceName, ClusterError> {
        Ok(name.clone())
    }

    fn source_range(&mut self, range: IpNet) -> IpNet {
        range
    }
}

/// The Cluster with other names and addresses.
pub(crate) fn rebuilt(
    cluster: &Cluster,
    renames: &mut impl Renames,
    vips: &Moves,
    endpoints: &Moves,
) -> Result<Cluster, ClusterError> {
    let mut services = Vec::with_capacity(cluster.services().len());
    for service in cluster.services() {
        let moved = |endpoint: &Endpoint| Endpoint {
            address: endpoints.apply(endpoint.address),
            ..*endpoint
        };
        let moved = service.endpoints().iter().map(moved).collect();
        let (name, vip) = (renames.name(service.name())?, vips.apply(service.vip()));
        let service =
            Service::new(name, vip, service.port(), service.protocol(), moved)?.with(|extras| {
                extras.clone_from(service.extras());
                let addresses = extras.external_ips.iter_mut().chain(&mut extras.load_balancer_ips);
                addresses.for_each(|address| *address = vips.apply(*address));
                for range in &mut extras.source_ranges {
                    *range = renames.source_range(*range);
                }
            })?;
        services.push(service);
    }
    Cluster::new(services)
}

/// Where networks of one size move to. Those that are not named stay.
#[derive(Debug, Clone)]
pub(crate) struct Moves {
    prefix_len: u8,
    networks: HashMap<Ipv4Net, Ipv4Net>,
    /// Flips bits behind the prefix, the same ones in every address: addresses that differ in some
    /// bits still do, in the same ones.
    flipped: u32,
    /// Of IPv6 networks of /64, their upper halves, and what is flipped in the lower ones.
    six: (HashMap<u64, u64>, u64),
}

impl Moves {
    /// Moves what is outside `range` into it, to networks where nothing is yet.
    fn into(
        what: &'static str,
        range: Ipv4Net,
        addresses: &BTreeSet<Ipv4Addr>,
    ) -> Result<Self, RelocateError> {
        let no_room = |networks, prefix_len, room| {
            Err(RelocateError::NoRoom(format!(
                "{what} lie in {networks} networks of /{prefix_len}, and {range} has room for {room}"
            )))
        };
        let mut refused = no_room(addresses.len(), 32, 0);
        // In networks smaller than the range, each of them is either in it or not.
        for prefix_len in PREFIX_LENS.into_iter().filter(|&length| length >= range.prefix_len()) {
            let (inside, outside): (BTreeSet<_>, BTreeSet<_>) = networks(addresses, prefix_len)
                .into_iter()
                .partition(|network| range.contains(network));
            let room = 1 << (prefix_len - range.prefix_len());
            if inside.len() + outside.len() <= room {
                let free = networks_of(range, prefix_len).filter(|one| !inside.contains(one));
                return Ok(Self::new(prefix_len, outside.into_iter().zip(free).collect(), 0));
            }
            refused = no_room(inside.len() + outside.len(), prefix_len, room);
        }
        // A range smaller than a network: everything is in it already, or nothing fits.
        let is_small = PREFIX_LENS.iter().all(|&length| length < range.prefix_len());
        if is_small && addresses.iter().all(|address| range.contains(address)) {
            return Ok(Self::new(32, HashMap::new(), 0));
        }
        refused
    }

    /// Moves networks as told, and flips bits of every address behind its prefix.
    pub(crate) fn new(prefix_len: u8, networks: HashMap<Ipv4Net, Ipv4Net>, flipped: u32) -> Self {
        Self { prefix_len, networks, flipped, six: (HashMap::new(), 0) }
    }

    /// Moves IPv6 networks of /64 too, named by their upper halves.
    pub(crate) fn with_ipv6(self, networks: HashMap<u64, u64>, flipped: u64) -> Self {
        Self { six: (networks, flipped), ..self }
    }

    pub(crate) fn apply(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => self.apply_ipv4(address).into(),
            IpAddr::V6(address) => {
                let (networks, flipped) = &self.six;
                let (upper, lower) = halves(address);
                let upper = networks.get(&upper).unwrap_or(&upper);
                let bits = u128::from(*upper) << 64 | u128::from(lower ^ flipped);
                Ipv6Addr::from_bits(bits).into()
            }
        }
    }

    fn apply_ipv4(&self, address: Ipv4Addr) -> Ipv4Addr {
        let network = network_of(address, self.prefix_len);
        let moved = self.networks.get(&network).unwrap_or(&network);
        let behind = (address.to_bits() ^ self.flipped) & network.hostmask().to_bits();
        Ipv4Addr::from_bits(moved.network().to_bits() | behind)
    }
}

/// The networks of this size that the addresses lie in.
pub(crate) fn networks(addresses: &BTreeSet<Ipv4Addr>, prefix_len: u8) -> BTreeSet<Ipv4Net> {
    addresses.iter().map(|&address| network_of(address, prefix_len)).collect()
}

/// All networks of this size in a range that is not smaller.
pub(crate) fn networks_of(range: Ipv4Net, prefix_len: u8) -> impl Iterator<Item = Ipv4Net> {
    range.subnets(prefix_len).into_iter().flatten()
}

/// The network of /64 and what is behind it.
#[expect(clippy::cast_possible_truncation, reason = "halves of 128 bits")]
pub(crate) fn halves(address: Ipv6Addr) -> (u64, u64) {
    let bits = address.to_bits();
    ((bits >> 64) as u64, bits as u64)
}

fn network_of(address: Ipv4Addr, prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new(address, prefix_len).map_or(address.into(), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::from_json;

    const SERVICES: &str = "10.96.0.0/12";
    const ENDPOINTS: &str = "10.128.0.0/9";

    fn range(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    /// One-port Services at these VIPs, each with these Endpoints.
    fn cluster(services: &[(&str, &[&str])]) -> Cluster {
        let services: Vec<String> = services
            .iter()
            .enumerate()
            .map(|(number, (vip, endpoints))| {
                let endpoints: Vec<String> =
                    endpoints.iter().map(|address| format!("\"{address}:80\"")).collect();
                let endpoints = endpoints.join(",");
                format!("{{\"name\":\"a/s{number}\",\"vip\":\"{vip}\",\"port\":80,\"protocol\":\"tcp\",\"endpoints\":[{endpoints}]}}")
            })
            .collect();
        let text =
            format!("{{\"schema\":\"vipbench.cluster/1\",\"services\":[{}]}}", services.join(","));
        from_json(text.as_bytes()).unwrap()
    }

    fn addresses(cluster: &Cluster) -> Vec<String> {
        let of_one = |service: &Service| {
            let endpoints = service.endpoints().iter().map(|endpoint| endpoint.address);
            std::iter::once(service.vip())
                .chain(endpoints)
                .map(|address| address.to_string())
                .collect::<Vec<_>>()
        };
        cluster.services().iter().flat_map(of_one).collect()
    }

    #[test]
    fn a_cluster_that_fits_stays_as_it_is() {
        let fitting =
            cluster(&[("10.96.0.1", &["10.128.0.1"]), ("10.111.255.254", &["10.255.0.1"])]);
        assert_eq!(fitting.relocated(range(SERVICES), range(ENDPOINTS)), Ok(None));
    }

    #[test]
    fn what_does_not_fit_moves_to_free_networks_and_the_rest_stays() {
        let foreign = cluster(&[
            ("172.20.0.1", &["10.128.7.7", "192.168.1.9"]),
            ("10.96.3.4", &["10.244.0.5", "192.168.77.9"]),
            ("172.20.9.1", &["10.5.0.1"]),
        ]);
        let moved = foreign.relocated(range(SERVICES), range(ENDPOINTS)).unwrap().unwrap();
        // 10.96 and 10.128 are taken, so the first free networks are 10.97 and 10.129.
        assert_eq!(
            addresses(&moved),
            [
                "10.97.0.1",
                "10.128.7.7",
                "10.130.1.9",
                "10.96.3.4",
                "10.130.77.9",
                "10.244.0.5",
                "10.97.9.1",
                "10.129.0.1"
            ]
        );
        assert_eq!(moved.services()[1].name(), foreign.services()[1].name());
    }

    #[test]
    fn smaller_networks_are_moved_where_larger_ones_do_not_fit() {
        let spread: Vec<String> = (0..20).map(|number| format!("10.{number}.0.1")).collect();
        let services: Vec<(&str, &[&str])> =
            spread.iter().map(|vip| (vip.as_str(), &[][..])).collect();
        let moved =
            cluster(&services).relocated(range(SERVICES), range(ENDPOINTS)).unwrap().unwrap();
        assert_eq!(addresses(&moved)[19], "10.96.19.1");
    }

    #[test]
    fn addresses_that_find_no_room_are_refused() {
        let wide = cluster(&[("10.96.0.1", &["10.1.0.1", "10.2.0.1", "10.3.0.1"])]);
        let refused = |endpoints: &str| {
            wide.relocated(range(SERVICES), range(endpoints)).unwrap_err().to_string()
        };
        let expected = "endpoints lie in 3 networks of /24, and 10.128.0.0/23 has room for 2: take a larger range";
        assert_eq!(refused("10.128.0.0/23"), expected);
        assert!(refused("10.128.0.0/28").contains("take a larger range"));
    }
}

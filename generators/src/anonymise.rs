//! A Cluster of the same shape in which nothing of the original can be read: other names, other
//! addresses.
//!
//! What stays is what costs something: the order of Services, which of them share a namespace, a
//! name, a VIP or an Endpoint, how long each name is, ports and protocols, and how VIPs lie to each
//! other within a network.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::family::Family;
use crate::random::SplitMix64;
use crate::relocate::{
    Moves, PREFIX_LENS, Renames, endpoint_addresses, halves, networks, networks_of, of_ipv4,
    rebuilt, vips,
};
use crate::service_name::ServiceName;
use crate::spec::SyntheticSpec;
use crate::synthetic::Purpose;

/// Where new addresses come from: private, and the range for carriers' own use (RFC 1918, RFC
/// 6598).
const POOL: [Ipv4Net; 2] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// Why a Cluster could not be made anonymous.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnonymiseError {
    /// There are not enough networks without an address of the Cluster.
    #[error(
        "its addresses lie in so many networks that 10.0.0.0/8 and 100.64.0.0/10 have no others left"
    )]
    NoRoom,
    /// The Cluster that came out is not valid.
    #[error("anonymising made an invalid Cluster, please report it: {0}")]
    Cluster(#[from] ClusterError),
}

impl Cluster {
    /// The same shape under other names and addresses, none of which the original has. The same
    /// `seed` gives the same.
    ///
    /// VIPs and Endpoints move by whole networks (IPv6: of /64), and the same bits are flipped in
    /// all of them: two IPv4 VIPs share a hash bucket of IPVS exactly if they did before (up to
    /// Linux 7.0, where buckets follow the VIP's last octet and port), and two IPv6 VIPs of one
    /// network.
    ///
    /// # Errors
    /// [`AnonymiseError::NoRoom`], for Clusters whose addresses are all over 10.0.0.0/8.
    pub fn anonymised(&self, seed: u64) -> Result<Self, AnonymiseError> {
        let mut random = Purpose::Anonymous.stream(seed);
        let (vips, endpoints) = moves(self, &mut random)?;
        let mut labels = Labels::new(self, random.split());
        Ok(rebuilt(self, &mut labels, &vips, &endpoints)?)
    }
}

/// Where VIPs and Endpoints go: to networks in which the Cluster has no address, those of a
/// synthetic Cluster first.
fn moves(cluster: &Cluster, random: &mut SplitMix64) -> Result<(Moves, Moves), AnonymiseError> {
    let SyntheticSpec { service_cidr, endpoint_cidr, .. } = SyntheticSpec::default();
    let (vips, endpoints) = (vips(cluster), endpoint_addresses(cluster.services().iter()));
    let (of_vips, of_endpoints) = (upper_halves(&vips), upper_halves(&endpoints));
    let mut taken: HashSet<u64> = of_vips.union(&of_endpoints).copied().collect();
    let mut assigned = |from: BTreeSet<u64>, random: &mut SplitMix64| -> HashMap<u64, u64> {
        from.into_iter().map(|network| (network, unused_upper_half(&mut taken, random))).collect()
    };
    let six = [assigned(of_vips, random), assigned(of_endpoints, random)];
    let flipped_six = random.next_u64();
    let (vips, endpoints) = (of_ipv4(vips), of_ipv4(endpoints));
    let flipped = (random.next_u64() >> 32) as u32;
    for prefix_len in PREFIX_LENS {
        let (of_vips, of_endpoints) =
            (networks(&vips, prefix_len), networks(&endpoints, prefix_len));
        let mut taken: HashSet<Ipv4Net> = of_vips.union(&of_endpoints).copied().collect();
        let mut assigned = |from: BTreeSet<Ipv4Net>, preferred: Ipv4Net| {
            let all = std::iter::once(preferred).chain(POOL);
            let all = all.flat_map(|range| networks_of(range, prefix_len));
            let to: Vec<_> =
                all.filter(|&network| taken.insert(network)).take(from.len()).collect();
            let is_enough = to.len() == from.len();
            is_enough.then(|| Moves::new(prefix_len, from.into_iter().zip(to).collect(), flipped))
        };
        let moves = (assigned(of_vips, service_cidr), assigned(of_endpoints, endpoint_cidr));
        if let (Some(vips), Some(endpoints)) = moves {
            let [of_vips, of_endpoints] = six;
            let endpoints = endpoints.with_ipv6(of_endpoints, flipped_six);
            return Ok((vips.with_ipv6(of_vips, flipped_six), endpoints));
        }
    }
    Err(AnonymiseError::NoRoom)
}

/// The IPv6 networks of /64 that addresses lie in.
fn upper_halves(addresses: &BTreeSet<IpAddr>) -> BTreeSet<u64> {
    let upper = |address: &IpAddr| match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(halves(*address).0),
    };
    addresses.iter().filter_map(upper).collect()
}

/// A network of the private range `fd00::/8` (RFC 4193) that is not taken yet, and is from now on.
fn unused_upper_half(taken: &mut HashSet<u64>, random: &mut SplitMix64) -> u64 {
    loop {
        let drawn = 0xfd << 56 | random.next_u64() >> 8;
        if taken.insert(drawn) {
            return drawn;
        }
    }
}

/// How often something unused is drawn before all is taken to be used up.
const ATTEMPTS: usize = 64;

/// New labels for old ones, of the same length where there are enough.
struct Labels {
    random: SplitMix64,
    /// Labels of the original, and those that were given out.
    used: HashSet<String>,
    /// By namespace, by namespace and name (Services of one name in two namespaces get two), and by
    /// colon and port name.
    given: HashMap<String, String>,
    /// New ranges of clients, and those that are taken: the original's and those given out.
    ranges: HashMap<IpNet, IpNet>,
    taken_ranges: HashSet<IpNet>,
}

impl Labels {
    fn new(cluster: &Cluster, random: SplitMix64) -> Self {
        let originals = cluster.services().iter().flat_map(|service| {
            let name = service.name();
            [name.namespace(), name.name(), name.port_name()].map(str::to_owned)
        });
        let used = originals.collect();
        let ranges = cluster.services().iter().flat_map(|service| &service.extras().source_ranges);
        let taken_ranges = ranges.copied().collect();
        Self { random, used, given: HashMap::new(), ranges: HashMap::new(), taken_ranges }
    }
}

impl Renames for Labels {
    fn name(&mut self, old: &ServiceName) -> Result<ServiceName, ClusterError> {
        let Self { random, used, given, .. } = self;
        let mut renamed = |key: &str, length: usize| {
            given.entry(key.to_owned()).or_insert_with(|| label(length, random, used)).clone()
        };
        let namespace = renamed(old.namespace(), old.namespace().len());
        let name = renamed(old.namespaced_name(), old.name().len());
        let port_name = match old.port_name() {
            "" => String::new(),
            port_name => renamed(&format!(":{port_name}"), port_name.len()),
        };
        ServiceName::new(&namespace, &name, &port_name)
    }

    fn source_range(&mut self, range: IpNet) -> IpNet {
        let Self { random, ranges, taken_ranges, .. } = self;
        *ranges.entry(range).or_insert_with(|| other_range(range, random, taken_ranges))
    }
}

/// A range of as many addresses elsewhere, which is not taken yet unless all of that size seem to
/// be: there is one of all addresses.
fn other_range(of: IpNet, random: &mut SplitMix64, taken: &mut HashSet<IpNet>) -> IpNet {
    let mut drawn = of;
    for _ in 0..ATTEMPTS {
        let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        let address = Family::of(of.addr()).address(bits);
        drawn = IpNet::new(address, of.prefix_len()).map_or(of, |network| network.trunc());
        if taken.insert(drawn) {
            break;
        }
    }
    drawn
}

/// A label that was not used yet: random letters, more of them if those of this length seem to be
/// used up.
fn label(length: usize, random: &mut SplitMix64, used: &mut HashSet<String>) -> String {
    let mut length = length;
    loop {
        for _ in 0..ATTEMPTS {
            let letter = |_| char::from(b'a' + u8::try_from(random.below(26)).unwrap_or(0));
            let drawn: String = (0..length).map(letter).collect();
            if used.insert(drawn.clone()) {
                return drawn;
            }
        }
        length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{from_json, to_json};
    use crate::family::bits;
    use crate::service::Service;
    use crate::synthetic::generate;

    const CLUSTER: &str = r#"{"schema":"vipbench.cluster/1","services":[
{"name":"payments/ledger:grpc","vip":"10.96.0.10","port":8443,"protocol":"tcp","endpoints":["10.244.1.7:9000","10.244.2.7:9000"]},
{"name":"payments/ledger:metrics","vip":"10.96.0.10","port":9090,"protocol":"tcp","endpoints":["10.244.1.7:9100","10.244.2.7:9100"]},
{"name":"staging/ledger","vip":"10.96.1.10","port":8443,"protocol":"tcp","node_port":30443,"external_ips":["203.0.113.7"],"endpoints":["192.168.1.4:6443"]},
{"name":"a/b","vip":"10.96.1.11","port":53,"protocol":"udp","endpoints":[]},
{"name":"payments/ledger:grpc","vip":"2001:db8:96::10","port":8443,"protocol":"tcp","load_balancer_ips":["2001:db8:7::8"],"source_ranges":["2001:db8:5::/48","2001:db8:6:7::/64"],"endpoints":["[2001:db8:1:2::7]:9000","[2001:db8:1:3::7]:9000"]},
{"name":"staging/gate","vip":"10.96.1.12","port":443,"protocol":"tcp","node_port":30444,"load_balancer_ips":["203.0.113.8"],"source_ranges":["198.51.100.0/24","192.0.2.0/25"],"endpoints":["10.244.1.9:80"]},
{"name":"staging/other","vip":"2001:db8:96::11","port":443,"protocol":"tcp","source_ranges":["2001:db8:5::/48"],"endpoints":[{"address":"[2001:db8:1:2::9]:80","state":"terminating","remote":true}]}
]}"#;

    fn text(cluster: &Cluster) -> String {
        let mut json = Vec::new();
        to_json(cluster, &mut json).unwrap();
        String::from_utf8(json).unwrap()
    }

    /// Every name and address of a Cluster.
    fn words(cluster: &Cluster) -> HashSet<String> {
        let of_one = |service: &Service| {
            let name = service.name();
            let mut words = vec![name.namespace(), name.name(), name.port_name()]
                .into_iter()
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>();
            words.extend(service.endpoints().iter().map(|endpoint| endpoint.address.to_string()));
            let extras = service.extras();
            words.extend(extras.external_ips.iter().map(ToString::to_string));
            words.extend(extras.load_balancer_ips.iter().map(ToString::to_string));
            words.extend(extras.source_ranges.iter().map(|range| range.addr().to_string()));
            words.push(service.vip().to_string());
            words
        };
        cluster.services().iter().flat_map(of_one).collect()
    }

    #[test]
    fn nothing_of_the_original_is_in_the_bytes() {
        let (spec, all_over) = (
            SyntheticSpec { services: 3_000, ..SyntheticSpec::default() },
            SyntheticSpec {
                services: 3_000,
                vip_layout: crate::addresses::VipLayout::Random,
                ..SyntheticSpec::default()
            },
        );
        let real = from_json(CLUSTER.as_bytes()).unwrap();
        for original in [real, generate(&spec, 1).unwrap(), generate(&all_over, 2).unwrap()] {
            let anonymous = text(&original.anonymised(5).unwrap());
            let found: HashSet<&str> = anonymous
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == ':'))
                .flat_map(|word| [word, word.trim_end_matches(":80")])
                .collect();
            let kept: Vec<String> =
                words(&original).into_iter().filter(|word| found.contains(word.as_str())).collect();
            assert_eq!(kept, Vec::<String>::new());
        }
    }

    #[test]
    fn the_shape_stays() {
        let original = from_json(CLUSTER.as_bytes()).unwrap();
        let anonymous = original.anonymised(5).unwrap();
        let [grpc, metrics, staging, dns, six, gate, other] = anonymous.services() else {
            panic!("seven Services")
        };
        for (old, new) in original.services().iter().zip(anonymous.services()) {
            assert_eq!(old.name().as_str().len(), new.name().as_str().len());
            assert_eq!((old.port(), old.protocol()), (new.port(), new.protocol()));
            assert_eq!(old.extras().node_port, new.extras().node_port);
            assert_eq!(old.extras().external_ips.len(), new.extras().external_ips.len());
            let ports = |service: &Service| -> Vec<u16> {
                let mut ports: Vec<u16> = service.endpoints().iter().map(|one| one.port).collect();
                ports.sort_unstable();
                ports
            };
            assert_eq!(ports(old), ports(new));
        }
        assert_eq!(grpc.name().namespaced_name(), metrics.name().namespaced_name());
        assert_ne!(grpc.name().name(), staging.name().name());
        assert_eq!(grpc.vip(), metrics.vip());
        assert_eq!(grpc.endpoints()[0].address, metrics.endpoints()[0].address);
        // Hash tables look at the bits in which VIPs differ.
        let differs = |one: &Service, other: &Service| bits(one.vip()) ^ bits(other.vip());
        let [old_grpc, _, old_staging, old_dns, old_six, _, old_other] = original.services() else {
            panic!("seven Services")
        };
        assert_eq!(differs(grpc, staging), differs(old_grpc, old_staging));
        assert_eq!(differs(staging, dns), differs(old_staging, old_dns));
        assert_eq!(differs(six, other), differs(old_six, old_other));
        // Both families of a Service still have one name, and clients that were the same are.
        assert_eq!(grpc.name(), six.name());
        let lengths = |service: &Service| -> Vec<u8> {
            service.extras().source_ranges.iter().map(IpNet::prefix_len).collect()
        };
        assert_eq!([lengths(six), lengths(gate)], [[48, 64], [24, 25]]);
        assert_eq!(six.extras().source_ranges[0], other.extras().source_ranges[0]);
        let [old, new] = [old_other, other].map(|service| service.endpoints()[0]);
        assert_eq!((old.state, old.is_remote), (new.state, new.is_remote));
    }

    #[test]
    fn ranges_of_clients_are_others_while_there_are_any() {
        let range = |text: &str| text.parse::<IpNet>().unwrap();
        let mut random = SplitMix64::new(1);
        let mut taken: HashSet<IpNet> = [range("0.0.0.0/1"), range("0.0.0.0/0")].into();
        let other = other_range(range("0.0.0.0/1"), &mut random, &mut taken);
        assert_eq!(other, range("128.0.0.0/1"));
        assert_eq!(other_range(range("0.0.0.0/0"), &mut random, &mut taken), range("0.0.0.0/0"));
    }

    #[test]
    fn the_seed_decides() {
        let original = from_json(CLUSTER.as_bytes()).unwrap();
        let anonymous = |seed| text(&original.anonymised(seed).unwrap());
        assert_eq!(anonymous(1), anonymous(1));
        assert_ne!(anonymous(1), anonymous(2));
        let twice = original.anonymised(1).unwrap().anonymised(1).unwrap();
        assert_ne!(text(&twice), anonymous(1));
    }

    #[test]
    fn it_fits_into_the_ranges_of_a_synthetic_cluster_where_these_have_room() {
        let SyntheticSpec { service_cidr, endpoint_cidr, .. } = SyntheticSpec::default();
        let anonymous = from_json(CLUSTER.as_bytes()).unwrap().anonymised(9).unwrap();
        assert_eq!(anonymous.relocated(service_cidr, endpoint_cidr), Ok(None));
    }

    #[test]
    fn labels_that_are_all_used_up_become_longer() {
        let mut used: HashSet<String> = ('a'..='z').map(String::from).collect();
        let label = label(1, &mut SplitMix64::new(1), &mut used);
        assert_eq!(label.len(), 2);
    }
}

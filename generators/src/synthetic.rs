//! Makes a Cluster from a spec and a seed: the same bytes on any machine.
//!
//! Each property (names, VIPs, addresses, counts, protocols, kinds) has its own stream of random
//! numbers, so that changing one field of a spec leaves the others' draws alone.

use std::ops::Range;

use crate::addresses::{Addresses, VipLayout};
use crate::cluster::Cluster;
use crate::endpoint::Endpoint;
use crate::error::ClusterError;
use crate::family::Family;
use crate::kinds::{Kind, NODE_PORTS, external_range};
use crate::names::Names;
use crate::random::{Permutation, SplitMix64};
use crate::service::{Protocol, Service};
use crate::spec::{SpecErrors, SyntheticSpec};

/// What a stream of random numbers is for. The numbers are part of what a seed means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Names = 1,
    Vips = 2,
    Endpoints = 3,
    EndpointCounts = 4,
    Protocols = 5,
    Changes = 6,
    Anonymous = 7,
    VipsV6 = 8,
    EndpointsV6 = 9,
    Kinds = 10,
    RemoteEndpoints = 11,
    ChangesOfKinds = 12,
    ChangesV6 = 13,
}

impl Purpose {
    /// The random numbers of this purpose.
    pub(crate) const fn stream(self, seed: u64) -> SplitMix64 {
        SplitMix64::stream(seed, self as u64)
    }
}

/// Why no Cluster was generated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// The spec has mistakes.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// The Cluster that was made is not valid, although its spec is.
    #[error("the generator made an invalid Cluster, please report it: {0}")]
    Cluster(#[from] ClusterError),
}

/// The Cluster that `spec` describes, with `seed` deciding what `spec` leaves open.
///
/// 1,000,000 Services with 10 Endpoints each take a few seconds and 480 MB (`benches/generate.rs`).
///
/// # Errors
/// [`GenerateError::Spec`] with every mistake in `spec`, before anything is made.
pub fn generate(spec: &SyntheticSpec, seed: u64) -> Result<Cluster, GenerateError> {
    spec.validate()?;
    let services = u64::from(spec.services);
    let names = Names::more_than(services, Purpose::Names.stream(seed));
    let families = spec.families.each().iter();
    let families: Vec<_> = families.map(|&family| OfFamily::new(spec, seed, family)).collect();
    // Ranks are dealt to Services in random order, each once.
    let dealt = |count, purpose: Purpose| Permutation::new(count, purpose.stream(seed));
    let rank = |dealt: &Permutation, service| u32::try_from(dealt.at(service)).unwrap_or(u32::MAX);
    let (protocols, kinds) = (dealt(services, Purpose::Protocols), dealt(services, Purpose::Kinds));
    let with_endpoints = spec.services_with_endpoints();
    let counts = dealt(with_endpoints.into(), Purpose::EndpointCounts);
    let (endpoint_counts, protocol_shares, kind_shares) =
        (spec.endpoints.quantiles(), spec.protocols.quantiles(), spec.kinds.quantiles());
    let remote = Remote::new(spec, seed);

    let mut made = Vec::with_capacity(usize::try_from(spec.service_count()).unwrap_or(0));
    let (mut next_endpoint, mut next_counted, mut next_address) = (0_u64, 0_u64, 0_u64);
    let mut node_ports = NODE_PORTS;
    for index in 0..services {
        let protocol = protocol_shares.at_rank(rank(&protocols, index), spec.services);
        let protocol = protocol.unwrap_or(Protocol::Tcp);
        let kind = kind_shares.at_rank(rank(&kinds, index), spec.services);
        let kind = kind.unwrap_or(Kind::ClusterIp);
        let mut end = next_endpoint;
        if kind != Kind::WithoutEndpoints {
            let count = endpoint_counts.at_rank(rank(&counts, next_counted), with_endpoints);
            end += u64::from(count.unwrap_or(0));
            next_counted += 1;
        }
        let extras = kind.extras(|| node_ports.next()).unwrap_or_default();
        let name = names.at(index, protocol)?;
        for family in &families {
            let endpoints = family.endpoints(next_endpoint..end, spec.target_port, &remote);
            let (name, vip) = (name.clone(), family.vips.at(index));
            let mut service = Service::new(name, vip, spec.port, protocol, endpoints)?;
            if kind != Kind::ClusterIp {
                service = service.with(|own| {
                    own.clone_from(&extras);
                    if kind.has_address() {
                        kind.add_address(family.external.at(next_address), own);
                    }
                })?;
            }
            made.push(service);
        }
        next_endpoint = end;
        next_address += u64::from(kind.has_address());
    }
    Ok(Cluster::new(made)?)
}

/// Where the addresses of one family come from.
struct OfFamily {
    vips: Addresses,
    endpoints: Addresses,
    external: Addresses,
}

impl OfFamily {
    fn new(spec: &SyntheticSpec, seed: u64, family: Family) -> Self {
        let [(_, vips), (_, endpoints)] = spec.keyed_ranges(family);
        let (of_vips, of_endpoints) = match family {
            Family::V4 => (Purpose::Vips, Purpose::Endpoints),
            Family::V6 => (Purpose::VipsV6, Purpose::EndpointsV6),
        };
        Self {
            vips: Addresses::new(vips, spec.vip_layout, of_vips.stream(seed)),
            endpoints: Addresses::new(endpoints, VipLayout::Random, of_endpoints.stream(seed)),
            external: external_addresses(family),
        }
    }

    fn endpoints(&self, numbers: Range<u64>, port: u16, remote: &Remote) -> Vec<Endpoint> {
        let endpoint = |number| Endpoint {
            is_remote: remote.is_remote(number),
            ..Endpoint::new(self.endpoints.at(number), port)
        };
        numbers.map(endpoint).collect()
    }
}

/// External and load balancer addresses, one after the other.
pub(crate) fn external_addresses(family: Family) -> Addresses {
    Addresses::new(external_range(family), VipLayout::Consecutive, SplitMix64::new(0))
}

/// Which Endpoints are on other nodes, by their number: any of them, and exactly as many as the
/// share says.
struct Remote {
    count: u64,
    total: u64,
    order: Permutation,
}

impl Remote {
    fn new(spec: &SyntheticSpec, seed: u64) -> Self {
        let share = spec.remote_endpoints;
        let total = if share > 0.0 { spec.endpoints_of_each_family() } else { 0 };
        let order = Permutation::new(total, Purpose::RemoteEndpoints.stream(seed));
        Self { count: part(share, total), total, order }
    }

    fn is_remote(&self, number: u64) -> bool {
        self.count == self.total && self.total > 0
            || self.count > 0 && self.order.at(number) < self.count
    }
}

/// The share of a whole, rounded. The same on every machine: product and rounding are exact by IEEE
/// 754, unlike most functions of `f64`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a whole is below 2^53, and a share between 0 and 1"
)]
pub(crate) fn part(share: f64, whole: u64) -> u64 {
    (share * whole as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extras::Extras;
    use crate::kinds::Kinds;
    use crate::spec::{EndpointCount, Families};

    fn mixed(families: Families) -> SyntheticSpec {
        SyntheticSpec {
            services: 480,
            endpoints: EndpointCount::Uniform { min: 1, max: 5 },
            families,
            kinds: Kinds { cluster_ip: 3, without_endpoints: 2, ..Kinds::ONE_EACH },
            remote_endpoints: 0.75,
            ..SyntheticSpec::default()
        }
    }

    fn count(cluster: &Cluster, is_counted: impl Fn(&Service) -> bool) -> usize {
        cluster.services().iter().filter(|service| is_counted(service)).count()
    }

    #[test]
    fn kinds_are_dealt_by_their_shares_whatever_the_seed() {
        for seed in [1, 2] {
            let cluster = generate(&mixed(Families::Ipv4), seed).unwrap();
            let has = |is_counted: fn(&Extras) -> bool| {
                count(&cluster, |service| is_counted(service.extras()))
            };
            assert_eq!(has(|extras| *extras == Extras::NONE), 200);
            assert_eq!(has(|extras| extras.node_port.is_some()), 160);
            assert_eq!(has(|extras| !extras.external_ips.is_empty()), 40);
            assert_eq!(count(&cluster, |service| service.endpoints().is_empty()), 80);
            let endpoints = cluster.services().iter().flat_map(Service::endpoints);
            let remote = endpoints.filter(|endpoint| endpoint.is_remote).count();
            assert_eq!((remote, cluster.endpoint_count()), (900, 1_200));
        }
    }

    #[test]
    fn a_cluster_of_both_families_is_one_of_each_side_by_side() {
        let dual = generate(&mixed(Families::Dual), 3).unwrap();
        let alone = |families| generate(&mixed(families), 3).unwrap();
        for (family, families) in [(Family::V4, Families::Ipv4), (Family::V6, Families::Ipv6)] {
            let own: Vec<Service> = dual.of_family(family).cloned().collect();
            assert_eq!(own, alone(families).services(), "{family}");
        }
        for pair in dual.services().chunks(2) {
            let [four, six] = pair else { panic!("pairs") };
            assert_eq!((four.name(), four.protocol()), (six.name(), six.protocol()));
            let ports = |service: &Service| {
                let Extras { node_port, health_check_node_port, .. } = *service.extras();
                (node_port, health_check_node_port)
            };
            assert_eq!(ports(four), ports(six));
            let remote = |service: &Service| {
                service.endpoints().iter().filter(|endpoint| endpoint.is_remote).count()
            };
            assert_eq!(
                (four.endpoints().len(), remote(four)),
                (six.endpoints().len(), remote(six))
            );
        }
    }

    #[test]
    fn shares_of_endpoints_on_other_nodes_are_exact() {
        for (share, remote) in [(0.0, 0), (0.29, 29), (0.999, 100), (1.0, 100)] {
            let spec =
                SyntheticSpec { services: 10, remote_endpoints: share, ..SyntheticSpec::default() };
            let cluster = generate(&spec, 1).unwrap();
            let endpoints = cluster.services().iter().flat_map(Service::endpoints);
            assert_eq!(endpoints.filter(|endpoint| endpoint.is_remote).count(), remote, "{share}");
        }
    }

    #[test]
    fn newer_keys_leave_the_rest_of_a_cluster_alone() {
        let plain = SyntheticSpec { services: 50, ..SyntheticSpec::default() };
        let spec = SyntheticSpec {
            kinds: Kinds { affinity: 1, load_balancer: 1, ..Kinds::NONE },
            remote_endpoints: 0.5,
            ..plain.clone()
        };
        let (plain, mixed) = (generate(&plain, 4).unwrap(), generate(&spec, 4).unwrap());
        for (one, other) in plain.services().iter().zip(mixed.services()) {
            assert_eq!((one.id(), one.vip()), (other.id(), other.vip()));
            let addresses = |service: &Service| {
                service.endpoints().iter().map(Endpoint::socket).collect::<Vec<_>>()
            };
            assert_eq!(addresses(one), addresses(other));
        }
    }
}

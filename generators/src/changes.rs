//! Streams of Changes for the measurement of incremental syncs.
//!
//! Choosing what changes is done here; making the next Cluster is [`Cluster::apply`].

use std::collections::HashSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::addresses::{Addresses, Unused, VipLayout};
use crate::cluster::{Change, Cluster, answers_at};
use crate::error::ClusterError;
use crate::names::Names;
use crate::position::Position;
use crate::random::SplitMix64;
use crate::service::{Endpoint, Protocol, Service, ServiceName};
use crate::spec::{SpecErrors, SyntheticSpec};
use crate::synthetic::Purpose;

/// The kinds of [`Change`], by the names of their metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ChangeKind {
    /// One Endpoint of one Service replaced.
    EndpointChange,
    /// One Service added.
    ServiceAdd,
    /// One Service removed.
    ServiceRemove,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::EndpointChange, Self::ServiceAdd, Self::ServiceRemove];

    /// `endpoint_change`, `service_add` or `service_remove`: the metric is this behind `sync.`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why a stream of Changes cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangesError {
    /// The spec has mistakes.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// A range has no unused address left.
    #[error(
        "{key} = {range} has no unused address left for {kind} number {number}: \
         take a larger range or fewer changes"
    )]
    RangeFull {
        /// The key of the spec that has the range.
        key: &'static str,
        /// The range.
        range: Ipv4Net,
        /// The kind of Change that was wanted.
        kind: ChangeKind,
        /// Which Change could not be made, counted from 1.
        number: u32,
    },
    /// There is no Endpoint to replace.
    #[error("no Service of the Cluster has an endpoint that could be replaced")]
    NoEndpoint,
    /// No Service would be left.
    #[error("{count} of {services} Services cannot be removed: at least one must stay")]
    NothingLeft {
        /// How many Services were to be removed.
        count: u32,
        /// How many there are.
        services: usize,
    },
    /// A Service that was made is not valid.
    #[error("the generator made an invalid Service, please report it: {0}")]
    Cluster(#[from] ClusterError),
}

/// `count` Changes of one kind, each to be applied to the Cluster that the ones before it lead to.
///
/// `position` says which Service changes: an Endpoint is replaced in the first Service from there
/// on that has one, going around at the end; an added Service always comes last. A new Endpoint
/// keeps the port of the old one. New addresses come from `spec`'s ranges, and none of them is used
/// in `cluster` or by an earlier Change. `cluster` need not have been generated from `spec`.
///
/// ```
/// # use generators::{ChangeKind, Position, SyntheticSpec, changes, generate};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let spec = SyntheticSpec { services: 10, ..SyntheticSpec::default() };
/// let mut cluster = generate(&spec, 1)?;
/// for change in changes(&cluster, &spec, 1, ChangeKind::ServiceRemove, Position::First, 3)? {
///     cluster = cluster.apply(&change)?;
/// }
/// assert_eq!(cluster.services().len(), 7);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ChangesError`]: mistakes in `spec`, a range without unused addresses, or nothing to change.
pub fn changes(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    seed: u64,
    kind: ChangeKind,
    position: Position,
    count: u32,
) -> Result<Vec<Change>, ChangesError> {
    spec.validate()?;
    let random = Purpose::Changes.stream(seed);
    match kind {
        ChangeKind::EndpointChange => replacements(cluster, spec, random, position, count),
        ChangeKind::ServiceAdd => additions(cluster, spec, random, count),
        ChangeKind::ServiceRemove => removals(cluster, random, position, count),
    }
}

fn replacements(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    mut random: SplitMix64,
    position: Position,
    count: u32,
) -> Result<Vec<Change>, ChangesError> {
    let mut unused = unused_endpoints(cluster, spec, random.split());
    let mut services = cluster.services().to_vec();
    let mut changes = Vec::new();
    for number in 1..=count {
        let start = position.index(services.len(), random.next_u64());
        let (before, from) = services.split_at_mut(start);
        let service = from
            .iter_mut()
            .chain(before)
            .find(|service| !service.endpoints().is_empty())
            .ok_or(ChangesError::NoEndpoint)?;
        let draw = random.next_u64();
        let place = Position::Random.index(service.endpoints().len(), draw);
        let old = *service.endpoints().get(place).ok_or(ChangesError::NoEndpoint)?;
        let (key, range) = ("endpoint_cidr", spec.endpoint_cidr);
        let kind = ChangeKind::EndpointChange;
        let full = ChangesError::RangeFull { key, range, kind, number };
        let address = unused.take().ok_or(full)?;
        let new = Endpoint { address, port: old.port };
        *service = service.with_endpoint_replaced(old, new)?;
        changes.push(Change::EndpointReplaced { service: service.name().clone(), old, new });
    }
    Ok(changes)
}

fn additions(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    mut random: SplitMix64,
    count: u32,
) -> Result<Vec<Change>, ChangesError> {
    let present = cluster.services().len() as u64;
    let mut addresses = unused_endpoints(cluster, spec, random.split());
    let mut vips = unused_vips(cluster, spec, random.split());
    let mut names = UnusedNames::new(cluster, present + u64::from(count), random.split());
    let (endpoint_counts, protocols) = (spec.endpoints.quantiles(), spec.protocols.quantiles());
    let kind = ChangeKind::ServiceAdd;
    let full = |key, range, number| ChangesError::RangeFull { key, range, kind, number };

    let mut changes = Vec::new();
    for number in 1..=count {
        let protocol = protocols.draw(&mut random).unwrap_or(Protocol::Tcp);
        let vip = vips.take().ok_or_else(|| full("service_cidr", spec.service_cidr, number))?;
        let endpoints = (0..endpoint_counts.draw(&mut random).unwrap_or(0))
            .map(|_| addresses.take().map(|address| Endpoint { address, port: spec.target_port }))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| full("endpoint_cidr", spec.endpoint_cidr, number))?;
        let name = names.take(protocol)?;
        changes
            .push(Change::ServiceAdded(Service::new(name, vip, spec.port, protocol, endpoints)?));
    }
    Ok(changes)
}

fn removals(
    cluster: &Cluster,
    mut random: SplitMix64,
    position: Position,
    count: u32,
) -> Result<Vec<Change>, ChangesError> {
    let mut left: Vec<&ServiceName> = cluster.services().iter().map(Service::name).collect();
    if u64::from(count) >= left.len() as u64 {
        return Err(ChangesError::NothingLeft { count, services: left.len() });
    }
    let removed = (0..count).map(|_| left.remove(position.index(left.len(), random.next_u64())));
    Ok(removed.map(|name| Change::ServiceRemoved(name.clone())).collect())
}

fn unused_endpoints(cluster: &Cluster, spec: &SyntheticSpec, random: SplitMix64) -> Unused {
    let addresses = Addresses::new(spec.endpoint_cidr, VipLayout::Random, random);
    Unused::new(addresses, 0, in_use(cluster))
}

/// Unused VIPs in the layout of the spec, from where a generated Cluster leaves off.
fn unused_vips(cluster: &Cluster, spec: &SyntheticSpec, random: SplitMix64) -> Unused {
    let vips = Addresses::new(spec.service_cidr, spec.vip_layout, random);
    Unused::new(vips, cluster.services().len() as u64, in_use(cluster))
}

/// Every address of a Cluster: VIPs, external IPs, Endpoints.
fn in_use(cluster: &Cluster) -> impl Iterator<Item = Ipv4Addr> {
    cluster.services().iter().flat_map(|service| {
        let endpoints = service.endpoints().iter().map(|endpoint| endpoint.address);
        answers_at(service).map(|((address, ..), _)| address).chain(endpoints)
    })
}

/// Gives out names that no Service of a Cluster has, each once.
struct UnusedNames<'a> {
    names: Names,
    next: u64,
    used: HashSet<&'a str>,
}

impl<'a> UnusedNames<'a> {
    /// There are more than `count` names: those of the Cluster and those that will be taken.
    fn new(cluster: &'a Cluster, count: u64, random: SplitMix64) -> Self {
        let names = Names::more_than(count, random);
        let used =
            cluster.services().iter().map(|service| service.name().namespaced_name()).collect();
        Self { names, next: 0, used }
    }

    /// Always finds one, since there are more names than `count`.
    fn take(&mut self, protocol: Protocol) -> Result<ServiceName, ClusterError> {
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
    use crate::spec::EndpointCount;
    use crate::synthetic::generate;

    const SEED: u64 = 11;

    fn spec() -> SyntheticSpec {
        SyntheticSpec {
            services: 20,
            endpoints: EndpointCount::Uniform { min: 1, max: 4 },
            ..SyntheticSpec::default()
        }
    }

    fn cluster() -> Cluster {
        generate(&spec(), SEED).unwrap()
    }

    fn made(kind: ChangeKind, position: Position, count: u32) -> Vec<Change> {
        changes(&cluster(), &spec(), SEED, kind, position, count).unwrap()
    }

    fn after(cluster: &Cluster, changes: &[Change]) -> Cluster {
        changes.iter().fold(cluster.clone(), |cluster, change| cluster.apply(change).unwrap())
    }

    fn range(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn endpoints_are_replaced_by_unused_addresses_of_the_same_port() {
        let before = cluster();
        let made = made(ChangeKind::EndpointChange, Position::Random, 100);
        let mut seen: HashSet<Ipv4Addr> = in_use(&before).collect();
        for change in &made {
            let Change::EndpointReplaced { old, new, .. } = change else { panic!("{change:?}") };
            assert!(seen.insert(new.address), "{new} was in use before");
            assert!(spec().endpoint_cidr.contains(&new.address));
            assert_eq!(new.port, old.port);
        }
        let after = after(&before, &made);
        assert_eq!(after.endpoint_count(), before.endpoint_count());
        let names = |cluster: &Cluster| {
            cluster.services().iter().map(|service| service.name().clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&after), names(&before));
    }

    #[test]
    fn the_position_says_which_service_changes() {
        let services = cluster();
        for (position, index) in [(Position::First, 0), (Position::P50, 9), (Position::Last, 19)] {
            let name = services.services()[index].name();
            for change in made(ChangeKind::EndpointChange, position, 3) {
                assert_eq!(change.service_name(), name);
            }
            assert_eq!(made(ChangeKind::ServiceRemove, position, 1)[0].service_name(), name);
        }
        let random = made(ChangeKind::EndpointChange, Position::Random, 50);
        let distinct: HashSet<_> = random.iter().map(Change::service_name).collect();
        assert!(distinct.len() > 10, "{} Services of 20 in 50 draws", distinct.len());
    }

    #[test]
    fn a_service_without_endpoints_is_passed_over() {
        let empty = |name: &str, vip| {
            Service::new(name.parse().unwrap(), vip, 80, Protocol::Tcp, vec![]).unwrap()
        };
        let full = cluster().services()[0].clone();
        let first = empty("ns/a", Ipv4Addr::new(192, 0, 2, 1));
        let last = empty("ns/b", Ipv4Addr::new(192, 0, 2, 2));
        let mixed = Cluster::new(vec![first.clone(), full.clone(), last]).unwrap();
        for position in Position::ALL {
            let made =
                changes(&mixed, &spec(), SEED, ChangeKind::EndpointChange, position, 1).unwrap();
            assert_eq!(made[0].service_name(), full.name(), "{position}");
        }
        let bare = Cluster::new(vec![first]).unwrap();
        assert_eq!(
            changes(&bare, &spec(), SEED, ChangeKind::EndpointChange, Position::First, 1),
            Err(ChangesError::NoEndpoint)
        );
    }

    #[test]
    fn added_services_continue_the_layout_of_the_vips() {
        let made = made(ChangeKind::ServiceAdd, Position::First, 3);
        let vips: Vec<_> = made
            .iter()
            .map(|change| match change {
                Change::ServiceAdded(service) => service.vip().to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(vips, ["10.96.0.21", "10.96.0.22", "10.96.0.23"]);
        assert_eq!(after(&cluster(), &made).services().len(), 23);
    }

    #[test]
    fn services_can_be_added_to_every_layout_until_its_range_is_full() {
        for vip_layout in
            [VipLayout::Consecutive, VipLayout::Random, VipLayout::Strided { step: 10 }]
        {
            let spec = SyntheticSpec { vip_layout, service_cidr: range("10.96.0.0/27"), ..spec() };
            let before = generate(&spec, SEED).unwrap();
            let add = |count| {
                changes(&before, &spec, SEED, ChangeKind::ServiceAdd, Position::Last, count)
            };
            // 30 usable addresses, which a step of 10 divides, and 20 in use.
            assert_eq!(after(&before, &add(10).unwrap()).services().len(), 30);
            let full = ChangesError::RangeFull {
                key: "service_cidr",
                range: spec.service_cidr,
                kind: ChangeKind::ServiceAdd,
                number: 11,
            };
            assert_eq!(add(11), Err(full), "{vip_layout:?}");
        }
    }

    #[test]
    fn a_range_without_unused_endpoints_is_an_error() {
        let spec = SyntheticSpec {
            services: 6,
            endpoints: EndpointCount::Fixed(1),
            endpoint_cidr: range("10.128.0.0/29"),
            ..spec()
        };
        let full_cluster = generate(&spec, SEED).unwrap();
        for kind in [ChangeKind::EndpointChange, ChangeKind::ServiceAdd] {
            let made = changes(&full_cluster, &spec, SEED, kind, Position::First, 1);
            let (key, range) = ("endpoint_cidr", spec.endpoint_cidr);
            assert_eq!(made, Err(ChangesError::RangeFull { key, range, kind, number: 1 }));
        }
    }

    #[test]
    fn services_are_removed_until_one_is_left() {
        for position in Position::ALL {
            let made = made(ChangeKind::ServiceRemove, position, 19);
            assert_eq!(after(&cluster(), &made).services().len(), 1, "{position}");
        }
        let kind = ChangeKind::ServiceRemove;
        assert_eq!(
            changes(&cluster(), &spec(), SEED, kind, Position::Last, 20),
            Err(ChangesError::NothingLeft { count: 20, services: 20 })
        );
    }

    #[test]
    fn an_invalid_spec_is_refused_before_anything_is_made() {
        let spec = SyntheticSpec { port: 0, ..spec() };
        let errors = spec.validate().unwrap_err();
        assert_eq!(
            changes(&cluster(), &spec, SEED, ChangeKind::ServiceAdd, Position::Last, 1),
            Err(ChangesError::Spec(errors))
        );
    }

    #[test]
    fn names_in_use_are_passed_over() {
        let cluster = cluster();
        let mut names = UnusedNames::new(&cluster, 21, SplitMix64::new(1));
        // The order in which the Cluster itself took its names.
        names.names = Names::more_than(20, Purpose::Names.stream(SEED));
        let taken = names.take(Protocol::Udp).unwrap();
        assert_eq!(names.next, 21);
        let clash = |service: &Service| service.name().namespaced_name() == taken.namespaced_name();
        assert!(!cluster.services().iter().any(clash));
    }

    #[test]
    fn the_seed_decides_what_changes() {
        for kind in ChangeKind::ALL {
            let made =
                |seed| changes(&cluster(), &spec(), seed, kind, Position::Random, 5).unwrap();
            assert_eq!(made(1), made(1));
            assert_ne!(made(1), made(2), "{kind}");
        }
    }

    #[test]
    fn kinds_are_read_back_from_their_names() {
        for kind in ChangeKind::ALL {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<ChangeKind>(&json).unwrap(), kind);
        }
        let error = serde_json::from_str::<ChangeKind>("\"removal\"").unwrap_err().to_string();
        assert!(error.contains("expected one of `endpoint_change`, `service_add`"), "{error}");
    }
}

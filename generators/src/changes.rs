//! Streams of Changes for the measurement of incremental syncs.
//!
//! Choosing what changes is done here; making the next Cluster is [`Cluster::apply`].

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::addresses::{Addresses, VipLayout};
use crate::cluster::{Change, Cluster};
use crate::endpoint::Endpoint;
use crate::error::ClusterError;
use crate::extras::Extras;
use crate::family::Family;
use crate::kinds::Kind;
use crate::position::Position;
use crate::random::SplitMix64;
use crate::service::{Protocol, Service};
use crate::service_name::{ServiceId, ServiceName};
use crate::spec::{SpecErrors, SyntheticSpec};
use crate::synthetic::{Purpose, external_addresses, part};
use crate::unused::{UnusedAddresses, UnusedNames, UnusedNodePorts, in_use};

/// Parts of a whole in which a share is drawn.
const REMOTE_PARTS: u64 = 1 << 32;

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
        range: IpNet,
        /// The kind of Change that was wanted.
        kind: ChangeKind,
        /// Which Change could not be made, counted from 1.
        number: u32,
    },
    /// All that kinds of Services can have is in use.
    #[error(
        "no {what} is left for {kind} number {number}: give the kinds that have one less weight, \
         or take fewer changes"
    )]
    NoneLeft {
        /// What is used up: node ports, or external addresses.
        what: &'static str,
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
/// `position` says which Service changes: an Endpoint that takes traffic is replaced in the first
/// Service from there on that has one, going around at the end; an added Service always comes last.
/// A new Endpoint keeps all of the old one but its address. Added Services are of the families and
/// kinds of `spec`; with both families, each name is added to one after the other. New addresses
/// come from `spec`'s ranges, and none of them is used in `cluster` or by an earlier Change.
/// `cluster` need not have been generated from `spec`.
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
    match kind {
        ChangeKind::EndpointChange => replacements(cluster, spec, seed, position, count),
        ChangeKind::ServiceAdd => additions(cluster, spec, seed, count),
        ChangeKind::ServiceRemove => {
            removals(cluster, Purpose::Changes.stream(seed), position, count)
        }
    }
}

fn replacements(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    seed: u64,
    position: Position,
    count: u32,
) -> Result<Vec<Change>, ChangesError> {
    let mut random = Purpose::Changes.stream(seed);
    let mut unused = |family| {
        unused_endpoints(
            cluster,
            spec,
            family,
            match family {
                Family::V4 => random.split(),
                Family::V6 => Purpose::ChangesV6.stream(seed),
            },
        )
    };
    let (mut four, mut six) = (unused(Family::V4), unused(Family::V6));
    let mut services = cluster.services().to_vec();
    let mut changes = Vec::new();
    for number in 1..=count {
        let start = position.index(services.len(), random.next_u64());
        let (before, from) = services.split_at_mut(start);
        let service = from
            .iter_mut()
            .chain(before)
            .find(|service| !service.targets().reachable().is_empty())
            .ok_or(ChangesError::NoEndpoint)?;
        let draw = random.next_u64();
        let old = {
            let targets = service.targets();
            let reachable = targets.reachable();
            let place = Position::Random.index(reachable.len(), draw);
            *reachable.get(place).ok_or(ChangesError::NoEndpoint)?
        };
        let unused = match service.family() {
            Family::V4 => &mut four,
            Family::V6 => &mut six,
        };
        let [_, (key, range)] = spec.keyed_ranges(service.family());
        let kind = ChangeKind::EndpointChange;
        let full = ChangesError::RangeFull { key, range, kind, number };
        let new = Endpoint { address: unused.take().ok_or(full)?, ..old };
        *service = service.with_endpoint_replaced(old, new)?;
        changes.push(Change::EndpointReplaced { service: service.name().clone(), old, new });
    }
    Ok(changes)
}

/// What the Services of one name have in common.
struct Plan {
    name: ServiceName,
    protocol: Protocol,
    kind: Kind,
    extras: Extras,
    /// Which of its Endpoints are on other nodes.
    remote: Vec<bool>,
}

/// Unused addresses of one family.
struct OfFamily {
    family: Family,
    vips: UnusedAddresses,
    endpoints: UnusedAddresses,
    external: UnusedAddresses,
}

impl OfFamily {
    fn new(
        cluster: &Cluster,
        spec: &SyntheticSpec,
        family: Family,
        [endpoints, vips]: [SplitMix64; 2],
    ) -> Self {
        let [(_, range), _] = spec.keyed_ranges(family);
        let vips = Addresses::new(range, spec.vip_layout, vips);
        // VIPs go on in the layout of the spec, from where a generated Cluster leaves off.
        let first = cluster.of_family(family).count() as u64;
        let external = external_addresses(family);
        Self {
            family,
            vips: UnusedAddresses::new(vips, first, in_use(cluster, family)),
            endpoints: unused_endpoints(cluster, spec, family, endpoints),
            external: UnusedAddresses::new(external, 0, in_use(cluster, family)),
        }
    }

    /// The Service of this family that a plan gives.
    fn service(
        &mut self,
        plan: &Plan,
        spec: &SyntheticSpec,
        number: u32,
    ) -> Result<Service, ChangesError> {
        let kind = ChangeKind::ServiceAdd;
        let [of_vips, of_endpoints] = spec.keyed_ranges(self.family);
        let full = |(key, range)| ChangesError::RangeFull { key, range, kind, number };
        let vip = self.vips.take().ok_or_else(|| full(of_vips))?;
        let endpoint = |&is_remote: &bool| {
            let endpoint = Endpoint::new(self.endpoints.take()?, spec.target_port);
            Some(Endpoint { is_remote, ..endpoint })
        };
        let endpoints: Option<Vec<_>> = plan.remote.iter().map(endpoint).collect();
        let endpoints = endpoints.ok_or_else(|| full(of_endpoints))?;
        let mut extras = plan.extras.clone();
        if plan.kind.has_address() {
            let what = "external address";
            let none = ChangesError::NoneLeft { what, kind, number };
            plan.kind.add_address(self.external.take().ok_or(none)?, &mut extras);
        }
        let service = Service::new(plan.name.clone(), vip, spec.port, plan.protocol, endpoints)?;
        Ok(service.with(|own| *own = extras)?)
    }
}

fn additions(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    seed: u64,
    count: u32,
) -> Result<Vec<Change>, ChangesError> {
    let mut random = Purpose::Changes.stream(seed);
    let (mut six, mut kinds) =
        (Purpose::ChangesV6.stream(seed), Purpose::ChangesOfKinds.stream(seed));
    let of_four = [random.split(), random.split()];
    let mut addresses: Vec<OfFamily> = Vec::new();
    for &family in spec.families.each() {
        let random = match family {
            Family::V4 => of_four.clone(),
            Family::V6 => [six.split(), six.split()],
        };
        addresses.push(OfFamily::new(cluster, spec, family, random));
    }
    let present = cluster.services().len() as u64;
    let mut names = UnusedNames::new(cluster, present + u64::from(count), random.split());
    let mut node_ports = UnusedNodePorts::new(cluster);
    let (endpoint_counts, protocols, kind_shares) =
        (spec.endpoints.quantiles(), spec.protocols.quantiles(), spec.kinds.quantiles());
    let remote_of = part(spec.remote_endpoints, REMOTE_PARTS);

    let mut changes = Vec::new();
    while changes.len() < count as usize {
        let number = u32::try_from(changes.len()).unwrap_or(count) + 1;
        let protocol = protocols.draw(&mut random).unwrap_or(Protocol::Tcp);
        let endpoints = endpoint_counts.draw(&mut random).unwrap_or(0);
        let kind = kind_shares.draw(&mut kinds).unwrap_or(Kind::ClusterIp);
        let endpoints = if kind == Kind::WithoutEndpoints { 0 } else { endpoints };
        let none =
            ChangesError::NoneLeft { what: "node port", kind: ChangeKind::ServiceAdd, number };
        let plan = Plan {
            name: names.take(protocol)?,
            protocol,
            kind,
            extras: kind.extras(|| node_ports.take()).ok_or(none)?,
            remote: (0..endpoints).map(|_| kinds.below(REMOTE_PARTS) < remote_of).collect(),
        };
        for (number, of_family) in (number..=count).zip(&mut addresses) {
            changes.push(Change::ServiceAdded(of_family.service(&plan, spec, number)?));
        }
    }
    Ok(changes)
}

fn removals(
    cluster: &Cluster,
    mut random: SplitMix64,
    position: Position,
    count: u32,
) -> Result<Vec<Change>, ChangesError> {
    let mut left: Vec<ServiceId> = cluster.services().iter().map(Service::id).collect();
    if u64::from(count) >= left.len() as u64 {
        return Err(ChangesError::NothingLeft { count, services: left.len() });
    }
    let removed = (0..count).map(|_| left.remove(position.index(left.len(), random.next_u64())));
    Ok(removed.map(Change::ServiceRemoved).collect())
}

/// Addresses for Endpoints that nobody has.
pub(crate) fn unused_endpoints(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    family: Family,
    random: SplitMix64,
) -> UnusedAddresses {
    let [_, (_, range)] = spec.keyed_ranges(family);
    let addresses = Addresses::new(range, VipLayout::Random, random);
    UnusedAddresses::new(addresses, 0, in_use(cluster, family))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;

    use ipnet::Ipv4Net;

    use super::*;
    use crate::endpoint::EndpointState;
    use crate::kinds::Kinds;
    use crate::spec::{EndpointCount, Families};
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
        let mut seen: HashSet<IpAddr> = in_use(&before, Family::V4).collect();
        for change in &made {
            let Change::EndpointReplaced { old, new, .. } = change else { panic!("{change:?}") };
            assert!(seen.insert(new.address), "{new} was in use before");
            assert!(IpNet::from(spec().endpoint_cidr).contains(&new.address));
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
            let id = services.services()[index].id();
            for change in made(ChangeKind::EndpointChange, position, 3) {
                assert_eq!(change.service_id(), id);
            }
            assert_eq!(made(ChangeKind::ServiceRemove, position, 1)[0].service_id(), id);
        }
        let random = made(ChangeKind::EndpointChange, Position::Random, 50);
        let distinct: HashSet<_> = random.iter().map(Change::service_id).collect();
        assert!(distinct.len() > 10, "{} Services of 20 in 50 draws", distinct.len());
    }

    #[test]
    fn a_service_without_endpoints_is_passed_over() {
        let empty = |name: &str, vip: [u8; 4]| {
            Service::new(name.parse().unwrap(), vip.into(), 80, Protocol::Tcp, vec![]).unwrap()
        };
        let full = cluster().services()[0].clone();
        let first = empty("ns/a", [192, 0, 2, 1]);
        let last = empty("ns/b", [192, 0, 2, 2]);
        let mixed = Cluster::new(vec![first.clone(), full.clone(), last]).unwrap();
        for position in Position::ALL {
            let made =
                changes(&mixed, &spec(), SEED, ChangeKind::EndpointChange, position, 1).unwrap();
            assert_eq!(made[0].service_id(), full.id(), "{position}");
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
                range: spec.service_cidr.into(),
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
            let (key, range) = ("endpoint_cidr", spec.endpoint_cidr.into());
            assert_eq!(made, Err(ChangesError::RangeFull { key, range, kind, number: 1 }));
        }
    }

    fn mixed(families: Families) -> SyntheticSpec {
        SyntheticSpec {
            families,
            kinds: Kinds { load_balancer: 1, external_local: 1, affinity: 1, ..Kinds::NONE },
            remote_endpoints: 0.5,
            ..spec()
        }
    }

    #[test]
    fn changes_apply_to_clusters_of_every_family_and_kind() {
        for families in [Families::Ipv4, Families::Ipv6, Families::Dual] {
            let spec = mixed(families);
            let mut cluster = generate(&spec, SEED).unwrap();
            let before = cluster.services().len();
            for kind in [ChangeKind::EndpointChange, ChangeKind::ServiceAdd] {
                let made = changes(&cluster, &spec, SEED, kind, Position::Random, 30).unwrap();
                assert_eq!(made.len(), 30);
                cluster = after(&cluster, &made);
            }
            let added = &cluster.services()[before..];
            let of = |family| added.iter().filter(|one| one.family() == family).count();
            let counts = match families {
                Families::Ipv4 => (30, 0),
                Families::Ipv6 => (0, 30),
                Families::Dual => (15, 15),
            };
            assert_eq!((of(Family::V4), of(Family::V6)), counts);
            let has = |has: fn(&Extras) -> bool| added.iter().any(|one| has(one.extras()));
            assert!(has(|extras| extras.affinity_s.is_some()));
            assert!(has(|extras| extras.health_check_node_port.is_some()));
            let mut endpoints = added.iter().flat_map(Service::endpoints);
            assert!(endpoints.clone().any(|endpoint| endpoint.is_remote));
            assert!(endpoints.any(|endpoint| !endpoint.is_remote));
            let ids: HashSet<_> = added.iter().map(Service::id).collect();
            assert_eq!(ids.len(), 30);
        }
    }

    #[test]
    fn a_new_endpoint_keeps_all_but_the_address_and_takes_traffic_as_the_old_one_did() {
        let endpoint = |last, state, is_remote| Endpoint {
            state,
            is_remote,
            ..Endpoint::new([10, 128, 0, last].into(), 80)
        };
        let ready = endpoint(1, EndpointState::Ready, true);
        let endpoints = vec![
            endpoint(2, EndpointState::NotReady, false),
            ready,
            endpoint(3, EndpointState::Terminating, true),
        ];
        let name = "ns/a".parse().unwrap();
        let vip = [10, 96, 0, 1].into();
        let service = Service::new(name, vip, 80, Protocol::Tcp, endpoints).unwrap();
        let mixed = Cluster::new(vec![service]).unwrap();
        let kind = ChangeKind::EndpointChange;
        let mut last = ready;
        for change in changes(&mixed, &spec(), SEED, kind, Position::First, 20).unwrap() {
            let Change::EndpointReplaced { old, new, .. } = change else { panic!("{change:?}") };
            assert_eq!(old, last);
            assert_eq!(new, Endpoint { address: new.address, ..ready });
            last = new;
        }
    }

    #[test]
    fn node_ports_can_be_used_up() {
        let kinds = Kinds { node_port: 1, ..Kinds::NONE };
        let spec =
            SyntheticSpec { services: 35_535, endpoints: EndpointCount::Fixed(1), kinds, ..spec() };
        let before = generate(&spec, SEED).unwrap();
        let kind = ChangeKind::ServiceAdd;
        let add = |count| changes(&before, &spec, SEED, kind, Position::Last, count);
        let made = add(1).unwrap();
        let Change::ServiceAdded(added) = &made[0] else { panic!("{made:?}") };
        assert_eq!(added.extras().node_port, Some(65_535));
        let what = "node port";
        assert_eq!(add(2), Err(ChangesError::NoneLeft { what, kind, number: 2 }));
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

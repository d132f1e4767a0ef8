//! Streams of Steps as a living cluster gives them: rolling updates, scaling, the loss of a node,
//! Services that come and go.
//!
//! Which Steps there are is decided here; when each is made is not.

use serde::{Deserialize, Serialize};

use crate::changes::{ChangeKind, ChangesError, changes, unused_endpoints};
use crate::cluster::{Change, Cluster};
use crate::endpoint::Endpoint;
use crate::family::Family;
use crate::position::Position;
use crate::random::SplitMix64;
use crate::service::Service;
use crate::spec::SyntheticSpec;
use crate::synthetic::Purpose;
use crate::unused::UnusedAddresses;

/// What goes on in a cluster.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Stream {
    /// The Endpoints of a Service are replaced one after the other, then those of the next.
    RollingUpdate,
    /// Services get twice their Endpoints, and in the next Step their old ones again.
    Scale,
    /// Services lose an Endpoint each at once, and in the next Step get another for it.
    NodeLoss,
    /// Services are created, and in the next Step deleted again.
    Services,
}

impl Stream {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::RollingUpdate, Self::Scale, Self::NodeLoss, Self::Services];

    /// Its name, as a scenario has it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How long a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Steps.
    pub steps: u32,
    /// Changes of each Step, as kube-proxy's minSyncPeriod makes of those that come close together.
    pub changes_per_step: u32,
}

/// The Changes of each Step of a stream, to be applied one after the other.
///
/// Changed Services are drawn from those of IPv4 that `may_change` admits and that have an
/// Endpoint. New Endpoints come from `spec`'s range and are used nowhere before.
///
/// # Errors
/// [`ChangesError`]: no Service that may change, or a range without unused addresses.
pub fn stream(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    seed: u64,
    stream: Stream,
    length: Length,
    may_change: impl Fn(&Service) -> bool,
) -> Result<Vec<Vec<Change>>, ChangesError> {
    if stream == Stream::Services {
        return comings_and_goings(cluster, spec, seed, length);
    }
    let services = cluster.of_family(Family::V4).filter(|one| !one.endpoints().is_empty());
    let services: Vec<Service> = services.filter(|one| may_change(one)).cloned().collect();
    if services.is_empty() {
        return Err(ChangesError::NoEndpoint);
    }
    let mut random = Purpose::Changes.stream(seed);
    let unused = unused_endpoints(cluster, spec, Family::V4, random.split());
    let mut drawing = Drawing { services, random, unused, spec, made: 0 };
    match stream {
        Stream::RollingUpdate => drawing.rolling_update(length),
        Stream::Scale => drawing.there_and_back(length, Drawing::twice),
        Stream::NodeLoss => drawing.there_and_back(length, Drawing::one_lost),
        Stream::Services => Ok(Vec::new()),
    }
}

/// Each Step adds Services, or removes those of the Step before.
fn comings_and_goings(
    cluster: &Cluster,
    spec: &SyntheticSpec,
    seed: u64,
    Length { steps, changes_per_step }: Length,
) -> Result<Vec<Vec<Change>>, ChangesError> {
    let count = steps.div_ceil(2).saturating_mul(changes_per_step);
    let added = changes(cluster, spec, seed, ChangeKind::ServiceAdd, Position::Last, count)?;
    let there_and_back = added.chunks(changes_per_step.max(1) as usize).flat_map(|added| {
        let removed = added.iter().map(|one| Change::ServiceRemoved(one.service_id()));
        [added.to_vec(), removed.collect()]
    });
    Ok(there_and_back.take(steps as usize).collect())
}

/// The Endpoints of a Service after a Step, and after the next.
type ThereAndBack = [Vec<Endpoint>; 2];

/// Draws Services and new Endpoints.
struct Drawing<'a> {
    /// Those that may change, as they are after the Changes so far.
    services: Vec<Service>,
    random: SplitMix64,
    unused: UnusedAddresses,
    spec: &'a SyntheticSpec,
    /// Endpoints taken so far.
    made: u32,
}

impl Drawing<'_> {
    fn rolling_update(&mut self, length: Length) -> Result<Vec<Vec<Change>>, ChangesError> {
        let count = length.steps as usize * length.changes_per_step as usize;
        let mut changes = Vec::with_capacity(count);
        for at in self.places(usize::MAX) {
            if changes.len() >= count {
                break;
            }
            let Some(mut service) = self.services.get(at).cloned() else { break };
            for &old in service.clone().endpoints() {
                let new = self.instead_of(old)?;
                service = service.with_endpoint_replaced(old, new)?;
                let service = service.name().clone();
                changes.push(Change::EndpointReplaced { service, old, new });
            }
            self.put(at, service);
        }
        changes.truncate(count);
        Ok(changes.chunks(length.changes_per_step.max(1) as usize).map(<[_]>::to_vec).collect())
    }

    /// Every second Step undoes what `change` made of the Services of the one before.
    fn there_and_back(
        &mut self,
        length: Length,
        change: fn(&mut Self, &Service) -> Result<ThereAndBack, ChangesError>,
    ) -> Result<Vec<Vec<Change>>, ChangesError> {
        let mut steps = Vec::with_capacity(length.steps as usize + 1);
        while steps.len() < length.steps as usize {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            let most = (length.changes_per_step as usize).min(self.services.len());
            for at in self.places(most) {
                let Some(service) = self.services.get(at).cloned() else { break };
                let [changed, later] = change(self, &service)?;
                let set = |endpoints| Change::EndpointsSet { service: service.id(), endpoints };
                there.push(set(changed));
                back.push(set(later.clone()));
                self.put(at, service.with_endpoints(later)?);
            }
            steps.extend([there, back]);
        }
        steps.truncate(length.steps as usize);
        Ok(steps)
    }

    /// Twice the Endpoints, and the old ones again.
    fn twice(&mut self, service: &Service) -> Result<ThereAndBack, ChangesError> {
        let old = service.endpoints().to_vec();
        let mut more = old.clone();
        for &one in service.endpoints() {
            more.push(self.instead_of(one)?);
        }
        Ok([more, old])
    }

    /// One Endpoint less, and another for it.
    fn one_lost(&mut self, service: &Service) -> Result<ThereAndBack, ChangesError> {
        let Some((&lost, left)) = service.endpoints().split_first() else {
            return Err(ChangesError::NoEndpoint);
        };
        let mut again = left.to_vec();
        again.push(self.instead_of(lost)?);
        Ok([left.to_vec(), again])
    }

    /// So many Services, one after the other from a drawn one on, from the beginning again after
    /// the last.
    fn places(&mut self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let all = self.services.len();
        let first = Position::Random.index(all, self.random.next_u64());
        (first..).map(move |at| at % all).take(count)
    }

    fn put(&mut self, at: usize, service: Service) {
        if let Some(slot) = self.services.get_mut(at) {
            *slot = service;
        }
    }

    /// An unused address in place of that of an Endpoint.
    fn instead_of(&mut self, old: Endpoint) -> Result<Endpoint, ChangesError> {
        self.made = self.made.saturating_add(1);
        let [_, (key, range)] = self.spec.keyed_ranges(Family::V4);
        let kind = ChangeKind::EndpointChange;
        let full = ChangesError::RangeFull { key, range, kind, number: self.made };
        Ok(Endpoint { address: self.unused.take().ok_or(full)?, ..old })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::spec::EndpointCount;
    use crate::synthetic::generate;

    const SEED: u64 = 5;

    fn spec() -> SyntheticSpec {
        SyntheticSpec {
            services: 20,
            endpoints: EndpointCount::Fixed(3),
            ..SyntheticSpec::default()
        }
    }

    fn made(stream_of: Stream, steps: u32, changes_per_step: u32) -> Vec<Vec<Change>> {
        let length = Length { steps, changes_per_step };
        let cluster = generate(&spec(), SEED).unwrap();
        stream(&cluster, &spec(), SEED, stream_of, length, |_| true).unwrap()
    }

    #[test]
    fn every_stream_applies_and_repeats() {
        let mut cluster = generate(&spec(), SEED).unwrap();
        for stream_of in Stream::ALL {
            let steps = made(stream_of, 5, 4);
            assert_eq!(steps, made(stream_of, 5, 4));
            assert_eq!(steps.iter().map(Vec::len).collect::<Vec<_>>(), [4; 5], "{stream_of}");
            let mut changed = cluster.clone();
            for step in steps {
                changed = changed.step(step).unwrap().into_after();
            }
            assert_ne!(changed, cluster, "{stream_of}: an odd number of Steps changes something");
        }
        cluster = cluster.step(made(Stream::Services, 2, 3).concat()).unwrap().into_after();
        assert_eq!(cluster, generate(&spec(), SEED).unwrap());
    }

    #[test]
    fn a_rolling_update_replaces_all_endpoints_of_a_service_before_the_next() {
        let changes = made(Stream::RollingUpdate, 3, 1).concat();
        let services: HashSet<_> = changes.iter().map(Change::service_id).collect();
        assert_eq!((changes.len(), services.len()), (3, 1));
    }

    #[test]
    fn a_lost_node_takes_an_endpoint_of_each_service_and_another_comes() {
        let steps = made(Stream::NodeLoss, 2, 6);
        let count = |change: &Change| match change {
            Change::EndpointsSet { endpoints, .. } => endpoints.len(),
            other => panic!("{other:?}"),
        };
        assert!(steps[0].iter().all(|change| count(change) == 2));
        assert!(steps[1].iter().all(|change| count(change) == 3));
        let scaled = made(Stream::Scale, 2, 2);
        assert!(scaled[0].iter().all(|change| count(change) == 6));
        assert!(scaled[1].iter().all(|change| count(change) == 3));
    }

    #[test]
    fn a_service_may_change_again_and_again() {
        let length = Length { steps: 9, changes_per_step: 13 };
        let few = SyntheticSpec { services: 2, ..spec() };
        for stream_of in [Stream::RollingUpdate, Stream::NodeLoss, Stream::Scale] {
            let mut cluster = generate(&few, SEED).unwrap();
            for step in stream(&cluster, &few, SEED, stream_of, length, |_| true).unwrap() {
                cluster = cluster.step(step).unwrap().into_after();
            }
        }
    }

    #[test]
    fn only_services_that_may_change_do() {
        let cluster = generate(&spec(), SEED).unwrap();
        let length = Length { steps: 4, changes_per_step: 50 };
        let one = cluster.services()[7].id();
        let of_one = |service: &Service| service.id() == one;
        let steps = stream(&cluster, &spec(), SEED, Stream::Scale, length, of_one).unwrap();
        assert!(steps.concat().iter().all(|change| change.service_id() == one));
        let none = stream(&cluster, &spec(), SEED, Stream::Scale, length, |_| false);
        assert_eq!(none, Err(ChangesError::NoEndpoint));
    }
}

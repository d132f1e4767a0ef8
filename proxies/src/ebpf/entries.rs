//! Which Endpoints each address of a Service stands for, seen from a node's own sockets and its
//! pods': a pure function of each Service. And from what is to what is wanted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use generators::{Cluster, FrontendKind, Protocol, Service, Step};
use linux::netlink::route;

use super::place::{Place, place};
use crate::error::ProxyError;
use crate::ipvs::layout::virtual_services;
use crate::moved::moved;
use crate::netlink::failed;
use crate::options::Options;
use crate::program::Size;

/// Why Services of SCTP have none.
pub(super) const NO_SCTP: &str = "the kernel asks no program when a socket of SCTP connects \
                                  (sctp_connect, net/sctp/socket.c, Linux 6.1)";

/// Every address of a Cluster's Services and its Endpoints; none: connections are refused.
pub(super) type Wanted = BTreeMap<Place, Vec<Place>>;

/// One that is there: its number and its Endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub id: u32,
    pub endpoints: Vec<Place>,
}

/// What a scope is known to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Where node ports answer.
    pub node_ports: Vec<IpAddr>,
    pub entries: BTreeMap<Place, Entry>,
}

/// What one sync does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Places that are new or get other Endpoints.
    pub put: Vec<(Place, Vec<Place>)>,
    /// Places that end.
    pub remove: Vec<Place>,
}

/// The addresses at which node ports answer in the namespace of the calling thread.
///
/// # Errors
/// Addresses that cannot be listed.
pub(super) fn node_ports(options: &Options) -> Result<Vec<IpAddr>, ProxyError> {
    if !options.node_addresses.is_empty() {
        return Ok(options.node_addresses.clone());
    }
    let all = route::addresses_of_both_families().map_err(failed("list", "addresses"))?;
    Ok(all.into_iter().map(|found| found.address).collect())
}

impl State {
    /// What makes it a whole Cluster.
    ///
    /// # Errors
    /// A Service that cannot be served.
    pub fn to(&self, cluster: &Cluster) -> Result<Plan, ProxyError> {
        let wanted = self.wanted(cluster)?;
        let gone = self.entries.keys().filter(|place| !wanted.contains_key(*place)).copied();
        Ok(Plan { remove: gone.collect(), put: self.changed(wanted) })
    }

    /// What makes it the Cluster after a Step, if it is the one before.
    ///
    /// # Errors
    /// As for [`Self::to`].
    pub fn by(&self, step: &Step<'_>) -> Result<Plan, ProxyError> {
        let (put, remove) = moved(step, |service| self.of_service(service))?;
        Ok(Plan { remove: remove.into_iter().collect(), put: self.changed(put) })
    }

    /// All that a Cluster needs.
    ///
    /// # Errors
    /// As for [`Self::to`].
    pub fn wanted(&self, cluster: &Cluster) -> Result<Wanted, ProxyError> {
        let mut all = Wanted::new();
        for service in cluster.services() {
            all.extend(self.of_service(service)?);
        }
        Ok(all)
    }

    fn changed(&self, wanted: Wanted) -> Vec<(Place, Vec<Place>)> {
        let is_new = |place: &Place, endpoints: &Vec<Place>| {
            self.entries.get(place).is_none_or(|entry| entry.endpoints != *endpoints)
        };
        wanted.into_iter().filter(|(place, endpoints)| is_new(place, endpoints)).collect()
    }

    /// Sockets of the node and its pods are inside: for them the external policy means nothing.
    fn of_service(&self, service: &Service) -> Result<Vec<(Place, Vec<Place>)>, ProxyError> {
        if service.protocol() == Protocol::Sctp {
            return Err(ProxyError::Unsupported {
                what: format!("Service {}", service.name()),
                reason: NO_SCTP.into(),
                remedy: "leave the Service out".into(),
            });
        }
        let protocol = service.protocol().number();
        let targets = service.targets();
        let all = virtual_services(service, self.node_ports.iter().copied());
        let all = all.map(|(at, kind)| {
            let chosen = match kind {
                FrontendKind::ClusterIp => targets.under(service.policy_of(kind)),
                _ => &targets.cluster,
            };
            let endpoints = chosen.iter().map(|one| place(one.socket(), protocol)).collect();
            (place(at, protocol), endpoints)
        });
        Ok(all.collect())
    }
}

impl Plan {
    /// How much there is to hand over: a call for each element that is written or removed.
    pub fn size(&self) -> Size {
        let endpoints: usize = self.put.iter().map(|(_, endpoints)| endpoints.len()).sum();
        let messages = self.put.len() + endpoints + self.remove.len();
        let bytes = self.put.len() * (24 + 8) + endpoints * (8 + 20) + self.remove.len() * 24;
        Size { rules: 0, messages: messages as u64, bytes: bytes as u64 }
    }
}

#[cfg(test)]
mod tests {
    use generators::{ChangeKind, Families, Kinds, Position, SyntheticSpec, changes, generate};

    use super::*;

    /// Writes down what a plan does.
    fn enter(state: &mut State, plan: Plan) {
        state.entries.retain(|place, _| !plan.remove.contains(place));
        for (place, endpoints) in plan.put {
            state.entries.insert(place, Entry { id: 0, endpoints });
        }
    }

    #[test]
    fn random_steps_lead_to_what_a_full_sync_makes() {
        let spec = SyntheticSpec {
            services: 40,
            families: Families::Dual,
            kinds: Kinds { cluster_ip: 2, ..Kinds::ONE_EACH },
            remote_endpoints: 0.5,
            ..SyntheticSpec::default()
        };
        for seed in 0..20 {
            let mut cluster = generate(&spec, seed).expect("a Cluster");
            let node_ports = vec!["192.0.2.1".parse().expect("an address")];
            let fresh = State { node_ports, entries: BTreeMap::new() };
            let mut state = fresh.clone();
            let plan = state.to(&cluster).expect("a plan");
            enter(&mut state, plan);
            for (number, kind) in (1..=9).zip(ChangeKind::ALL.into_iter().cycle()) {
                let made = changes(&cluster, &spec, number, kind, Position::Random, 3);
                let step = cluster.step(made.expect("Changes")).expect("they fit");
                let plan = state.by(&step).expect("a plan");
                enter(&mut state, plan);
                cluster = step.into_after();
                let mut other = fresh.clone();
                let plan = other.to(&cluster).expect("a plan");
                enter(&mut other, plan);
                assert_eq!(state.entries, other.entries, "seed {seed}, step {number}");
            }
        }
    }
}

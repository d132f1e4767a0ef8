//! Whom load dials while Steps are made: Services that change, and as many that do not.

use std::net::SocketAddr;

use generators::{Change, Cluster, Endpoint, Family, Protocol, Service, ServiceId};

use super::settings::ChurnSettings;
use crate::load::open;
use crate::measure::lab::BenchLab;

/// The Services that are dialled, and those of UDP that change.
pub(super) struct Targets {
    /// In the order of the load's targets.
    pub dialled: Vec<ServiceId>,
    /// How each is dialled.
    pub addresses: Vec<SocketAddr>,
    /// How many of them, the first, change.
    pub changing: usize,
    /// Services of UDP that change: where each is dialled, and all Endpoints that it ever has.
    pub datagrams: Vec<(SocketAddr, Vec<SocketAddr>)>,
}

impl Targets {
    /// Those of some Steps that lead from `clusters` to each other, the first before any.
    ///
    /// # Errors
    /// A Service that cannot be dialled.
    pub(super) fn of(
        lab: &BenchLab,
        clusters: &[Cluster],
        steps: &[Vec<Change>],
        settings: &ChurnSettings,
    ) -> anyhow::Result<Self> {
        let Some(first) = clusters.first() else { return Ok(Self::none()) };
        let most = settings.targets as usize;
        let mut touched: Vec<ServiceId> = Vec::new();
        for id in steps.iter().flatten().map(Change::service_id) {
            if !touched.contains(&id) && touched.len() < 2 * most {
                touched.push(id);
            }
        }
        let there = |id: &ServiceId| first.get(id);
        let is_dialled = |service: &&Service| lab.path.reaches(service);
        let changing: Vec<&Service> =
            touched.iter().filter_map(there).filter(is_dialled).take(most).collect();
        let all = first.services();
        // Those that stay as they are, from all over the rules.
        let apart = (all.len() / most.max(1)).max(1);
        let bystanders = all.iter().skip(apart / 2).step_by(apart).filter(is_dialled);
        let is_calm = |service: &&Service| !touched.contains(&service.id());
        let services: Vec<&Service> =
            changing.iter().copied().chain(bystanders.filter(is_calm).take(most)).collect();
        let addresses = services.iter().map(|service| Ok(lab.dialled_at(service)?.vip));
        let is_udp = |service: &&Service| service.protocol() == Protocol::Udp;
        let datagrams = touched.iter().filter_map(there).filter(is_udp);
        Ok(Self {
            addresses: addresses.collect::<anyhow::Result<_>>()?,
            dialled: services.iter().map(|service| service.id()).collect(),
            changing: changing.len(),
            datagrams: datagrams
                .filter(|_| !lab.backend.is_control())
                .map(|service| {
                    (SocketAddr::new(service.vip(), service.port()), ever(service, clusters))
                })
                .collect(),
        })
    }

    const fn none() -> Self {
        Self { dialled: Vec::new(), addresses: Vec::new(), changing: 0, datagrams: Vec::new() }
    }

    /// As a load dials them: anybody may answer, who is judged afterwards.
    pub(super) fn for_load(&self) -> Vec<open::Dialled> {
        let anybody =
            |address: &SocketAddr| open::Dialled { address: *address, allowed: Vec::new() };
        self.addresses.iter().map(anybody).collect()
    }
}

/// All Endpoints that a Service has in any of these Clusters.
fn ever(service: &Service, clusters: &[Cluster]) -> Vec<SocketAddr> {
    let id = service.id();
    let mut all: Vec<SocketAddr> =
        clusters.iter().flat_map(|cluster| endpoints_of(cluster, &id)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The Endpoints that answer for a Service; none where it is not there.
pub(super) fn endpoints_of(cluster: &Cluster, id: &ServiceId) -> Vec<SocketAddr> {
    let service = cluster.get(id);
    service.map_or_else(Vec::new, |service| {
        service.targets().reachable().iter().map(Endpoint::socket).collect()
    })
}

/// Whether a stream may change a Service: it is dialled, or a flow of UDP can show the Change.
pub(super) fn may_change(lab: &BenchLab, service: &Service) -> bool {
    let is_udp = service.protocol() == Protocol::Udp && service.family() == Family::V4;
    lab.path.reaches(service) || is_udp
}

//! The Cluster: Services that can exist together, and Changes from one Cluster to the next.
//!
//! A value that exists is valid: constructors refuse what a kernel or kube-proxy could not hold.
//! Making Clusters from a seed is in `synthetic`, text forms are in `export`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::SocketAddr;

use crate::endpoint::Endpoint;
use crate::error::ClusterError;
use crate::family::Family;
use crate::frontend::FrontendKey;
use crate::service::Service;
use crate::service_name::{ServiceId, ServiceName};

/// The whole set of Services to program. The order of `services` is their position in the rules.
///
/// It holds at least one Service. Within a family names are unique, and so are frontends with their
/// protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    services: Vec<Service>,
}

/// One difference between two Clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One Endpoint of one Service gives way to another.
    EndpointReplaced {
        /// The Service whose Endpoint changes.
        service: ServiceName,
        /// The Endpoint that goes.
        old: Endpoint,
        /// The Endpoint that comes.
        new: Endpoint,
    },
    /// A Service has these Endpoints from now on: more, fewer, or others.
    EndpointsSet {
        /// The Service whose Endpoints change.
        service: ServiceId,
        /// All of its Endpoints.
        endpoints: Vec<Endpoint>,
    },
    /// A Service appears (at the end of the Cluster).
    ServiceAdded(Service),
    /// A Service disappears.
    ServiceRemoved(ServiceId),
}

impl Change {
    /// The Service that is changed, added or removed.
    pub fn service_id(&self) -> ServiceId {
        match self {
            Self::EndpointReplaced { service, old, .. } => {
                ServiceId { name: service.clone(), family: old.family() }
            }
            Self::ServiceAdded(service) => service.id(),
            Self::EndpointsSet { service: id, .. } | Self::ServiceRemoved(id) => id.clone(),
        }
    }

    /// The family of that Service.
    pub fn family(&self) -> Family {
        match self {
            Self::EndpointReplaced { old, .. } => old.family(),
            Self::ServiceAdded(service) => service.family(),
            Self::EndpointsSet { service: id, .. } | Self::ServiceRemoved(id) => id.family,
        }
    }
}

/// What one incremental sync carries: Changes, and the Clusters before and after them.
///
/// Only [`Cluster::step`] makes one, so the Changes always lead from one Cluster to the other.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    before: &'a Cluster,
    changes: Vec<Change>,
    after: Cluster,
}

impl Step<'_> {
    /// The Cluster that the Changes were applied to.
    pub fn before(&self) -> &Cluster {
        self.before
    }

    /// The Changes, in their order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether any of them is of a Service of this family.
    pub fn touches(&self, family: Family) -> bool {
        self.changes.iter().any(|change| change.family() == family)
    }

    /// The Cluster that they lead to.
    pub fn after(&self) -> &Cluster {
        &self.after
    }

    /// The Cluster that they lead to, kept when the Step is over.
    pub fn into_after(self) -> Cluster {
        self.after
    }
}

impl Cluster {
    /// A Cluster of these Services, in this order. Takes time linear in Services and Endpoints.
    ///
    /// # Errors
    /// [`ClusterError::Empty`], [`ClusterError::DuplicateName`] or [`ClusterError::Clash`].
    pub fn new(services: Vec<Service>) -> Result<Self, ClusterError> {
        if services.is_empty() {
            return Err(ClusterError::Empty);
        }
        // One map after the other, so that only one is in memory.
        let name = |service| ((Service::name(service), service.family()), service);
        check_unique(services.len(), services.iter().map(name))?;
        let frontends = services
            .iter()
            .flat_map(|service| service.frontend_keys().map(move |key| (key, service)));
        check_unique(services.len(), frontends)?;
        Ok(Self { services })
    }

    /// The Services in the order of their position. Never empty.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The Services of one family, in the same order.
    pub fn of_family(&self, family: Family) -> impl Iterator<Item = &Service> + Clone {
        self.services.iter().filter(move |service| service.family() == family)
    }

    /// The number of Endpoints of all Services together.
    pub fn endpoint_count(&self) -> usize {
        self.services.iter().map(|service| service.endpoints().len()).sum()
    }

    /// The Service of this name and family. Takes time linear in Services: an index would cost
    /// every Cluster memory that few callers want.
    pub fn get(&self, id: &ServiceId) -> Option<&Service> {
        self.services.iter().find(|service| is(service, id))
    }

    /// The Cluster after `change`. It shares names and Endpoints with this one.
    ///
    /// Takes time linear in Services.
    ///
    /// # Errors
    /// [`ClusterError::NotThere`] if the Change does not fit this Cluster; else what
    /// [`Cluster::new`] says of the Cluster that would come out.
    pub fn apply(&self, change: &Change) -> Result<Self, ClusterError> {
        let mut services = self.services.clone();
        let id = change.service_id();
        let position = services.iter().position(|service| is(service, &id));
        let position = position.ok_or_else(|| ClusterError::no_service(&id));
        match change {
            Change::EndpointReplaced { old, new, .. } => {
                if let Some(slot) = services.get_mut(position?) {
                    *slot = slot.with_endpoint_replaced(*old, *new)?;
                }
            }
            Change::EndpointsSet { endpoints, .. } => {
                if let Some(slot) = services.get_mut(position?) {
                    *slot = slot.with_endpoints(endpoints.clone())?;
                }
            }
            Change::ServiceAdded(service) => {
                let added = service.frontend_keys().collect();
                let mut present = self.services.iter();
                present.try_for_each(|present| check_pair(present, service, &added))?;
                services.push(service.clone());
            }
            Change::ServiceRemoved(_) => {
                services.remove(position?);
                if services.is_empty() {
                    return Err(ClusterError::Empty);
                }
            }
        }
        Ok(Self { services })
    }

    /// The Step that these Changes make, each applied to the Cluster that the ones before it lead
    /// to.
    ///
    /// # Errors
    /// What [`Cluster::apply`] says of the first Change that does not fit.
    pub fn step(&self, changes: Vec<Change>) -> Result<Step<'_>, ClusterError> {
        let after = match changes.split_first() {
            None => self.clone(),
            Some((first, rest)) => {
                rest.iter().try_fold(self.apply(first)?, |cluster, change| cluster.apply(change))?
            }
        };
        Ok(Step { before: self, changes, after })
    }
}

fn is(service: &Service, id: &ServiceId) -> bool {
    *service.name() == id.name && service.family() == id.family
}

/// Refuses the first two Services that have one key, of some `count` keys.
fn check_unique<'a, K: Eq + Hash>(
    count: usize,
    keys: impl Iterator<Item = (K, &'a Service)>,
) -> Result<(), ClusterError> {
    let mut seen = HashMap::with_capacity(count);
    for (key, service) in keys {
        match seen.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(service);
            }
            Entry::Occupied(first) => {
                check_pair(first.get(), service, &service.frontend_keys().collect())?;
            }
        }
    }
    Ok(())
}

/// Whether two Services can stand in one Cluster, `keys` being the frontends of the second.
fn check_pair(
    first: &Service,
    second: &Service,
    keys: &HashSet<FrontendKey>,
) -> Result<(), ClusterError> {
    if first.family() != second.family() {
        return Ok(());
    }
    if first.name() == second.name() {
        return Err(ClusterError::DuplicateName { name: first.name().clone() });
    }
    if first.protocol() != second.protocol() {
        return Ok(());
    }
    let mut of_both = first.frontend_keys().filter(|key| keys.contains(key));
    if let Some((_, address, port, protocol)) = of_both.next() {
        let what = match address {
            None => format!("have node port {port}/{protocol}: change one"),
            Some(address) => {
                let place = SocketAddr::new(address, port);
                format!(
                    "answer at {place}/{protocol}: change the VIP, further IPs, port or protocol \
                     of one"
                )
            }
        };
        let (first, second) = (first.name().clone(), second.name().clone());
        return Err(ClusterError::Clash { first, second, what });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::service::Protocol;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn id(text: &str) -> ServiceId {
        ServiceId { name: name(text), family: Family::V4 }
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn udp(service_name: &str, vip: &str, endpoints: &[&str]) -> Service {
        let endpoints = endpoints.iter().map(|text| endpoint(text)).collect();
        Service::new(name(service_name), vip.parse().unwrap(), 53, Protocol::Udp, endpoints)
            .unwrap()
    }

    fn tcp(service_name: &str, vip: &str, endpoints: &[&str]) -> Service {
        let endpoints = endpoints.iter().map(|text| endpoint(text)).collect();
        Service::new(name(service_name), vip.parse().unwrap(), 80, Protocol::Tcp, endpoints)
            .unwrap()
    }

    fn two_services() -> Cluster {
        Cluster::new(vec![
            tcp("ns/b", "10.96.0.2", &["10.128.0.1:8080", "10.128.0.2:8080"]),
            tcp("ns/a", "10.96.0.1", &["10.128.0.3:8080"]),
        ])
        .unwrap()
    }

    fn names(cluster: &Cluster) -> Vec<&str> {
        cluster.services().iter().map(|service| service.name().as_str()).collect()
    }

    #[test]
    fn a_cluster_keeps_the_order_of_its_services() {
        let cluster = two_services();
        assert_eq!(names(&cluster), ["ns/b", "ns/a"]);
        assert_eq!(cluster.endpoint_count(), 3);
        assert_eq!(cluster.get(&id("ns/a")), cluster.services().last());
        assert_eq!(cluster.get(&id("ns/a:http")), None);
    }

    #[test]
    fn a_step_leads_from_one_cluster_to_the_other_by_its_changes() {
        let before = two_services();
        let changes = vec![
            Change::ServiceAdded(tcp("ns/c", "10.96.0.3", &[])),
            Change::ServiceRemoved(id("ns/a")),
        ];
        let step = before.step(changes.clone()).unwrap();
        assert_eq!((step.before(), step.changes()), (&before, &changes[..]));
        assert_eq!(names(step.after()), ["ns/b", "ns/c"]);
        assert_eq!(before.step(Vec::new()).unwrap().into_after(), before);
        let twice = [changes.clone(), changes].concat();
        assert_eq!(
            before.step(twice).unwrap_err(),
            ClusterError::DuplicateName { name: name("ns/c") }
        );
        let unknown = id("ns9/none:p80");
        assert_eq!(
            before.step(vec![Change::ServiceRemoved(unknown.clone())]).unwrap_err(),
            ClusterError::no_service(&unknown)
        );
    }

    #[test]
    fn an_empty_cluster_is_refused() {
        assert_eq!(Cluster::new(vec![]), Err(ClusterError::Empty));
    }

    /// Both ways by which two Services can come together refuse them alike.
    fn refused(first: Service, second: Service) -> ClusterError {
        let together = Cluster::new(vec![first.clone(), second.clone()]).unwrap_err();
        let cluster = Cluster::new(vec![first]).unwrap();
        assert_eq!(cluster.apply(&Change::ServiceAdded(second)), Err(together.clone()));
        together
    }

    #[test]
    fn two_services_of_one_name_are_refused() {
        assert_eq!(
            refused(tcp("ns/a", "10.96.0.1", &[]), udp("ns/a", "10.96.0.2", &[])),
            ClusterError::DuplicateName { name: name("ns/a") }
        );
    }

    #[test]
    fn two_services_at_one_vip_port_and_protocol_are_refused() {
        let clash = |address: &str| {
            format!(
                "Services ns/a and ns/b both answer at {address}:80/tcp: change the VIP, further \
                 IPs, port or protocol of one"
            )
        };
        let refused = |first, second| refused(first, second).to_string();
        let a = || tcp("ns/a", "10.96.0.1", &[]);
        let b = || tcp("ns/b", "10.96.0.2", &[]);
        let external = |service: Service, addresses: &[[u8; 4]]| {
            let addresses = addresses.iter().copied().map(IpAddr::from).collect();
            service.with(|extras| extras.external_ips = addresses).unwrap()
        };
        assert_eq!(refused(a(), tcp("ns/b", "10.96.0.1", &[])), clash("10.96.0.1"));
        assert_eq!(refused(a(), external(b(), &[[10, 96, 0, 1]])), clash("10.96.0.1"));
        let both = (external(a(), &[[192, 0, 2, 1]]), external(b(), &[[192, 0, 2, 1]]));
        assert_eq!(refused(both.0, both.1), clash("192.0.2.1"));
    }

    #[test]
    fn one_vip_may_have_several_ports_and_protocols() {
        let services = vec![tcp("ns/a:t", "10.96.0.1", &[]), udp("ns/a:u", "10.96.0.1", &[])];
        assert!(Cluster::new(services).is_ok());
    }

    #[test]
    fn two_services_with_one_node_port_are_refused_within_a_protocol() {
        let a =
            tcp("ns/a", "10.96.0.1", &[]).with(|extras| extras.node_port = Some(30_000)).unwrap();
        let b =
            tcp("ns/b", "10.96.0.2", &[]).with(|extras| extras.node_port = Some(30_000)).unwrap();
        let c =
            udp("ns/c", "10.96.0.3", &[]).with(|extras| extras.node_port = Some(30_000)).unwrap();
        assert!(Cluster::new(vec![a.clone(), c]).is_ok());
        assert_eq!(
            refused(a, b),
            ClusterError::Clash {
                first: name("ns/a"),
                second: name("ns/b"),
                what: "have node port 30000/tcp: change one".into()
            }
        );
    }

    #[test]
    fn a_name_and_a_node_port_may_be_there_once_in_each_family() {
        let node_port = |service: Service| service.with(|extras| extras.node_port = Some(30_000));
        let four = node_port(tcp("ns/a", "10.96.0.1", &[])).unwrap();
        let six = node_port(tcp("ns/a", "fd00::1", &["[fd01::1]:80"])).unwrap();
        let cluster = Cluster::new(vec![four.clone(), six.clone()]).unwrap();
        assert_eq!(cluster.of_family(Family::V6).collect::<Vec<_>>(), [&six]);
        assert_eq!(cluster.get(&six.id()), Some(&six));
        let after = cluster.apply(&Change::ServiceRemoved(six.id())).unwrap();
        assert_eq!(after.services(), [four]);
        assert_eq!(six.id().to_string(), "ns/a (IPv6)");
    }

    #[test]
    fn replacing_an_endpoint_and_replacing_it_back_changes_nothing() {
        let cluster = two_services();
        let (old, new) = (endpoint("10.128.0.2:8080"), endpoint("10.128.0.10:8080"));
        let service = name("ns/b");
        let there = Change::EndpointReplaced { service: service.clone(), old, new };
        let back = Change::EndpointReplaced { service: service.clone(), old: new, new: old };
        assert_eq!(there.service_id(), id("ns/b"));
        let after = cluster.apply(&there).unwrap();
        let text: Vec<String> =
            after.services()[0].endpoints().iter().map(ToString::to_string).collect();
        assert_eq!(text, ["10.128.0.10:8080", "10.128.0.1:8080"]);
        assert_eq!(after.services()[1], cluster.services()[1]);
        assert_eq!(after.apply(&back).unwrap(), cluster);
    }

    #[test]
    fn adding_a_service_and_removing_it_changes_nothing() {
        let cluster = two_services();
        let added = udp("ns/c:dns", "10.96.0.3", &["10.128.0.9:53"]);
        let there = Change::ServiceAdded(added.clone());
        let back = Change::ServiceRemoved(added.id());
        assert_eq!([there.service_id(), back.service_id()], [added.id(), added.id()]);
        let after = cluster.apply(&there).unwrap();
        assert_eq!(names(&after), ["ns/b", "ns/a", "ns/c:dns"]);
        assert_eq!(after.services().last(), Some(&added));
        assert_eq!(after.apply(&back).unwrap(), cluster);
    }

    #[test]
    fn removing_a_service_leaves_the_others_in_order() {
        let after = two_services().apply(&Change::ServiceRemoved(id("ns/b"))).unwrap();
        assert_eq!(names(&after), ["ns/a"]);
        assert_eq!(
            after.apply(&Change::ServiceRemoved(id("ns/a"))),
            Err(ClusterError::Empty),
            "the last Service must stay"
        );
    }

    #[test]
    fn a_change_that_does_not_fit_is_refused() {
        let cluster = two_services();
        let replace = |service: &str, old: &str, new: &str| {
            let (old, new) = (endpoint(old), endpoint(new));
            cluster.apply(&Change::EndpointReplaced { service: name(service), old, new })
        };
        let not_there = |what: &str| Err(ClusterError::NotThere(what.into()));
        let unknown = not_there("the Cluster has no Service ns/x");
        assert_eq!(replace("ns/x", "10.128.0.1:8080", "10.128.0.9:8080"), unknown);
        assert_eq!(cluster.apply(&Change::ServiceRemoved(id("ns/x"))), unknown);
        assert_eq!(
            replace("ns/a", "10.128.0.1:8080", "10.128.0.9:8080"),
            not_there("Service ns/a has no endpoint 10.128.0.1:8080")
        );
        let of_b = |problem: &str| Err(ClusterError::of_service(&name("ns/b"), problem));
        assert_eq!(
            replace("ns/b", "10.128.0.1:8080", "10.128.0.2:8080"),
            of_b("endpoint 10.128.0.2:8080 is given twice: keep one")
        );
    }
}

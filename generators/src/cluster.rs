//! The Cluster: Services that can exist together, and Changes from one Cluster to the next.
//!
//! A value that exists is valid: constructors refuse what a kernel or kube-proxy could not hold.
//! Making Clusters from a seed is in `synthetic`, text forms are in `export`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::Ipv4Addr;

use crate::error::ClusterError;
use crate::service::{Endpoint, Protocol, Service, ServiceName};

/// The whole set of Services to program. The order of `services` is their position in the rules.
///
/// It holds at least one Service; names are unique, so are VIP:port/protocol (external IPs count
/// as VIPs here) and node port/protocol, and no Endpoint has the address of a VIP.
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
    /// A Service appears (at the end of the Cluster).
    ServiceAdded(Service),
    /// A Service disappears.
    ServiceRemoved(ServiceName),
}

impl Change {
    /// The Service that is changed, added or removed.
    pub fn service_name(&self) -> &ServiceName {
        match self {
            Self::EndpointReplaced { service: name, .. } | Self::ServiceRemoved(name) => name,
            Self::ServiceAdded(service) => service.name(),
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
    /// [`ClusterError::Empty`], [`ClusterError::DuplicateName`], [`ClusterError::Clash`], or
    /// [`ClusterError::Service`] for an Endpoint that has the address of a VIP.
    pub fn new(services: Vec<Service>) -> Result<Self, ClusterError> {
        if services.is_empty() {
            return Err(ClusterError::Empty);
        }
        // One map after the other, so that only one is in memory.
        check_unique(services.iter().map(|service| (service.name(), service)))?;
        check_unique(services.iter().flat_map(answers_at))?;
        check_unique(services.iter().filter_map(node_port))?;
        check_endpoints(&services)?;
        Ok(Self { services })
    }

    /// The Services in the order of their position. Never empty.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The number of Endpoints of all Services together.
    pub fn endpoint_count(&self) -> usize {
        self.services.iter().map(|service| service.endpoints().len()).sum()
    }

    /// The Service of this name. Takes time linear in Services: an index would cost every Cluster
    /// memory that few callers want.
    pub fn get(&self, name: &ServiceName) -> Option<&Service> {
        self.services.iter().find(|service| service.name() == name)
    }

    /// The Cluster after `change`. It shares names and Endpoints with this one.
    ///
    /// Takes time linear in Services and, for an added Service, in Endpoints.
    ///
    /// # Errors
    /// [`ClusterError::NotThere`] if the Change does not fit this Cluster; else what [`Cluster::new`] says of the Cluster that would come out.
    pub fn apply(&self, change: &Change) -> Result<Self, ClusterError> {
        let mut services = self.services.clone();
        match change {
            Change::EndpointReplaced { service, old, new } => {
                if self.services.iter().any(|other| other.vip() == new.address) {
                    return Err(ClusterError::endpoint_is_vip(service, *new));
                }
                let slot = services
                    .iter_mut()
                    .find(|candidate| candidate.name() == service)
                    .ok_or_else(|| ClusterError::no_service(service))?;
                *slot = slot.with_endpoint_replaced(*old, *new)?;
            }
            Change::ServiceAdded(service) => {
                self.services.iter().try_for_each(|present| check_pair(present, service))?;
                services.push(service.clone());
                check_endpoints(&services)?;
            }
            Change::ServiceRemoved(name) => {
                let position = services
                    .iter()
                    .position(|service| service.name() == name)
                    .ok_or_else(|| ClusterError::no_service(name))?;
                services.remove(position);
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

/// Every address at which a Service answers, with its port and protocol.
pub(crate) fn answers_at(
    service: &Service,
) -> impl Iterator<Item = ((Ipv4Addr, u16, Protocol), &Service)> {
    std::iter::once(service.vip())
        .chain(service.external_ips().iter().copied())
        .map(move |address| ((address, service.port(), service.protocol()), service))
}

fn node_port(service: &Service) -> Option<((u16, Protocol), &Service)> {
    service.node_port().map(|node_port| ((node_port, service.protocol()), service))
}

/// Refuses the first two Services that have one key.
fn check_unique<'a, K: Eq + Hash>(
    keys: impl Iterator<Item = (K, &'a Service)>,
) -> Result<(), ClusterError> {
    let mut seen = HashMap::with_capacity(keys.size_hint().0);
    for (key, service) in keys {
        match seen.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(service);
            }
            Entry::Occupied(first) => check_pair(first.get(), service)?,
        }
    }
    Ok(())
}

/// Whether two Services can stand in one Cluster, their Endpoints left aside.
fn check_pair(first: &Service, second: &Service) -> Result<(), ClusterError> {
    if first.name() == second.name() {
        return Err(ClusterError::DuplicateName { name: first.name().clone() });
    }
    if first.protocol() != second.protocol() {
        return Ok(());
    }
    let clash = |what| {
        let (first, second) = (first.name().clone(), second.name().clone());
        Err(ClusterError::Clash { first, second, what })
    };
    let protocol = first.protocol();
    if let Some(node_port) = first.node_port()
        && second.node_port() == Some(node_port)
    {
        return clash(format!("have node port {node_port}/{protocol}: change one"));
    }
    if first.port() != second.port() {
        return Ok(());
    }
    for (key @ (address, port, _), _) in answers_at(first) {
        if answers_at(second).any(|(other, _)| other == key) {
            let remedy = "change the VIP, external IP, port or protocol of one";
            return clash(format!("answer at {address}:{port}/{protocol}: {remedy}"));
        }
    }
    Ok(())
}

/// Refuses an Endpoint that has the address of a VIP.
fn check_endpoints(services: &[Service]) -> Result<(), ClusterError> {
    let mut vips: Vec<Ipv4Addr> = services.iter().map(Service::vip).collect();
    vips.sort_unstable();
    // Endpoints are mostly outside the range of the VIPs, where two comparisons settle it.
    let (Some(&lowest), Some(&highest)) = (vips.first(), vips.last()) else { return Ok(()) };
    let range = lowest..=highest;
    for service in services {
        for &endpoint in service.endpoints() {
            if range.contains(&endpoint.address) && vips.binary_search(&endpoint.address).is_ok() {
                return Err(ClusterError::endpoint_is_vip(service.name(), endpoint));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddrV4>().unwrap().into()
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
        assert_eq!(cluster.get(&name("ns/a")), cluster.services().last());
        assert_eq!(cluster.get(&name("ns/a:http")), None);
    }

    #[test]
    fn a_step_leads_from_one_cluster_to_the_other_by_its_changes() {
        let before = two_services();
        let changes = vec![
            Change::ServiceAdded(tcp("ns/c", "10.96.0.3", &[])),
            Change::ServiceRemoved(name("ns/a")),
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
        let unknown = name("ns9/none:p80");
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
                "Services ns/a and ns/b both answer at {address}:80/tcp: change the VIP, \
                 external IP, port or protocol of one"
            )
        };
        let refused = |first, second| refused(first, second).to_string();
        let a = || tcp("ns/a", "10.96.0.1", &[]);
        let b = || tcp("ns/b", "10.96.0.2", &[]);
        let external = |service: Service, addresses: &[[u8; 4]]| {
            service.with_external_ips(addresses.iter().copied().map(Into::into).collect()).unwrap()
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
        let a = tcp("ns/a", "10.96.0.1", &[]).with_node_port(30_000).unwrap();
        let b = tcp("ns/b", "10.96.0.2", &[]).with_node_port(30_000).unwrap();
        let c = udp("ns/c", "10.96.0.3", &[]).with_node_port(30_000).unwrap();
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
    fn an_endpoint_with_the_address_of_a_vip_is_refused() {
        let clash = |service: &str, text: &str| ClusterError::Service {
            service: name(service),
            problem: format!(
                "endpoint {text} has the address of a VIP: take endpoints and VIPs from separate \
                 ranges"
            ),
        };
        let plain = || tcp("ns/a", "10.96.0.1", &["10.128.0.1:8080"]);
        assert_eq!(
            refused(plain(), tcp("ns/b", "10.96.0.2", &["10.96.0.1:8080"])),
            clash("ns/b", "10.96.0.1:8080")
        );
        assert_eq!(
            refused(plain(), tcp("ns/b", "10.128.0.1", &[])),
            clash("ns/a", "10.128.0.1:8080")
        );
        let own = tcp("ns/a", "10.96.0.1", &["10.96.0.1:8080"]);
        assert_eq!(Cluster::new(vec![own]), Err(clash("ns/a", "10.96.0.1:8080")));
    }

    #[test]
    fn replacing_an_endpoint_and_replacing_it_back_changes_nothing() {
        let cluster = two_services();
        let (old, new) = (endpoint("10.128.0.2:8080"), endpoint("10.128.0.10:8080"));
        let service = name("ns/b");
        let there = Change::EndpointReplaced { service: service.clone(), old, new };
        let back = Change::EndpointReplaced { service: service.clone(), old: new, new: old };
        assert_eq!(there.service_name(), &service);
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
        let back = Change::ServiceRemoved(added.name().clone());
        assert_eq!((there.service_name(), back.service_name()), (added.name(), added.name()));
        let after = cluster.apply(&there).unwrap();
        assert_eq!(names(&after), ["ns/b", "ns/a", "ns/c:dns"]);
        assert_eq!(after.services().last(), Some(&added));
        assert_eq!(after.apply(&back).unwrap(), cluster);
    }

    #[test]
    fn removing_a_service_leaves_the_others_in_order() {
        let after = two_services().apply(&Change::ServiceRemoved(name("ns/b"))).unwrap();
        assert_eq!(names(&after), ["ns/a"]);
        assert_eq!(
            after.apply(&Change::ServiceRemoved(name("ns/a"))),
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
        assert_eq!(cluster.apply(&Change::ServiceRemoved(name("ns/x"))), unknown);
        assert_eq!(
            replace("ns/a", "10.128.0.1:8080", "10.128.0.9:8080"),
            not_there("Service ns/a has no endpoint 10.128.0.1:8080")
        );
        let of_b = |problem: &str| Err(ClusterError::of_service(&name("ns/b"), problem));
        assert_eq!(
            replace("ns/b", "10.128.0.1:8080", "10.128.0.2:8080"),
            of_b("endpoint 10.128.0.2:8080 is given twice: keep one")
        );
        assert_eq!(
            replace("ns/b", "10.128.0.1:8080", "10.96.0.1:8080"),
            Err(ClusterError::endpoint_is_vip(&name("ns/b"), endpoint("10.96.0.1:8080")))
        );
    }
}

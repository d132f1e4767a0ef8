//! Forgets the tracked connections that would go on sending UDP to an Endpoint that is gone.
//!
//! `CleanStaleEntries` in pkg/proxy/conntrack/cleanup.go, Kubernetes 1.33: a sync in which a
//! Service of UDP changed its Endpoints ends with a list of all connections of the family. Those to
//! a frontend of a Service of UDP whose answers come from none of its serving Endpoints are
//! forgotten, so that their next packet is a new connection. A Service without serving Endpoints is
//! passed over, and so is one that is gone. TCP is left alone, since its peers find out themselves.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use generators::{Change, Cluster, EndpointState, Family, Protocol, Step};
use linux::netlink::conntrack::{Connection, connections, forget};

use crate::error::ProxyError;
use crate::netlink::{address_family, failed};
use crate::program::SyncRequest;

/// The Endpoints that serve a Service.
type Serving = HashSet<SocketAddr>;

/// What is known of the Services of UDP of one family, to tell which connections are stale.
#[derive(Debug)]
pub(crate) struct Cleanup {
    family: Family,
    serving: Vec<Serving>,
    /// By frontend, positions in `serving`.
    by_address: HashMap<(IpAddr, u16), usize>,
    /// By node port, which answers at any address.
    by_node_port: HashMap<u16, usize>,
}

impl Cleanup {
    /// What follows this sync in each family, if anything does. A full sync never asks for it:
    /// before it kube-proxy knew no Endpoints (`ConntrackCleanupRequired` in
    /// pkg/proxy/endpointschangetracker.go, Kubernetes 1.36).
    pub(crate) fn after(request: &SyncRequest<'_>) -> Vec<Self> {
        let SyncRequest::Incremental(step) = request else { return Vec::new() };
        let needs = |family: &Family| has_changed_udp(step, *family);
        let families = Family::ALL.into_iter().filter(needs);
        families.map(|family| Self::of(step.after(), family)).collect()
    }

    fn of(cluster: &Cluster, family: Family) -> Self {
        let (serving, by_address, by_node_port) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut cleanup = Self { family, serving, by_address, by_node_port };
        let services = cluster.of_family(family);
        for service in services.filter(|service| service.protocol() == Protocol::Udp) {
            let endpoints = service.endpoints().iter();
            let serving: Serving = endpoints
                .filter(|endpoint| endpoint.state != EndpointState::NotReady)
                .map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port))
                .collect();
            if serving.is_empty() {
                continue;
            }
            let at = cleanup.serving.len();
            cleanup.serving.push(serving);
            for frontend in service.frontends() {
                match frontend.address {
                    Some(address) => cleanup.by_address.insert((address, frontend.port), at),
                    None => cleanup.by_node_port.insert(frontend.port, at),
                };
            }
        }
        cleanup
    }

    /// Whether the connection goes on to where nobody serves any more.
    fn is_stale(&self, connection: &Connection) -> bool {
        let Connection { original, reply } = connection;
        if original.transport != Protocol::Udp.number() {
            return false;
        }
        let answers = SocketAddr::new(reply.source, reply.source_port);
        let frontend = (original.destination, original.destination_port);
        let by_address = self.by_address.get(&frontend);
        let by_node_port = self.by_node_port.get(&original.destination_port);
        let services = by_address.into_iter().chain(by_node_port);
        let mut serving = services.filter_map(|at| self.serving.get(*at));
        serving.any(|serving| !serving.contains(&answers))
    }

    /// Lists the connections of the current namespace and forgets the stale ones.
    ///
    /// # Errors
    /// A kernel without `nf_conntrack_netlink`, or any other refusal.
    pub(crate) fn run(&self) -> Result<(), ProxyError> {
        let family = Some(address_family(self.family));
        let stale = connections(family, |connection| self.is_stale(connection));
        let stale = stale.map_err(failed("list", "tracked connections"))?;
        if !stale.is_empty() {
            forget(stale.iter().map(|connection| &connection.original))
                .map_err(failed("forget", "stale connections of UDP"))?;
        }
        Ok(())
    }
}

/// Whether a Step changes the Endpoints of a Service of UDP that was there before.
fn has_changed_udp(step: &Step<'_>, family: Family) -> bool {
    step.changes().iter().any(|change| {
        let is_of_new_service = matches!(change, Change::ServiceAdded(_));
        !is_of_new_service && change.family() == family && {
            let before = step.before().get(&change.service_id());
            before.is_some_and(|service| service.protocol() == Protocol::Udp)
        }
    })
}

#[cfg(test)]
mod tests {
    use generators::{Endpoint, Service};
    use linux::netlink::conntrack::Tuple;

    use super::*;

    fn service(name: &str, vip: &str, protocol: Protocol, endpoints: &[&str]) -> Service {
        let endpoints = endpoints.iter().map(|one| one.parse::<SocketAddr>().unwrap().into());
        let (name, vip) = (name.parse().unwrap(), vip.parse().unwrap());
        Service::new(name, vip, 53, protocol, endpoints.collect()).unwrap()
    }

    /// Two Services of UDP, one of TCP, and one of UDP where nothing serves.
    fn cluster() -> Cluster {
        let set = |extras: &mut generators::Extras| {
            extras.external_ips = vec!["192.0.2.1".parse().unwrap()];
            extras.node_port = Some(30_053);
        };
        let dns = service("ns/dns", "10.96.0.1", Protocol::Udp, &["10.1.0.1:53", "10.1.0.2:53"]);
        let six = service("ns/dns", "fd00::1", Protocol::Udp, &["[fd01::1]:53"]);
        let tcp = service("ns/tcp", "10.96.0.1", Protocol::Tcp, &["10.1.0.1:53"]);
        let endpoint = Endpoint {
            state: EndpointState::NotReady,
            ..Endpoint::new("10.1.0.9".parse().unwrap(), 53)
        };
        let (name, vip) = ("ns/silent".parse().unwrap(), "10.96.0.2".parse().unwrap());
        let silent = Service::new(name, vip, 53, Protocol::Udp, vec![endpoint]).unwrap();
        Cluster::new(vec![dns.with(set).unwrap(), six, tcp, silent]).unwrap()
    }

    /// A connection that went to `to` and is answered by `by`.
    fn connection(transport: u8, to: &str, by: &str) -> Connection {
        let [to, by]: [SocketAddr; 2] = [to, by].map(|text| text.parse().unwrap());
        let client: SocketAddr = "172.20.0.1:4000".parse().unwrap();
        let tuple = |source: SocketAddr, destination: SocketAddr| Tuple {
            source: source.ip(),
            destination: destination.ip(),
            transport,
            source_port: source.port(),
            destination_port: destination.port(),
        };
        Connection { original: tuple(client, to), reply: tuple(by, client) }
    }

    #[test]
    fn a_connection_is_stale_when_none_that_serves_answers_it() {
        let cleanup = Cleanup::of(&cluster(), Family::V4);
        for (transport, to, by, is_stale) in [
            (17, "10.96.0.1:53", "10.1.0.2:53", false),
            (17, "10.96.0.1:53", "10.1.0.3:53", true),
            (17, "10.96.0.1:53", "10.1.0.2:54", true),
            // Before there was a rule it went to the VIP itself.
            (17, "10.96.0.1:53", "10.96.0.1:53", true),
            (17, "10.96.0.1:54", "10.1.0.3:53", false),
            (6, "10.96.0.1:53", "10.1.0.3:53", false),
            (17, "192.0.2.1:53", "10.1.0.3:53", true),
            (17, "198.18.0.1:30053", "10.1.0.3:53", true),
            (17, "198.18.0.1:30053", "10.1.0.1:53", false),
            (17, "10.96.0.2:53", "10.1.0.9:53", false),
            (17, "[fd00::1]:53", "[fd01::2]:53", false),
        ] {
            let found = cleanup.is_stale(&connection(transport, to, by));
            assert_eq!(found, is_stale, "{transport} to {to} answered by {by}");
        }
        let of_ipv6 = Cleanup::of(&cluster(), Family::V6);
        assert!(of_ipv6.is_stale(&connection(17, "[fd00::1]:53", "[fd01::2]:53")));
    }

    #[test]
    fn only_a_change_of_udp_asks_for_it() {
        let cluster = cluster();
        let families = |change: Change| -> Vec<Family> {
            let step = cluster.step(vec![change]).unwrap();
            let cleanups = Cleanup::after(&SyncRequest::Incremental(&step));
            cleanups.iter().map(|cleanup| cleanup.family).collect()
        };
        let replaced = |service: &str, old: &str, new: &str| Change::EndpointReplaced {
            service: service.parse().unwrap(),
            old: old.parse::<SocketAddr>().unwrap().into(),
            new: new.parse::<SocketAddr>().unwrap().into(),
        };
        assert_eq!(families(replaced("ns/dns", "10.1.0.1:53", "10.1.0.5:53")), [Family::V4]);
        assert_eq!(families(replaced("ns/dns", "[fd01::1]:53", "[fd01::5]:53")), [Family::V6]);
        assert_eq!(families(replaced("ns/tcp", "10.1.0.1:53", "10.1.0.5:53")), []);
        let added = service("ns/new", "10.96.0.7", Protocol::Udp, &["10.1.0.7:53"]);
        assert_eq!(families(Change::ServiceAdded(added)), []);
        let removed = Change::ServiceRemoved("ns/dns".parse().unwrap());
        assert_eq!(families(removed), [Family::V4]);
        assert!(Cleanup::after(&SyncRequest::Full(&cluster)).is_empty());
    }
}

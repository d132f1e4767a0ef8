//! What a sync of one family wants the kernel to hold, Service by Service. Pure.
//!
//! The loop over Services of `syncProxyRules`, and `syncEndpoint`, in pkg/proxy/ipvs/proxier.go,
//! Kubernetes 1.36. That walks a Go map; here Services come in the order of the Cluster.

use std::net::IpAddr;

use generators::{
    Cluster, Endpoint, Family, Frontend, FrontendKind, Protocol, Service, ServiceName,
    TrafficPolicy,
};

use super::sets::{Entries, Set};
use crate::ipvs::Forwarding;
use crate::ipvs::layout::{served, settings, virtual_services};
use crate::ipvs::wire::{RealServer, Settings, VirtualKey};
use crate::options::Options;

/// The addresses of the node, of one family.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The family.
    pub family: Family,
    /// Those of all links but the dummy link, which are never bound to that.
    own: Vec<IpAddr>,
    /// Those that node ports answer on.
    answering: Vec<IpAddr>,
}

impl Node {
    /// A node with these addresses. Node ports answer on all of them, unless options say on which
    /// (`--nodeport-addresses`).
    pub fn new(family: Family, options: &Options, own: Vec<IpAddr>) -> Self {
        let answering = if options.node_addresses.is_empty() {
            own.clone()
        } else {
            options.node_addresses(family).filter(|address| !address.is_loopback()).collect()
        };
        Self { family, own, answering }
    }
}

/// A virtual server, as kube-proxy calls it, and its real servers.
#[derive(Debug, Clone)]
pub(super) struct VirtualServer {
    /// The Service that it is for.
    pub service: ServiceName,
    /// Where it answers.
    pub key: VirtualKey,
    /// How it works.
    pub settings: Settings,
    /// Whether its address has to be on the dummy link.
    pub is_bound: bool,
    /// Its real servers.
    pub reals: Vec<RealServer>,
}

/// What one sync of one family wants.
#[derive(Debug, Clone)]
pub(super) struct Desired {
    /// The family.
    pub family: Family,
    /// The virtual servers.
    pub servers: Vec<VirtualServer>,
    /// The entries of the sets.
    pub entries: Entries,
    /// Addresses of load balancers that the node must not use: those of which no source range holds
    /// it.
    pub closed: Vec<(IpAddr, Protocol, u16)>,
}

impl Desired {
    /// What the Services of the node's family need.
    pub fn of(cluster: &Cluster, node: &Node, options: &Options) -> Self {
        let (servers, entries, closed) = (Vec::new(), Entries::default(), Vec::new());
        let mut desired = Self { family: node.family, servers, entries, closed };
        for service in cluster.of_family(node.family) {
            desired.add_servers(service, node, options);
            desired.add_loop_back(service);
            for frontend in service.frontends() {
                desired.add_frontend(service, frontend, options);
            }
            desired.add_node_port(service, node);
        }
        desired
    }

    fn add_servers(&mut self, service: &Service, node: &Node, options: &Options) {
        let (targets, protocol) = (service.targets(), service.protocol());
        let settings = settings(&options.ipvs.scheduler, service.extras().affinity_s);
        for (at, kind) in virtual_services(service, node.answering.iter().copied()) {
            let is_bound = match kind {
                FrontendKind::ClusterIp => true,
                FrontendKind::NodePort => false,
                _ => !node.own.contains(&at.ip()),
            };
            if is_bound {
                self.entries.insert(Set::IpvsIps, at.ip().to_string());
            }
            self.servers.push(VirtualServer {
                service: service.name().clone(),
                key: VirtualKey { address: at.ip(), port: at.port(), protocol },
                settings: settings.clone(),
                is_bound,
                reals: served(service, &targets, kind).iter().map(real_server).collect(),
            });
        }
    }

    /// Endpoints of this node, whether they are ready or not.
    fn add_loop_back(&mut self, service: &Service) {
        let protocol = service.protocol();
        for Endpoint { address, port, .. } in
            service.endpoints().iter().filter(|one| !one.is_remote)
        {
            self.entries.insert(Set::LoopBack, format!("{address},{protocol}:{port},{address}"));
        }
    }

    fn add_frontend(&mut self, service: &Service, frontend: Frontend, options: &Options) {
        let Some(address) = frontend.address else { return };
        let entry = format!("{address},{}:{}", service.protocol(), frontend.port);
        let is_local = service.policy_of(frontend.kind) == TrafficPolicy::Local;
        match frontend.kind {
            FrontendKind::ClusterIp => self.entries.insert(Set::ClusterIp, entry),
            FrontendKind::ExternalIp if is_local => {
                self.entries.insert(Set::ExternalIpLocal, entry);
            }
            FrontendKind::ExternalIp => self.entries.insert(Set::ExternalIp, entry),
            FrontendKind::LoadBalancerIp => {
                if is_local {
                    self.entries.insert(Set::LoadBalancerLocal, entry.as_str());
                }
                self.add_firewall(service, address, &entry, options);
                self.entries.insert(Set::LoadBalancer, entry);
            }
            // It has no address.
            FrontendKind::NodePort => {}
        }
    }

    /// Lets only some clients use the address of a load balancer, if they are named.
    fn add_firewall(&mut self, service: &Service, address: IpAddr, entry: &str, options: &Options) {
        let ranges = &service.extras().source_ranges;
        if ranges.is_empty() {
            return;
        }
        self.entries.insert(Set::LoadBalancerFirewall, entry);
        for range in ranges {
            self.entries.insert(Set::LoadBalancerSourceRange, format!("{entry},{range}"));
        }
        if options.is_node_in(ranges) {
            self.entries.insert(Set::LoadBalancerSourceIp, format!("{entry},{address}"));
        } else {
            self.closed.push((address, service.protocol(), service.port()));
        }
    }

    /// The node port, and where load balancers ask for the node's health. A node without addresses
    /// has neither: kube-proxy goes on to the next Service.
    fn add_node_port(&mut self, service: &Service, node: &Node) {
        let extras = service.extras();
        if let Some(port) = extras.node_port {
            if node.answering.is_empty() {
                return;
            }
            let (all, local, entries) = match service.protocol() {
                Protocol::Tcp => (Set::NodePortTcp, Set::NodePortLocalTcp, vec![port.to_string()]),
                Protocol::Udp => (Set::NodePortUdp, Set::NodePortLocalUdp, vec![port.to_string()]),
                Protocol::Sctp => {
                    let entries = node.answering.iter().map(|ip| format!("{ip},sctp:{port}"));
                    (Set::NodePortSctp, Set::NodePortLocalSctp, entries.collect())
                }
            };
            for entry in entries {
                if extras.external_policy == TrafficPolicy::Local {
                    self.entries.insert(local, entry.as_str());
                }
                self.entries.insert(all, entry);
            }
        }
        if let Some(port) = extras.health_check_node_port {
            self.entries.insert(Set::HealthCheckNodePort, port.to_string());
        }
    }
}

/// The real server for an Endpoint: masquerading, weight 1.
fn real_server(endpoint: &Endpoint) -> RealServer {
    let Endpoint { address, port, .. } = *endpoint;
    RealServer { address, port, forwarding: Forwarding::Nat.number(), weight: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(change: impl FnOnce(&mut generators::Extras)) -> Service {
        let (name, vip) = ("ns/a".parse().unwrap(), "10.96.0.1".parse().unwrap());
        let service = Service::new(name, vip, 80, Protocol::Sctp, Vec::new()).unwrap();
        service.with(change).unwrap()
    }

    fn desired(service: Service, own: &[&str], options: &Options) -> Desired {
        let own = own.iter().map(|text| text.parse().unwrap()).collect();
        let node = Node::new(Family::V4, options, own);
        Desired::of(&Cluster::new(vec![service]).unwrap(), &node, options)
    }

    fn entries(desired: &Desired, set: Set) -> Vec<&str> {
        desired.entries.of(set).iter().map(String::as_str).collect()
    }

    #[test]
    fn an_address_that_the_node_has_is_not_bound() {
        let service = service(|extras| {
            extras.external_ips = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        });
        let desired = desired(service, &["192.0.2.1"], &Options::default());
        assert_eq!(entries(&desired, Set::IpvsIps), ["10.96.0.1", "192.0.2.2"]);
        let bound: Vec<_> = desired.servers.iter().map(|server| server.is_bound).collect();
        assert_eq!(bound, [true, false, true]);
    }

    #[test]
    fn node_ports_are_at_the_addresses_that_are_asked_for_or_at_all_of_them() {
        let with_port = |policy| {
            service(move |extras| {
                (extras.node_port, extras.external_policy) = (Some(30_080), policy);
                extras.health_check_node_port = Some(30_081);
            })
        };
        let all = desired(with_port(TrafficPolicy::Local), &["192.0.2.1"], &Options::default());
        assert_eq!(entries(&all, Set::NodePortSctp), ["192.0.2.1,sctp:30080"]);
        assert_eq!(entries(&all, Set::NodePortLocalSctp), ["192.0.2.1,sctp:30080"]);
        assert_eq!(entries(&all, Set::HealthCheckNodePort), ["30081"]);
        let node_addresses = vec![[127, 0, 0, 1].into(), [192, 0, 2, 9].into()];
        let options = Options { node_addresses, ..Options::default() };
        let some = desired(with_port(TrafficPolicy::Cluster), &["192.0.2.1"], &options);
        assert_eq!(entries(&some, Set::NodePortSctp), ["192.0.2.9,sctp:30080"]);
        assert!(entries(&some, Set::NodePortLocalSctp).is_empty());
        let none = desired(with_port(TrafficPolicy::Local), &[], &Options::default());
        assert!(entries(&none, Set::HealthCheckNodePort).is_empty());
        assert_eq!(none.servers.len(), 1);
    }

    #[test]
    fn a_load_balancer_is_closed_to_a_node_outside_of_its_source_ranges() {
        let with_ranges = |ranges: &[&str]| {
            let ranges = ranges.iter().map(|text| text.parse().unwrap()).collect();
            service(move |extras| {
                extras.load_balancer_ips = vec![[203, 0, 113, 1].into()];
                extras.source_ranges = ranges;
            })
        };
        let node_addresses = vec![[192, 0, 2, 9].into()];
        let options = Options { node_addresses, ..Options::default() };
        let outside = desired(with_ranges(&["10.0.0.0/8"]), &[], &options);
        let balancer = ([203, 0, 113, 1].into(), Protocol::Sctp, 80);
        assert_eq!(outside.closed, [balancer]);
        let entry = "203.0.113.1,sctp:80";
        assert_eq!(entries(&outside, Set::LoadBalancerFirewall), [entry]);
        let ranges = entries(&outside, Set::LoadBalancerSourceRange);
        assert_eq!(ranges, [format!("{entry},10.0.0.0/8")]);
        assert!(entries(&outside, Set::LoadBalancerSourceIp).is_empty());
        let inside = desired(with_ranges(&["10.0.0.0/8", "192.0.2.0/24"]), &[], &options);
        assert!(inside.closed.is_empty());
        let admitted = entries(&inside, Set::LoadBalancerSourceIp);
        assert_eq!(admitted, [format!("{entry},203.0.113.1")]);
        let open = desired(with_ranges(&[]), &[], &options);
        assert_eq!(entries(&open, Set::LoadBalancer), [entry]);
        assert!(entries(&open, Set::LoadBalancerFirewall).is_empty());
    }
}

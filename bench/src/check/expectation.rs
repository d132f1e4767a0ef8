//! What must happen to a connection, from the Service and Kubernetes' words alone.
//!
//! "Services, Load Balancing, and Networking: Service", "Virtual IPs and Service Proxies" and
//! "Using Source IP" of the Kubernetes documentation, and the `--cluster-cidr` of kube-proxy's
//! reference. Nothing here knows how a proxy does it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use generators::{Endpoint, FrontendKind, Service, TrafficPolicy};
use itertools::Itertools as _;
use lab::topology::Source;

/// Who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// What it is.
    pub source: Source,
    /// Its address; of the node, which chooses one of its own, any.
    pub address: IpAddr,
    /// Whether the address is in the pod network that the proxy knows (`--cluster-cidr`).
    pub in_pod_network: bool,
}

/// What must come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// An answer by one of these, and of many by each.
    Answered(Vec<Answering>),
    /// A refusal at once.
    Refused,
    /// Nothing at all.
    Dropped,
    /// No answer; whether by a refusal or by nothing is not said.
    Unanswered,
}

/// An Endpoint that may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answering {
    /// Where it listens.
    pub endpoint: SocketAddr,
    /// Whose address it must see.
    pub sees: Peer,
}

/// Whose address an Endpoint sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The caller's own.
    Caller,
    /// One of the node's: the connection was masqueraded.
    Node,
    /// The one that the caller dialled, which is its own.
    Dialled,
}

impl Expected {
    /// Who may answer.
    pub fn answering(&self) -> &[Answering] {
        match self {
            Self::Answered(all) => all,
            Self::Refused | Self::Dropped | Self::Unanswered => &[],
        }
    }
}

impl Caller {
    /// Whether it is the node, or a pod that the proxy knows as one: for these, addresses that are
    /// meant for others outside lead to every Endpoint, whatever the external policy says.
    fn is_inside(self) -> bool {
        self.source == Source::Node || self.in_pod_network
    }
}

/// What must come when `caller` dials a frontend of a Service, `node` being the node's addresses.
pub fn expected(
    service: &Service,
    kind: FrontendKind,
    caller: Caller,
    node: &[IpAddr],
) -> Expected {
    let targets = service.targets();
    if !targets.has_any {
        return Expected::Refused;
    }
    let ranges = &service.extras().source_ranges;
    let is_kept_out =
        !ranges.is_empty() && !ranges.iter().any(|range| range.contains(&caller.address));
    if kind == FrontendKind::LoadBalancerIp && is_kept_out {
        return Expected::Dropped;
    }
    let policy = service.policy_of(kind);
    let short_cut = kind != FrontendKind::ClusterIp && caller.is_inside();
    let chosen = if short_cut { &targets.cluster } else { targets.under(policy) };
    if chosen.is_empty() {
        return Expected::Dropped;
    }
    let answering = chosen.iter().map(|endpoint| Answering {
        endpoint: endpoint.socket(),
        sees: sees(endpoint, kind, policy, caller, node),
    });
    Expected::Answered(answering.collect())
}

/// What must come when `caller` dials an Endpoint itself: pods reach each other without translation
/// ("The Kubernetes network model").
pub fn directly(endpoint: SocketAddr, caller: Caller) -> Expected {
    let sees = if caller.source == Source::Node { Peer::Node } else { Peer::Caller };
    Expected::Answered(vec![Answering { endpoint, sees }])
}

fn sees(
    endpoint: &Endpoint,
    kind: FrontendKind,
    policy: TrafficPolicy,
    caller: Caller,
    node: &[IpAddr],
) -> Peer {
    if caller.source == Source::Node {
        return Peer::Node;
    }
    // Masquerading is for packets that leave the node: an Endpoint of its own network sees callers.
    if node.contains(&endpoint.address) {
        return Peer::Caller;
    }
    // An answer to itself would never come back through the node.
    if caller.address == endpoint.address {
        return Peer::Node;
    }
    let is_kept = match kind {
        FrontendKind::ClusterIp => caller.in_pod_network,
        // "Local" preserves the client's address; "Cluster" hides it.
        _ => policy == TrafficPolicy::Local,
    };
    if is_kept { Peer::Caller } else { Peer::Node }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(all) => {
                let by_peer = all.iter().into_group_map_by(|one| one.sees).into_iter().sorted();
                let group = |(peer, all): (Peer, Vec<&Answering>)| {
                    let endpoints = all.iter().map(|one| one.endpoint).join(" or ");
                    format!("by {endpoints}, which sees {peer}")
                };
                write!(f, "an answer {}", by_peer.map(group).join(", or "))
            }
            Self::Refused => f.write_str("refused"),
            Self::Dropped => f.write_str("dropped"),
            Self::Unanswered => f.write_str("no answer"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "the caller's address",
            Self::Node => "the node's",
            Self::Dialled => "the address that was dialled",
        })
    }
}

#[cfg(test)]
mod tests {
    use generators::{EndpointState, Extras, Protocol};

    use super::*;

    const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 0, 1));
    const POD: [u8; 4] = [10, 244, 0, 5];

    fn caller(source: Source, address: impl Into<IpAddr>) -> Caller {
        let in_pod_network = matches!(source, Source::Pod | Source::Endpoint);
        Caller { source, address: address.into(), in_pod_network }
    }

    fn outside() -> Caller {
        caller(Source::Outside, [172, 16, 0, 1])
    }

    fn here() -> Endpoint {
        Endpoint::new([10, 244, 0, 9].into(), 8080)
    }

    fn away() -> Endpoint {
        Endpoint { is_remote: true, ..Endpoint::new([10, 244, 1, 9].into(), 8080) }
    }

    fn service(endpoints: &[Endpoint], set: impl FnOnce(&mut Extras)) -> Service {
        let name = "ns/a".parse().unwrap();
        let vip = [10, 96, 0, 1].into();
        let service = Service::new(name, vip, 80, Protocol::Tcp, endpoints.to_vec()).unwrap();
        let all = |extras: &mut Extras| {
            extras.node_port = Some(30_080);
            extras.load_balancer_ips = vec![[192, 0, 2, 1].into()];
            set(extras);
        };
        service.with(all).unwrap()
    }

    /// Last bytes of who answers, each with whose address it sees.
    fn answer(service: &Service, kind: FrontendKind, caller: Caller) -> Vec<(IpAddr, Peer)> {
        match expected(service, kind, caller, &[NODE]) {
            Expected::Answered(all) => {
                all.iter().map(|one| (one.endpoint.ip(), one.sees)).collect()
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_cluster_ip_keeps_the_address_of_pods_and_of_nobody_else() {
        let service = service(&[here(), away()], |_| {});
        let both = |peer| vec![(here().address, peer), (away().address, peer)];
        let kind = FrontendKind::ClusterIp;
        assert_eq!(answer(&service, kind, caller(Source::Pod, POD)), both(Peer::Caller));
        assert_eq!(answer(&service, kind, caller(Source::Node, NODE)), both(Peer::Node));
        assert_eq!(answer(&service, kind, outside()), both(Peer::Node));
    }

    #[test]
    fn an_endpoint_that_dials_itself_sees_the_node() {
        let service = service(&[here(), away()], |_| {});
        let own = caller(Source::Endpoint, here().address);
        let wanted = vec![(here().address, Peer::Node), (away().address, Peer::Caller)];
        assert_eq!(answer(&service, FrontendKind::ClusterIp, own), wanted);
    }

    #[test]
    fn the_external_policy_decides_for_callers_outside_alone() {
        let local = service(&[here(), away()], |extras| {
            extras.external_policy = TrafficPolicy::Local;
        });
        let kind = FrontendKind::NodePort;
        assert_eq!(answer(&local, kind, outside()), [(here().address, Peer::Caller)]);
        assert_eq!(answer(&local, kind, caller(Source::Pod, POD)).len(), 2);
        let away = service(&[away()], |extras| extras.external_policy = TrafficPolicy::Local);
        assert_eq!(expected(&away, kind, outside(), &[NODE]), Expected::Dropped);
        assert_eq!(answer(&away, kind, caller(Source::Node, NODE)).len(), 1);
        let cluster = service(&[here()], |_| {});
        assert_eq!(answer(&cluster, kind, outside()), [(here().address, Peer::Node)]);
    }

    #[test]
    fn without_endpoints_refused_and_without_local_ones_dropped() {
        let not_ready = Endpoint { state: EndpointState::NotReady, ..here() };
        for endpoints in [&[][..], &[not_ready][..]] {
            let refused =
                expected(&service(endpoints, |_| {}), FrontendKind::ClusterIp, outside(), &[NODE]);
            assert_eq!(refused, Expected::Refused);
        }
        let local = service(&[away()], |extras| extras.internal_policy = TrafficPolicy::Local);
        let pod = caller(Source::Pod, POD);
        assert_eq!(expected(&local, FrontendKind::ClusterIp, pod, &[NODE]), Expected::Dropped);
    }

    #[test]
    fn source_ranges_are_for_the_load_balancers_address_alone() {
        let ranged = service(&[here()], |extras| {
            extras.source_ranges = vec!["172.16.0.0/12".parse().unwrap()];
        });
        let kind = FrontendKind::LoadBalancerIp;
        assert_eq!(answer(&ranged, kind, outside()).len(), 1);
        let stranger = caller(Source::Outside, [203, 0, 113, 1]);
        assert_eq!(expected(&ranged, kind, stranger, &[NODE]), Expected::Dropped);
        assert_eq!(answer(&ranged, FrontendKind::NodePort, stranger).len(), 1);
    }

    #[test]
    fn an_endpoint_of_the_nodes_own_network_sees_the_caller() {
        let host = service(&[Endpoint::new(NODE, 9090)], |_| {});
        assert_eq!(answer(&host, FrontendKind::NodePort, outside()), [(NODE, Peer::Caller)]);
    }
}

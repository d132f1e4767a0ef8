//! Where the proxy listens, and for which Endpoints: fixed for a node, then a pure function of each
//! Service.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use generators::{Cluster, Endpoint, Family, Protocol, Service};
use linux::netlink::{AddressFamily, route};

use crate::error::ProxyError;
use crate::ipvs::layout::{served, virtual_services};
use crate::netlink::failed;
use crate::options::Options;

/// Why there is none of SCTP, whose messages are no bytes (`NewProxySocket` in
/// `pkg/proxy/userspace/proxysocket.go`, Kubernetes 1.20, refuses it too).
pub(super) const NO_SCTP: &str = "the proxy copies TCP and UDP alone, not SCTP";

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// Where a listener is. In the order of addresses, so that what is at one stands together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    pub address: Ipv4Addr,
    pub port: u16,
    pub transport: Transport,
}

/// What a listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Where it connects to, in turn; nobody listens where there is none.
    pub endpoints: Vec<SocketAddr>,
    /// How long a client comes back to its Endpoint.
    pub affinity: Option<Duration>,
}

/// Every listener that a Cluster asks for.
pub(super) type Listeners = BTreeMap<At, Target>;

/// What of the node decides where it listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Addresses of its links, which need no route.
    own: Vec<Ipv4Addr>,
    /// Where node ports answer.
    node_ports: Vec<Ipv4Addr>,
}

impl Node {
    /// That of the namespace of the calling thread.
    ///
    /// # Errors
    /// Addresses that cannot be listed.
    pub fn read(options: &Options) -> Result<Self, ProxyError> {
        let addresses = route::addresses(AddressFamily::V4).map_err(failed("list", "addresses"))?;
        let own: Vec<Ipv4Addr> = addresses.iter().filter_map(|found| ipv4(found.address)).collect();
        let node_ports = if options.node_addresses.is_empty() {
            own.clone()
        } else {
            options.node_addresses(Family::V4).filter_map(ipv4).collect()
        };
        Ok(Self { own, node_ports })
    }

    /// Whether packets to an address need a route of ours to be delivered here.
    pub fn needs_route(&self, address: Ipv4Addr) -> bool {
        !self.own.contains(&address) && !self.node_ports.contains(&address)
    }

    /// Every listener of a Cluster; Services of IPv6 have none.
    ///
    /// # Errors
    /// [`ProxyError::Unsupported`] for a Service of SCTP.
    pub fn listeners(&self, cluster: &Cluster) -> Result<Listeners, ProxyError> {
        let mut all = Listeners::new();
        for service in cluster.of_family(Family::V4) {
            all.extend(self.of_service(service)?);
        }
        Ok(all)
    }

    /// The listeners of one Service.
    ///
    /// # Errors
    /// As for [`Self::listeners`].
    pub fn of_service(&self, service: &Service) -> Result<Vec<(At, Target)>, ProxyError> {
        let transport = transport_of(service)?;
        let targets = service.targets();
        let affinity = service.extras().affinity_s.map(|s| Duration::from_secs(s.into()));
        let nodes = self.node_ports.iter().copied().map(IpAddr::from);
        let all = virtual_services(service, nodes).filter_map(|(at, kind)| {
            let at = At { address: ipv4(at.ip())?, port: at.port(), transport };
            let endpoints = served(service, &targets, kind).iter().map(Endpoint::socket).collect();
            Some((at, Target { endpoints, affinity }))
        });
        Ok(all.collect())
    }
}

impl At {
    /// The least there could be at an address.
    pub const fn first_of(address: Ipv4Addr) -> Self {
        Self { address, port: 0, transport: Transport::Tcp }
    }

    /// As the socket is bound.
    pub fn socket(self) -> SocketAddr {
        SocketAddrV4::new(self.address, self.port).into()
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{}:{}/{transport}", self.address, self.port)
    }
}

fn transport_of(service: &Service) -> Result<Transport, ProxyError> {
    match service.protocol() {
        Protocol::Tcp => Ok(Transport::Tcp),
        Protocol::Udp => Ok(Transport::Udp),
        Protocol::Sctp => Err(ProxyError::Unsupported {
            what: format!("Service {}", service.name()),
            reason: NO_SCTP.into(),
            remedy: "leave the Service out".into(),
        }),
    }
}

/// An IPv4 address, which is all that this backend serves.
const fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

//! One Service: its name, its VIP, and the Endpoints the VIP is translated to.
//!
//! A Service is one port of one address family, as kube-proxy sees it. What must hold between
//! Services (unique names and frontends) is checked in `cluster`.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::error::ClusterError;
use crate::extras::Extras;
use crate::family::Family;
use crate::service_name::{ServiceId, ServiceName};

/// Transport protocol of a Service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp` or `sctp`: what iptables calls it, and what kube-proxy hashes into chain names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The number in IP headers: `IPPROTO_TCP`, `_UDP`, `_SCTP`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol of a number.
    pub fn of_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.number() == number)
    }
}

/// One VIP:port/protocol and its Endpoints. Cloning shares name and Endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    name: ServiceName,
    vip: IpAddr,
    port: u16,
    protocol: Protocol,
    // Apart, since most of a Cluster's million Services have none.
    extras: Option<Arc<Extras>>,
    endpoints: Arc<[Endpoint]>,
}

impl Service {
    /// A Service with nothing but its cluster IP. It may have no Endpoints, as in Kubernetes.
    ///
    /// Endpoints are kept sorted byte by byte by their "ip:port" text, the order in which
    /// kube-proxy programs them (`pkg/proxy/endpointslicecache.go`, Kubernetes 1.35):
    /// 10.0.0.10:80 comes before 10.0.0.2:80.
    ///
    /// # Errors
    /// [`ClusterError::Service`] for a port 0, an address that is not unicast, or an Endpoint that
    /// is given twice or of the other family than the VIP.
    pub fn new(
        name: ServiceName,
        vip: IpAddr,
        port: u16,
        protocol: Protocol,
        endpoints: Vec<Endpoint>,
    ) -> Result<Self, ClusterError> {
        check_unicast(&name, "VIP", vip)?;
        check_port(&name, port, format_args!("port"))?;
        let endpoints = checked_endpoints(&name, Family::of(vip), endpoints)?;
        Ok(Self { name, vip, port, protocol, extras: None, endpoints })
    }

    /// The same Service after `change` to what it has beyond its cluster IP. The order of addresses
    /// is kept.
    ///
    /// # Errors
    /// [`ClusterError::Service`] for a port 0 (Kubernetes' usual range 30000-32767 is a setting of
    /// a cluster and is not asked for), an affinity of 0 seconds, or an address that is not
    /// unicast, of the other family than the VIP, or given twice.
    pub fn with(mut self, change: impl FnOnce(&mut Extras)) -> Result<Self, ClusterError> {
        let mut extras = self.extras().clone();
        change(&mut extras);
        check_extras(&self, &extras)?;
        self.extras = (extras != Extras::NONE).then(|| extras.into());
        Ok(self)
    }

    /// The same Service with `old` replaced by `new`.
    ///
    /// # Errors
    /// [`ClusterError::NotThere`] without an Endpoint there, else what [`Service::new`] says.
    pub fn with_endpoint_replaced(
        &self,
        old: Endpoint,
        new: Endpoint,
    ) -> Result<Self, ClusterError> {
        let mut endpoints = self.endpoints.to_vec();
        let is_old = |endpoint: &&mut Endpoint| endpoint.socket() == old.socket();
        let slot = endpoints.iter_mut().find(is_old).ok_or_else(|| {
            ClusterError::NotThere(format!("Service {} has no endpoint {old}", self.id()))
        })?;
        *slot = new;
        self.with_endpoints(endpoints)
    }

    /// The same Service with these Endpoints.
    ///
    /// # Errors
    /// What [`Service::new`] says of them.
    pub fn with_endpoints(&self, endpoints: Vec<Endpoint>) -> Result<Self, ClusterError> {
        let endpoints = checked_endpoints(&self.name, self.family(), endpoints)?;
        Ok(Self { endpoints, ..self.clone() })
    }

    /// The name of this Service port.
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// What tells it from every other Service of a Cluster.
    pub fn id(&self) -> ServiceId {
        ServiceId { name: self.name.clone(), family: self.family() }
    }

    /// The family of all its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.vip)
    }

    /// The virtual IP.
    pub fn vip(&self) -> IpAddr {
        self.vip
    }

    /// The port at the VIP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The transport protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What it has beyond a cluster IP.
    pub fn extras(&self) -> &Extras {
        const NONE: &Extras = &Extras::NONE;
        self.extras.as_deref().unwrap_or(NONE)
    }

    /// The Endpoints, sorted byte by byte by their "ip:port" text.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

fn check_extras(service: &Service, extras: &Extras) -> Result<(), ClusterError> {
    let name = service.name();
    for (port, which) in
        [(extras.node_port, "node port"), (extras.health_check_node_port, "health check node port")]
    {
        port.map_or(Ok(()), |port| check_port(name, port, format_args!("{which}")))?;
    }
    if extras.affinity_s == Some(0) {
        let problem = "session affinity of 0 seconds: write at least 1, or leave it out";
        return Err(ClusterError::of_service(name, problem));
    }
    let mut own = HashSet::from([service.vip()]);
    for (part, addresses) in
        [("external IP", &extras.external_ips), ("load balancer IP", &extras.load_balancer_ips)]
    {
        for &address in addresses {
            check_unicast(name, part, address)?;
            check_family(name, service.family(), part, address)?;
            if !own.insert(address) {
                let problem = format!("{part} {address} is given twice or is the VIP: keep one");
                return Err(ClusterError::of_service(name, problem));
            }
        }
    }
    for range in &extras.source_ranges {
        check_family(name, service.family(), "source range", range.addr())?;
        if range.addr() != range.network() {
            let remedy = range.trunc();
            let problem =
                format!("source range {range} has bits set behind its prefix: write {remedy}");
            return Err(ClusterError::of_service(name, problem));
        }
    }
    Ok(())
}

fn check_port(
    service: &ServiceName,
    port: u16,
    which: fmt::Arguments<'_>,
) -> Result<(), ClusterError> {
    if port == 0 {
        let problem = format!("{which} is 0: write a port from 1 to 65535");
        return Err(ClusterError::of_service(service, problem));
    }
    Ok(())
}

fn check_unicast(
    service: &ServiceName,
    part: &'static str,
    address: IpAddr,
) -> Result<(), ClusterError> {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast {
        let problem = format!(
            "{part} {address} is not a unicast address: unspecified, loopback, multicast and \
             broadcast addresses cannot be a VIP or an Endpoint"
        );
        return Err(ClusterError::of_service(service, problem));
    }
    Ok(())
}

fn check_family(
    service: &ServiceName,
    family: Family,
    part: &'static str,
    address: IpAddr,
) -> Result<(), ClusterError> {
    if Family::of(address) == family {
        return Ok(());
    }
    let problem = format!("{part} {address} is not of {family}, which its VIP is of");
    Err(ClusterError::of_service(service, problem))
}

/// The Endpoints in kube-proxy's order, each valid and there once.
fn checked_endpoints(
    service: &ServiceName,
    family: Family,
    mut endpoints: Vec<Endpoint>,
) -> Result<Arc<[Endpoint]>, ClusterError> {
    for endpoint in &endpoints {
        check_unicast(service, "endpoint", endpoint.address)?;
        check_family(service, family, "endpoint", endpoint.address)?;
        let which = format_args!("the port of endpoint {}", endpoint.address);
        check_port(service, endpoint.port, which)?;
    }
    Endpoint::sort_by_text(&mut endpoints);
    let mut pairs = endpoints.iter().zip(endpoints.iter().skip(1));
    if let Some((endpoint, _)) = pairs.find(|(left, right)| left.socket() == right.socket()) {
        let problem = format!("endpoint {endpoint} is given twice: keep one");
        return Err(ClusterError::of_service(service, problem));
    }
    Ok(endpoints.into())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn with_endpoints(endpoints: &[&str]) -> Result<Service, ClusterError> {
        let endpoints = endpoints.iter().map(|text| endpoint(text)).collect();
        Service::new(
            name("ns/a:p"),
            Ipv4Addr::new(10, 0, 0, 1).into(),
            80,
            Protocol::Tcp,
            endpoints,
        )
    }

    fn external(addresses: Vec<IpAddr>) -> Result<Service, ClusterError> {
        with_endpoints(&[]).unwrap().with(|extras| extras.external_ips = addresses)
    }

    #[test]
    fn protocols_are_lower_case() {
        let text = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|p| format!("{p:>4}"));
        assert_eq!(text, [" tcp", " udp", "sctp"]);
    }

    #[test]
    fn endpoints_are_sorted_by_their_text() {
        let service = with_endpoints(&[
            "10.0.0.2:80",
            "10.0.0.10:80",
            "10.0.0.1:8080",
            "10.0.0.1:9",
            "10.0.0.100:80",
        ]);
        let text: Vec<String> =
            service.unwrap().endpoints().iter().map(ToString::to_string).collect();
        let mut sorted = text.clone();
        sorted.sort_unstable();
        assert_eq!(text, sorted);
        assert_eq!(text[0], "10.0.0.100:80");
    }

    #[test]
    fn a_service_keeps_what_it_is_given() {
        let service = with_endpoints(&[]).unwrap();
        assert_eq!(service.extras(), &Extras::NONE);
        let addresses: Vec<IpAddr> =
            ["192.0.2.9", "192.0.2.1"].map(|ip| ip.parse().unwrap()).into();
        let change = |extras: &mut Extras| {
            extras.node_port = Some(30_080);
            extras.external_ips.clone_from(&addresses);
        };
        let service = service.with(change).unwrap();
        assert_eq!(service.name().as_str(), "ns/a:p");
        assert_eq!((service.vip(), service.port()), (Ipv4Addr::new(10, 0, 0, 1).into(), 80));
        assert_eq!((service.protocol(), service.extras().node_port), (Protocol::Tcp, Some(30_080)));
        assert_eq!(
            (&service.extras().external_ips[..], service.endpoints()),
            (&addresses[..], &[][..])
        );
    }

    #[test]
    fn zero_ports_are_refused() {
        let error = |part: &str| {
            let problem = format!("{part} is 0: write a port from 1 to 65535");
            Err(ClusterError::of_service(&name("ns/a:p"), problem))
        };
        let vip = Ipv4Addr::new(10, 0, 0, 1).into();
        assert_eq!(Service::new(name("ns/a:p"), vip, 0, Protocol::Tcp, vec![]), error("port"));
        assert_eq!(with_endpoints(&["10.0.0.2:0"]), error("the port of endpoint 10.0.0.2"));
        let without = with_endpoints(&[]).unwrap().with(|extras| extras.node_port = Some(0));
        assert_eq!(without, error("node port"));
    }

    #[test]
    fn addresses_that_are_not_unicast_are_refused() {
        for text in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255"] {
            let address: IpAddr = text.parse().unwrap();
            let error = |part| {
                let problem = format!(
                    "{part} {address} is not a unicast address: unspecified, loopback, multicast \
                     and broadcast addresses cannot be a VIP or an Endpoint"
                );
                Err(ClusterError::of_service(&name("ns/a:p"), problem))
            };
            let vip = Service::new(name("ns/a:p"), address, 80, Protocol::Tcp, vec![]);
            assert_eq!(vip, error("VIP"));
            assert_eq!(with_endpoints(&[&format!("{text}:80")]), error("endpoint"));
            assert_eq!(external(vec![address]), error("external IP"));
        }
        // Class E is unicast to Linux, and in use for Pods.
        assert!(with_endpoints(&["240.0.0.1:80"]).is_ok());
    }

    #[test]
    fn doubles_are_refused() {
        assert_eq!(
            with_endpoints(&["10.0.0.2:80", "10.0.0.3:80", "10.0.0.2:80"]),
            Err(ClusterError::of_service(
                &name("ns/a:p"),
                "endpoint 10.0.0.2:80 is given twice: keep one"
            ))
        );
        let (vip, other) = (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(192, 0, 2, 1).into());
        for (addresses, address) in [(vec![other, other], other), (vec![other, vip], vip)] {
            let problem = format!("external IP {address} is given twice or is the VIP: keep one");
            assert_eq!(
                external(addresses),
                Err(ClusterError::of_service(&name("ns/a:p"), problem))
            );
        }
    }

    #[test]
    fn everything_of_a_service_is_of_one_family() {
        let mixed = |part: &str| {
            let problem = format!("{part} is not of IPv4, which its VIP is of");
            Err(ClusterError::of_service(&name("ns/a:p"), problem))
        };
        assert_eq!(with_endpoints(&["[fd00::1]:80"]), mixed("endpoint fd00::1"));
        assert_eq!(external(vec!["fd00::1".parse().unwrap()]), mixed("external IP fd00::1"));
        let ranges = vec!["fd00::/64".parse().unwrap()];
        let service = with_endpoints(&[]).unwrap().with(|extras| extras.source_ranges = ranges);
        assert_eq!(service, mixed("source range fd00::"));
    }

    #[test]
    fn source_ranges_end_with_their_prefix() {
        let ranges = |text: &str| {
            let ranges = vec![text.parse().unwrap()];
            with_endpoints(&[]).unwrap().with(|extras| extras.source_ranges = ranges)
        };
        assert!(ranges("192.0.2.0/24").is_ok());
        let problem =
            "source range 192.0.2.1/24 has bits set behind its prefix: write 192.0.2.0/24";
        let error = ClusterError::of_service(&name("ns/a:p"), problem);
        assert_eq!(ranges("192.0.2.1/24"), Err(error));
    }

    #[test]
    fn an_affinity_of_no_time_is_refused() {
        let affinity =
            |seconds| with_endpoints(&[]).unwrap().with(|extras| extras.affinity_s = Some(seconds));
        assert_eq!(affinity(1).unwrap().extras().affinity_s, Some(1));
        assert!(affinity(0).unwrap_err().to_string().contains("session affinity of 0 seconds"));
    }
}

//! One Service: its name, its VIP, and the Endpoints the VIP is translated to.
//!
//! What must hold between Services (unique names and VIPs) is checked in `cluster`.

use std::fmt;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::ClusterError;

/// Longest DNS-1123 label (`k8s.io/apimachinery/pkg/util/validation/validation.go`,
/// `DNS1123LabelMaxLength`, Kubernetes 1.35).
const LABEL_MAX: usize = 63;

/// Longest "ip:port" text: `255.255.255.255:65535`.
const ENDPOINT_TEXT_MAX: usize = 21;

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

/// An address and port that a VIP is translated to. Its text, in JSON too, is `ip:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "SocketAddrV4", into = "SocketAddrV4")]
pub struct Endpoint {
    /// IPv4 address of the Endpoint.
    pub address: Ipv4Addr,
    /// Port of the Endpoint.
    pub port: u16,
}

impl Endpoint {
    /// The "ip:port" text padded with zero bytes, which sorts as the text itself does.
    fn text_key(self) -> [u8; ENDPOINT_TEXT_MAX] {
        let mut key = [0; ENDPOINT_TEXT_MAX];
        // Cannot fail: the buffer holds the longest text.
        let _ = write!(&mut key[..], "{}:{}", self.address, self.port);
        key
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddrV4::from(*self).fmt(f)
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(socket: SocketAddrV4) -> Self {
        Self { address: *socket.ip(), port: socket.port() }
    }
}

impl From<Endpoint> for SocketAddrV4 {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.address, endpoint.port)
    }
}

/// Names one Service port, as kube-proxy's `ServicePortName` does: `namespace/name:port_name`.
///
/// Orders and compares as that text. Cloning shares the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    // One shared text rather than three: a Cluster may hold a million of them.
    text: Arc<str>,
    namespace_len: u8,
    name_len: u8,
}

impl ServiceName {
    /// A name from its parts. `port_name` may be empty; the others may not.
    ///
    /// # Errors
    /// [`ClusterError::InvalidLabel`] if a part is not a DNS-1123 label, which Kubernetes asks of
    /// namespaces, Services and Service ports (`pkg/apis/core/validation/validation.go`, 1.35).
    pub fn new(namespace: &str, name: &str, port_name: &str) -> Result<Self, ClusterError> {
        let namespace_len = label_len("namespace", namespace)?;
        let name_len = label_len("Service name", name)?;
        let text = if port_name.is_empty() {
            format!("{namespace}/{name}")
        } else {
            label_len("port name", port_name)?;
            format!("{namespace}/{name}:{port_name}")
        };
        Ok(Self { text: text.into(), namespace_len, name_len })
    }

    /// The whole name, `namespace/name` or `namespace/name:port_name`: what kube-proxy's
    /// `ServicePortName.String()` gives (`pkg/proxy/types.go`, Kubernetes 1.35).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `namespace/name`: what all ports of one Kubernetes Service have in common.
    pub fn namespaced_name(&self) -> &str {
        let end = usize::from(self.namespace_len) + 1 + usize::from(self.name_len);
        self.text.get(..end).unwrap_or_default()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.text.get(..usize::from(self.namespace_len)).unwrap_or_default()
    }

    /// The name of the Service, without namespace and port.
    pub fn name(&self) -> &str {
        let start = usize::from(self.namespace_len) + 1;
        self.text.get(start..start + usize::from(self.name_len)).unwrap_or_default()
    }

    /// The name of the port; empty if it has none.
    pub fn port_name(&self) -> &str {
        let start = usize::from(self.namespace_len) + 1 + usize::from(self.name_len) + 1;
        self.text.get(start..).unwrap_or_default()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for ServiceName {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Self, ClusterError> {
        let invalid = || ClusterError::InvalidServiceName { text: shortened(text) };
        let (namespace, rest) = text.split_once('/').ok_or_else(invalid)?;
        match rest.split_once(':') {
            Some((_, "")) => Err(invalid()),
            Some((name, port_name)) => Self::new(namespace, name, port_name),
            None => Self::new(namespace, rest, ""),
        }
    }
}

/// One VIP:port/protocol and its Endpoints. Cloning shares name and Endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    name: ServiceName,
    vip: Ipv4Addr,
    port: u16,
    protocol: Protocol,
    node_port: Option<u16>,
    external_ips: Box<[Ipv4Addr]>,
    endpoints: Arc<[Endpoint]>,
}

impl Service {
    /// A Service without node port and external IPs. It may have no Endpoints, as in Kubernetes.
    ///
    /// Endpoints are kept sorted byte by byte by their "ip:port" text, the order in which
    /// kube-proxy programs them (`pkg/proxy/endpointslicecache.go`, Kubernetes 1.35):
    /// 10.0.0.10:80 comes before 10.0.0.2:80.
    ///
    /// # Errors
    /// [`ClusterError::Service`] for a port 0, an address that is not unicast, or an Endpoint that
    /// is given twice.
    pub fn new(
        name: ServiceName,
        vip: Ipv4Addr,
        port: u16,
        protocol: Protocol,
        endpoints: Vec<Endpoint>,
    ) -> Result<Self, ClusterError> {
        check_unicast(&name, "VIP", vip)?;
        check_port(&name, port, format_args!("port"))?;
        let endpoints = checked_endpoints(&name, endpoints)?;
        Ok(Self {
            name,
            vip,
            port,
            protocol,
            node_port: None,
            external_ips: Box::default(),
            endpoints,
        })
    }

    /// The same Service, also reachable at `node_port` on every address of the node.
    ///
    /// # Errors
    /// [`ClusterError::Service`] for port 0. Kubernetes' usual range 30000-32767 is a setting of a
    /// cluster and is not asked for.
    pub fn with_node_port(mut self, node_port: u16) -> Result<Self, ClusterError> {
        check_port(&self.name, node_port, format_args!("node port"))?;
        self.node_port = Some(node_port);
        Ok(self)
    }

    /// The same Service, also reachable at these addresses at its port. Their order is kept.
    ///
    /// # Errors
    /// [`ClusterError::Service`] for an address that is not unicast, or given twice.
    pub fn with_external_ips(mut self, addresses: Vec<Ipv4Addr>) -> Result<Self, ClusterError> {
        for &address in &addresses {
            check_unicast(&self.name, "external IP", address)?;
        }
        let mut sorted = addresses.clone();
        sorted.push(self.vip);
        sorted.sort_unstable();
        if let Some(address) = first_repeated(&sorted) {
            let problem = format!("external IP {address} is given twice or is the VIP: keep one");
            return Err(ClusterError::Service { service: self.name, problem });
        }
        self.external_ips = addresses.into_boxed_slice();
        Ok(self)
    }

    /// The same Service with `old` replaced by `new`.
    pub(crate) fn with_endpoint_replaced(
        &self,
        old: Endpoint,
        new: Endpoint,
    ) -> Result<Self, ClusterError> {
        let mut endpoints = self.endpoints.to_vec();
        let slot = endpoints.iter_mut().find(|endpoint| **endpoint == old).ok_or_else(|| {
            ClusterError::NotThere(format!("Service {} has no endpoint {old}", self.name))
        })?;
        *slot = new;
        let endpoints = checked_endpoints(&self.name, endpoints)?;
        Ok(Self { endpoints, ..self.clone() })
    }

    /// The name of this Service port.
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// The virtual IP.
    pub fn vip(&self) -> Ipv4Addr {
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

    /// The port at every address of the node, if there is one.
    pub fn node_port(&self) -> Option<u16> {
        self.node_port
    }

    /// Further addresses at which the Service answers at its port.
    pub fn external_ips(&self) -> &[Ipv4Addr] {
        &self.external_ips
    }

    /// Whether it also answers at a node port or an external IP.
    pub fn is_external(&self) -> bool {
        self.node_port.is_some() || !self.external_ips.is_empty()
    }

    /// The Endpoints, sorted byte by byte by their "ip:port" text.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

/// The length of a valid DNS-1123 label; `part` says what the label is, for the error.
fn label_len(part: &'static str, label: &str) -> Result<u8, ClusterError> {
    let bytes = label.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = bytes.len() <= LABEL_MAX
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-');
    match u8::try_from(bytes.len()) {
        Ok(len) if valid => Ok(len),
        _ => Err(ClusterError::InvalidLabel { part, value: shortened(label) }),
    }
}

/// The first 80 characters of untrusted text, for an error message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
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
    address: Ipv4Addr,
) -> Result<(), ClusterError> {
    if address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
    {
        let problem = format!(
            "{part} {address} is not a unicast address: unspecified, loopback, multicast and \
             broadcast addresses cannot be a VIP or an Endpoint"
        );
        return Err(ClusterError::of_service(service, problem));
    }
    Ok(())
}

/// The Endpoints in kube-proxy's order, each valid and there once.
fn checked_endpoints(
    service: &ServiceName,
    mut endpoints: Vec<Endpoint>,
) -> Result<Arc<[Endpoint]>, ClusterError> {
    for endpoint in &endpoints {
        check_unicast(service, "endpoint", endpoint.address)?;
        let which = format_args!("the port of endpoint {}", endpoint.address);
        check_port(service, endpoint.port, which)?;
    }
    endpoints.sort_by_cached_key(|endpoint| endpoint.text_key());
    if let Some(endpoint) = first_repeated(&endpoints) {
        let problem = format!("endpoint {endpoint} is given twice: keep one");
        return Err(ClusterError::of_service(service, problem));
    }
    Ok(endpoints.into())
}

/// The first value that stands beside its equal.
fn first_repeated<T: Copy + PartialEq>(sorted: &[T]) -> Option<T> {
    sorted.iter().zip(sorted.iter().skip(1)).find(|(left, right)| left == right).map(|(t, _)| *t)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddrV4>().unwrap().into()
    }

    fn with_endpoints(endpoints: &[&str]) -> Result<Service, ClusterError> {
        let endpoints = endpoints.iter().map(|text| endpoint(text)).collect();
        Service::new(name("ns/a:p"), Ipv4Addr::new(10, 0, 0, 1), 80, Protocol::Tcp, endpoints)
    }

    #[test]
    fn a_name_gives_its_parts_and_kube_proxys_text() {
        let named = ServiceName::new("kube-system", "kube-dns", "dns-tcp").unwrap();
        assert_eq!(named.to_string(), "kube-system/kube-dns:dns-tcp");
        assert_eq!(named.namespaced_name(), "kube-system/kube-dns");
        assert_eq!(
            (named.namespace(), named.name(), named.port_name()),
            ("kube-system", "kube-dns", "dns-tcp")
        );
        let unnamed = ServiceName::new("default", "nginx", "").unwrap();
        assert_eq!(unnamed.to_string(), "default/nginx");
        assert_eq!(unnamed.namespaced_name(), "default/nginx");
        assert_eq!(
            (unnamed.namespace(), unnamed.name(), unnamed.port_name()),
            ("default", "nginx", "")
        );
    }

    #[test]
    fn a_name_is_read_back_from_its_text() {
        for text in ["a/b", "a/b:c", "kube-system/kube-dns:dns-tcp", "1/2:3"] {
            assert_eq!(name(text).as_str(), text);
        }
    }

    #[test]
    fn text_that_is_no_name_is_refused() {
        for text in ["", "a", "a/b:"] {
            let error = ClusterError::InvalidServiceName { text: text.to_owned() };
            assert_eq!(text.parse::<ServiceName>(), Err(error), "{text:?}");
        }
        let labels = [
            ("/b", "namespace", ""),
            ("a/", "Service name", ""),
            ("a/:p", "Service name", ""),
            ("a/b/c", "Service name", "b/c"),
            ("a/b:c:d", "port name", "c:d"),
        ];
        for (text, part, value) in labels {
            let error = ClusterError::InvalidLabel { part, value: value.to_owned() };
            assert_eq!(text.parse::<ServiceName>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn labels_follow_dns_1123() {
        let longest = "x".repeat(63);
        for label in ["a", "0", "a-b", "a--b", "9a", longest.as_str()] {
            assert!(ServiceName::new(label, label, label).is_ok(), "{label:?}");
        }
        let too_long = "x".repeat(64);
        for label in ["-a", "a-", "A", "a_b", "a.b", "ä", "a b", too_long.as_str()] {
            let error = |part| Err(ClusterError::InvalidLabel { part, value: label.to_owned() });
            assert_eq!(ServiceName::new(label, "b", ""), error("namespace"));
            assert_eq!(ServiceName::new("a", label, ""), error("Service name"));
            assert_eq!(ServiceName::new("a", "b", label), error("port name"));
        }
    }

    #[test]
    fn an_error_quotes_no_more_than_80_characters_of_its_input() {
        let ClusterError::InvalidLabel { value, .. } =
            ServiceName::new(&"ä".repeat(1_000), "b", "").unwrap_err()
        else {
            panic!("another error");
        };
        assert_eq!(value, "ä".repeat(80));
    }

    #[test]
    fn protocols_are_lower_case() {
        let text = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|p| format!("{p:>4}"));
        assert_eq!(text, [" tcp", " udp", "sctp"]);
    }

    #[test]
    fn an_endpoint_is_its_ip_and_port_in_text_and_json() {
        let endpoint = Endpoint { address: Ipv4Addr::new(10, 180, 0, 1), port: 80 };
        assert_eq!(format!("{endpoint:>15}"), "  10.180.0.1:80");
        assert_eq!(serde_json::to_string(&endpoint).unwrap(), "\"10.180.0.1:80\"");
        let read: Endpoint = serde_json::from_str("\"10.180.0.1:80\"").unwrap();
        assert_eq!(read, endpoint);
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
    fn the_longest_endpoint_text_fits_its_key() {
        let longest = endpoint("255.255.255.254:65535");
        assert_eq!(&longest.text_key()[..], longest.to_string().as_bytes());
    }

    #[test]
    fn a_service_keeps_what_it_is_given() {
        let service = with_endpoints(&[]).unwrap();
        assert_eq!((service.node_port(), service.external_ips()), (None, &[][..]));
        let addresses = vec![Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(192, 0, 2, 1)];
        let service =
            service.with_node_port(30_080).unwrap().with_external_ips(addresses.clone()).unwrap();
        assert_eq!(service.name().as_str(), "ns/a:p");
        assert_eq!((service.vip(), service.port()), (Ipv4Addr::new(10, 0, 0, 1), 80));
        assert_eq!((service.protocol(), service.node_port()), (Protocol::Tcp, Some(30_080)));
        assert_eq!((service.external_ips(), service.endpoints()), (&addresses[..], &[][..]));
    }

    #[test]
    fn zero_ports_are_refused() {
        let error = |part: &str| {
            let problem = format!("{part} is 0: write a port from 1 to 65535");
            Err(ClusterError::of_service(&name("ns/a:p"), problem))
        };
        let vip = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(Service::new(name("ns/a:p"), vip, 0, Protocol::Tcp, vec![]), error("port"));
        assert_eq!(with_endpoints(&["10.0.0.2:0"]), error("the port of endpoint 10.0.0.2"));
        assert_eq!(with_endpoints(&[]).unwrap().with_node_port(0), error("node port"));
    }

    #[test]
    fn addresses_that_are_not_unicast_are_refused() {
        for text in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255"] {
            let address: Ipv4Addr = text.parse().unwrap();
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
            let external = with_endpoints(&[]).unwrap().with_external_ips(vec![address]);
            assert_eq!(external, error("external IP"));
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
        let (vip, other) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 1));
        for (addresses, address) in [(vec![other, other], other), (vec![other, vip], vip)] {
            let problem = format!("external IP {address} is given twice or is the VIP: keep one");
            assert_eq!(
                with_endpoints(&[]).unwrap().with_external_ips(addresses),
                Err(ClusterError::of_service(&name("ns/a:p"), problem))
            );
        }
    }
}

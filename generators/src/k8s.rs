//! A Cluster as Kubernetes objects: one `List` of Services and `EndpointSlice`s, as a stream.
//!
//! Reading such a list is done in `import`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::cluster::Cluster;
use crate::export::ExportError;
use crate::service::{Endpoint, Protocol, Service};

/// Most Endpoints in one `EndpointSlice`: the controller's default (`maxEndpointsPerSlice`,
/// `pkg/controller/endpointslice/config/v1alpha1/defaults.go`, Kubernetes 1.35).
const ENDPOINTS_PER_SLICE: usize = 100;

/// Writes a Cluster as a Kubernetes `List` (JSON) of v1 Services and discovery.k8s.io/v1
/// `EndpointSlice`s, such as `kubectl get services,endpointslices -A -o json` gives.
///
/// Services that share namespace and name become the ports of one Service; each object stands where
/// its first port stands in the Cluster, followed by its slices, whose Endpoints are all ready. The
/// Services have no selector and their `EndpointSlice`s are marked as managed by vipbench, so a
/// real cluster's controllers leave both alone.
///
/// # Errors
/// [`ExportError::PortsDisagree`] or [`ExportError::UnnamedPort`] before anything is written, if
/// the Cluster is none that Kubernetes could have; else [`ExportError::Write`] or
/// [`ExportError::Json`] if `out` fails.
pub fn to_k8s(cluster: &Cluster, mut out: impl Write) -> Result<(), ExportError> {
    let ports = by_kubernetes_service(cluster.services());
    let of_one_service = |left: &Port, right: &Port| left.first == right.first;
    ports.chunk_by(of_one_service).try_for_each(check_ports)?;
    out.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{},\"items\":[\n")?;
    let mut separator = "";
    for ports in ports.chunk_by(of_one_service) {
        let Some(Port { service: first, .. }) = ports.first() else { continue };
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut out, &ServiceObject::new(first, ports))?;
        write_slices(ports, &mut out)?;
        separator = ",\n";
    }
    out.write_all(b"\n]}\n")?;
    Ok(out.flush()?)
}

/// One port of a Kubernetes Service: what this crate calls a Service.
struct Port<'a> {
    /// Position in the Cluster of the first port of the same Kubernetes Service.
    first: usize,
    service: &'a Service,
}

/// Ports of one Kubernetes Service side by side, in the order of the Cluster.
fn by_kubernetes_service(services: &[Service]) -> Vec<Port<'_>> {
    let mut firsts = HashMap::with_capacity(services.len());
    let mut ports: Vec<Port> = services
        .iter()
        .enumerate()
        .map(|(position, service)| {
            let first = *firsts.entry(service.name().namespaced_name()).or_insert(position);
            Port { first, service }
        })
        .collect();
    ports.sort_by_key(|port| port.first);
    ports
}

/// Whether ports can be those of one Kubernetes Service (`pkg/apis/core/validation/validation.go`,
/// Kubernetes 1.35). That their names differ, the Cluster has made sure of.
fn check_ports(ports: &[Port]) -> Result<(), ExportError> {
    let [Port { service: first, .. }, further @ ..] = ports else { return Ok(()) };
    for Port { service, .. } in further {
        let disagree = |part| {
            let (first, second) = (first.name().clone(), service.name().clone());
            Err(ExportError::PortsDisagree { first, second, part })
        };
        if service.vip() != first.vip() {
            return disagree("VIP");
        }
        if service.external_ips() != first.external_ips() {
            return disagree("external IPs");
        }
        for port in [first, service] {
            if port.name().port_name().is_empty() {
                return Err(ExportError::UnnamedPort { name: port.name().clone() });
            }
        }
    }
    Ok(())
}

/// Writes the slices of all ports of one Kubernetes Service. The Endpoints of one slice have one
/// port number, so a port whose Endpoints differ in it has several slices.
fn write_slices(ports: &[Port], out: &mut impl Write) -> Result<(), ExportError> {
    let mut number = 0;
    for Port { service, .. } in ports {
        let mut endpoints = service.endpoints().to_vec();
        endpoints.sort_by_key(|endpoint| endpoint.port);
        for of_one_port in endpoints.chunk_by(|left, right| left.port == right.port) {
            for endpoints in of_one_port.chunks(ENDPOINTS_PER_SLICE) {
                out.write_all(b",\n")?;
                serde_json::to_writer(&mut *out, &SliceObject::new(service, number, endpoints))?;
                number += 1;
            }
        }
    }
    Ok(())
}

const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceObject<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: ServiceSpec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    namespace: &'a str,
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<SliceLabels<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "clusterIP")]
    cluster_ip: Ipv4Addr,
    #[serde(rename = "clusterIPs")]
    cluster_ips: [Ipv4Addr; 1],
    ip_families: [&'static str; 1],
    #[serde(rename = "externalIPs", skip_serializing_if = "<[_]>::is_empty")]
    external_ips: &'a [Ipv4Addr],
    ports: Vec<ServicePort<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServicePort<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    protocol: &'static str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_port: Option<u16>,
}

impl<'a> ServiceObject<'a> {
    fn new(first: &'a Service, ports: &[Port<'a>]) -> Self {
        let with_node_port = ports.iter().any(|port| port.service.node_port().is_some());
        let ports = ports.iter().map(|port| ServicePort {
            name: port.service.name().port_name(),
            protocol: protocol_name(port.service.protocol()),
            port: port.service.port(),
            node_port: port.service.node_port(),
        });
        let name = first.name();
        Self {
            api_version: "v1",
            kind: "Service",
            metadata: Metadata {
                namespace: name.namespace(),
                name: name.name().into(),
                labels: None,
            },
            spec: ServiceSpec {
                kind: if with_node_port { "NodePort" } else { "ClusterIP" },
                cluster_ip: first.vip(),
                cluster_ips: [first.vip()],
                ip_families: ["IPv4"],
                external_ips: first.external_ips(),
                ports: ports.collect(),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SliceObject<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    address_type: &'static str,
    ports: [SlicePort<'a>; 1],
    endpoints: Vec<SliceEndpoint>,
}

#[derive(Serialize)]
struct SliceLabels<'a> {
    #[serde(rename = "kubernetes.io/service-name")]
    service_name: &'a str,
    #[serde(rename = "endpointslice.kubernetes.io/managed-by")]
    managed_by: &'static str,
}

#[derive(Serialize)]
struct SlicePort<'a> {
    name: &'a str,
    protocol: &'static str,
    port: u16,
}

#[derive(Serialize)]
struct SliceEndpoint {
    addresses: [Ipv4Addr; 1],
    conditions: Conditions,
}

#[derive(Serialize)]
struct Conditions {
    ready: bool,
    serving: bool,
    terminating: bool,
}

impl<'a> SliceObject<'a> {
    /// Slice number `number` of a Kubernetes Service; `endpoints` all have one port.
    fn new(service: &'a Service, number: usize, endpoints: &[Endpoint]) -> Self {
        let name = service.name();
        Self {
            api_version: "discovery.k8s.io/v1",
            kind: "EndpointSlice",
            metadata: Metadata {
                namespace: name.namespace(),
                // The number ends the name, so names of slices differ where those of Services do.
                name: format!("{}-{number}", name.name()).into(),
                labels: Some(SliceLabels { service_name: name.name(), managed_by: "vipbench" }),
            },
            address_type: "IPv4",
            ports: [SlicePort {
                name: name.port_name(),
                protocol: protocol_name(service.protocol()),
                port: endpoints.first().map_or(0, |endpoint| endpoint.port),
            }],
            endpoints: endpoints
                .iter()
                .map(|endpoint| SliceEndpoint {
                    addresses: [endpoint.address],
                    conditions: Conditions { ready: true, serving: true, terminating: false },
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::from_json;

    fn cluster(services: &[&str]) -> Cluster {
        let schema = crate::export::SCHEMA;
        let text = format!("{{\"schema\":\"{schema}\",\"services\":[{}]}}", services.join(","));
        from_json(text.as_bytes()).unwrap()
    }

    const DNS: &str = r#"{"name":"kube-system/kube-dns:dns","vip":"10.96.0.10","port":53,
        "protocol":"udp","endpoints":["10.128.0.2:53","10.128.0.3:53"]}"#;
    const DNS_TCP: &str = r#"{"name":"kube-system/kube-dns:dns-tcp","vip":"10.96.0.10","port":53,
        "protocol":"tcp","endpoints":["10.128.0.2:53","10.128.0.3:5353"]}"#;
    const CART: &str = r#"{"name":"shop/cart","vip":"10.96.0.1","port":80,"protocol":"tcp",
        "node_port":30080,"external_ips":["192.0.2.1"],"endpoints":["10.128.0.7:8080"]}"#;
    const IDLE: &str =
        r#"{"name":"shop/idle:p","vip":"10.96.0.2","port":80,"protocol":"sctp","endpoints":[]}"#;

    fn written(cluster: &Cluster) -> String {
        let mut out = Vec::new();
        to_k8s(cluster, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn refused(services: &[&str]) -> String {
        let mut out = Vec::new();
        let error = to_k8s(&cluster(services), &mut out).unwrap_err();
        assert_eq!(out, b"", "nothing may be written before the error");
        error.to_string()
    }

    #[test]
    fn ports_of_one_service_stand_together_and_slices_follow_their_service() {
        insta::assert_snapshot!(written(&cluster(&[DNS, CART, DNS_TCP, IDLE])));
    }

    #[test]
    fn a_slice_holds_no_more_endpoints_than_the_controller_would_put_there() {
        let endpoints: Vec<String> =
            (1..=201).map(|number| format!("\"10.128.0.{number}:8080\"")).collect();
        let many = CART.replace("\"10.128.0.7:8080\"", &endpoints.join(","));
        let list: Value = serde_json::from_str(&written(&cluster(&[&many]))).unwrap();
        let slices = &list["items"].as_array().unwrap()[1..];
        let sizes: Vec<usize> =
            slices.iter().map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [100, 100, 1]);
        let names: Vec<&str> =
            slices.iter().map(|slice| slice["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["cart-0", "cart-1", "cart-2"]);
    }

    #[test]
    fn ports_of_one_service_with_two_vips_are_refused() {
        assert_eq!(
            refused(&[DNS, &DNS_TCP.replace("10.96.0.10", "10.96.0.11")]),
            "kube-system/kube-dns:dns and kube-system/kube-dns:dns-tcp are ports of one \
             Kubernetes Service but differ in VIP: give them the same or rename one"
        );
    }

    #[test]
    fn ports_of_one_service_with_other_external_ips_are_refused() {
        let external =
            DNS_TCP.replace("\"endpoints\"", "\"external_ips\":[\"192.0.2.9\"],\"endpoints\"");
        assert!(refused(&[DNS, &external]).contains("differ in external IPs"));
    }

    #[test]
    fn an_unnamed_port_beside_another_is_refused() {
        let unnamed = DNS.replace(":dns", "");
        let expected = "kube-system/kube-dns is one of several ports of a Kubernetes Service and \
                        has no name: name it";
        assert_eq!(refused(&[&unnamed, DNS_TCP]), expected);
        assert_eq!(refused(&[DNS_TCP, &unnamed]), expected);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut space = [0_u8; 200];
        assert!(matches!(
            to_k8s(&cluster(&[CART]), &mut space[..]),
            Err(ExportError::Write(_) | ExportError::Json(_))
        ));
    }
}

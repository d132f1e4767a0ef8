//! A Cluster as Kubernetes objects: one `List` of Services and `EndpointSlice`s, as a stream.
//!
//! Written as text: its words are names of DNS labels, addresses and numbers, none of which JSON
//! would escape. Reading such a list is done in `import`.

use std::collections::HashMap;
use std::io::{self, Write};

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
/// the Cluster is none that Kubernetes could have; else [`ExportError::Write`] if `out` fails.
pub fn to_k8s(cluster: &Cluster, mut out: impl Write) -> Result<(), ExportError> {
    let ports = by_kubernetes_service(cluster.services());
    let of_one_service = |left: &Port, right: &Port| left.first == right.first;
    ports.chunk_by(of_one_service).try_for_each(check_ports)?;
    out.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{},\"items\":[\n")?;
    let mut separator = "";
    for ports in ports.chunk_by(of_one_service) {
        out.write_all(separator.as_bytes())?;
        write_service(ports, &mut out)?;
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

/// Writes the Service object that has these ports.
fn write_service(ports: &[Port], out: &mut impl Write) -> io::Result<()> {
    let [Port { service: first, .. }, ..] = ports else { return Ok(()) };
    let (namespace, name, vip) = (first.name().namespace(), first.name().name(), first.vip());
    let has_node_port = ports.iter().any(|port| port.service.node_port().is_some());
    let kind = if has_node_port { "NodePort" } else { "ClusterIP" };
    write!(
        out,
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"namespace":"{namespace}","name":"{name}"}},"#
    )?;
    write!(
        out,
        r#""spec":{{"type":"{kind}","clusterIP":"{vip}","clusterIPs":["{vip}"],"ipFamilies":["IPv4"],"#
    )?;
    if !first.external_ips().is_empty() {
        let external = first.external_ips().iter().map(|address| format!("\"{address}\""));
        write!(out, "\"externalIPs\":[{}],", external.collect::<Vec<_>>().join(","))?;
    }
    let ports = ports.iter().map(|Port { service, .. }| {
        let name = match service.name().port_name() {
            "" => String::new(),
            name => format!("\"name\":\"{name}\","),
        };
        let (protocol, port) = (protocol_name(service.protocol()), service.port());
        let node_port = service.node_port().map(|number| format!(",\"nodePort\":{number}"));
        let node_port = node_port.unwrap_or_default();
        format!(r#"{{{name}"protocol":"{protocol}","port":{port}{node_port}}}"#)
    });
    write!(out, "\"ports\":[{}]}}}}", ports.collect::<Vec<_>>().join(","))
}

/// Writes the slices of all ports of one Kubernetes Service. The Endpoints of one slice have one
/// port number, so a port whose Endpoints differ in it has several slices.
fn write_slices(ports: &[Port], out: &mut impl Write) -> io::Result<()> {
    let mut number = 0;
    for Port { service, .. } in ports {
        let mut endpoints = service.endpoints().to_vec();
        endpoints.sort_by_key(|endpoint| endpoint.port);
        for of_one_port in endpoints.chunk_by(|left, right| left.port == right.port) {
            for endpoints in of_one_port.chunks(ENDPOINTS_PER_SLICE) {
                write_slice(service, number, endpoints, out)?;
                number += 1;
            }
        }
    }
    Ok(())
}

/// Slice number `number` of a Kubernetes Service; `endpoints` all have one port.
fn write_slice(
    service: &Service,
    number: usize,
    endpoints: &[Endpoint],
    out: &mut impl Write,
) -> io::Result<()> {
    let (namespace, name) = (service.name().namespace(), service.name().name());
    let port = endpoints.first().map_or(0, |endpoint| endpoint.port);
    let (port_name, protocol) = (service.name().port_name(), protocol_name(service.protocol()));
    out.write_all(b",\n")?;
    // The number ends the name, so names of slices differ where those of Services do.
    write!(
        out,
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"namespace":"{namespace}","name":"{name}-{number}","#
    )?;
    write!(
        out,
        r#""labels":{{"kubernetes.io/service-name":"{name}","endpointslice.kubernetes.io/managed-by":"vipbench"}}}},"#
    )?;
    write!(
        out,
        r#""addressType":"IPv4","ports":[{{"name":"{port_name}","protocol":"{protocol}","port":{port}}}],"endpoints":["#
    )?;
    for (at, Endpoint { address, .. }) in endpoints.iter().enumerate() {
        let separator = if at == 0 { "" } else { "," };
        write!(
            out,
            r#"{separator}{{"addresses":["{address}"],"conditions":{{"ready":true,"serving":true,"terminating":false}}}}"#
        )?;
    }
    out.write_all(b"]}")
}

fn protocol_name(protocol: Protocol) -> String {
    protocol.as_str().to_ascii_uppercase()
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
        let written = to_k8s(&cluster(&[CART]), &mut space[..]);
        assert!(matches!(written, Err(ExportError::Write(_))));
    }
}

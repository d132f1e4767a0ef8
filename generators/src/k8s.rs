//! A Cluster as Kubernetes objects: one `List` of Services and `EndpointSlice`s, as a stream.
//!
//! Reading such a list is done in `import`.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::endpoint::{Endpoint, EndpointState, Hint};
use crate::export::ExportError;
use crate::extras::{Extras, TrafficPolicy};
use crate::service::{Protocol, Service};

/// Most Endpoints in one `EndpointSlice`: the controller's default (`maxEndpointsPerSlice`,
/// `pkg/controller/endpointslice/config/v1alpha1/defaults.go`, Kubernetes 1.35).
const ENDPOINTS_PER_SLICE: usize = 100;

/// The node that a Cluster is seen from, in its Kubernetes objects. Endpoints of other nodes name
/// none.
pub const NODE: &str = "node";

/// The zone of [`NODE`].
pub const ZONE: &str = "here";

/// Writes a Cluster as a Kubernetes `List` (JSON) of v1 Services and discovery.k8s.io/v1
/// `EndpointSlice`s, such as `kubectl get services,endpointslices -A -o json` gives.
///
/// Services that share namespace and name become the ports and families of one Service; each object
/// stands where its first port stands in the Cluster, followed by its slices. Endpoints of this
/// node are on the node `node`, in the zone `here`. The Services have no selector and their
/// `EndpointSlice`s are marked as managed by vipbench, so a real cluster's controllers leave both
/// alone.
///
/// # Errors
/// [`ExportError::PortsDisagree`] or [`ExportError::UnnamedPort`] before anything is written, if
/// the Cluster is none that Kubernetes could have; else [`ExportError::Write`] if `out` fails.
pub fn to_k8s(cluster: &Cluster, mut out: impl Write) -> Result<(), ExportError> {
    let mut separator = "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{},\"items\":[\n";
    k8s_objects(cluster.services(), |object| {
        out.write_all(separator.as_bytes())?;
        separator = ",\n";
        Ok(serde_json::to_writer(&mut out, &object).map_err(io::Error::from)?)
    })?;
    out.write_all(b"\n]}\n")?;
    Ok(out.flush()?)
}

/// Hands over the Kubernetes objects of `services` one by one, as [`to_k8s`] writes them: each v1
/// Service before its `EndpointSlice`s. `services` must have all ports of a Kubernetes Service, or
/// none.
///
/// # Errors
/// [`ExportError::PortsDisagree`] or [`ExportError::UnnamedPort`] before anything is handed over;
/// else the first error of `take`.
pub fn k8s_objects<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    mut take: impl FnMut(Value) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let ports = by_kubernetes_service(services);
    let of_one_service = |left: &Port, right: &Port| left.first == right.first;
    ports.chunk_by(of_one_service).try_for_each(check_ports)?;
    for ports in ports.chunk_by(of_one_service) {
        take(service_object(ports))?;
        slices(ports).into_iter().try_for_each(&mut take)?;
    }
    Ok(())
}

/// One port of a Kubernetes Service in one family: what this crate calls a Service.
struct Port<'a> {
    first: usize,
    service: &'a Service,
}

/// Ports of one Kubernetes Service side by side, in the order of the Cluster.
fn by_kubernetes_service<'a>(services: impl IntoIterator<Item = &'a Service>) -> Vec<Port<'a>> {
    let mut firsts = HashMap::new();
    let mut ports: Vec<Port> = services
        .into_iter()
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
/// Kubernetes 1.35). That their names differ within a family, the Cluster has made sure of.
fn check_ports(ports: &[Port]) -> Result<(), ExportError> {
    let Some(Port { service: first, .. }) = ports.first() else { return Ok(()) };
    let families = first_of_families(ports);
    let has_several = ports.iter().any(|port| port.service.name() != first.name());
    let mut by_name: HashMap<&str, Vec<&Service>> = HashMap::new();
    for Port { service, .. } in ports {
        let of_family = families.iter().filter(|other| other.family() == service.family());
        for other in std::iter::once(first).chain(of_family) {
            if let Some(part) = disagreement(other, service) {
                return Err(disagree(other, service, part));
            }
        }
        if has_several && service.name().port_name().is_empty() {
            return Err(ExportError::UnnamedPort { name: service.name().clone() });
        }
        by_name.entry(service.name().port_name()).or_default().push(service);
    }
    // A port is in every family of its Service, the same in each.
    let number =
        |service: &Service| (service.port(), service.protocol(), service.extras().node_port);
    for Port { service, .. } in ports {
        let alike = by_name.get(service.name().port_name()).map_or(&[][..], Vec::as_slice);
        if alike.len() != families.len() {
            return Err(disagree(first, service, "families: each port is in all of them"));
        }
        if let Some(other) = alike.iter().find(|other| number(other) != number(service)) {
            return Err(disagree(service, other, "port, protocol or node port of two families"));
        }
    }
    Ok(())
}

fn disagree(first: &Service, second: &Service, part: &'static str) -> ExportError {
    let (first, second) = (first.name().clone(), second.name().clone());
    ExportError::PortsDisagree { first, second, part }
}

/// The first Service of each family that there is, in the order of the Cluster.
fn first_of_families<'a>(ports: &[Port<'a>]) -> Vec<&'a Service> {
    let mut families: Vec<&Service> = Vec::new();
    for Port { service, .. } in ports {
        if families.iter().all(|there| there.family() != service.family()) {
            families.push(service);
        }
    }
    families
}

/// In what two ports differ that ports of one Kubernetes Service have in common.
fn disagreement<'a>(first: &'a Service, second: &'a Service) -> Option<&'static str> {
    let (one, other) = (first.extras(), second.extras());
    let of_service = |extras: &Extras| {
        let Extras { affinity_s, internal_policy, external_policy, .. } = *extras;
        (affinity_s, internal_policy, external_policy, extras.health_check_node_port)
    };
    if of_service(one) != of_service(other) {
        return Some("policies or affinity");
    }
    if first.family() != second.family() {
        return None;
    }
    if first.vip() != second.vip() {
        return Some("VIP");
    }
    let addresses = |extras: &'a Extras| (&extras.external_ips, &extras.load_balancer_ips);
    if addresses(one) != addresses(other) || one.source_ranges != other.source_ranges {
        return Some("external IPs, load balancer IPs or source ranges");
    }
    None
}

/// The Service object that has these ports.
fn service_object(ports: &[Port]) -> Value {
    let Some(Port { service: first, .. }) = ports.first() else { return Value::Null };
    let families = first_of_families(ports);
    let (name, extras) = (first.name(), first.extras());
    let of_families = |part: fn(&Extras) -> Vec<String>| -> Vec<String> {
        families.iter().flat_map(|service| part(service.extras())).collect()
    };
    let vips: Vec<String> = families.iter().map(|service| service.vip().to_string()).collect();
    let ingress = of_families(|extras| texts(&extras.load_balancer_ips));
    let ranges = of_families(|extras| texts(&extras.source_ranges));
    let has_node_port = ports.iter().any(|port| port.service.extras().node_port.is_some());
    let is_balanced =
        !ingress.is_empty() || !ranges.is_empty() || extras.health_check_node_port.is_some();
    let kind = match (is_balanced, has_node_port) {
        (true, _) => "LoadBalancer",
        (false, true) => "NodePort",
        (false, false) => "ClusterIP",
    };
    let mut spec = json!({
        "type": kind,
        "clusterIP": vips.first(),
        "clusterIPs": vips,
        "ipFamilies": families.iter().map(|service| service.family().to_string()).collect::<Vec<_>>(),
        "ports": port_objects(ports),
    });
    let mut set = |key: &str, value: Value| spec[key] = value;
    let external = of_families(|extras| texts(&extras.external_ips));
    if !external.is_empty() {
        set("externalIPs", external.into());
    }
    if !ranges.is_empty() {
        set("loadBalancerSourceRanges", ranges.into());
    }
    if let Some(affinity_s) = extras.affinity_s {
        set("sessionAffinity", "ClientIP".into());
        set("sessionAffinityConfig", json!({ "clientIP": { "timeoutSeconds": affinity_s } }));
    }
    if extras.internal_policy == TrafficPolicy::Local {
        set("internalTrafficPolicy", "Local".into());
    }
    if extras.external_policy == TrafficPolicy::Local {
        set("externalTrafficPolicy", "Local".into());
    }
    if let Some(port) = extras.health_check_node_port {
        set("healthCheckNodePort", port.into());
    }
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": name.namespace(), "name": name.name() },
        "spec": spec,
    });
    if !ingress.is_empty() {
        let ingress: Vec<_> =
            ingress.iter().map(|ip| json!({ "ip": ip, "ipMode": "VIP" })).collect();
        object["status"] = json!({ "loadBalancer": { "ingress": ingress } });
    }
    object
}

fn texts(parts: &[impl ToString]) -> Vec<String> {
    parts.iter().map(ToString::to_string).collect()
}

/// The ports, each once: those of the second family have the same names.
fn port_objects(ports: &[Port]) -> Vec<Value> {
    let mut names = HashSet::new();
    let first_of_name = ports.iter().filter(|port| names.insert(port.service.name().port_name()));
    let object = |Port { service, .. }: &Port| {
        let (protocol, port) = (protocol_name(service.protocol()), service.port());
        let mut object = json!({ "protocol": protocol, "port": port });
        if !service.name().port_name().is_empty() {
            object["name"] = service.name().port_name().into();
        }
        if let Some(node_port) = service.extras().node_port {
            object["nodePort"] = node_port.into();
        }
        object
    };
    first_of_name.map(object).collect()
}

/// The slices of all ports of one Kubernetes Service. The Endpoints of one slice have one port
/// number, so a port whose Endpoints differ in it has several slices.
fn slices(ports: &[Port]) -> Vec<Value> {
    let mut slices = Vec::new();
    for Port { service, .. } in ports {
        let mut endpoints = service.endpoints().to_vec();
        endpoints.sort_by_key(|endpoint| endpoint.port);
        for of_one_port in endpoints.chunk_by(|left, right| left.port == right.port) {
            for endpoints in of_one_port.chunks(ENDPOINTS_PER_SLICE) {
                slices.push(slice(service, slices.len(), endpoints));
            }
        }
    }
    slices
}

/// Slice number `number` of a Kubernetes Service; `endpoints` all have one port.
fn slice(service: &Service, number: usize, endpoints: &[Endpoint]) -> Value {
    let name = service.name();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": name.namespace(),
            "name": format!("{}-{number}", name.name()),
            "labels": {
                "kubernetes.io/service-name": name.name(),
                "endpointslice.kubernetes.io/managed-by": "vipbench",
            },
        },
        "addressType": service.family().to_string(),
        "ports": [{
            "name": name.port_name(),
            "protocol": protocol_name(service.protocol()),
            "port": endpoints.first().map(|endpoint| endpoint.port),
        }],
        "endpoints": endpoints.iter().map(endpoint_object).collect::<Vec<_>>(),
    })
}

fn endpoint_object(endpoint: &Endpoint) -> Value {
    let (ready, terminating) = (endpoint.is_ready(), endpoint.state == EndpointState::Terminating);
    let mut object = json!({
        "addresses": [endpoint.address],
        "conditions": { "ready": ready, "serving": ready || terminating, "terminating": terminating },
    });
    if !endpoint.is_remote {
        object["nodeName"] = NODE.into();
        object["zone"] = ZONE.into();
    }
    let mut hint = |key: &str, hint: Hint, here: &str| {
        let name = match hint {
            Hint::None => return,
            Hint::Here => here,
            Hint::Elsewhere => "elsewhere",
        };
        object["hints"][key] = json!([{ "name": name }]);
    };
    hint("forNodes", endpoint.node_hint, NODE);
    hint("forZones", endpoint.zone_hint, ZONE);
    object
}

fn protocol_name(protocol: Protocol) -> String {
    protocol.as_str().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::from_json;
    use crate::import::{OnBadObject, from_k8s};

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
        assert!(refused(&[DNS, &external]).contains("differ in external IPs, "));
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
    fn what_is_written_is_imported_as_it_was() {
        let full = r#"{"name":"shop/all:p","vip":"10.96.0.9","port":80,"protocol":"tcp",
            "node_port":30081,"external_ips":["192.0.2.7"],"load_balancer_ips":["192.0.2.8"],
            "source_ranges":["203.0.113.0/24"],"affinity_s":60,"internal_policy":"local",
            "external_policy":"local","health_check_node_port":32000,"endpoints":["10.128.0.7:8080",
            {"address":"10.128.0.8:8080","remote":true,"zone_hint":"elsewhere"},
            {"address":"10.128.0.9:8080","state":"terminating","node_hint":"here"}]}"#;
        let six = r#"{"name":"shop/all:p","vip":"fd00::9","port":80,"protocol":"tcp",
            "node_port":30081,"affinity_s":60,"internal_policy":"local","external_policy":"local",
            "health_check_node_port":32000,"endpoints":["[fd01::7]:8080"]}"#;
        let original = cluster(&[full, six, CART]);
        let list = written(&original);
        let imported = from_k8s(list.as_bytes(), OnBadObject::Refuse).unwrap();
        assert_eq!(imported.cluster, original);
    }

    #[test]
    fn ports_of_two_families_must_be_the_same() {
        let six = IDLE.replace("10.96.0.2", "fd00::2");
        let four = IDLE.replace("\"endpoints\"", "\"node_port\":30081,\"endpoints\"");
        assert!(refused(&[&four, &six]).contains("differ in port, protocol or node port of two"));
        let second = IDLE.replace("idle:p", "idle:q").replace(":80", ":81");
        let wanted = "shop/idle:p and shop/idle:q are ports of one Kubernetes Service but differ \
                      in families: each port is in all of them: give them the same or rename one";
        assert_eq!(refused(&[IDLE, &six, &second]), wanted);
        let sticky = six.replace("\"endpoints\"", "\"affinity_s\":9,\"endpoints\"");
        assert!(refused(&[IDLE, &sticky]).contains("differ in policies or affinity"));
    }

    #[test]
    fn one_object_has_the_ports_of_both_families() {
        let six =
            |text: &str, vip: &str| text.replace(vip, "fd00::a").replace("10.128.0.", "fd01::");
        let six = |text: &str| {
            let text = six(text, "10.96.0.10").replace("\"fd01::2:", "\"[fd01::2]:");
            text.replace("\"fd01::3:", "\"[fd01::3]:")
        };
        let original = cluster(&[DNS, &six(DNS), DNS_TCP, &six(DNS_TCP)]);
        let list: Value = serde_json::from_str(&written(&original)).unwrap();
        let spec = &list["items"][0]["spec"];
        assert_eq!(spec["clusterIPs"], serde_json::json!(["10.96.0.10", "fd00::a"]));
        assert_eq!(spec["ipFamilies"], serde_json::json!(["IPv4", "IPv6"]));
        assert_eq!(spec["ports"].as_array().unwrap().len(), 2);
        let imported = from_k8s(&written(&original).into_bytes()[..], OnBadObject::Refuse).unwrap();
        let ids = |cluster: &Cluster| {
            let mut ids: Vec<_> = cluster.services().iter().map(Service::id).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&imported.cluster), ids(&original));
        for service in original.services() {
            assert_eq!(imported.cluster.get(&service.id()), Some(service));
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut space = [0_u8; 200];
        let written = to_k8s(&cluster(&[CART]), &mut space[..]);
        assert!(matches!(written, Err(ExportError::Write(_))));
    }
}

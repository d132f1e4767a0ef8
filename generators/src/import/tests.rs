//! What each kind of object becomes.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::extras::{Extras, TrafficPolicy};
use crate::service::Service;

fn service(name: &str, vip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name},
        "spec": {"type": "ClusterIP", "clusterIP": vip, "clusterIPs": [vip],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"}]},
        "status": {"loadBalancer": {}}
    })
}

fn slice(service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}, "nodeName": "n1"}))
        .collect();
    json!({
        "addressType": "IPv4", "apiVersion": "discovery.k8s.io/v1", "endpoints": endpoints,
        "kind": "EndpointSlice", "metadata": {"namespace": "shop", "name": format!("{service}-x1"),
            "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}]
    })
}

fn second_slice(service: &str, addresses: &[&str]) -> Value {
    with(slice(service, addresses), "/metadata/name", json!(format!("{service}-x2")))
}

/// The object with one of its fields set; `null` takes it away.
fn with(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, key) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {}}).to_string()
}

fn imported(items: &[Value]) -> Imported {
    from_k8s(list(items).as_bytes(), OnBadObject::Refuse).unwrap()
}

fn endpoints(service: &Service) -> Vec<String> {
    service.endpoints().iter().map(ToString::to_string).collect()
}

/// What is found beside one good Service.
fn found(items: &[Value]) -> Vec<(Finding, u64)> {
    let good = [service("good", "10.96.0.99"), slice("good", &["10.128.9.9"])];
    let imported = imported(&[items, &good].concat());
    imported.summary.found.into_iter().collect()
}

#[test]
fn a_service_is_joined_with_its_slices_by_label_and_port_name() {
    let ports = json!([
        {"name": "dns", "protocol": "UDP", "port": 53}, {"name": "dns-tcp", "port": 53},
        {"name": "metrics", "port": 9153}
    ]);
    let mut dns = slice("dns", &["10.128.0.2", "10.128.0.10"]);
    dns["ports"] = json!([{"name": "dns", "protocol": "UDP", "port": 5353},
        {"name": "dns-tcp", "protocol": "TCP", "port": 53}, {"name": "metrics", "protocol": "UDP", "port": 1}]);
    let second = with(second_slice("dns", &["10.128.0.11"]), "/ports/0/name", json!("dns-tcp"));
    let found = imported(&[second, dns, with(service("dns", "10.96.0.10"), "/spec/ports", ports)]);
    let [udp, tcp, metrics] = found.cluster.services() else { panic!("three ports") };
    assert_eq!(udp.name().as_str(), "shop/dns:dns");
    assert_eq!(endpoints(udp), ["10.128.0.10:5353", "10.128.0.2:5353"]);
    assert_eq!(endpoints(tcp), ["10.128.0.10:53", "10.128.0.11:8080", "10.128.0.2:53"]);
    assert_eq!(endpoints(metrics), Vec::<String>::new(), "its slice port speaks another protocol");
    let counts = [(Finding::WithoutEndpoints, 1), (Finding::UdpPort, 1)];
    assert_eq!(found.summary.found, counts.into());
    assert_eq!((found.summary.services, found.summary.slices), (1, 2));
}

#[test]
fn separate_documents_in_any_order_give_the_same_cluster() {
    let objects = [service("a", "10.96.0.1"), slice("a", &["10.128.0.1"])];
    let whole = imported(&objects);
    let bare = |object: &Value| {
        let mut object = object.clone();
        object.as_object_mut().unwrap().remove("kind");
        object
    };
    // Lists as the API itself gives them: their kind comes first, and items have none.
    let lists = format!(
        "{{\"kind\":\"EndpointSliceList\",\"items\":[{}]}}\n{{\"kind\":\"ServiceList\",\"items\":[{}]}}",
        bare(&objects[1]),
        bare(&objects[0])
    );
    let alone = format!("{}{}", objects[1], objects[0]);
    for text in [lists, alone] {
        assert_eq!(from_k8s(text.as_bytes(), OnBadObject::Refuse).unwrap(), whole, "{text}");
    }
}

#[test]
fn endpoints_are_chosen_as_kube_proxy_does() {
    let state = |address: &str, ready: Option<bool>, serving: Option<bool>, terminating: bool| {
        json!({"addresses": [address],
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
    };
    // All are kept with their state, and the Service tells which of them take its traffic.
    let chosen = |endpoints_given: Vec<Value>| {
        let count = endpoints_given.len();
        let slice = with(slice("a", &[]), "/endpoints", endpoints_given.into());
        let found = imported(&[service("a", "10.96.0.1"), slice]);
        let [service] = found.cluster.services() else { panic!("one port") };
        assert_eq!(service.endpoints().len(), count);
        let chosen = service.targets().cluster.iter().map(ToString::to_string).collect();
        (chosen, found.summary.found.into_iter().collect::<Vec<_>>())
    };
    let unknown = state("10.128.0.1", None, None, false);
    let not_ready = state("10.128.0.2", Some(false), Some(false), false);
    let ending = state("10.128.0.3", Some(false), Some(true), true);
    assert_eq!(
        chosen(vec![unknown, not_ready.clone(), ending.clone()]),
        (
            vec!["10.128.0.1:8080".to_owned()],
            vec![(Finding::NotReady, 1), (Finding::Terminating, 1)]
        )
    );
    assert_eq!(
        chosen(vec![not_ready.clone(), ending]),
        (
            vec!["10.128.0.3:8080".to_owned()],
            vec![(Finding::NotReady, 1), (Finding::Terminating, 1)]
        )
    );
    assert_eq!(
        chosen(vec![not_ready]),
        (vec![], vec![(Finding::NotReady, 1), (Finding::WithoutEndpoints, 1)])
    );
}

#[test]
fn an_endpoint_in_two_slices_is_one() {
    let twice = second_slice("a", &["10.128.0.1", "10.128.0.2"]);
    let found = imported(&[service("a", "10.96.0.1"), slice("a", &["10.128.0.1"]), twice]);
    assert_eq!(endpoints(&found.cluster.services()[0]), ["10.128.0.1:8080", "10.128.0.2:8080"]);
    assert_eq!(found.summary.found, [(Finding::RepeatedEndpoint, 1)].into());
}

#[test]
fn what_is_no_service_of_ours_is_counted_and_skipped() {
    let one = |path: &str, value: Value| with(service("x", "10.96.0.1"), path, value);
    let cases = [
        (one("/spec/type", json!("ExternalName")), Finding::ExternalName),
        (one("/spec/clusterIP", json!("None")), Finding::Headless),
        (one("/spec/clusterIP", json!("")), Finding::NoClusterIp),
        (one("/spec/clusterIP", Value::Null), Finding::NoClusterIp),
        (
            one("/metadata/labels", json!({"service.kubernetes.io/service-proxy-name": "other"})),
            Finding::OtherProxy,
        ),
    ];
    for (object, finding) in cases {
        assert_eq!(found(std::slice::from_ref(&object)), [(finding, 1)], "{object}");
        let counts = found(&[slice("x", &["10.128.0.1"]), object]);
        assert_eq!(counts, [(finding, 1), (Finding::SliceOfSkippedService, 1)]);
    }
    let labels = with(slice("x", &[]), "/metadata/labels", json!({"app": "x"}));
    let slices = [
        (labels, Finding::SliceWithoutService),
        (slice("nobody", &["10.128.0.1"]), Finding::SliceOfUnknownService),
        (with(slice("x", &[]), "/addressType", json!("FQDN")), Finding::FqdnSlice),
        (
            with(slice("x", &["fd00::2"]), "/addressType", json!("IPv6")),
            Finding::SliceOfUnknownService,
        ),
        (json!({"kind": "Pod", "metadata": {}, "spec": {"ports": 3}}), Finding::OtherKind),
    ];
    for (object, finding) in slices {
        assert_eq!(found(&[object]), [(finding, 1)]);
    }
}

#[test]
fn what_a_service_has_beyond_its_cluster_ip_is_counted() {
    let cases = [
        ("/spec/sessionAffinity", json!("ClientIP"), Finding::SessionAffinity),
        ("/spec/internalTrafficPolicy", json!("Local"), Finding::InternalTrafficPolicyLocal),
        ("/spec/externalTrafficPolicy", json!("Local"), Finding::ExternalTrafficPolicyLocal),
        ("/spec/loadBalancerSourceRanges", json!(["192.0.2.0/24"]), Finding::SourceRanges),
        ("/status/loadBalancer/ingress", json!([{"ip": "192.0.2.7"}]), Finding::LoadBalancerIp),
        ("/spec/externalIPs", json!(["192.0.2.1"]), Finding::ExternalIp),
        ("/spec/ports/0/nodePort", json!(30_080), Finding::NodePort),
    ];
    for (path, value, finding) in cases {
        let object = with(service("a", "10.96.0.1"), path, value);
        assert_eq!(found(&[object, slice("a", &["10.128.0.1"])]), [(finding, 1)], "{path}");
    }
    let hinted = json!([{"addresses": ["10.128.0.1", "10.128.0.2"], "hints": {"forZones": [{"name": "z"}]}}]);
    let hinted = with(slice("a", &[]), "/endpoints", hinted);
    assert_eq!(
        found(&[service("a", "10.96.0.1"), hinted]),
        [(Finding::FurtherAddress, 1), (Finding::RemoteEndpoint, 1), (Finding::TopologyHints, 1)]
    );
}

/// What is said of these objects, all of which but one are good.
fn refused(items: &[Value]) -> String {
    let text = list(items);
    let Err(K8sError::Bad { bad }) = from_k8s(text.as_bytes(), OnBadObject::Refuse) else {
        panic!("it must be refused: {text}");
    };
    assert_eq!(bad.count, 1, "{bad}");
    let good = [service("good", "10.96.0.99"), slice("good", &["10.128.9.9"])];
    let text = list(&[items, &good].concat());
    let lenient = from_k8s(text.as_bytes(), OnBadObject::Skip).unwrap();
    assert_eq!(lenient.summary.bad, bad);
    assert!(lenient.cluster.services().iter().any(|kept| kept.name().name() == "good"));
    bad.to_string()
}

#[test]
fn bad_ports_of_services_are_named_with_field_and_reason() {
    let cases = [
        (
            "/spec/ports/0/port",
            json!(70_000),
            "spec.ports[0].port: invalid value: integer `70000`, expected a whole number from 0 to 65535",
        ),
        ("/spec/ports/0/port", json!(-1), "spec.ports[0].port: invalid value: integer `-1`"),
        ("/spec/ports/0/port", json!("80"), "spec.ports[0].port: invalid type: string \"80\""),
        ("/spec/ports/0/port", Value::Null, "spec.ports[0].port: is missing"),
        ("/spec/ports/0/port", json!(0), "spec.ports[0]: Service shop/a:http: port is 0"),
        (
            "/spec/ports/0/name",
            json!("HTTP"),
            "spec.ports[0].name: port name \"HTTP\" is not a DNS-1123 label",
        ),
        ("/spec/ports/0/protocol", json!("QUIC"), "spec.ports[0].protocol: unknown variant `QUIC`"),
        ("/spec/ports", json!([]), "spec.ports: is empty"),
        (
            "/spec/ports",
            json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]),
            "spec.ports[1].name: another port",
        ),
        (
            "/spec/ports",
            json!([{"name": "a", "port": 1}, {"name": "b", "port": 1}]),
            "spec.ports[1].port: shop/a:a answers at 10.96.0.1:1/tcp too",
        ),
    ];
    check_refusals(&cases);
}

#[test]
fn bad_addresses_and_names_of_services_are_named_with_field_and_reason() {
    let long = "x".repeat(100_000);
    let cases = [
        (
            "/spec",
            json!({"clusterIP": "10.96.0.300", "ports": [{"port": 80}]}),
            "spec.clusterIP: \"10.96.0.300\" is not an IP address",
        ),
        (
            "/spec/clusterIPs",
            json!(["10.96.0.300"]),
            "spec.clusterIPs[0]: \"10.96.0.300\" is not an IP address",
        ),
        ("/spec/clusterIPs", json!(["127.0.0.1"]), "VIP 127.0.0.1 is not a unicast address"),
        (
            "/spec/externalIPs",
            json!(["192.0.2.1", "192.0.2.1"]),
            "spec.externalIPs: Service shop/a:http: external IP",
        ),
        ("/metadata/namespace", Value::Null, "metadata.namespace: is missing"),
        (
            "/metadata/name",
            json!("A\u{1b}[2J"),
            "metadata.name: Service name \"A\\u{1b}[2J\" is not",
        ),
        ("/metadata/labels", json!(7), "metadata.labels: invalid type"),
        ("/spec/clusterIPs", json!([long]), "is not an IP address"),
    ];
    for (path, value, wanted) in cases {
        let said = refused(&[with(service("a", "10.96.0.1"), path, value)]);
        assert!(said.starts_with("Service ") && said.contains(wanted), "{path}: {said}");
        assert!(said.len() < 500 && !said.contains('\u{1b}'), "{said}");
    }
}

#[test]
fn bad_addresses_of_services_are_named_with_field_and_reason() {
    let cases = [
        (
            "/spec/clusterIPs",
            json!(["10.96.0.1", "fd00::1", "10.96.0.2"]),
            "spec.clusterIPs: has more than one address of a family",
        ),
        (
            "/spec/loadBalancerSourceRanges",
            json!(["192.0.2.0/24", "192.0.2.0/33"]),
            "spec.loadBalancerSourceRanges[1]: \"192.0.2.0/33\" is not a range of addresses",
        ),
        (
            "/status/loadBalancer/ingress",
            json!([{"ip": "lb.example"}]),
            "status.loadBalancer.ingress: \"lb.example\" is not an IP address",
        ),
        (
            "/spec",
            json!({"clusterIP": "10.96.0.1", "sessionAffinity": "ClientIP", "ports": [{"port": 80}],
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
            "spec: Service shop/a: session affinity of 0 seconds",
        ),
    ];
    check_refusals(&cases);
}

/// Each value at its path of a Service has the Service refused in these words.
fn check_refusals(cases: &[(&str, Value, &str)]) {
    for (path, value, wanted) in cases {
        let said = refused(&[with(service("a", "10.96.0.1"), path, value.clone())]);
        assert!(said.starts_with("Service ") && said.contains(wanted), "{path}: {said}");
    }
}

#[test]
fn bad_slices_are_named_with_field_and_reason() {
    let cases = [
        (
            "/endpoints/0/addresses",
            json!(["web-0"]),
            "endpoints[0].addresses[0]: \"web-0\" is not an IP address",
        ),
        ("/endpoints/0/addresses", json!([]), "endpoints[0].addresses: is empty"),
        ("/endpoints/0/addresses", json!(["fd00::1"]), "endpoints[0].addresses: is of IPv6"),
        (
            "/endpoints/0/conditions",
            json!({"ready": "yes"}),
            "endpoints[0].conditions.ready: invalid type",
        ),
        ("/ports/0/port", json!(0), "ports[0].port: is 0"),
        ("/addressType", json!("IPX"), "addressType: must be"),
    ];
    for (path, value, wanted) in cases {
        let said = refused(&[with(slice("a", &["10.128.0.1"]), path, value)]);
        assert!(
            said.starts_with("EndpointSlice shop/a-x1: ") && said.contains(wanted),
            "{path}: {said}"
        );
    }
}

#[test]
fn services_that_cannot_be_together_are_named() {
    let cases = [
        (
            service("b", "10.96.0.1"),
            "Service shop/b: spec.ports[0].port: shop/a:http answers at 10.96.0.1:80/tcp too",
        ),
        (service("a", "10.96.0.2"), "Service shop/a: metadata.name: another Service has this name"),
    ];
    for (second, wanted) in cases {
        let said = refused(&[service("a", "10.96.0.1"), second]);
        assert!(said.contains(wanted), "{said}");
    }
    let node_port = |name, vip| with(service(name, vip), "/spec/ports/0/nodePort", json!(30_080));
    let said = refused(&[node_port("a", "10.96.0.1"), node_port("b", "10.96.0.2")]);
    assert!(
        said.contains(
            "Service shop/b: spec.ports[0].nodePort: shop/a:http has node port 30080 too"
        ),
        "{said}"
    );
}

#[test]
fn an_endpoint_may_be_at_a_cluster_ip() {
    let services = [service("a", "10.96.0.1"), service("b", "10.96.0.2")];
    let at_vip = imported(&[&services[..], &[slice("a", &["10.96.0.2"])]].concat());
    assert_eq!(endpoints(&at_vip.cluster.services()[0]), ["10.96.0.2:8080"]);
}

/// A Service of both families.
fn dual(name: &str) -> Value {
    with(service(name, "10.96.0.1"), "/spec/clusterIPs", json!(["10.96.0.1", "fd00::1"]))
}

#[test]
fn a_service_of_two_families_is_two_with_what_is_of_each() {
    let mut object = with(dual("a"), "/spec/ports/0/nodePort", json!(30_080));
    object["spec"]["externalIPs"] = json!(["2001:db8::7", "192.0.2.7"]);
    object["spec"]["loadBalancerSourceRanges"] = json!([" 203.0.113.9/24 ", "2001:db8:1::/48"]);
    object["status"]["loadBalancer"]["ingress"] = json!([{"ip": "192.0.2.8"}, {"hostname": "lb"}]);
    let six = with(second_slice("a", &["fd01::1", "fd01::2"]), "/addressType", json!("IPv6"));
    let found = imported(&[six, object, slice("a", &["10.128.0.1"])]);
    let [four, six] = found.cluster.services() else { panic!("two Services") };
    assert_eq!((four.name(), four.id() == six.id()), (six.name(), false));
    assert_eq!((endpoints(four), endpoints(six).len()), (vec!["10.128.0.1:8080".to_owned()], 2));
    let texts = |service: &Service| {
        let Extras { node_port, external_ips, load_balancer_ips, source_ranges, .. } =
            service.extras();
        format!("{node_port:?} {external_ips:?} {load_balancer_ips:?} {source_ranges:?}")
    };
    assert_eq!(texts(four), "Some(30080) [192.0.2.7] [192.0.2.8] [203.0.113.0/24]");
    assert_eq!(texts(six), "Some(30080) [2001:db8::7] [] [2001:db8:1::/48]");
    let counts = [
        (Finding::SourceRanges, 2),
        (Finding::Ipv6Port, 1),
        (Finding::NodePort, 2),
        (Finding::ExternalIp, 2),
        (Finding::LoadBalancerIp, 1),
    ];
    assert_eq!(found.summary.found, counts.into());
}

#[test]
fn policies_and_affinity_are_kept() {
    let mut object = with(service("a", "10.96.0.1"), "/spec/sessionAffinity", json!("ClientIP"));
    object["spec"]["internalTrafficPolicy"] = json!("Local");
    object["spec"]["externalTrafficPolicy"] = json!("Local");
    object["spec"]["healthCheckNodePort"] = json!(32_000);
    let extras = |object: &Value| {
        let found = imported(&[object.clone(), slice("a", &["10.128.0.1"])]);
        found.cluster.services()[0].extras().clone()
    };
    let wanted = Extras {
        affinity_s: Some(10_800),
        internal_policy: TrafficPolicy::Local,
        external_policy: TrafficPolicy::Local,
        health_check_node_port: Some(32_000),
        ..Extras::NONE
    };
    assert_eq!(extras(&object), wanted);
    let config = json!({"clientIP": {"timeoutSeconds": 60}});
    let object = with(object, "/spec/sessionAffinityConfig", config.clone());
    assert_eq!(extras(&object), Extras { affinity_s: Some(60), ..wanted });
    let plain = with(service("a", "10.96.0.1"), "/spec/sessionAffinityConfig", config);
    assert_eq!(extras(&plain), Extras::NONE);
}

#[test]
fn an_address_that_a_service_has_already_is_taken_once() {
    let ingress =
        json!([{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}, {"ip": "192.0.2.2"}, {"ip": ""}]);
    let object = with(service("a", "10.96.0.1"), "/spec/externalIPs", json!(["192.0.2.1"]));
    let object = with(object, "/status/loadBalancer/ingress", ingress);
    let found = imported(&[object, slice("a", &["10.128.0.1"])]);
    let addresses: Vec<IpAddr> = vec!["192.0.2.2".parse().unwrap()];
    assert_eq!(found.cluster.services()[0].extras().load_balancer_ips, addresses);
    assert_eq!(found.summary.found[&Finding::RepeatedAddress], 2);
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_ipv4() {
    let object = with(service("a", "10.96.0.1"), "/spec/clusterIPs", json!(["::ffff:10.96.0.1"]));
    let found = imported(&[object, slice("a", &["::ffff:10.128.0.1"])]);
    assert_eq!(found.cluster.services()[0].vip().to_string(), "10.96.0.1");
    assert_eq!(endpoints(&found.cluster.services()[0]), ["10.128.0.1:8080"]);
}

#[test]
fn a_list_without_any_slice_is_imported_and_says_so() {
    let found = imported(
        &[service("a", "10.96.0.1"), dual("b")]
            .map(|object| with(object, "/spec/ports/0/port", json!(81)))[1..],
    );
    let counts =
        [(Finding::NoEndpointObjects, 2), (Finding::WithoutEndpoints, 2), (Finding::Ipv6Port, 1)];
    assert_eq!(found.summary.found, counts.into());
}

#[test]
fn what_multiplies_in_memory_is_bounded() {
    let many =
        |count: u16, one: &dyn Fn(u16) -> Value| -> Vec<Value> { (0..count).map(one).collect() };
    let addresses =
        many(4_000, &|number| json!(format!("192.0.{}.{}", number >> 8, number & 0xff)));
    let object = with(service("a", "10.96.0.1"), "/spec/externalIPs", addresses.into());
    let ports = many(4_000, &|number| json!({"name": format!("p{number}"), "port": number + 1}));
    let object = with(object, "/spec/ports", ports.clone().into());
    let wide = with(slice("a", &[]), "/ports", ports.into());
    let endpoints = many(
        20_000,
        &|number| json!({"addresses": [format!("10.128.{}.{}", number >> 8, number & 0xff)]}),
    );
    let wide = with(wide, "/endpoints", endpoints.into());
    for (object, wanted) in [
        (object, "there are more than 10000000 addresses of Service ports: import parts"),
        (wide, "there are more than 50000000 endpoints of ports: import parts"),
    ] {
        let error = from_k8s(list(&[object]).as_bytes(), OnBadObject::Skip).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn objects_that_do_not_say_what_they_are_are_named_by_number() {
    assert_eq!(
        refused(&[json!({"metadata": {}})]),
        "object number 1: kind: is missing: it tells what the object is"
    );
    assert!(refused(&[json!(7)]).starts_with("object number 1: invalid type: integer `7`"));
    assert!(refused(&[json!({"kind": 3})]).starts_with("object number 1: kind: invalid type"));
}

#[test]
fn only_the_first_bad_objects_are_named_and_all_are_counted() {
    let items: Vec<Value> = (0..100).map(|_| json!({"kind": "Service"})).collect();
    let Err(K8sError::Bad { bad }) = from_k8s(list(&items).as_bytes(), OnBadObject::Refuse) else {
        panic!("it must be refused");
    };
    assert_eq!((bad.count, bad.named.len()), (100, BAD_OBJECTS_NAMED));
    assert!(bad.to_string().ends_with("... and 80 more"), "{bad}");
}

#[test]
fn input_without_a_service_says_what_to_do() {
    for text in ["", "{}", &list(&[]), &list(&[slice("a", &["10.128.0.1"])])] {
        let error = from_k8s(text.as_bytes(), OnBadObject::Skip).unwrap_err();
        assert!(error.to_string().contains(KUBECTL), "{text}: {error}");
    }
    let error = from_k8s(&b"apiVersion: v1\nkind: }\n"[..], OnBadObject::Skip).unwrap_err();
    assert!(matches!(error, K8sError::Form(_)), "{error}");
    assert!(error.to_string().contains("at line 2; write them with `kubectl"), "{error}");
}

#[test]
fn nesting_without_end_in_a_field_that_nobody_reads_is_no_matter() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let slice = slice("a", &["10.128.0.1"]);
    let text = list(&[service("a", "10.96.0.1"), slice]).replace("\"web\"", &deep);
    assert!(from_k8s(text.as_bytes(), OnBadObject::Refuse).is_ok());
    let text = list(&[service("a", "10.96.0.1")]).replace("\"http\"", &deep);
    let Err(K8sError::Bad { bad }) = from_k8s(text.as_bytes(), OnBadObject::Refuse) else {
        panic!("it must be refused");
    };
    assert!(bad.to_string().contains("spec.ports[0].name"), "{bad}");
}

//! Imports of hostile input: whatever is done to the text of a real list, the answer is a valid
//! Cluster or an error that names something; and the way there and back of a Cluster of usual size.
//!
//! Damage is drawn from fixed seeds, so that a failure can be looked at again.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use generators::{
    Cluster, EndpointCount, K8sError, OnBadObject, Protocols, SplitMix64, SyntheticSpec, from_json,
    from_k8s, generate, to_json, to_k8s,
};

/// Damaged texts of each kind.
const CASES: u64 = 1_500;
/// Each test ends after this long, however slow the machine is.
const LIMIT: Duration = Duration::from_secs(20);

fn spec(services: u32) -> SyntheticSpec {
    SyntheticSpec {
        services,
        endpoints: EndpointCount::Zipf { max: 150, exponent: 1.0 },
        protocols: Protocols { tcp: 8, udp: 1, sctp: 1 },
        ..SyntheticSpec::default()
    }
}

fn list(cluster: &Cluster) -> Vec<u8> {
    let mut list = Vec::new();
    to_k8s(cluster, &mut list).unwrap();
    list
}

#[test]
fn five_thousand_services_come_back_from_kubernetes_objects_as_they_were() {
    let cluster = generate(&spec(5_000), 1).unwrap();
    let imported = from_k8s(&list(&cluster)[..], OnBadObject::Refuse).unwrap();
    assert_eq!(imported.cluster, cluster);
    assert_eq!(imported.summary.services, 5_000);
    let mut again = Vec::new();
    to_json(&imported.cluster, &mut again).unwrap();
    assert_eq!(from_json(&again[..]).unwrap(), cluster);
}

/// A list as `kubectl` indents it, with the fields that real objects have.
const REAL: &str = r#"{
    "apiVersion": "v1",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "namespace": "kube-system", "name": "kube-dns",
                "labels": {"k8s-app": "kube-dns"}, "annotations": {"a/b": "{\"c\":[1]}"}, "uid": "6f2d"},
            "spec": {
                "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "internalTrafficPolicy": "Cluster",
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "externalIPs": ["203.0.113.9"],
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53, "nodePort": 30053},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53}
                ],
                "selector": {"k8s-app": "kube-dns"}, "sessionAffinity": "ClientIP", "type": "NodePort"
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        },
        {
            "addressType": "IPv4",
            "apiVersion": "discovery.k8s.io/v1",
            "endpoints": [
                {"addresses": ["10.244.0.3"], "conditions": {"ready": true, "serving": true, "terminating": false},
                    "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "p"}, "hints": {"forZones": [{"name": "a"}]}},
                {"addresses": ["10.244.0.4"], "conditions": {"ready": false, "serving": true, "terminating": true}}
            ],
            "kind": "EndpointSlice",
            "metadata": {"namespace": "kube-system", "name": "kube-dns-7x", "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
        }
    ],
    "kind": "List",
    "metadata": {"resourceVersion": ""}
}
"#;

/// What a number, a string or a word may be replaced by.
const STRANGE: [&str; 22] = [
    "-1",
    "0",
    "65536",
    "1e999",
    "-1e-999",
    "99999999999999999999999999",
    "NaN",
    "Infinity",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\"None\"",
    "\"::1\"",
    "\"0.0.0.0\"",
    "\"255.255.255.255\"",
    "\"../../etc/passwd\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\u{1b}[2J\"",
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
];

/// The text with some damage of one kind.
fn damaged(text: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let at = |random: &mut SplitMix64, length: usize| {
        usize::try_from(random.below(length as u64)).unwrap()
    };
    match random.below(6) {
        0 => bytes.truncate(at(random, text.len())),
        1 => {
            for _ in 0..=random.below(8) {
                let place = at(random, bytes.len());
                bytes[place] ^= 1 << random.below(8);
            }
        }
        2 => {
            let (from, length) = (at(random, bytes.len()), at(random, 400));
            let piece: Vec<u8> = bytes[from..].iter().take(length).copied().collect();
            let place = at(random, bytes.len());
            bytes.splice(place..place, piece);
        }
        3 => {
            let (from, length) = (at(random, bytes.len()), at(random, 200));
            bytes.drain(from..bytes.len().min(from + length));
        }
        4 => {
            let place = at(random, bytes.len());
            let depth = at(random, 5_000);
            bytes.splice(place..place, std::iter::repeat_n([b'[', b'{', b'"'][depth % 3], depth));
        }
        _ => {
            // A value in place of another: what follows a colon, up to the next comma or end.
            let colons: Vec<usize> = (0..bytes.len() - 1).filter(|&at| bytes[at] == b':').collect();
            let from = colons[at(random, colons.len())] + 1;
            let rest = &bytes[from..];
            let length = rest.iter().position(|byte| b",}]\n".contains(byte)).unwrap_or(rest.len());
            let value = STRANGE[at(random, STRANGE.len())];
            bytes.splice(from..from + length, value.bytes());
        }
    }
    bytes
}

/// Reads it both ways; what comes out must be what a Cluster has to be.
fn check(bytes: &[u8]) {
    for on_bad in [OnBadObject::Refuse, OnBadObject::Skip] {
        match from_k8s(bytes, on_bad) {
            Ok(imported) => {
                let again = Cluster::new(imported.cluster.services().to_vec()).unwrap();
                assert_eq!(again, imported.cluster);
                let mut json = Vec::new();
                to_json(&imported.cluster, &mut json).unwrap();
                assert_eq!(from_json(&json[..]).unwrap(), imported.cluster);
                assert!(on_bad == OnBadObject::Skip || imported.summary.bad.count == 0);
            }
            Err(K8sError::Bad { bad }) => {
                assert_eq!(on_bad, OnBadObject::Refuse);
                assert!(!bad.named.is_empty());
                let said = bad.to_string();
                assert!(said.len() < 30_000, "{said}");
                assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn no_damage_to_a_real_list_makes_the_import_panic() {
    let started = Instant::now();
    assert!(from_k8s(REAL.as_bytes(), OnBadObject::Refuse).is_ok());
    for seed in 0..CASES {
        check(&damaged(REAL.as_bytes(), &mut SplitMix64::new(seed)));
        if started.elapsed() > LIMIT {
            break;
        }
    }
}

#[test]
fn no_damage_to_an_exported_list_makes_the_import_panic() {
    let started = Instant::now();
    let exported = list(&generate(&spec(8), 3).unwrap());
    for seed in 0..CASES / 3 {
        let mut random = SplitMix64::stream(seed, 2);
        let once = damaged(&exported, &mut random);
        check(&damaged(&once, &mut random));
        if started.elapsed() > LIMIT {
            break;
        }
    }
}

/// The list as `kubectl -o yaml` writes it, with what else YAML has.
const YAML: &str = "# by kubectl\n---\napiVersion: v1\nkind: List\nitems:\n\
- apiVersion: v1\n  kind: Service\n  metadata:\n    annotations:\n      a/b: |\n        {\"c\": [1]}\n      d: >-\n        long\n        text\n\
    \x20   labels: {\"k8s-app\": 'kube-dns', x: [a, 1.5, true, ~]}\n    name: kube-dns\n    namespace: \"kube-system\"\n  spec:\n\
    \x20   clusterIP: 10.96.0.10\n    ports:\n    - name: dns\n      port: 53\n      protocol: UDP\n    - {name: tcp, port: 53}\n\
    \x20   ? selector\n    : !!str 80\n\
- apiVersion: discovery.k8s.io/v1\n  kind: EndpointSlice\n  addressType: IPv4\n  metadata:\n    name: kube-dns-7x\n    namespace: kube-system\n\
    \x20   labels:\n      kubernetes.io/service-name: kube-dns\n  endpoints:\n  - addresses: [10.244.0.3]\n    conditions:\n      ready: true\n\
    \x20 ports:\n  - name: dns\n    port: 53\n    protocol: UDP\n---\nkind: Pod\n...\n";

#[test]
fn no_damage_to_yaml_makes_the_import_panic() {
    let started = Instant::now();
    let read = from_k8s(YAML.as_bytes(), OnBadObject::Refuse).unwrap();
    assert_eq!(read.cluster.endpoint_count(), 1);
    for seed in 0..CASES {
        let mut random = SplitMix64::stream(seed, 4);
        let once = damaged(YAML.as_bytes(), &mut random);
        check(&once);
        if once.len() > YAML.len() / 2 {
            check(&damaged(&once, &mut random));
        }
        if started.elapsed() > LIMIT {
            break;
        }
    }
}

#[test]
fn no_damage_to_packed_or_wide_text_makes_the_import_panic() {
    let started = Instant::now();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(REAL.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let wide: Vec<u8> = REAL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for seed in 0..CASES / 2 {
        let mut random = SplitMix64::stream(seed, 5);
        check(&damaged(&gzip, &mut random));
        check(&damaged(&wide, &mut random));
        if started.elapsed() > LIMIT {
            break;
        }
    }
}

#[test]
fn no_damage_to_a_stored_cluster_makes_the_reader_panic() {
    let started = Instant::now();
    let mut text = Vec::new();
    to_json(&generate(&spec(8), 3).unwrap(), &mut text).unwrap();
    for seed in 0..CASES {
        if let Ok(cluster) = from_json(&damaged(&text, &mut SplitMix64::stream(seed, 3))[..]) {
            assert_eq!(Cluster::new(cluster.services().to_vec()).unwrap(), cluster);
        }
        if started.elapsed() > LIMIT {
            break;
        }
    }
}

#[test]
fn gigantic_texts_and_lists_are_refused_in_few_words() {
    let long = "x".repeat(1 << 20);
    for text in [
        REAL.replace("10.96.0.10", &long),
        REAL.replace("kube-system", &long),
        REAL.replace("\"UDP\"", &format!("\"{long}\"")),
        REAL.replace("10.244.0.3", &long),
        REAL.replace("\"kind\": \"Service\"", &format!("\"kind\": \"{long}\", \"x\": 1")),
    ] {
        let error = from_k8s(text.as_bytes(), OnBadObject::Refuse).map(|_| ()).unwrap_err();
        let said = error.to_string();
        assert!(said.len() < 2_000, "{} bytes", said.len());
    }
}

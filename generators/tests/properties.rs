//! What holds for every spec: a valid one gives a valid Cluster of exactly the size it asks for,
//! which survives being written, read and changed; an invalid one gives an error.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::HashMap;

use generators::{
    AnonymiseError, ChangeKind, ChangesError, Cluster, EndpointCount, Families, Family,
    GenerateError, Importer, IpNet, Ipv4Net, Kinds, OnBadObject, Position, Protocols, Service,
    SyntheticSpec, Viewpoint, VipLayout, changes, from_json, generate, to_json, to_k8s,
};
use proptest::prelude::*;

/// Specs of which a good part is invalid: ranges overlap or are too small, minimum exceeds maximum.
fn any_spec() -> impl Strategy<Value = SyntheticSpec> {
    let endpoints = prop_oneof![
        (0..20_u32).prop_map(EndpointCount::Fixed),
        (0..5_u32, 0..9_u32).prop_map(|(min, max)| EndpointCount::Uniform { min, max }),
        (0..40_u32, 0..17_u32).prop_map(|(max, quarters)| EndpointCount::Zipf {
            max,
            exponent: f64::from(quarters) / 4.0
        }),
    ];
    let protocols =
        [0..4_u32, 0..4_u32, 0..2_u32].prop_map(|[tcp, udp, sctp]| Protocols { tcp, udp, sctp });
    let vip_layout = prop_oneof![
        Just(VipLayout::Consecutive),
        Just(VipLayout::Random),
        (0..600_u32).prop_map(|step| VipLayout::Strided { step })
    ];
    let cidr = (any::<[u8; 4]>(), 0..=32_u8)
        .prop_map(|(address, length)| Ipv4Net::new(address.into(), length).unwrap().trunc());
    let service_cidr = prop_oneof![4 => Just("10.96.0.0/20".parse().unwrap()), 1 => cidr.clone()];
    let endpoint_cidr = prop_oneof![4 => Just("10.128.0.0/19".parse().unwrap()), 1 => cidr];
    let sizes = (0..300_u32, endpoints, protocols, 0..3_u16, 0..3_u16);
    let families = prop::sample::select(&[Families::Ipv4, Families::Ipv6, Families::Dual][..]);
    let remote = prop_oneof![3 => Just(0.0), 2 => 0.0..1.0, 1 => -0.1..1.1];
    let others = (families, any_kinds(), remote);
    (sizes, vip_layout, service_cidr, endpoint_cidr, others).prop_map(
        |(sizes, vip_layout, service_cidr, endpoint_cidr, others)| {
            let (services, endpoints, protocols, port, target_port) = sizes;
            let (families, kinds, remote_endpoints) = others;
            SyntheticSpec {
                services,
                endpoints,
                protocols,
                port,
                target_port,
                vip_layout,
                service_cidr,
                endpoint_cidr,
                families,
                kinds,
                remote_endpoints,
                ..SyntheticSpec::default()
            }
        },
    )
}

fn any_kinds() -> impl Strategy<Value = Kinds> {
    let mixed = prop::array::uniform9(0..3_u32).prop_map(|weights| {
        let [cluster_ip, node_port, external_ip, load_balancer, source_ranges, rest @ ..] = weights;
        let [affinity, internal_local, external_local, without_endpoints] = rest;
        Kinds {
            cluster_ip,
            node_port,
            external_ip,
            load_balancer,
            source_ranges,
            affinity,
            internal_local,
            external_local,
            without_endpoints,
        }
    });
    prop_oneof![2 => Just(Kinds::default()), 3 => mixed]
}

fn valid_spec() -> impl Strategy<Value = SyntheticSpec> {
    any_spec().prop_filter("valid specs only", |spec| spec.validate().is_ok())
}

fn ranges(spec: &SyntheticSpec, family: Family) -> (IpNet, IpNet) {
    match family {
        Family::V4 => (spec.service_cidr.into(), spec.endpoint_cidr.into()),
        Family::V6 => (spec.service_cidr_v6.into(), spec.endpoint_cidr_v6.into()),
    }
}

fn json(cluster: &Cluster) -> Vec<u8> {
    let mut json = Vec::new();
    to_json(cluster, &mut json).unwrap();
    json
}

fn by_protocol(cluster: &Cluster) -> HashMap<&'static str, u32> {
    let mut counts = HashMap::new();
    for service in cluster.services() {
        *counts.entry(service.protocol().as_str()).or_default() += 1;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_spec_is_either_refused_or_generated_in_full(spec in any_spec(), seed: u64) {
        match (spec.validate(), generate(&spec, seed)) {
            (Err(found), Err(GenerateError::Spec(repeated))) => {
                prop_assert!(!found.0.is_empty());
                prop_assert_eq!(found, repeated);
            }
            (Ok(()), Ok(cluster)) => {
                prop_assert_eq!(cluster.services().len() as u64, spec.service_count());
                prop_assert_eq!(cluster.endpoint_count() as u64, spec.endpoint_count());
                // Built anew, so that the constructors judge every value again.
                let again = Cluster::new(cluster.services().to_vec()).unwrap();
                prop_assert_eq!(again, cluster);
            }
            (valid, generated) => prop_assert!(false, "{valid:?} but {generated:?}"),
        }
    }

    #[test]
    fn addresses_come_from_their_ranges(spec in valid_spec(), seed: u64) {
        let cluster = generate(&spec, seed).unwrap();
        for service in cluster.services() {
            let (vips, endpoints) = ranges(&spec, service.family());
            prop_assert!(vips.contains(&service.vip()));
            prop_assert_eq!(service.port(), spec.port);
            for endpoint in service.endpoints() {
                prop_assert!(endpoints.contains(&endpoint.address));
                prop_assert_eq!(endpoint.port, spec.target_port);
            }
        }
        let mut addresses: Vec<_> =
            cluster.services().iter().flat_map(Service::endpoints).map(|e| e.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        prop_assert_eq!(addresses.len(), cluster.endpoint_count());
    }

    #[test]
    fn the_seed_decides_who_has_what_and_not_how_much(spec in valid_spec(), seed: u64) {
        let (one, other) = (generate(&spec, seed).unwrap(), generate(&spec, !seed).unwrap());
        prop_assert_eq!(json(&one), json(&generate(&spec, seed).unwrap()));
        prop_assert_ne!(json(&one), json(&other));
        prop_assert_eq!(one.endpoint_count(), other.endpoint_count());
        prop_assert_eq!(by_protocol(&one), by_protocol(&other));
    }

    #[test]
    fn every_cluster_is_read_back_as_it_was_written(spec in valid_spec(), seed: u64) {
        let cluster = generate(&spec, seed).unwrap();
        prop_assert_eq!(from_json(&json(&cluster)[..]).unwrap(), cluster);
    }

    #[test]
    fn every_cluster_is_a_list_of_kubernetes_objects(spec in valid_spec(), seed: u64) {
        let cluster = generate(&spec, seed).unwrap();
        let mut list = Vec::new();
        to_k8s(&cluster, &mut list).unwrap();
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        let items = list["items"].as_array().unwrap();
        let services = items.iter().filter(|item| item["kind"] == "Service").count();
        prop_assert_eq!(services as u64, u64::from(spec.services));
        let endpoints: usize = items
            .iter()
            .filter(|item| item["kind"] == "EndpointSlice")
            .map(|item| item["endpoints"].as_array().unwrap().len())
            .sum();
        prop_assert_eq!(endpoints, cluster.endpoint_count());
    }

    #[test]
    fn every_cluster_is_imported_as_it_was_exported(spec in valid_spec(), seed: u64) {
        let cluster = generate(&spec, seed).unwrap();
        let mut list = Vec::new();
        to_k8s(&cluster, &mut list).unwrap();
        // Of Endpoints that are all on other nodes nothing else tells that they are.
        let node = Viewpoint { node: Some("node".into()), zone: Some("here".into()) };
        let mut importer = Importer::seen_from(node);
        importer.read("", &list[..]).unwrap();
        prop_assert_eq!(importer.finish(OnBadObject::Refuse).unwrap().cluster, cluster);
    }

    #[test]
    fn every_cluster_can_be_made_anonymous_or_its_addresses_are_everywhere(
        spec in valid_spec(),
        seed: u64,
    ) {
        let cluster = generate(&spec, seed).unwrap();
        match cluster.anonymised(seed) {
            Ok(anonymous) => {
                prop_assert_eq!(anonymous.endpoint_count(), cluster.endpoint_count());
                prop_assert_eq!(by_protocol(&anonymous), by_protocol(&cluster));
                for service in anonymous.services() {
                    prop_assert_eq!(cluster.get(&service.id()), None);
                }
            }
            Err(error) => prop_assert_eq!(error, AnonymiseError::NoRoom),
        }
    }

    #[test]
    fn every_stream_of_changes_applies(
        spec in valid_spec(),
        seed: u64,
        kind in prop::sample::select(&ChangeKind::ALL[..]),
        position in prop::sample::select(&Position::ALL[..]),
        count in 0..20_u32,
    ) {
        let before = generate(&spec, seed).unwrap();
        let made = match changes(&before, &spec, seed, kind, position, count) {
            Ok(made) => made,
            Err(
                ChangesError::RangeFull { .. }
                | ChangesError::NothingLeft { .. }
                | ChangesError::NoEndpoint,
            ) => {
                return Ok(());
            }
            Err(error) => panic!("{error}"),
        };
        prop_assert_eq!(made.len() as u64, u64::from(count));
        let mut after = before.clone();
        for change in &made {
            after = after.apply(change).unwrap();
        }
        let (was, is) = (before.services().len(), after.services().len());
        let expected = match kind {
            ChangeKind::EndpointChange => was,
            ChangeKind::ServiceAdd => was + made.len(),
            ChangeKind::ServiceRemove => was - made.len(),
        };
        prop_assert_eq!(is, expected);
        prop_assert_eq!(Cluster::new(after.services().to_vec()).unwrap(), after);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        prop_assert!(from_json(&bytes[..]).is_err());
    }

    #[test]
    fn no_damage_to_a_document_makes_the_reader_panic(at: prop::sample::Index, byte: u8) {
        let spec = SyntheticSpec { services: 3, ..SyntheticSpec::default() };
        let mut damaged = json(&generate(&spec, 1).unwrap());
        let at = at.index(damaged.len());
        damaged[at] = byte;
        if let Ok(cluster) = from_json(&damaged[..]) {
            prop_assert_eq!(from_json(&json(&cluster)[..]).unwrap(), cluster);
        }
    }
}

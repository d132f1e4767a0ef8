//! The bytes that a seed stands for. A change here changes what every stored result was measured
//! on: it must be meant, and it must be in the change log.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use data_encoding::HEXLOWER;
use generators::{
    ChangeKind, EndpointCount, Families, Kinds, Position, Protocols, SyntheticSpec, VipLayout,
    changes, generate, to_json, to_k8s,
};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn json_sha256(spec: &SyntheticSpec, seed: u64) -> String {
    let mut json = Vec::new();
    to_json(&generate(spec, seed).unwrap(), &mut json).unwrap();
    sha256(&json)
}

fn mixed() -> SyntheticSpec {
    SyntheticSpec {
        services: 500,
        endpoints: EndpointCount::Zipf { max: 100, exponent: 1.25 },
        protocols: Protocols { tcp: 8, udp: 3, sctp: 1 },
        vip_layout: VipLayout::Random,
        ..SyntheticSpec::default()
    }
}

#[test]
fn the_default_spec_gives_the_same_bytes_as_ever() {
    let spec = SyntheticSpec::default();
    assert_eq!(
        json_sha256(&spec, 1),
        "38cbdc8e5e884fdd228a70eb9c3c1a2667f1d4ac444e846f42ea6c1e9fb991eb"
    );
    assert_eq!(
        json_sha256(&spec, 2),
        "281493035a6539728d1883adf37755d81e69443d2cd010c748051482334cfbb7"
    );
}

#[test]
fn a_mixed_spec_gives_the_same_bytes_as_ever() {
    assert_eq!(
        json_sha256(&mixed(), u64::MAX),
        "0947dd050efc926e9cd533980febeb9b7e1dd6f515a3b637c4f9522ba09b175e"
    );
}

#[test]
fn a_strided_spec_gives_the_same_bytes_as_ever() {
    let spec = SyntheticSpec {
        services: 5_000,
        endpoints: EndpointCount::Uniform { min: 1, max: 7 },
        vip_layout: VipLayout::Strided { step: 256 },
        ..SyntheticSpec::default()
    };
    assert_eq!(
        json_sha256(&spec, 3),
        "8bb17433f0308c4f7b7415d04b179ec61d29ffef04d71040d381e519450d7510"
    );
}

#[test]
fn a_spec_of_both_families_and_every_kind_gives_the_same_bytes_as_ever() {
    let spec = SyntheticSpec {
        families: Families::Dual,
        kinds: Kinds { cluster_ip: 5, node_port: 2, ..Kinds::ONE_EACH },
        remote_endpoints: 0.9,
        ..mixed()
    };
    assert_eq!(
        json_sha256(&spec, 4),
        "741653678e0676ab0ab04c08581f5613ac8c50799f65176abad0cea8875132ad"
    );
}

#[test]
fn kubernetes_objects_are_the_same_bytes_as_ever() {
    let mut list = Vec::new();
    to_k8s(&generate(&mixed(), 1).unwrap(), &mut list).unwrap();
    assert_eq!(sha256(&list), "07916af47f9cf56fa29df4c1edd5792f62a8d287d98d7fde1c49a71fb066e846");
}

#[test]
fn changes_lead_to_the_same_bytes_as_ever() {
    let mut cluster = generate(&mixed(), 1).unwrap();
    for kind in ChangeKind::ALL {
        for change in changes(&cluster, &mixed(), 1, kind, Position::Random, 20).unwrap() {
            cluster = cluster.apply(&change).unwrap();
        }
    }
    let mut json = Vec::new();
    to_json(&cluster, &mut json).unwrap();
    assert_eq!(sha256(&json), "f94a257ddcf7ba9e85d1f9ba4afc4ff1b6de22dfa2db767eb2a00d769399b240");
}

#[test]
fn a_small_cluster_looks_like_this() {
    let spec = SyntheticSpec {
        services: 6,
        endpoints: EndpointCount::Uniform { min: 1, max: 3 },
        protocols: Protocols { tcp: 2, udp: 1, sctp: 0 },
        ..SyntheticSpec::default()
    };
    let mut json = Vec::new();
    to_json(&generate(&spec, 1).unwrap(), &mut json).unwrap();
    insta::assert_snapshot!(String::from_utf8(json).unwrap());
}

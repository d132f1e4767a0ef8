//! The names of the chains of a Service and of its Endpoints, which kube-proxy makes by hash.
//!
//! `portProtoHash` and `servicePortEndpointChainName` in pkg/proxy/iptables/proxier.go,
//! Kubernetes 1.35: a prefix and the first 16 characters of base32(sha256(identity)). The identity
//! is `namespace/name:port`, the protocol, and for an Endpoint `ip:port`, one after the other
//! without separators.

use std::fmt;

use data_encoding::BASE32;
use generators::{Endpoint, Service, TrafficPolicy};
use sha2::{Digest, Sha256};

use crate::routing::Routing;
use crate::text::Text;

/// Characters of the hash in a chain name.
const HASH_CHARS: usize = 16;
/// The bytes of SHA-256 that those characters encode, at 5 bits a character.
const HASH_BYTES: usize = HASH_CHARS * 5 / 8;

/// Bytes of the longest `ip:port`.
const ENDPOINT_BYTES_MAX: usize = 53;

/// The kinds of chains that a Service has, which are what a stale-chain sweep may delete
/// (`isServiceChainName` in pkg/proxy/iptables/proxier.go, Kubernetes 1.35).
pub(super) const SERVICE_PREFIXES: [&str; 5] =
    ["KUBE-SVC-", "KUBE-SVL-", "KUBE-FW-", "KUBE-EXT-", "KUBE-SEP-"];

/// The 16 characters that tell one chain of a kind from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ChainHash([u8; HASH_CHARS]);

impl ChainHash {
    fn of(hasher: Sha256) -> Self {
        let digest = hasher.finalize();
        let mut text = [0; HASH_CHARS];
        BASE32.encode_mut(&digest[..HASH_BYTES], &mut text);
        Self(text)
    }

    /// The chain of that kind.
    pub(super) const fn chain(self, prefix: &'static str) -> Chain {
        Chain { prefix, hash: self }
    }
}

/// A chain with a hashed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Chain {
    /// One of [`SERVICE_PREFIXES`].
    pub prefix: &'static str,
    hash: ChainHash,
}

impl Chain {
    /// The second part of the name: `A` to `Z` and `2` to `7`.
    pub(super) fn hash(&self) -> &[u8] {
        &self.hash.0
    }

    /// The chain of that name, if it is the name of a Service's or an Endpoint's chain.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let prefix = SERVICE_PREFIXES.into_iter().find(|prefix| name.starts_with(prefix))?;
        let hash = name.as_bytes().get(prefix.len()..)?.try_into().ok()?;
        Some(Self { prefix, hash: ChainHash(hash) })
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, String::from_utf8_lossy(&self.hash.0))
    }
}

/// The chain names of one Service, as far as a sync needs them.
#[derive(Debug)]
pub(super) struct ServiceChains<'a> {
    /// The Service they are for, and where traffic to it goes.
    pub routing: Routing<'a>,
    /// Hash of `KUBE-SVC-`, `KUBE-SVL-`, `KUBE-FW-` and `KUBE-EXT-`.
    pub hash: ChainHash,
    /// The Endpoints that this node sends traffic to, and the hash of each `KUBE-SEP-`. Nothing:
    /// the Service's own chains stay as they are in the kernel, and only the rules that lead to
    /// them are written.
    pub endpoints: Option<Vec<(Endpoint, ChainHash)>>,
}

impl<'a> ServiceChains<'a> {
    /// The names of all chains of a Service.
    pub(super) fn all(service: &'a Service) -> Self {
        let (identity, routing) = (identity(service), Routing::of(service));
        let mut text = Text::with_capacity(ENDPOINT_BYTES_MAX);
        let hashed = |&endpoint: &Endpoint| {
            text.clear();
            text.endpoint(endpoint);
            (endpoint, ChainHash::of(identity.clone().chain_update(text.as_bytes())))
        };
        let endpoints = routing.targets.reachable().iter().map(hashed).collect();
        Self { routing, hash: ChainHash::of(identity), endpoints: Some(endpoints) }
    }

    /// The names that rules outside a Service's own chains jump to.
    pub(super) fn entrances(service: &'a Service) -> Self {
        let hash = ChainHash::of(identity(service));
        Self { routing: Routing::of(service), hash, endpoints: None }
    }

    /// The chain that draws an Endpoint under a policy.
    pub(super) const fn choice(&self, policy: TrafficPolicy) -> Chain {
        match policy {
            TrafficPolicy::Cluster => self.hash.chain("KUBE-SVC-"),
            TrafficPolicy::Local => self.hash.chain("KUBE-SVL-"),
        }
    }

    /// The chain of traffic from outside.
    pub(super) const fn external(&self) -> Chain {
        self.hash.chain("KUBE-EXT-")
    }

    /// The chain that admits clients to the load balancers' addresses.
    pub(super) const fn firewall(&self) -> Chain {
        self.hash.chain("KUBE-FW-")
    }

    /// The chains that a sync writes for the Service: none if they stay as they are.
    pub(super) fn written(&self) -> impl Iterator<Item = Chain> {
        let routing = &self.routing;
        let own = [
            (routing.has_external_chain(), self.external()),
            (routing.has_firewall(), self.firewall()),
            (routing.has_cluster_chain(), self.choice(TrafficPolicy::Cluster)),
            (routing.has_local_chain(), self.choice(TrafficPolicy::Local)),
        ];
        let is_written = self.endpoints.is_some();
        let own = own.into_iter().filter(move |(is_there, _)| is_written && *is_there);
        let endpoints = self.endpoints.iter().flatten().map(|(_, hash)| hash.chain("KUBE-SEP-"));
        own.map(|(_, chain)| chain).chain(endpoints)
    }
}

fn identity(service: &Service) -> Sha256 {
    Sha256::new().chain_update(service.name().as_str()).chain_update(service.protocol().as_str())
}

#[cfg(test)]
mod tests {
    use generators::{Protocol, ServiceName};

    use super::*;

    fn chains(name: [&str; 3], protocol: Protocol, endpoints: &[&str]) -> (String, Vec<String>) {
        let endpoints = endpoints
            .iter()
            .map(|text| text.parse::<std::net::SocketAddr>().expect("ip:port").into())
            .collect();
        let name = ServiceName::new(name[0], name[1], name[2]).expect("a name");
        let vip = "172.30.0.1".parse().expect("an address");
        let service = Service::new(name, vip, 80, protocol, endpoints).expect("a Service");
        let chains = ServiceChains::all(&service);
        let text = |hash: &ChainHash| String::from_utf8_lossy(&hash.0).into_owned();
        let endpoints = chains.endpoints.iter().flatten().map(|(_, hash)| text(hash)).collect();
        (text(&chains.hash), endpoints)
    }

    #[test]
    fn service_hashes_equal_those_of_kube_proxy() {
        // Constants of pkg/proxy/iptables/proxier_test.go and of real clusters.
        for (name, protocol, hash) in [
            (["ns1", "svc1", "p80"], Protocol::Tcp, "XPGD46QRK7WJZT7O"),
            (["ns2", "svc2", "p80"], Protocol::Tcp, "GNZBNJ2PO5MGZ6GT"),
            (["ns3", "svc3", "p80"], Protocol::Tcp, "X27LE4BHSL4DOUIK"),
            (["ns4", "svc4", "p80"], Protocol::Tcp, "4SW47YFZTEDKD3PK"),
            (["ns5", "svc5", "p80"], Protocol::Tcp, "NUKIZ6OKUXPJNT4C"),
            (["ns6", "svc6", "p80"], Protocol::Tcp, "NDY5GL2HU4YWCI7Q"),
            (["ns2", "svc2", "p8080"], Protocol::Tcp, "2VJB64SDSIJUP5T6"),
            (["ns4", "svc4", "p8082"], Protocol::Tcp, "EBDQOQU5SJFXRIL3"),
            (["default", "kubernetes", "https"], Protocol::Tcp, "NPX46M4PTMTKRN6Y"),
            (["kube-system", "kube-dns", "dns"], Protocol::Udp, "TCOU7JCQXEZGVUNU"),
            (["kube-system", "kube-dns", "dns-tcp"], Protocol::Tcp, "ERIFXISQEP7F7OF4"),
            (["default", "nginx", ""], Protocol::Tcp, "2CMXP7HKUVJN7L6M"),
        ] {
            assert_eq!(chains(name, protocol, &[]).0, hash, "{name:?}");
        }
    }

    #[test]
    fn endpoint_hashes_equal_those_of_kube_proxy() {
        for (name, endpoint, hash) in [
            (["ns1", "svc1", "p80"], "10.180.0.1:80", "SXIVWICOYRO3J4NJ"),
            (["ns2", "svc2", "p80"], "10.180.0.2:80", "RS4RBKLTHTF2IUXJ"),
            (["ns3", "svc3", "p80"], "10.180.0.3:80", "OYPFS5VJICHGATKP"),
            (["ns4", "svc4", "p80"], "10.180.0.4:80", "UKSFD7AGPMPPLUHC"),
            (["ns4", "svc4", "p80"], "10.180.0.5:80", "C6EBXVWJJZMIWKLZ"),
            (["ns5", "svc5", "p80"], "10.180.0.3:80", "I77PXRDZVX7PMWMN"),
            (["ns3", "svc3", "p8081"], "203.0.113.4:8081", "RUVVH7YV3PHQBDOS"),
        ] {
            assert_eq!(chains(name, Protocol::Tcp, &[endpoint]).1, [hash], "{name:?} {endpoint}");
        }
    }

    #[test]
    fn a_chain_of_a_service_is_known_by_its_name_and_no_other_is() {
        for name in ["KUBE-SVC-XPGD46QRK7WJZT7O", "KUBE-SEP-SXIVWICOYRO3J4NJ"] {
            assert_eq!(Chain::parse(name).expect("a Service's").to_string(), name);
        }
        for name in ["KUBE-SERVICES", "KUBE-SVC-", "KUBE-SVC-XPGD46QRK7WJZT7OO", "", "INPUT"] {
            assert_eq!(Chain::parse(name), None, "{name}");
        }
    }
}

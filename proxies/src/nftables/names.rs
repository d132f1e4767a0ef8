//! The names of the chains of a Service and of its Endpoints.
//!
//! `servicePortChainNameBase`, `servicePortEndpointChainNameBase` and `hashAndTruncate` in
//! pkg/proxy/nftables/proxier.go, Kubernetes 1.33: eight characters of base32(sha256(name)), a
//! hyphen, and the name, which is `namespace/name/protocol/port` and for an Endpoint
//! `__address/port` after it, of IPv6 with dots for colons. The longest is 251 bytes, and upstream
//! truncates what is longer than 240.

use std::net::IpAddr;

use data_encoding::BASE32;
use generators::{Endpoint, Service};
use sha2::{Digest, Sha256};

use super::layout::Layout;
use crate::routing::Routing;
use crate::text::Text;

/// Characters of the hash.
const HASH_CHARS: usize = 8;
/// The bytes of SHA-256 that those characters encode, at 5 bits a character.
const HASH_BYTES: usize = HASH_CHARS * 5 / 8;

/// The chain that draws an Endpoint.
pub(super) const SERVICE: &str = "service-";
/// The chain for traffic from outside the Cluster.
pub(super) const EXTERNAL: &str = "external-";
/// The chain that draws an Endpoint of this node.
pub(super) const LOCAL: &str = "local-";
/// The chain that drops clients that are not admitted.
pub(super) const FIREWALL: &str = "firewall-";
/// The chain of one Endpoint.
pub(super) const ENDPOINT: &str = "endpoint-";
/// The set of clients that come back to an Endpoint.
pub(super) const AFFINITY: &str = "affinity-";

/// Longest name without its prefix (`chainNameBaseLengthMax`).
const NAME_MAX: usize = 240;
/// How a longer one ends.
const TRUNCATED: &str = "...";

/// Whether a chain of this name belongs to a Service or Endpoint: no other has a slash
/// (`isServiceChainName`).
pub(super) fn is_service_chain(name: &str) -> bool {
    name.contains('/')
}

/// Whether a set of this name remembers the clients of an Endpoint (`isAffinitySetName`).
pub(super) fn is_affinity_set(name: &str) -> bool {
    name.starts_with(AFFINITY)
}

/// The names of one Service's chains, without their prefixes.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// The Service, and where traffic to it goes.
    pub routing: Routing<'a>,
    /// What follows [`SERVICE`], [`LOCAL`], [`EXTERNAL`] and [`FIREWALL`].
    pub own: String,
    /// The Endpoints that have chains, and what follows [`ENDPOINT`] and [`AFFINITY`].
    pub endpoints: Vec<(Endpoint, String)>,
}

impl<'a> Names<'a> {
    /// Makes the names. Endpoints have chains in some layouts, and where they remember clients.
    pub(super) fn of(service: &'a Service, layout: Layout) -> Self {
        let (identity, routing) = (identity(service), Routing::of(service));
        let named = |&endpoint: &Endpoint| {
            let mut name = Text::with_capacity(identity.len() + 24);
            name.str(&identity).str("__");
            match endpoint.address {
                IpAddr::V4(address) => name.address(address.into()),
                IpAddr::V6(address) => name.str(&address.to_string().replace(':', ".")),
            };
            name.str("/").number(endpoint.port);
            (endpoint, hashed(name.as_bytes()))
        };
        let has_chains = layout.has_endpoint_chains() || service.extras().affinity_s.is_some();
        let endpoints = if has_chains {
            routing.targets.reachable().iter().map(named).collect()
        } else {
            Vec::new()
        };
        Self { routing, own: hashed(identity.as_bytes()), endpoints }
    }

    /// The Service's name, for comments.
    pub(super) fn name(&self) -> &str {
        self.routing.service.name().as_str()
    }

    /// All chains of the Service, prefix and rest, in the order in which they are made.
    pub(super) fn chains(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let routing = &self.routing;
        let own = [
            (routing.has_cluster_chain(), SERVICE),
            (routing.has_local_chain(), LOCAL),
            (routing.has_external_chain(), EXTERNAL),
            (routing.has_firewall(), FIREWALL),
        ];
        let own = own.into_iter().filter(|(is_there, _)| *is_there);
        let endpoints = self.endpoints.iter().map(|(_, name)| (ENDPOINT, name.as_str()));
        endpoints.chain(own.map(|(_, prefix)| (prefix, self.own.as_str())))
    }

    /// The sets in which its Endpoints remember clients, prefix and rest.
    pub(super) fn affinity_sets(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let is_sticky = self.routing.service.extras().affinity_s.is_some();
        let endpoints = self.endpoints.iter().filter(move |_| is_sticky);
        endpoints.map(|(_, name)| (AFFINITY, name.as_str()))
    }
}

fn identity(service: &Service) -> String {
    let name = service.name();
    [name.namespace(), name.name(), service.protocol().as_str(), name.port_name()].join("/")
}

fn hashed(name: &[u8]) -> String {
    let digest = Sha256::digest(name);
    let mut text = String::with_capacity(HASH_CHARS + 1 + name.len());
    BASE32.encode_append(&digest[..HASH_BYTES], &mut text);
    text.push('-');
    // Names are ASCII (DNS labels, digits and punctuation of ours).
    text.push_str(&String::from_utf8_lossy(name));
    if text.len() > NAME_MAX {
        text.truncate(NAME_MAX - TRUNCATED.len());
        text.push_str(TRUNCATED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn names_equal_those_of_kube_proxy() {
        // Constants of pkg/proxy/nftables/proxier_test.go, Kubernetes 1.34.
        for (name, hash) in [
            ("ns1/svc1:p80", "ULMVA6XW"),
            ("ns2/svc2:p80", "42NFTM6N"),
            ("ns3/svc3:p80", "4AT6LBPK"),
            ("ns4/svc4:p80", "LAUZTJTB"),
            ("ns5/svc5:p80", "HVFWP5L3"),
            ("ns2/svc2:p8080", "MHHHYRWA"),
        ] {
            let service = golden::service(name, "172.30.0.41", &[]);
            let identity = name.replace(':', "/tcp/");
            assert_eq!(Names::of(&service, Layout::V1_33).own, format!("{hash}-{identity}"));
        }
    }

    #[test]
    fn names_of_endpoints_equal_those_of_kube_proxy() {
        for (name, endpoint, expected) in [
            ("ns1/svc1:p80", "10.180.0.1:80", "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"),
            ("ns3/svc3:p80", "10.180.0.3:80", "UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80"),
            ("ns4/svc4:p80", "10.180.0.5:80", "5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80"),
            ("ns5/svc5:p80", "10.180.0.3:80", "GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80"),
        ] {
            let service = golden::service(name, "172.30.0.41", &[endpoint]);
            let names = Names::of(&service, Layout::V1_33);
            assert_eq!(names.endpoints[0].1, expected);
            assert!(Names::of(&service, Layout::V1_36).endpoints.is_empty());
        }
    }

    #[test]
    fn a_port_without_a_name_leaves_its_place_empty() {
        let service = golden::service("default/nginx", "172.30.0.41", &[]);
        assert!(Names::of(&service, Layout::V1_33).own.ends_with("-default/nginx/tcp/"));
    }

    #[test]
    fn only_chains_of_services_have_a_slash() {
        assert!(is_service_chain("service-ULMVA6XW-ns1/svc1/tcp/p80"));
        assert!(!is_service_chain("service-endpoints-check"));
    }
}

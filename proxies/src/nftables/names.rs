//! The names of the chains of a Service and of its Endpoints.
//!
//! `servicePortChainNameBase`, `servicePortEndpointChainNameBase` and `hashAndTruncate` in
//! pkg/proxy/nftables/proxier.go, Kubernetes 1.33: eight characters of base32(sha256(name)), a
//! hyphen, and the name, which is `namespace/name/protocol/port` and for an Endpoint
//! `__address/port` after it. With an IPv4 address the longest is 228 bytes, below the 240 from
//! which upstream truncates.

use data_encoding::BASE32;
use generators::{Endpoint, Service};
use sha2::{Digest, Sha256};

use crate::text::Text;

/// Characters of the hash.
const HASH_CHARS: usize = 8;
/// The bytes of SHA-256 that those characters encode, at 5 bits a character.
const HASH_BYTES: usize = HASH_CHARS * 5 / 8;

/// The chain that draws an Endpoint.
pub(super) const SERVICE: &str = "service-";
/// The chain for traffic from outside the Cluster.
pub(super) const EXTERNAL: &str = "external-";
/// The chain of one Endpoint.
pub(super) const ENDPOINT: &str = "endpoint-";

/// Whether a chain of this name belongs to a Service or Endpoint: no other has a slash
/// (`isServiceChainName`).
pub(super) fn is_service_chain(name: &str) -> bool {
    name.contains('/')
}

/// The names of one Service's chains, without their prefixes.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// The Service.
    pub service: &'a Service,
    /// What follows [`SERVICE`] and [`EXTERNAL`].
    pub own: String,
    /// What follows [`ENDPOINT`], in the order of the Endpoints. Empty where Endpoints have no
    /// chains.
    pub endpoints: Vec<String>,
}

impl<'a> Names<'a> {
    /// Makes the names, those of Endpoints only if they have chains.
    pub(super) fn of(service: &'a Service, endpoint_chains: bool) -> Self {
        let identity = identity(service);
        let endpoint = |endpoint: &Endpoint| {
            let mut name = Text::with_capacity(identity.len() + 24);
            name.str(&identity).str("__").address(endpoint.address);
            name.str("/").number(endpoint.port);
            hashed(name.as_bytes())
        };
        let endpoints = if endpoint_chains {
            service.endpoints().iter().map(endpoint).collect()
        } else {
            Vec::new()
        };
        Self { service, own: hashed(identity.as_bytes()), endpoints }
    }

    /// Whether traffic from outside may come in by a `NodePort` or an external IP.
    pub(super) fn has_external_chain(&self) -> bool {
        !self.service.endpoints().is_empty() && self.service.is_external()
    }

    /// All chains of the Service, prefix and rest, in the order in which they are made.
    pub(super) fn chains(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let has_endpoints = !self.service.endpoints().is_empty();
        let own = has_endpoints.then_some((SERVICE, self.own.as_str()));
        let external = self.has_external_chain().then_some((EXTERNAL, self.own.as_str()));
        let endpoints = self.endpoints.iter().map(|name| (ENDPOINT, name.as_str()));
        endpoints.chain(own).chain(external)
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
            assert_eq!(Names::of(&service, true).own, format!("{hash}-{identity}"));
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
            assert_eq!(Names::of(&service, true).endpoints, [expected]);
            assert!(Names::of(&service, false).endpoints.is_empty());
        }
    }

    #[test]
    fn a_port_without_a_name_leaves_its_place_empty() {
        let service = golden::service("default/nginx", "172.30.0.41", &[]);
        assert!(Names::of(&service, true).own.ends_with("-default/nginx/tcp/"));
    }

    #[test]
    fn only_chains_of_services_have_a_slash() {
        assert!(is_service_chain("service-ULMVA6XW-ns1/svc1/tcp/p80"));
        assert!(!is_service_chain("service-endpoints-check"));
    }
}

//! The Kubernetes objects as far as an import looks at them: v1 Service and Endpoints,
//! discovery.k8s.io/v1 `EndpointSlice`, and the Status that the API answers when it has none.
//!
//! Every other field is ignored, and every field may be missing or null: what must be there is
//! decided where it is used, so that an error can name the object.

use serde::Deserialize;

use crate::service::Protocol;

/// What tells objects apart before their fields are looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub api_version: Option<String>,
    pub kind: Option<String>,
    pub metadata: Option<Identity>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    pub namespace: Option<String>,
    pub name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub labels: Option<Labels>,
    pub annotations: Option<Annotations>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Annotations {
    /// On Endpoints: `truncated` if there are more than the 1,000 that are in it
    /// (`truncateEndpoints`, `pkg/controller/endpoint/endpoints_controller.go`, Kubernetes 1.35).
    #[serde(rename = "endpoints.kubernetes.io/over-capacity")]
    pub over_capacity: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Labels {
    /// On an `EndpointSlice`: whose Endpoints it holds.
    #[serde(rename = "kubernetes.io/service-name")]
    pub service_name: Option<String>,
    /// On a Service: who programs it instead of kube-proxy.
    #[serde(rename = "service.kubernetes.io/service-proxy-name")]
    pub service_proxy_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceObject {
    pub metadata: Metadata,
    pub spec: ServiceSpec,
    pub status: Option<ServiceStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    pub external_ips: Option<Vec<String>>,
    pub ports: Option<Vec<ServicePort>>,
    pub session_affinity: Option<String>,
    pub session_affinity_config: Option<AffinityConfig>,
    pub internal_traffic_policy: Option<String>,
    pub external_traffic_policy: Option<String>,
    pub health_check_node_port: Option<u16>,
    pub load_balancer_source_ranges: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AffinityConfig {
    #[serde(rename = "clientIP")]
    pub client_ip: Option<ClientIpConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientIpConfig {
    pub timeout_seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServicePort {
    pub name: Option<String>,
    pub protocol: Option<ProtocolName>,
    pub port: Option<u16>,
    pub node_port: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceStatus {
    pub load_balancer: Option<LoadBalancer>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LoadBalancer {
    pub ingress: Option<Vec<Ingress>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ingress {
    pub ip: Option<String>,
    /// `Proxy`: the load balancer sends to nodes, and no Service proxy programs the address.
    pub ip_mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SliceObject {
    pub metadata: Metadata,
    pub address_type: Option<String>,
    pub ports: Option<Vec<SlicePort>>,
    pub endpoints: Option<Vec<SliceEndpoint>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SlicePort {
    pub name: Option<String>,
    pub protocol: Option<ProtocolName>,
    pub port: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SliceEndpoint {
    pub addresses: Option<Vec<String>>,
    pub conditions: Option<Conditions>,
    pub node_name: Option<String>,
    pub zone: Option<String>,
    pub hints: Option<Hints>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointsObject {
    pub metadata: Metadata,
    pub subsets: Option<Vec<Subset>>,
}

/// Addresses, each with each of the ports.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subset {
    pub addresses: Option<Vec<SubsetAddress>>,
    pub not_ready_addresses: Option<Vec<SubsetAddress>>,
    pub ports: Option<Vec<SlicePort>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubsetAddress {
    pub ip: Option<String>,
    pub node_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StatusObject {
    pub message: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Conditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

/// Which nodes and zones an Endpoint is meant for.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hints {
    pub for_zones: Option<Vec<HintName>>,
    pub for_nodes: Option<Vec<HintName>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct HintName {
    pub name: String,
}

/// A protocol as Kubernetes writes it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum ProtocolName {
    Tcp,
    Udp,
    Sctp,
}

impl ProtocolName {
    /// The protocol of a port that may not name one: TCP is the API's default.
    pub(super) fn of(name: Option<Self>) -> Protocol {
        match name {
            None | Some(Self::Tcp) => Protocol::Tcp,
            Some(Self::Udp) => Protocol::Udp,
            Some(Self::Sctp) => Protocol::Sctp,
        }
    }
}

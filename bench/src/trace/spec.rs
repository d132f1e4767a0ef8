//! What is to be traced: plain data that travels to a guest as JSON.

use generators::{Family, FrontendKind, Protocol};
use lab::topology::{Shape, Source};
use proxies::Descriptor;
use proxies::ipvs::Forwarding;
use results::trace::Asked;
use serde::{Deserialize, Serialize};

use crate::kube_proxy::KubeProxyFile;

/// One connection to be traced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSpec {
    /// Name of the proxy.
    pub proxy: String,
    /// Its file, if it is a kube-proxy.
    pub kube_proxy: KubeProxyFile,
    /// How IPVS forwards; other proxies do not ask.
    pub forwarding: Forwarding,
    /// The topology.
    pub topology: Shape,
    /// Who dials.
    pub source: Source,
    /// What is dialled.
    pub frontend: FrontendKind,
    /// The family of all addresses.
    pub family: Family,
    /// TCP, a connection; UDP, a datagram and its answer.
    pub protocol: Protocol,
}

impl TraceSpec {
    /// In the words of the command line.
    pub fn asked(&self) -> Asked {
        let has_choice = proxies::find(&self.proxy).is_ok_and(Descriptor::has_forwardings);
        Asked {
            proxy: self.proxy.clone(),
            forwarding: has_choice.then(|| self.forwarding.as_str().to_owned()),
            topology: self.topology.to_string(),
            source: self.source.to_string(),
            frontend: self.frontend.to_string(),
            family: self.family.to_string().to_lowercase(),
            protocol: self.protocol.to_string(),
        }
    }
}

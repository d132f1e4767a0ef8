//! What is to be traced: plain data that travels to a guest as JSON.

use clap::ValueEnum;
use generators::{Family, FrontendKind};
use lab::topology::{Shape, Source};
use proxies::ipvs::Forwarding;
use results::trace::Asked;
use serde::{Deserialize, Serialize};

/// What the client dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frontend {
    /// The Service's cluster IP
    ClusterIp,
    /// The Service's port at the node's address
    NodePort,
    /// An external IP of the Service
    ExternalIp,
    /// An address of a load balancer, which the proxy answers at
    LoadBalancerIp,
}

impl Frontend {
    /// As a generator knows it.
    pub fn kind(self) -> FrontendKind {
        match self {
            Self::ClusterIp => FrontendKind::ClusterIp,
            Self::NodePort => FrontendKind::NodePort,
            Self::ExternalIp => FrontendKind::ExternalIp,
            Self::LoadBalancerIp => FrontendKind::LoadBalancerIp,
        }
    }
}

/// One connection to be traced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSpec {
    /// Name of the proxy.
    pub proxy: String,
    /// How IPVS forwards; other proxies do not ask.
    pub forwarding: Forwarding,
    /// The topology.
    pub topology: Shape,
    /// Who dials.
    pub source: Source,
    /// What is dialled.
    pub frontend: Frontend,
    /// The family of all addresses.
    pub family: Family,
}

impl TraceSpec {
    /// In the words of the command line.
    pub fn asked(&self) -> Asked {
        let is_ipvs = proxies::find(&self.proxy).is_ok_and(|proxy| proxy.family == "ipvs");
        let frontend = self.frontend.to_possible_value();
        Asked {
            proxy: self.proxy.clone(),
            forwarding: is_ipvs.then(|| self.forwarding.as_str().to_owned()),
            topology: self.topology.to_string(),
            source: self.source.to_string(),
            frontend: frontend.map(|value| value.get_name().to_owned()).unwrap_or_default(),
            family: self.family.to_string().to_lowercase(),
        }
    }
}

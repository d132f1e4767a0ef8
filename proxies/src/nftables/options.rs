//! What only the nftables backends take.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// How the nftables backends behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftablesOptions {
    /// The network that VIPs are taken from: traffic to an address in it that is no Service's is
    /// dropped. Nothing: no such rule, as in kube-proxy before it knows a `ServiceCIDR`.
    pub service_cidr: Option<Ipv4Net>,
}

impl Default for NftablesOptions {
    /// The service network of kubeadm (`--service-cluster-ip-range`, 10.96.0.0/12).
    fn default() -> Self {
        Self { service_cidr: Some(Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12)) }
    }
}

//! What only the nftables backends take.

use std::net::Ipv4Addr;

use generators::Family;
use ipnet::{IpNet, Ipv4Net};

/// How the nftables backends behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftablesOptions {
    /// The networks that VIPs are taken from: traffic to an address in one that is no Service's is
    /// dropped. None: no such rule, as in kube-proxy before it knows a `ServiceCIDR`.
    pub service_cidrs: Vec<IpNet>,
}

impl NftablesOptions {
    /// The networks of one family.
    pub(super) fn service_cidrs(&self, family: Family) -> impl Iterator<Item = IpNet> {
        self.service_cidrs.iter().copied().filter(move |cidr| Family::of(cidr.addr()) == family)
    }
}

impl Default for NftablesOptions {
    /// The service network of kubeadm (`--service-cluster-ip-range`, 10.96.0.0/12).
    fn default() -> Self {
        Self { service_cidrs: vec![Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12).into()] }
    }
}

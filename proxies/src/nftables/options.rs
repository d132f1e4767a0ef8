//! What only the nftables backends take.

use std::net::Ipv4Addr;

use generators::Family;
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// How a sync lists what is there. Releases of one rule layout differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listing {
    /// `nft --json list chains` and `list sets`: all chains and sets of the node, elements too. The
    /// first releases of Kubernetes 1.33, 1.34 and 1.35.
    ChainsAndSets,
    /// `nft --json --terse list table`: the own table without elements. 1.36, and by
    /// kubernetes/kubernetes pull requests 137807 to 137809 later releases of 1.33 to 1.35.
    Terse,
    /// Netlink messages (feature gate `NFTablesNetlink`, on from 1.37).
    Netlink,
}

impl Listing {
    /// The name in scenarios: `chains-and-sets`, `terse` or `netlink`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChainsAndSets => "chains-and-sets",
            Self::Terse => "terse",
            Self::Netlink => "netlink",
        }
    }
}

/// How the nftables backends behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftablesOptions {
    /// The networks that VIPs are taken from: traffic to an address in one that is no Service's is
    /// dropped. None: no such rule, as in kube-proxy before it knows a `ServiceCIDR`.
    pub service_cidrs: Vec<IpNet>,
    /// How syncs list what is there; nothing: as the first release with these rules does.
    pub listing: Option<Listing>,
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
        let service_cidrs = vec![Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12).into()];
        Self { service_cidrs, listing: None }
    }
}

//! From a name to a backend: the only place that matches on [`ProxyKind`] to make one, and the
//! options backends take.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::iptables::{Iptables, Variant};
use crate::ipvs::{Ipvs, IpvsOptions};
use crate::nftables::{Layout, Nftables};
use crate::none::NoProxy;
use crate::proxy::{Proxy, ProxyKind};

/// How the backends behave. The default is kube-proxy's default configuration, plus a Cluster CIDR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The pod network (`--cluster-cidr`) as address and prefix length: VIP traffic from elsewhere
    /// is masqueraded (`! -s CIDR`). Nothing: no such rule, as in kube-proxy without a local
    /// detector.
    pub local_cidr: Option<(Ipv4Addr, u8)>,
    /// Masquerade all VIP traffic (`--masquerade-all`).
    pub masquerade_all: bool,
    /// The addresses that `NodePort`s answer on (`--nodeport-addresses`). Empty: every local
    /// address.
    pub node_addresses: Vec<Ipv4Addr>,
    /// What only the iptables backends take.
    pub iptables: IptablesOptions,
    /// What only the IPVS backend takes.
    pub ipvs: IpvsOptions,
    /// What only the nftables backends take.
    pub nftables: NftablesOptions,
}

impl Options {
    /// Whether `NodePort`s answer on 127.0.0.1, which kube-proxy makes work with `route_localnet`
    /// (`--iptables-localhost-nodeports`, default true; off if the addresses are restricted to
    /// others: `NewProxier` in pkg/proxy/iptables/proxier.go, Kubernetes 1.35).
    pub(crate) fn has_localhost_node_ports(&self) -> bool {
        self.node_addresses.is_empty() || self.node_addresses.iter().any(Ipv4Addr::is_loopback)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            local_cidr: Some((Ipv4Addr::new(10, 128, 0, 0), 9)),
            masquerade_all: false,
            node_addresses: Vec::new(),
            iptables: IptablesOptions::default(),
            ipvs: IpvsOptions::default(),
            nftables: NftablesOptions::default(),
        }
    }
}

/// A network without host bits, as the tools print it: `10.128.0.0/9`.
pub(crate) fn network((address, prefix): (Ipv4Addr, u8)) -> String {
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
    format!("{}/{prefix}", Ipv4Addr::from_bits(address.to_bits() & mask))
}

/// How the iptables backends run their tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IptablesOptions {
    /// Lock file for `iptables-legacy-restore` (`XTABLES_LOCKFILE`), so that namespaces that have
    /// nothing to do with each other do not wait for each other. Nothing: `/run/xtables.lock`, one
    /// for the whole mount namespace. The short `iptables` calls of `prepare` take the lock file of
    /// the process's own environment.
    pub lock_file: Option<PathBuf>,
    /// Restore without `--noflush`, for a quick start from an empty namespace: no sync of kube-proxy's, and never
    /// measured as one. It empties the tables filter and nat first, so that the jumps are made after it. With
    /// `--noflush`, `iptables-nft-restore` 1.8.9 keeps a sorted list of all chain names, which makes a full sync
    /// quadratic in them (`cache_chain_list_insert`, iptables/nft-cache.c).
    pub replace_tables: bool,
    /// How long one `iptables-restore` or `iptables-save` may take before it is killed.
    pub deadline: Duration,
}

impl Default for IptablesOptions {
    fn default() -> Self {
        Self { lock_file: None, replace_tables: false, deadline: Duration::from_mins(10) }
    }
}

/// How the nftables backends behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftablesOptions {
    /// The network that VIPs are taken from: traffic to an address in it that is no Service's is dropped. Nothing: no such
    /// rule, as in kube-proxy before it knows a `ServiceCIDR`.
    pub service_cidr: Option<(Ipv4Addr, u8)>,
    /// How long one `nft` may take before it is killed.
    pub deadline: Duration,
}

impl Default for NftablesOptions {
    /// The service network of kubeadm (`--service-cluster-ip-range`, 10.96.0.0/12).
    fn default() -> Self {
        Self {
            service_cidr: Some((Ipv4Addr::new(10, 96, 0, 0), 12)),
            deadline: Duration::from_mins(10),
        }
    }
}

/// Makes the backend of that name. Touches nothing: [`Proxy::probe`] tells whether it can work
/// here.
pub fn open(kind: ProxyKind, options: &Options) -> Box<dyn Proxy> {
    match kind {
        ProxyKind::None => Box::new(NoProxy),
        ProxyKind::IptablesLegacy => Box::new(Iptables::new(Variant::Legacy, options)),
        ProxyKind::IptablesNft => Box::new(Iptables::new(Variant::Nft, options)),
        ProxyKind::Ipvs => Box::new(Ipvs::new(options)),
        ProxyKind::Nftables1_33 => Box::new(Nftables::new(Layout::V1_33, options)),
        ProxyKind::Nftables1_36 => Box::new(Nftables::new(Layout::V1_36, options)),
        ProxyKind::Nftables1_37 => Box::new(Nftables::new(Layout::V1_37, options)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_knows_the_name_it_was_opened_by() {
        for kind in ProxyKind::ALL {
            assert_eq!(open(kind, &Options::default()).kind(), kind);
        }
    }
}

//! The options that backends are opened with: what the node decides, and what each family takes
//! besides.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use generators::Family;
use ipnet::{IpNet, Ipv4Net};

use crate::ipvs::options::IpvsOptions;
use crate::nftables::options::NftablesOptions;

/// How long a tool may take before it is killed.
pub(crate) const TOOL_DEADLINE: Duration = Duration::from_mins(10);

/// How the backends behave. The default is kube-proxy's default configuration, plus a Cluster CIDR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The pod network of each family (`--cluster-cidr`): VIP traffic from elsewhere is masqueraded
    /// (`! -s CIDR`). None: no such rule, as in kube-proxy without a local detector.
    pub local_cidrs: Vec<IpNet>,
    /// Masquerade all VIP traffic (`--masquerade-all`).
    pub masquerade_all: bool,
    /// The addresses that `NodePort`s answer on (`--nodeport-addresses`). Empty: every local
    /// address.
    pub node_addresses: Vec<IpAddr>,
    /// Network namespaces of the node's pods, by cookie (`linux::netns::cookie`), for what acts on
    /// sockets.
    pub pod_namespaces: Vec<u64>,
    /// Program an empty namespace the quickest way there is, for measures that start from a synced
    /// node. No sync that is measured has this.
    pub quick_start: bool,
    /// Make no tables of IPv6 that no Service needs, as what is set against a text of one family.
    pub without_idle_ipv6: bool,
    /// Lock file for `iptables-legacy-restore` (`XTABLES_LOCKFILE`), so that namespaces that have
    /// nothing to do with each other do not wait for each other. Nothing: `/run/xtables.lock`, one
    /// for the whole mount namespace. The short `iptables` calls of `prepare` take the lock file of
    /// the process's own environment.
    pub xtables_lock: Option<PathBuf>,
    /// How long a program of somebody else may take for one sync.
    pub sync_limit: Duration,
    /// What only the IPVS backend takes.
    pub ipvs: IpvsOptions,
    /// What only the nftables backends take.
    pub nftables: NftablesOptions,
}

impl Options {
    /// The pod network of a family.
    pub(crate) fn local_cidr(&self, family: Family) -> Option<IpNet> {
        self.local_cidrs.iter().copied().find(|cidr| Family::of(cidr.addr()) == family)
    }

    /// Whether any VIP traffic of a family is masqueraded for where it comes from.
    pub(crate) fn masquerades_vips(&self, family: Family) -> bool {
        self.masquerade_all || self.local_cidr(family).is_some()
    }

    /// Whether the node is among the clients of some ranges.
    pub(crate) fn is_node_in(&self, ranges: &[IpNet]) -> bool {
        ranges.iter().any(|range| self.node_addresses.iter().any(|ip| range.contains(ip)))
    }

    /// The addresses of a family that `NodePort`s answer on.
    pub(crate) fn node_addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.node_addresses.iter().copied().filter(move |&one| Family::of(one) == family)
    }

    /// Whether `NodePort`s answer on 127.0.0.1, which kube-proxy makes work with `route_localnet`
    /// (`--iptables-localhost-nodeports`, default true; off if the addresses are restricted to
    /// others: `NewProxier` in pkg/proxy/iptables/proxier.go, Kubernetes 1.35).
    pub(crate) fn has_localhost_node_ports(&self) -> bool {
        self.node_addresses.is_empty() || self.node_addresses.iter().any(IpAddr::is_loopback)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            local_cidrs: vec![Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 9).into()],
            masquerade_all: false,
            node_addresses: Vec::new(),
            pod_namespaces: Vec::new(),
            quick_start: false,
            without_idle_ipv6: false,
            xtables_lock: None,
            sync_limit: TOOL_DEADLINE,
            ipvs: IpvsOptions::default(),
            nftables: NftablesOptions::default(),
        }
    }
}

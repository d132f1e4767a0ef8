//! The three rule layouts of kube-proxy's nftables mode, and what differs between them as data.
//!
//! `setupNFTables` in pkg/proxy/nftables/proxier.go: Kubernetes 1.33 (commit b0f823e6); the changes
//! after it are those of kubernetes/kubernetes pull requests 131492 and 132456 (1.34), 135800 and
//! 136499 and commit 475f9622c8 (1.36), and 140723 (1.37), known from their descriptions, tests and
//! listings of real nodes.

use super::options::Listing;

/// Which version's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A chain for every Endpoint, reached through an anonymous verdict map; every Service marks
    /// what is to be masqueraded by a jump.
    V1_33,
    /// No chains of Endpoints: an anonymous map of addresses for every Service. One rule marks, one
    /// set knows hairpins.
    V1_36,
    /// The same, but a Service with one Endpoint needs no map.
    V1_37,
}

/// A chain that is hooked into the kernel's path of packets: its name, `filter` or `nat`, the hook,
/// and the priority: -100 is where destinations are translated, 100 where sources are
/// (`enum nf_ip_hook_priorities`, `include/uapi/linux/netfilter_ipv4.h`, Linux 6.1).
pub(super) type BaseChain = (&'static str, &'static str, &'static str, i16);

const BASE_1_33: [BaseChain; 8] = [
    ("filter-prerouting", "filter", "prerouting", -110),
    ("filter-input", "filter", "input", -110),
    ("filter-forward", "filter", "forward", -110),
    ("filter-output", "filter", "output", -110),
    ("filter-output-post-dnat", "filter", "output", -90),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
];

const BASE_1_34: [BaseChain; 8] = [
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    ("filter-output-pre-dnat", "filter", "output", -110),
    ("filter-input", "filter", "input", 0),
    ("filter-forward", "filter", "forward", 0),
    ("filter-output", "filter", "output", 0),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
];

/// A jump from a base chain: from, to, and whether for new connections only.
pub(super) type Jump = (&'static str, &'static str, bool);

const JUMPS_1_33: [Jump; 11] = [
    ("filter-input", "nodeport-endpoints-check", true),
    ("filter-input", "service-endpoints-check", true),
    ("filter-forward", "service-endpoints-check", true),
    ("filter-output", "service-endpoints-check", true),
    ("filter-prerouting", "firewall-check", true),
    ("filter-output", "firewall-check", true),
    ("nat-output", "services", false),
    ("nat-prerouting", "services", false),
    ("nat-postrouting", "masquerading", false),
    ("filter-forward", "cluster-ips-check", true),
    ("filter-output-post-dnat", "cluster-ips-check", true),
];

const JUMPS_1_34: [Jump; 11] = [
    ("filter-input", "nodeport-endpoints-check", true),
    ("filter-input", "service-endpoints-check", true),
    ("filter-forward", "service-endpoints-check", true),
    ("filter-output", "service-endpoints-check", true),
    ("filter-prerouting-pre-dnat", "firewall-check", true),
    ("filter-output-pre-dnat", "firewall-check", true),
    ("nat-output", "services", false),
    ("nat-prerouting", "services", false),
    ("nat-postrouting", "masquerading", false),
    ("filter-forward", "cluster-ips-check", true),
    ("filter-output", "cluster-ips-check", true),
];

impl Layout {
    /// How the first release with these rules lists what is there.
    pub(super) const fn listing(self) -> Listing {
        match self {
            Self::V1_33 => Listing::ChainsAndSets,
            Self::V1_36 => Listing::Terse,
            Self::V1_37 => Listing::Netlink,
        }
    }

    /// The hooked chains, in the order in which they are made.
    pub(super) const fn base_chains(self) -> &'static [BaseChain] {
        match self {
            Self::V1_33 => &BASE_1_33,
            Self::V1_36 | Self::V1_37 => &BASE_1_34,
        }
    }

    /// The jumps from them.
    pub(super) const fn jumps(self) -> &'static [Jump] {
        match self {
            Self::V1_33 => &JUMPS_1_33,
            Self::V1_36 | Self::V1_37 => &JUMPS_1_34,
        }
    }

    /// Whether every Endpoint has a chain of its own, which marks hairpins by a jump to
    /// `mark-for-masquerade`. Else a set knows the hairpins.
    pub(super) const fn has_endpoint_chains(self) -> bool {
        matches!(self, Self::V1_33)
    }

    /// Whether a Service with so many Endpoints chooses among them by a map.
    pub(super) const fn chooses_by_map(self, endpoints: usize) -> bool {
        !matches!(self, Self::V1_37) || endpoints > 1
    }
}

//! What is true of a kube-proxy in each of its modes.

use super::binary::{Binary, Mode};
use crate::descriptor::{Cost, Descriptor, Deviation, Spread, Tool};
use crate::deviations;
use crate::error::ProxyError;
use crate::ipvs::TOOL_IPSET;
use crate::modules::{CONNTRACK, NF_TABLES, SCHEDULERS, SETS, XTABLES};
use crate::options::TOOL_DEADLINE;
use crate::{iptables, ipvs_kube_proxy, nftables};

/// What kube-proxy calls; which implementation stands behind it is up to the machine.
const TOOL_IPTABLES: Tool = Tool {
    program: "iptables",
    package: "iptables",
    also: &[
        "iptables-restore",
        "iptables-save",
        "ip6tables",
        "ip6tables-restore",
        "ip6tables-save",
    ],
};
const TOOL_NFT: Tool = Tool { program: "nft", package: "nftables", also: &[] };

/// Which of the two `iptables` is: `iptables v1.8.9 (legacy)`.
fn is_legacy() -> Result<bool, ProxyError> {
    let args = ["--version"];
    let tool = linux::Tool { program: "iptables", args: &args, env: None, deadline: TOOL_DEADLINE };
    Ok(String::from_utf8_lossy(&tool.read()?).contains("(legacy)"))
}

impl Mode {
    pub(super) fn summary(self) -> &'static str {
        match self {
            Self::Iptables => "a kube-proxy in mode iptables",
            Self::Nftables => "a kube-proxy in mode nftables",
            Self::Ipvs => "a kube-proxy in mode ipvs",
        }
    }

    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Iptables => "rust",
            Self::Nftables => "teal",
            Self::Ipvs => "plum",
        }
    }

    pub(super) fn tools(self) -> &'static [Tool] {
        match self {
            Self::Iptables => &[TOOL_IPTABLES],
            Self::Nftables => &[TOOL_NFT],
            Self::Ipvs => &[TOOL_IPTABLES, TOOL_IPSET],
        }
    }

    pub(super) fn modules(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Iptables => &[CONNTRACK, XTABLES, NF_TABLES, &["ip6t_REJECT"]],
            Self::Nftables => &[CONNTRACK, NF_TABLES],
            Self::Ipvs => &[CONNTRACK, XTABLES, NF_TABLES, &["ip6t_REJECT"], SETS, SCHEDULERS],
        }
    }

    pub(super) fn spread(self) -> Spread {
        match self {
            Self::Iptables | Self::Nftables => Spread::Even,
            Self::Ipvs => Spread::InTurn,
        }
    }

    pub(super) fn deviations(self) -> &'static [Deviation] {
        match self {
            Self::Iptables => deviations::IPTABLES,
            Self::Nftables => &[],
            Self::Ipvs => deviations::IPVS_KUBE_PROXY,
        }
    }

    pub(super) fn cost(self) -> fn(u64, u64) -> Cost {
        match self {
            Self::Iptables => |_, _| Cost {
                sync: 6_000,
                per_1000_endpoints: 2_000,
                per_million_pairs: 4_000,
                per_1000_services_passed: 500,
            },
            Self::Nftables => |_, _| Cost {
                sync: 6_000,
                per_1000_endpoints: 2_000,
                per_million_pairs: 5_000,
                ..Cost::NOTHING
            },
            Self::Ipvs => |_, _| Cost { sync: 9_000, per_1000_endpoints: 9_000, ..Cost::NOTHING },
        }
    }

    /// The kernel parameters that it sets (`NewProxier` in pkg/proxy/iptables/proxier.go and
    /// pkg/proxy/ipvs/proxier.go, Kubernetes 1.36).
    pub(super) fn sysctls(self) -> &'static [&'static str] {
        match self {
            Self::Iptables => &["net.ipv4.conf.all.route_localnet"],
            Self::Nftables => &[],
            Self::Ipvs => &[
                "net.ipv4.conf.all.route_localnet",
                "net.ipv4.vs.conntrack",
                "net.ipv4.vs.conn_reuse_mode",
                "net.ipv4.vs.expire_nodest_conn",
                "net.ipv4.vs.expire_quiescent_template",
                "net.ipv4.ip_forward",
                "net.ipv4.conf.all.arp_ignore",
                "net.ipv4.conf.all.arp_announce",
            ],
        }
    }
}

impl Binary {
    /// The backend of ours that ends in the same state.
    ///
    /// # Errors
    /// `iptables` cannot be asked which of the two it is.
    pub fn ours(&self) -> Result<&'static Descriptor, ProxyError> {
        let minor = self.version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        Ok(match (self.mode, minor) {
            (Mode::Iptables, _) if is_legacy()? => &iptables::LEGACY,
            (Mode::Iptables, _) => &iptables::NFT,
            (Mode::Nftables, Some(..=33)) => &nftables::V1_33,
            (Mode::Nftables, Some(37..)) => &nftables::V1_37,
            (Mode::Nftables, _) => &nftables::V1_36,
            (Mode::Ipvs, _) => &ipvs_kube_proxy::IPVS_KUBE_PROXY,
        })
    }
}

//! What only the IPVS backend takes: scheduler, forwarding, how VIPs become local, and the rules
//! around it.

use generators::Family;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::iptables::tool::Variant;

/// How a packet gets from the node to the Endpoint (`IP_VS_CONN_F_FWD_MASK`,
/// `include/uapi/linux/ip_vs.h`, Linux 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Forwarding {
    /// Addresses are translated, as kube-proxy has it. The answer must come back through the node.
    #[default]
    #[serde(rename = "nat")]
    Nat,
    /// Direct routing: only the link-layer address changes. The Endpoint must hold the VIP and
    /// share a link with the node, and its port must be the port of the Service.
    #[serde(rename = "dr")]
    DirectRoute,
    /// IP-in-IP to the Endpoint, which must hold the VIP; its port must be the port of the Service.
    #[serde(rename = "tun")]
    Tunnel,
}

impl Forwarding {
    /// The name in scenarios: `nat`, `dr` or `tun`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::DirectRoute => "dr",
            Self::Tunnel => "tun",
        }
    }
}

/// How VIPs become addresses of the node, so that packets to them are delivered locally, where IPVS
/// takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VipBinding {
    /// One /32 or /128 address a VIP on the dummy link `kube-ipvs0`, which stays down: what
    /// kube-proxy does (`pkg/proxy/ipvs/netlink_linux.go`, Kubernetes 1.30). The kernel walks the
    /// link's addresses for each one added, so that binding takes time quadratic in their number
    /// (`__inet_insert_ifa`, net/ipv4/devinet.c, Linux 6.1).
    #[default]
    Dummy,
    /// One route of type local to `lo` for the whole range of a family's VIPs, and one for each
    /// address outside of it.
    LocalRoute,
}

impl VipBinding {
    /// The name in scenarios and results: `dummy` or `local-route`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dummy => "dummy",
            Self::LocalRoute => "local-route",
        }
    }
}

/// How the `ipvs` backend programs a Cluster. The default is kube-proxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpvsOptions {
    /// The kernel's name of the scheduler, such as `rr`, `lc`, `mh`; the module `ip_vs_NAME` must
    /// be there.
    pub scheduler: String,
    /// How packets get to Endpoints.
    pub forwarding: Forwarding,
    /// How VIPs become local.
    pub vip_binding: VipBinding,
    /// For [`VipBinding::LocalRoute`]: the range of VIPs, one a family. Of a family without: the
    /// smallest prefix that holds all its VIPs, which is refused if it holds an Endpoint too.
    pub service_cidrs: Vec<IpNet>,
    /// The iptables rules, ipsets and `net.ipv4.vs.conntrack=1` that let the node, hosts outside
    /// the pod network and an Endpoint of the same Service reach a VIP. Off: IPVS alone, to see
    /// what it costs and does by itself.
    pub masquerade: bool,
    /// Refuse an Endpoint at another port than its Service's where forwarding cannot write ports.
    /// Off: the kernel is told so, and sends packets with the port that they have.
    pub refuses_other_ports: bool,
    /// Which iptables carries those rules; they are few, whatever the number of Services.
    pub iptables: Variant,
}

impl IpvsOptions {
    /// The range of VIPs of one family, if it is given.
    pub(super) fn service_cidr(&self, family: Family) -> Option<IpNet> {
        self.service_cidrs.iter().copied().find(|cidr| Family::of(cidr.addr()) == family)
    }
}

impl Default for IpvsOptions {
    fn default() -> Self {
        Self {
            scheduler: "rr".into(),
            forwarding: Forwarding::default(),
            vip_binding: VipBinding::default(),
            service_cidrs: Vec::new(),
            masquerade: true,
            refuses_other_ports: true,
            iptables: Variant::Nft,
        }
    }
}

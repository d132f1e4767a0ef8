//! The ipsets that kube-proxy's IPVS mode keeps, as far as the Cluster model can fill them.
//!
//! `ipsetInfo` in pkg/proxy/ipvs/proxier.go and pkg/proxy/ipvs/ipset.go, Kubernetes 1.30. Sets for
//! load balancers, source ranges, local traffic policies and health checks stay away: the model has
//! none of these.

use linux::netlink::ipset::{HashSize, SetKind};

/// kube-proxy's `hashsize` and `maxelem`.
pub(super) const SIZE_MIN: HashSize = HashSize { buckets: 1024, max_elements: 65_536 };

/// The size of a set that is to have so many members: kube-proxy's, or more if they would not fit.
///
/// Where kube-proxy lets the kernel double the buckets as members come, which moves every member
/// each time, they are made at once here: two members a bucket at most, so that none comes near 12,
/// when the kernel doubles (`mtype_add`, `net/netfilter/ipset/ip_set_hash_gen.h`, Linux 6.1).
pub(super) fn size_for(members: usize) -> HashSize {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    let room = members.checked_next_power_of_two().unwrap_or(1 << 31);
    HashSize {
        buckets: SIZE_MIN.buckets.max(room / 2),
        max_elements: SIZE_MIN.max_elements.max(room),
    }
}

/// One of the sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Set {
    /// Endpoint ip, port and ip again: an Endpoint that reaches itself through a VIP.
    LoopBack,
    /// VIP and port.
    ClusterIp,
    /// External IP and port.
    ExternalIp,
    /// Node ports.
    NodePortTcp,
    /// Node ports.
    NodePortUdp,
    /// Node address and port.
    NodePortSctp,
    /// Every address bound for IPVS, save those of a local route's range.
    IpvsIps,
}

impl Set {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::LoopBack,
        Self::ClusterIp,
        Self::ExternalIp,
        Self::NodePortTcp,
        Self::NodePortUdp,
        Self::NodePortSctp,
        Self::IpvsIps,
    ];

    /// Its place in [`Set::ALL`].
    pub const fn position(self) -> usize {
        self as usize
    }

    /// Its name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoopBack => "KUBE-LOOP-BACK",
            Self::ClusterIp => "KUBE-CLUSTER-IP",
            Self::ExternalIp => "KUBE-EXTERNAL-IP",
            Self::NodePortTcp => "KUBE-NODE-PORT-TCP",
            Self::NodePortUdp => "KUBE-NODE-PORT-UDP",
            Self::NodePortSctp => "KUBE-NODE-PORT-SCTP-HASH",
            Self::IpvsIps => "KUBE-IPVS-IPS",
        }
    }

    /// What its members look like.
    pub const fn kind(self) -> SetKind {
        match self {
            Self::LoopBack => SetKind::AddressPortAddress,
            Self::ClusterIp | Self::ExternalIp | Self::NodePortSctp => SetKind::AddressPort,
            Self::NodePortTcp | Self::NodePortUdp => SetKind::Port,
            Self::IpvsIps => SetKind::Address,
        }
    }
}

//! The ipsets that kube-proxy's IPVS mode keeps for each family, as far as they are needed here.
//!
//! `ipsetInfo` in pkg/proxy/ipvs/proxier.go and pkg/proxy/ipvs/ipset.go, Kubernetes 1.30. Sets for
//! load balancers, source ranges, local traffic policies and health checks stay away: the model has
//! none of these.

use generators::Family;
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

/// How long the name of a set may be (`IPSET_MAXNAMELEN`, without the zero byte:
/// `include/uapi/linux/netfilter/ipset/ip_set.h`, Linux 6.1).
const NAME_MAX: usize = 31;

/// The name of a set of a family; a longer one is cut.
pub(crate) fn name_of(family: Family, purpose: &str) -> String {
    let prefix = match family {
        Family::V4 => "KUBE-",
        Family::V6 => "KUBE-6-",
    };
    let mut name = format!("{prefix}{purpose}");
    name.truncate(NAME_MAX);
    name
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
    pub fn name(self, family: Family) -> String {
        let purpose = match self {
            Self::LoopBack => "LOOP-BACK",
            Self::ClusterIp => "CLUSTER-IP",
            Self::ExternalIp => "EXTERNAL-IP",
            Self::NodePortTcp => "NODE-PORT-TCP",
            Self::NodePortUdp => "NODE-PORT-UDP",
            Self::NodePortSctp => "NODE-PORT-SCTP-HASH",
            Self::IpvsIps => "IPVS-IPS",
        };
        name_of(family, purpose)
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

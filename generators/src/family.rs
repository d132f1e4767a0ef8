//! The two address families, which a proxy programs apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// IPv4 or IPv6. kube-proxy runs once for each (`pkg/proxy/metaproxier`, Kubernetes 1.35).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, strum::Display,
)]
pub enum Family {
    /// IPv4
    #[serde(rename = "ipv4")]
    #[strum(to_string = "IPv4")]
    V4,
    /// IPv6
    #[serde(rename = "ipv6")]
    #[strum(to_string = "IPv6")]
    V6,
}

impl Family {
    /// Both, in the order in which they are programmed.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The bits of an address.
    pub const fn address_bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address of these bits, of which IPv4 takes the lowest 32.
    #[expect(clippy::cast_possible_truncation, reason = "an IPv4 address has 32 bits")]
    pub(crate) const fn address(self, bits: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }
}

/// The bits of an address as a number.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

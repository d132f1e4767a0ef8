//! Which address comes next: the layout of VIPs and Endpoints.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::family::{Family, bits};
use crate::random::{Permutation, SplitMix64};

/// How VIPs follow each other. Hash tables in kernels are sensitive to it: before Linux 7.1 IPVS
/// kept Services in 256 buckets and hashed an IPv4 VIP by its last octet and port alone
/// (`ip_vs_svc_hashkey`, `net/netfilter/ipvs/ip_vs_ctl.c`, Linux 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum VipLayout {
    /// 10.96.0.1, 10.96.0.2, 10.96.0.3, ...
    Consecutive,
    /// Distinct addresses anywhere in the range.
    Random,
    /// Every `step`-th address, then the same again one address later. With a step of 256 that is
    /// 10.96.0.1, 10.96.1.1, 10.96.2.1, ...
    Strided {
        /// Distance between one VIP and the next, at least 2.
        step: u32,
    },
}

/// The number of addresses of a range that may be given out: all but the first and the last, which
/// Kubernetes does not give to Services either (`pkg/registry/core/service/ipallocator`, 1.35). Of
/// a range of more than 2^62 only the first so many.
pub(crate) fn usable(range: IpNet) -> u64 {
    let bits = range.max_prefix_len() - range.prefix_len();
    (1_u64 << bits.min(62)).saturating_sub(2)
}

/// The usable address number `index`, which is taken modulo their number.
fn nth(range: IpNet, index: u64) -> IpAddr {
    let offset = index.checked_rem(usable(range)).unwrap_or(0) + 1;
    let network = range.network();
    Family::of(network).address(bits(network) | u128::from(offset))
}

/// The addresses of a range in the order in which they are given out. Those of Endpoints are always
/// in random order, as Pods of one Service are spread over nodes.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    range: IpNet,
    order: Order,
}

#[derive(Debug, Clone)]
enum Order {
    Consecutive,
    Random(Permutation),
    Strided { step: u64, in_lap: u64 },
}

impl Addresses {
    pub(crate) fn new(range: IpNet, layout: VipLayout, random: SplitMix64) -> Self {
        let order = match layout {
            VipLayout::Consecutive => Order::Consecutive,
            VipLayout::Random => Order::Random(Permutation::new(usable(range), random)),
            VipLayout::Strided { step } => {
                let step = u64::from(step.max(1));
                Order::Strided { step, in_lap: usable(range) / step }
            }
        };
        Self { range, order }
    }

    /// The range that they are in.
    pub(crate) const fn range(&self) -> &IpNet {
        &self.range
    }

    /// How many distinct addresses there are.
    pub(crate) fn capacity(&self) -> u64 {
        match self.order {
            Order::Consecutive | Order::Random(_) => usable(self.range),
            Order::Strided { step, in_lap } => step * in_lap,
        }
    }

    /// The address number `index`, which is taken modulo the capacity.
    pub(crate) fn at(&self, index: u64) -> IpAddr {
        let index = index.checked_rem(self.capacity()).unwrap_or(0);
        let place = match &self.order {
            Order::Consecutive => index,
            Order::Random(permutation) => permutation.at(index),
            // Each lap through the range starts one address later than the one before.
            Order::Strided { step, in_lap } => {
                let in_lap = (*in_lap).max(1);
                (index % in_lap) * step + index / in_lap
            }
        };
        nth(self.range, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn first_vips(layout: VipLayout, cidr: &str, count: u64) -> Vec<String> {
        let vips = Addresses::new(range(cidr), layout, SplitMix64::new(9));
        (0..count).map(|index| vips.at(index).to_string()).collect()
    }

    #[test]
    fn the_first_and_last_address_of_a_range_are_not_usable() {
        assert_eq!(usable(range("10.96.0.0/12")), 1_048_574);
        assert_eq!(usable(range("10.0.0.0/30")), 2);
        assert_eq!(usable(range("10.0.0.0/31")), 0);
        assert_eq!(usable(range("10.0.0.0/32")), 0);
        assert_eq!(usable(range("0.0.0.0/0")), 4_294_967_294);
        assert_eq!(usable(range("fd00::/108")), 1_048_574);
        assert_eq!([usable(range("fd00::/66")), usable(range("fd00::/8"))], [(1 << 62) - 2; 2]);
        assert_eq!(usable(range("fd00::1/128")), 0);
        for (cidr, index, address) in [
            ("10.0.0.0/30", 0, "10.0.0.1"),
            ("10.0.0.0/30", 1, "10.0.0.2"),
            ("0.0.0.0/0", 4_294_967_293, "255.255.255.254"),
            ("fd00::/108", 1_048_573, "fd00::f:fffe"),
        ] {
            assert_eq!(nth(range(cidr), index).to_string(), address);
        }
    }

    #[test]
    fn consecutive_vips_follow_each_other() {
        assert_eq!(
            first_vips(VipLayout::Consecutive, "10.96.0.0/12", 3),
            ["10.96.0.1", "10.96.0.2", "10.96.0.3"]
        );
    }

    #[test]
    fn strided_vips_keep_their_low_octet_and_laps_begin_one_later() {
        assert_eq!(
            first_vips(VipLayout::Strided { step: 256 }, "10.96.0.0/22", 5),
            ["10.96.0.1", "10.96.1.1", "10.96.2.1", "10.96.0.2", "10.96.1.2"]
        );
    }

    #[test]
    fn every_layout_gives_distinct_vips_inside_its_range() {
        let layouts = [VipLayout::Consecutive, VipLayout::Random, VipLayout::Strided { step: 100 }];
        let ranges = ["10.96.0.0/22", "fd00::/118"].map(range);
        for (layout, cidr) in
            layouts.into_iter().flat_map(|layout| ranges.map(|cidr| (layout, cidr)))
        {
            let vips = Addresses::new(cidr, layout, SplitMix64::new(4));
            let mut all: Vec<IpAddr> = (0..vips.capacity()).map(|index| vips.at(index)).collect();
            assert!(all.iter().all(|vip| {
                cidr.contains(vip) && *vip != cidr.network() && *vip != cidr.broadcast()
            }));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len() as u64, vips.capacity(), "{layout:?}");
            assert_eq!(vips.at(vips.capacity() + 5), vips.at(5), "{layout:?} begins again");
        }
    }

    #[test]
    fn a_stride_longer_than_its_range_has_no_room() {
        let vips = Addresses::new(
            range("10.0.0.0/24"),
            VipLayout::Strided { step: 256 },
            SplitMix64::new(4),
        );
        assert_eq!(vips.capacity(), 0);
    }
}

//! Local addresses and set members: what several Services may need and the kernel holds once.
//!
//! Kept sorted a kind, so that two states are compared in one pass without hashing; Clusters are mostly in the order of
//! their addresses already.

use std::cmp::Ordering;
use std::fmt;

use ipnet::Ipv4Net;
use linux::netlink::ipset::Member;

use super::sets::Set;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Item {
    /// An address or range that packets are delivered for.
    Local(Ipv4Net),
    /// A member of a set.
    Member(Set, Member),
}

impl Item {
    const fn kind(&self) -> usize {
        match self {
            Self::Local(_) => 0,
            Self::Member(set, _) => 1 + set.position(),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(prefix) => write!(f, "local address {prefix}"),
            Self::Member(set, member) => write!(f, "{} in ipset {}", member, set.name()),
        }
    }
}

/// An item and the label of a Service that needs it.
pub(super) type Labelled = (Item, u32);

/// A collection of items, each once after [`Items::sort`].
#[derive(Debug, Default)]
pub(super) struct Items {
    kinds: [Vec<Labelled>; 1 + Set::ALL.len()],
}

/// Which side of a comparison has an item that the other lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Wanted and not there.
    Missing,
    /// There and not wanted.
    Unexpected,
}

impl Items {
    /// No items, with room for so many of each kind that all Services need.
    pub fn with_capacity(services: usize) -> Self {
        let mut items = Self::default();
        for kind in [Set::LoopBack, Set::ClusterIp].map(|set| 1 + set.position()) {
            if let Some(kind) = items.kinds.get_mut(kind) {
                kind.reserve(services);
            }
        }
        items
    }

    /// Adds an item.
    pub fn push(&mut self, item: Item, label: u32) {
        // In bounds, as `kind` counts what the array is made for.
        if let Some(kind) = self.kinds.get_mut(item.kind())
            && kind.last().is_none_or(|(last, _)| *last != item)
        {
            kind.push((item, label));
        }
    }

    /// Puts the items in order and drops those that are there twice.
    pub fn sort(&mut self) {
        for kind in &mut self.kinds {
            if !kind.is_sorted_by(|(left, _), (right, _)| left < right) {
                kind.sort_unstable();
                kind.dedup_by_key(|(item, _)| *item);
            }
        }
    }

    /// Calls `each` for every item that one of two sorted collections has alone.
    pub fn compare(&self, there: &Self, mut each: impl FnMut(Side, Labelled)) {
        for (wanted, there) in self.kinds.iter().zip(&there.kinds) {
            if there.is_empty() {
                for item in wanted {
                    each(Side::Missing, *item);
                }
                continue;
            }
            let (mut wanted, mut there) = (wanted.iter().peekable(), there.iter().peekable());
            // Each turn takes at least one item from one side.
            loop {
                let order = match (wanted.peek(), there.peek()) {
                    (None, None) => break,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((left, _)), Some((right, _))) => left.cmp(right),
                };
                let left = if order.is_le() { wanted.next() } else { None };
                let right = if order.is_ge() { there.next() } else { None };
                match (left, right) {
                    (Some(item), None) => each(Side::Missing, *item),
                    (None, Some(item)) => each(Side::Unexpected, *item),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn collection(addresses: &[u8]) -> Items {
        let mut items = Items::default();
        for (label, last) in (0..).zip(addresses) {
            let address = Ipv4Addr::new(10, 96, 0, *last);
            items.push(Item::Local(Ipv4Net::from(address)), label);
            items.push(Item::Member(Set::IpvsIps, Member { address, ..Member::NONE }), label);
        }
        items.sort();
        items
    }

    #[test]
    fn a_comparison_tells_what_is_missing_and_what_is_unexpected() {
        let mut found = Vec::new();
        collection(&[5, 2, 9, 2]).compare(&collection(&[7, 5]), |side, (item, label)| {
            found.push((side, item.to_string(), label));
        });
        let expected = [
            (Side::Missing, "local address 10.96.0.2/32", 1),
            (Side::Unexpected, "local address 10.96.0.7/32", 0),
            (Side::Missing, "local address 10.96.0.9/32", 2),
            (Side::Missing, "10.96.0.2 in ipset KUBE-IPVS-IPS", 1),
            (Side::Unexpected, "10.96.0.7 in ipset KUBE-IPVS-IPS", 0),
            (Side::Missing, "10.96.0.9 in ipset KUBE-IPVS-IPS", 2),
        ];
        assert_eq!(found, expected.map(|(side, words, label)| (side, words.to_owned(), label)));
    }
}

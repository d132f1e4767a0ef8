//! Local addresses and set members of one family: what several Services may need and the kernel
//! holds once.
//!
//! Kept sorted a kind, so that two states are compared in one pass without hashing; Clusters are
//! mostly in the order of their addresses already.

use std::cmp::Ordering;

use generators::Family;
use ipnet::IpNet;
use linux::netlink::ipset::Member;

use super::sets::Set;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum NodeObject {
    /// An address or range that packets are delivered for.
    Local(IpNet),
    /// A member of a set.
    Member(Set, Member),
}

impl NodeObject {
    const fn kind(&self) -> usize {
        match self {
            Self::Local(_) => 0,
            Self::Member(set, _) => 1 + set.position(),
        }
    }

    /// What it is, among those of this family.
    pub fn words(&self, family: Family) -> String {
        match self {
            Self::Local(prefix) => format!("local address {prefix}"),
            Self::Member(set, member) => format!("{member} in ipset {}", set.name(family)),
        }
    }
}

/// The label of what no Service of a request needs.
pub(super) const NO_SERVICE: u32 = u32::MAX;

/// An object and the label of a Service that needs it.
pub(super) type LabelledObject = (NodeObject, u32);

/// A collection of objects, each once after [`NodeObjects::sort`].
#[derive(Debug, Default)]
pub(super) struct NodeObjects {
    kinds: [Vec<LabelledObject>; 1 + Set::ALL.len()],
}

/// Which side of a comparison has an object that the other lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Wanted and not there.
    Missing,
    /// There and not wanted.
    Unexpected,
}

impl NodeObjects {
    /// No objects, with room for so many of each kind that all Services need.
    pub fn with_capacity(services: usize) -> Self {
        let mut objects = Self::default();
        for kind in [Set::LoopBack, Set::ClusterIp].map(|set| 1 + set.position()) {
            if let Some(kind) = objects.kinds.get_mut(kind) {
                kind.reserve(services);
            }
        }
        objects
    }

    /// Adds an object.
    pub fn push(&mut self, object: NodeObject, label: u32) {
        // In bounds, as `kind` counts what the array is made for.
        if let Some(kind) = self.kinds.get_mut(object.kind())
            && kind.last().is_none_or(|(last, _)| *last != object)
        {
            kind.push((object, label));
        }
    }

    /// Puts the objects in order and drops those that are there twice.
    pub fn sort(&mut self) {
        for kind in &mut self.kinds {
            if !kind.is_sorted_by(|(left, _), (right, _)| left < right) {
                kind.sort_unstable();
                kind.dedup_by_key(|(object, _)| *object);
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.kinds.iter().map(Vec::len).sum()
    }

    /// Calls `each` for every object that one of two sorted collections has alone.
    pub fn compare(&self, there: &Self, mut each: impl FnMut(Side, LabelledObject)) {
        for (wanted, there) in self.kinds.iter().zip(&there.kinds) {
            if there.is_empty() {
                for object in wanted {
                    each(Side::Missing, *object);
                }
                continue;
            }
            let (mut wanted, mut there) = (wanted.iter().peekable(), there.iter().peekable());
            // Each turn takes at least one object from one side.
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
                    (Some(object), None) => each(Side::Missing, *object),
                    (None, Some(object)) => each(Side::Unexpected, *object),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn collection(addresses: &[u8]) -> NodeObjects {
        let mut objects = NodeObjects::default();
        for (label, last) in (0..).zip(addresses) {
            let address = IpAddr::from([10, 96, 0, *last]);
            objects.push(NodeObject::Local(address.into()), label);
            objects
                .push(NodeObject::Member(Set::IpvsIps, Member { address, ..Member::NONE }), label);
        }
        objects.sort();
        objects
    }

    #[test]
    fn a_comparison_tells_what_is_missing_and_what_is_unexpected() {
        let mut found = Vec::new();
        collection(&[5, 2, 9, 2]).compare(&collection(&[7, 5]), |side, (object, label)| {
            found.push((side, object.words(Family::V4), label));
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

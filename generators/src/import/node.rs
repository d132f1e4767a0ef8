//! The node that a Cluster is seen from: which Endpoints are its own, and which are meant for it.

use std::collections::HashMap;
use std::sync::Arc;

use super::collect::{SeenEndpoint, SeenSlice};
use super::objects::HintName;
use crate::endpoint::{Endpoint, Hint};

/// A node and the zone that it is in, by name; nothing where none is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Viewpoint {
    /// Name of the node.
    pub node: Option<Arc<str>>,
    /// Name of its zone.
    pub zone: Option<Arc<str>>,
}

impl Viewpoint {
    /// What is not given is taken from the Endpoints: the node that has most of them (of those with
    /// as many the first by name), and the zone of its Endpoints.
    pub(super) fn or_from<'a>(self, slices: impl Iterator<Item = &'a SeenSlice> + Clone) -> Self {
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        let node = self.node.or_else(|| busiest(endpoints.clone()));
        let zone = self.zone.or_else(|| {
            let mut own = endpoints.filter(|endpoint| node.is_some() && endpoint.node == node);
            own.find_map(|endpoint| endpoint.zone.clone())
        });
        Self { node, zone }
    }

    /// An Endpoint as it is seen from here. Where no node is known, as in lists written by hand,
    /// all are on this one.
    pub(super) fn endpoint(&self, seen: &SeenEndpoint, port: u16) -> Endpoint {
        let of = |list: fn(&super::objects::Hints) -> &Option<Vec<HintName>>,
                  own: &Option<Arc<str>>| {
            hint(seen.hints.as_ref().and_then(|hints| list(hints).as_deref()), own.as_deref())
        };
        Endpoint {
            state: seen.state,
            is_remote: self.node.is_some() && seen.node != self.node,
            node_hint: of(|hints| &hints.for_nodes, &self.node),
            zone_hint: of(|hints| &hints.for_zones, &self.zone),
            ..Endpoint::new(seen.address, port)
        }
    }
}

fn hint(names: Option<&[HintName]>, own: Option<&str>) -> Hint {
    match names {
        None | Some([]) => Hint::None,
        Some(names) if names.iter().any(|hint| Some(&*hint.name) == own) => Hint::Here,
        Some(_) => Hint::Elsewhere,
    }
}

/// The node with most Endpoints.
fn busiest<'a>(endpoints: impl Iterator<Item = &'a SeenEndpoint>) -> Option<Arc<str>> {
    let mut counts: HashMap<&Arc<str>, usize> = HashMap::new();
    for node in endpoints.filter_map(|endpoint| endpoint.node.as_ref()) {
        *counts.entry(node).or_default() += 1;
    }
    let best = counts
        .into_iter()
        .max_by(|(one, count), (other, others)| count.cmp(others).then_with(|| other.cmp(one)));
    best.map(|(node, _)| node.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointState;
    use crate::family::Family;
    use crate::import::objects::Hints;

    /// Endpoints on these nodes in these zones; `-` is none.
    fn slices(endpoints: &[(&str, &str)]) -> Vec<SeenSlice> {
        let name = |text: &str| (text != "-").then(|| text.into());
        let seen = |(node, zone): &(&str, &str)| SeenEndpoint {
            address: [10, 128, 0, 1].into(),
            state: EndpointState::Ready,
            node: name(node),
            zone: name(zone),
            hints: None,
        };
        let of_one =
            |one| SeenSlice { family: Family::V4, ports: Vec::new(), endpoints: vec![seen(one)] };
        endpoints.iter().map(of_one).collect()
    }

    fn view(node: Option<&str>, zone: Option<&str>) -> Viewpoint {
        Viewpoint { node: node.map(Into::into), zone: zone.map(Into::into) }
    }

    #[test]
    fn the_node_with_most_endpoints_is_looked_from() {
        let seen = slices(&[("n1", "a"), ("n2", "b"), ("n2", "b"), ("-", "c")]);
        assert_eq!(Viewpoint::default().or_from(seen.iter()), view(Some("n2"), Some("b")));
        // Endpoints without a node do not count, however many there are.
        let seen = slices(&[("-", "a"), ("-", "a"), ("n1", "-"), ("n1", "b")]);
        assert_eq!(Viewpoint::default().or_from(seen.iter()), view(Some("n1"), Some("b")));
    }

    #[test]
    fn of_nodes_with_as_many_the_first_by_name_is_looked_from() {
        for order in [["n3", "n1", "n2"], ["n1", "n2", "n3"]] {
            let seen = slices(&order.map(|node| (node, "-")));
            assert_eq!(Viewpoint::default().or_from(seen.iter()), view(Some("n1"), None));
        }
    }

    #[test]
    fn what_is_given_is_kept() {
        let seen = slices(&[("n1", "a"), ("n2", "b"), ("n2", "b")]);
        assert_eq!(view(Some("n1"), None).or_from(seen.iter()), view(Some("n1"), Some("a")));
        assert_eq!(view(Some("n9"), None).or_from(seen.iter()), view(Some("n9"), None));
        assert_eq!(view(None, Some("z")).or_from(seen.iter()), view(Some("n2"), Some("z")));
        let both = view(Some("n9"), Some("z"));
        assert_eq!(both.clone().or_from(seen.iter()), both);
    }

    #[test]
    fn without_names_of_nodes_all_endpoints_are_on_this_one() {
        let seen = slices(&[("-", "a"), ("-", "a")]);
        let from = Viewpoint::default().or_from(seen.iter());
        assert_eq!(from, Viewpoint::default());
        assert!(!from.endpoint(&seen[0].endpoints[0], 80).is_remote);
    }

    #[test]
    fn endpoints_are_here_and_meant_for_here_by_name() {
        let named = |names: &[&str]| {
            let names = names.iter().map(|&name| HintName { name: name.into() });
            Some(names.collect::<Vec<_>>())
        };
        let from = view(Some("n1"), Some("a"));
        let seen = |node: &str, for_nodes, for_zones| {
            let hints = Some(Box::new(Hints { for_zones, for_nodes }));
            let [slice] = &mut slices(&[(node, "a")])[..] else { panic!("one") };
            let endpoint = SeenEndpoint { hints, ..slice.endpoints.remove(0) };
            let Endpoint { is_remote, node_hint, zone_hint, .. } = from.endpoint(&endpoint, 80);
            (is_remote, node_hint, zone_hint)
        };
        assert_eq!(seen("n1", None, None), (false, Hint::None, Hint::None));
        assert_eq!(seen("n2", named(&[]), named(&["b", "a"])), (true, Hint::None, Hint::Here));
        assert_eq!(seen("n1", named(&["n1"]), named(&["b"])), (false, Hint::Here, Hint::Elsewhere));
        assert_eq!(seen("-", named(&["n2"]), None), (true, Hint::Elsewhere, Hint::None));
    }
}

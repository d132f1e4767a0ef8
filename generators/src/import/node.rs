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

    /// An Endpoint as it is seen from here.
    pub(super) fn endpoint(&self, seen: &SeenEndpoint, port: u16) -> Endpoint {
        let of = |list: fn(&super::objects::Hints) -> &Option<Vec<HintName>>,
                  own: &Option<Arc<str>>| {
            hint(seen.hints.as_ref().and_then(|hints| list(hints).as_deref()), own.as_deref())
        };
        Endpoint {
            state: seen.state,
            is_remote: self.node.is_none() || seen.node != self.node,
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

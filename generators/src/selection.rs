//! Which Endpoints of a Service take its traffic, as kube-proxy chooses them.
//!
//! `CategorizeEndpoints` and `topologyModeFromHints` in `pkg/proxy/topology.go`, Kubernetes 1.36.

use std::borrow::Cow;

use crate::endpoint::{Endpoint, EndpointState, Hint};
use crate::extras::TrafficPolicy;
use crate::service::Service;

/// The Endpoints of a Service by the policy that sends traffic to them, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets<'a> {
    /// Those of traffic under the policy Cluster; empty if nothing uses it.
    pub cluster: Cow<'a, [Endpoint]>,
    /// Those of traffic under the policy Local; empty if nothing uses it.
    pub local: Cow<'a, [Endpoint]>,
    /// Whether any Endpoint anywhere could answer: if not, connections are refused, and if none can
    /// be reached from here they are dropped.
    pub has_any: bool,
}

impl Targets<'_> {
    /// All that this node sends traffic to, in their order (`allLocallyReachableEndpoints`).
    pub fn reachable(&self) -> Cow<'_, [Endpoint]> {
        if self.local.is_empty() {
            return Cow::Borrowed(&self.cluster);
        }
        if self.cluster.is_empty() {
            return Cow::Borrowed(&self.local);
        }
        let mut all = [&self.cluster[..], &self.local[..]].concat();
        all.sort_by_cached_key(|endpoint| endpoint.text_key());
        all.dedup();
        Cow::Owned(all)
    }

    /// Those under a policy.
    pub fn under(&self, policy: TrafficPolicy) -> &[Endpoint] {
        match policy {
            TrafficPolicy::Cluster => &self.cluster,
            TrafficPolicy::Local => &self.local,
        }
    }
}

/// What is asked of an Endpoint beyond being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topology {
    Anywhere,
    ForNode,
    ForZone,
}

impl Topology {
    /// Hints count if every ready Endpoint has them and one of them names this node, or else its
    /// zone.
    fn of(endpoints: &[Endpoint]) -> Self {
        let ready = || endpoints.iter().filter(|endpoint| endpoint.is_ready());
        let counts = |hint: fn(&Endpoint) -> Hint| {
            ready().all(|endpoint| hint(endpoint) != Hint::None)
                && ready().any(|endpoint| hint(endpoint) == Hint::Here)
        };
        if counts(|endpoint| endpoint.node_hint) {
            Self::ForNode
        } else if counts(|endpoint| endpoint.zone_hint) {
            Self::ForZone
        } else {
            Self::Anywhere
        }
    }

    fn admits(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Anywhere => true,
            Self::ForNode => endpoint.node_hint == Hint::Here,
            Self::ForZone => endpoint.zone_hint == Hint::Here,
        }
    }
}

impl Service {
    /// The Endpoints that take its traffic. Takes no memory where these are all.
    pub fn targets(&self) -> Targets<'_> {
        let (all, extras) = (self.endpoints(), self.extras());
        let is_local_inside = extras.internal_policy == TrafficPolicy::Local;
        let uses_cluster = !is_local_inside || extras.is_external();
        let uses_local = is_local_inside
            || (extras.external_policy == TrafficPolicy::Local && extras.is_external());
        let nothing = || Cow::Borrowed(&[][..]);
        let cluster = if uses_cluster { of_cluster(all) } else { nothing() };
        let local = if uses_local { best(all, |endpoint| !endpoint.is_remote) } else { nothing() };
        let serves = |endpoint: &Endpoint| endpoint.state != EndpointState::NotReady;
        let has_any = !cluster.is_empty() || all.iter().any(serves);
        Targets { cluster, local, has_any }
    }
}

/// Those that are ready and meant for here; where none is, those that serve until they end.
fn of_cluster(all: &[Endpoint]) -> Cow<'_, [Endpoint]> {
    let topology = Topology::of(all);
    if topology == Topology::Anywhere {
        return best(all, |_| true);
    }
    kept(all, |endpoint| endpoint.is_ready() && topology.admits(endpoint))
}

/// Of those that `admits` lets through the ready ones; if there are none, the terminating ones.
fn best(all: &[Endpoint], admits: impl Fn(&Endpoint) -> bool) -> Cow<'_, [Endpoint]> {
    let ready = kept(all, |endpoint| endpoint.is_ready() && admits(endpoint));
    if !ready.is_empty() {
        return ready;
    }
    kept(all, |endpoint| endpoint.state == EndpointState::Terminating && admits(endpoint))
}

fn kept(all: &[Endpoint], is_kept: impl Fn(&Endpoint) -> bool) -> Cow<'_, [Endpoint]> {
    if all.iter().all(&is_kept) {
        return Cow::Borrowed(all);
    }
    all.iter().filter(|endpoint| is_kept(endpoint)).copied().collect()
}

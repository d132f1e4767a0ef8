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
        Endpoint::sort_by_text(&mut all);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extras::Extras;
    use crate::service::Protocol;

    /// Endpoint number `last`, ready and here.
    fn endpoint(last: u8) -> Endpoint {
        Endpoint::new([10, 128, 0, last].into(), 80)
    }

    fn away(last: u8) -> Endpoint {
        Endpoint { is_remote: true, ..endpoint(last) }
    }

    fn ending(endpoint: Endpoint) -> Endpoint {
        Endpoint { state: EndpointState::Terminating, ..endpoint }
    }

    fn not_ready(endpoint: Endpoint) -> Endpoint {
        Endpoint { state: EndpointState::NotReady, ..endpoint }
    }

    fn hinted(endpoint: Endpoint, node_hint: Hint, zone_hint: Hint) -> Endpoint {
        Endpoint { node_hint, zone_hint, ..endpoint }
    }

    const NOTHING: fn(&mut Extras) = |_| {};
    const INTERNAL: fn(&mut Extras) = |extras| extras.internal_policy = TrafficPolicy::Local;
    const EXTERNAL: fn(&mut Extras) = |extras| {
        extras.external_policy = TrafficPolicy::Local;
        extras.node_port = Some(30_000);
    };

    /// The last bytes of the Endpoints under Cluster, under Local, and all; and whether any is.
    fn chosen(set: fn(&mut Extras), endpoints: &[Endpoint]) -> (Vec<u8>, Vec<u8>, Vec<u8>, bool) {
        let vip = [10, 96, 0, 1].into();
        let name = "ns/a".parse().unwrap();
        let service = Service::new(name, vip, 80, Protocol::Tcp, endpoints.to_vec()).unwrap();
        let service = service.with(set).unwrap();
        let targets = service.targets();
        let last = |endpoints: &[Endpoint]| -> Vec<u8> {
            endpoints.iter().map(|one| crate::family::bits(one.address).to_le_bytes()[0]).collect()
        };
        assert_eq!(targets.under(TrafficPolicy::Cluster), &*targets.cluster);
        assert_eq!(targets.under(TrafficPolicy::Local), &*targets.local);
        let reachable = targets.reachable();
        (last(&targets.cluster), last(&targets.local), last(&reachable), targets.has_any)
    }

    #[test]
    fn ready_endpoints_take_traffic_and_terminating_ones_where_none_is() {
        let all = [endpoint(1), ending(endpoint(2)), not_ready(endpoint(3)), away(4)];
        assert_eq!(chosen(NOTHING, &all), (vec![1, 4], vec![], vec![1, 4], true));
        assert_eq!(chosen(NOTHING, &all[1..3]), (vec![2], vec![], vec![2], true));
        assert_eq!(chosen(NOTHING, &all[2..3]), (vec![], vec![], vec![], false));
        assert_eq!(chosen(NOTHING, &[]), (vec![], vec![], vec![], false));
    }

    #[test]
    fn where_all_take_traffic_nothing_is_copied() {
        let name = "ns/a".parse().unwrap();
        let endpoints = vec![endpoint(1), away(2)];
        let vip = [10, 96, 0, 1].into();
        let service = Service::new(name, vip, 80, Protocol::Tcp, endpoints).unwrap();
        assert!(matches!(service.targets().cluster, Cow::Borrowed(_)));
        assert!(matches!(service.targets().reachable(), Cow::Borrowed(_)));
    }

    #[test]
    fn internal_local_takes_endpoints_of_this_node_alone() {
        let all = [endpoint(1), away(2), ending(endpoint(3)), not_ready(endpoint(4))];
        assert_eq!(chosen(INTERNAL, &all), (vec![], vec![1], vec![1], true));
        // None that is ready is here, so those that serve until they end.
        assert_eq!(chosen(INTERNAL, &all[1..]), (vec![], vec![3], vec![3], true));
        // None is here: connections are dropped, not refused.
        assert_eq!(chosen(INTERNAL, &[away(2)]), (vec![], vec![], vec![], true));
        assert_eq!(chosen(INTERNAL, &[ending(away(2))]), (vec![], vec![], vec![], true));
        assert_eq!(chosen(INTERNAL, &[not_ready(away(2))]), (vec![], vec![], vec![], false));
    }

    #[test]
    fn external_local_needs_both_sets() {
        let all = [endpoint(1), away(2)];
        assert_eq!(chosen(EXTERNAL, &all), (vec![1, 2], vec![1], vec![1, 2], true));
        assert_eq!(chosen(EXTERNAL, &all[1..]), (vec![2], vec![], vec![2], true));
        // The local one ends, and there are ready ones elsewhere: both are reachable.
        let all = [away(3), ending(endpoint(10)), away(2)];
        assert_eq!(chosen(EXTERNAL, &all), (vec![2, 3], vec![10], vec![10, 2, 3], true));
        // A policy for traffic that there is none of.
        let idle = |extras: &mut Extras| extras.external_policy = TrafficPolicy::Local;
        assert_eq!(chosen(idle, &[away(2)]), (vec![2], vec![], vec![2], true));
    }

    #[test]
    fn under_both_policies_traffic_from_here_to_outside_addresses_still_goes_anywhere() {
        let both = |extras: &mut Extras| {
            INTERNAL(extras);
            EXTERNAL(extras);
        };
        assert_eq!(chosen(both, &[endpoint(1), away(2)]), (vec![1, 2], vec![1], vec![1, 2], true));
        let internal = |extras: &mut Extras| {
            INTERNAL(extras);
            extras.external_ips = vec![[192, 0, 2, 1].into()];
        };
        assert_eq!(chosen(internal, &[away(2)]), (vec![2], vec![], vec![2], true));
    }

    #[test]
    fn hints_for_the_node_come_before_those_for_the_zone() {
        use Hint::{Elsewhere, Here, None};
        let zoned = [hinted(endpoint(1), None, Here), hinted(away(2), None, Elsewhere)];
        assert_eq!(chosen(NOTHING, &zoned).0, [1]);
        let both = [
            hinted(endpoint(1), Elsewhere, Here),
            hinted(away(2), Here, Elsewhere),
            hinted(away(3), Elsewhere, Here),
        ];
        assert_eq!(chosen(NOTHING, &both).0, [2]);
        // Nobody is meant for this node, so those of its zone.
        assert_eq!(chosen(NOTHING, &[both[0], both[2]]).0, [1, 3]);
        // One has no hint for a node, one none for a zone: all.
        let partly = [hinted(endpoint(1), None, Here), hinted(away(2), Here, None)];
        assert_eq!(chosen(NOTHING, &partly).0, [1, 2]);
        let others = [hinted(endpoint(1), Elsewhere, Elsewhere), hinted(away(2), None, Elsewhere)];
        assert_eq!(chosen(NOTHING, &others).0, [1, 2]);
    }

    #[test]
    fn hints_of_endpoints_that_are_not_ready_do_not_count() {
        let here = hinted(endpoint(1), Hint::None, Hint::Here);
        let elsewhere = hinted(away(3), Hint::None, Hint::Elsewhere);
        assert_eq!(chosen(NOTHING, &[here, ending(away(2)), elsewhere]).0, [1]);
        // Without a ready one, hints count for nothing.
        assert_eq!(chosen(NOTHING, &[ending(here), ending(elsewhere)]).0, [1, 3]);
        // The policy Local knows no hints.
        let local = hinted(endpoint(4), Hint::None, Hint::Elsewhere);
        let all = [hinted(away(5), Hint::None, Hint::Here), local];
        assert_eq!(chosen(EXTERNAL, &all), (vec![5], vec![4], vec![4, 5], true));
    }
}

//! From what is to what is wanted: listeners to open, to point elsewhere and to close, routes to
//! add and to remove. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use generators::{Cluster, Step};
use ipnet::IpNet;
use linux::netlink::encode::Batch;
use linux::netlink::{Encoder, route};

use super::listeners::{At, Listeners, Node, Target};
use crate::error::ProxyError;
use crate::moved::moved;
use crate::program::Size;

/// What a namespace is known to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub node: Node,
    /// What the proxy in it works by.
    pub listeners: Listeners,
    /// Prefixes that we made local; read before a full sync alone.
    pub routes: BTreeSet<IpNet>,
}

/// What one sync does.
#[derive(Debug)]
pub(super) struct Plan {
    /// Listeners that are new or get other Endpoints.
    pub open: Vec<(At, Target)>,
    /// Listeners that end.
    pub close: Vec<At>,
    /// Routes by which new addresses become local.
    pub add: Batch,
    /// Routes that end.
    pub remove: Batch,
}

impl State {
    /// What makes it a whole Cluster.
    ///
    /// # Errors
    /// A Service that the proxy cannot serve.
    pub fn to(&self, cluster: &Cluster) -> Result<Plan, ProxyError> {
        let wanted = self.node.listeners(cluster)?;
        let close = self.listeners.keys().filter(|at| !wanted.contains_key(at)).copied().collect();
        let routes: BTreeSet<IpNet> = wanted
            .keys()
            .filter(|at| self.node.needs_route(at.address))
            .map(|at| host_route(at.address))
            .collect();
        Ok(Plan {
            open: self.changed(wanted),
            close,
            add: written(route::NEW_ROUTE, routes.difference(&self.routes)),
            remove: written(route::DELETE_ROUTE, self.routes.difference(&routes)),
        })
    }

    /// What makes it the Cluster after a Step, if it is the one before.
    ///
    /// # Errors
    /// As for [`Self::to`].
    pub fn by(&self, step: &Step<'_>) -> Result<Plan, ProxyError> {
        let (open, close) = moved(step, |service| {
            // Those of IPv6 are never served.
            if service.vip().is_ipv4() { self.node.of_service(service) } else { Ok(Vec::new()) }
        })?;
        let (add, remove) = self.moved(&open, &close);
        let (open, close) = (self.changed(open), close.into_iter().collect());
        Ok(Plan {
            open,
            close,
            add: written(route::NEW_ROUTE, &add),
            remove: written(route::DELETE_ROUTE, &remove),
        })
    }

    /// What it becomes.
    pub fn enter(&mut self, plan: &Plan) {
        for at in &plan.close {
            self.listeners.remove(at);
        }
        self.listeners.extend(plan.open.iter().cloned());
    }

    /// Those that are not yet there like this.
    fn changed(&self, wanted: Listeners) -> Vec<(At, Target)> {
        let is_new = |at: &At, target: &Target| self.listeners.get(at) != Some(target);
        wanted.into_iter().filter(|(at, target)| is_new(at, target)).collect()
    }

    /// Addresses that get their first listener, and those that lose their last.
    fn moved(&self, open: &Listeners, close: &BTreeSet<At>) -> (Vec<IpNet>, Vec<IpNet>) {
        let touched: BTreeSet<Ipv4Addr> = open.keys().chain(close).map(|at| at.address).collect();
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        for address in touched.into_iter().filter(|one| self.node.needs_route(*one)) {
            let of_it = || {
                let from = self.listeners.range(At::first_of(address)..);
                from.map(|(at, _)| at).take_while(|at| at.address == address)
            };
            let opens = open.keys().any(|at| at.address == address);
            let stays = of_it().any(|at| !close.contains(at));
            match (of_it().next().is_some(), opens || stays) {
                (false, true) => add.push(host_route(address)),
                (true, false) => remove.push(host_route(address)),
                _ => {}
            }
        }
        (add, remove)
    }
}

impl Plan {
    /// How much there is to hand over: routes are messages to the kernel, listeners are none.
    pub fn size(&self) -> Size {
        let bytes = self.add.bytes().len() + self.remove.bytes().len();
        let messages = self.add.len() + self.remove.len();
        Size { rules: 0, messages: messages as u64, bytes: bytes as u64 }
    }
}

/// The route to one address.
fn host_route(address: Ipv4Addr) -> IpNet {
    IpAddr::from(address).into()
}

/// The messages about some routes.
fn written<'a>(kind: u16, prefixes: impl IntoIterator<Item = &'a IpNet>) -> Batch {
    let mut encoder = Encoder::default();
    for prefix in prefixes {
        route::local_route(&mut encoder, kind, *prefix);
    }
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use generators::{
        Change, ChangeKind, Kinds, Position, Protocols, SyntheticSpec, changes, generate,
    };

    use super::*;

    /// Routes of a state, by its listeners.
    fn addresses(state: &State) -> BTreeSet<Ipv4Addr> {
        state.listeners.keys().map(|at| at.address).collect()
    }

    #[test]
    fn random_steps_lead_to_what_a_full_sync_makes() {
        let spec = SyntheticSpec {
            services: 40,
            protocols: Protocols { tcp: 3, udp: 1, sctp: 0 },
            kinds: Kinds { cluster_ip: 2, ..Kinds::ONE_EACH },
            remote_endpoints: 0.5,
            ..SyntheticSpec::default()
        };
        for seed in 0..20 {
            let mut cluster = generate(&spec, seed).expect("a Cluster");
            let mut state = State::default();
            state.enter(&state.to(&cluster).expect("a plan"));
            let mut routes = addresses(&state).len();
            for (number, kind) in (1..=9).zip(ChangeKind::ALL.into_iter().cycle()) {
                let made = changes(&cluster, &spec, number, kind, Position::Random, 3);
                let step = cluster.step(made.expect("Changes")).expect("they fit");
                let plan = state.by(&step).expect("a plan");
                routes = routes + plan.add.len() - plan.remove.len();
                state.enter(&plan);
                cluster = step.into_after();
                let mut fresh = State::default();
                fresh.enter(&fresh.to(&cluster).expect("a plan"));
                assert_eq!(state.listeners, fresh.listeners, "seed {seed}, step {number}");
                assert_eq!(routes, addresses(&fresh).len(), "seed {seed}, step {number}");
            }
        }
    }

    #[test]
    fn an_address_is_local_as_long_as_anything_is_at_it() {
        let service = |text: &str, last: u8, port: u16| {
            let name = text.parse().expect("a name");
            let (vip, endpoint) = ([10, 96, 0, last].into(), ([10, 128, 0, 1], 80));
            let endpoints = vec![std::net::SocketAddr::from(endpoint).into()];
            generators::Service::new(name, vip, port, generators::Protocol::Tcp, endpoints)
                .expect("a Service")
        };
        let all = [service("ns/a:x", 1, 80), service("ns/a:y", 1, 81), service("ns/b:x", 2, 80)];
        let mut cluster = Cluster::new(all.into()).expect("a Cluster");
        let mut state = State::default();
        let plan = state.to(&cluster).expect("a plan");
        assert_eq!((plan.open.len(), plan.add.len()), (3, 2));
        state.enter(&plan);
        for (name, removed) in [("ns/a:x", 0), ("ns/a:y", 1)] {
            let gone = Change::ServiceRemoved(name.parse().expect("a name"));
            let step = cluster.step(vec![gone]).expect("it fits");
            let plan = state.by(&step).expect("a plan");
            assert_eq!((plan.close.len(), plan.remove.len()), (1, removed), "{name}");
            state.enter(&plan);
            cluster = step.into_after();
        }
    }

    #[test]
    fn a_service_of_sctp_is_refused_by_name() {
        let name = "ns/a:x".parse().expect("a name");
        let protocol = generators::Protocol::Sctp;
        let service = generators::Service::new(name, [10, 96, 0, 1].into(), 80, protocol, vec![]);
        let cluster = Cluster::new(vec![service.expect("a Service")]).expect("a Cluster");
        let error = State::default().to(&cluster).expect_err("nobody copies it").to_string();
        assert!(error.contains("ns/a:x") && error.contains("SCTP"), "{error}");
    }
}

//! What becomes of traffic to a Service, before any rule is written: kube-proxy decides it alike in
//! its iptables and nftables modes.
//!
//! `syncProxyRules` in pkg/proxy/iptables/proxier.go and pkg/proxy/nftables/proxier.go, Kubernetes
//! 1.36.

use generators::{Endpoint, Service, Targets, TrafficPolicy};

/// What becomes of traffic of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes to Endpoints.
    Served,
    /// It is refused, since there are no Endpoints anywhere.
    Refused,
    /// It is dropped, since there are Endpoints, and none of them on this node.
    Dropped,
}

impl Fate {
    fn of(targets: &Targets<'_>, policy: TrafficPolicy) -> Self {
        if !targets.has_any {
            Self::Refused
        } else if policy == TrafficPolicy::Local && targets.local.is_empty() {
            Self::Dropped
        } else {
            Self::Served
        }
    }

    /// What comments say of traffic that goes nowhere.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Served => "",
            Self::Refused => "has no endpoints",
            Self::Dropped => "has no local endpoints",
        }
    }
}

/// One Service, and where traffic to it goes.
#[derive(Debug)]
pub(crate) struct Routing<'a> {
    /// The Service.
    pub service: &'a Service,
    /// Its Endpoints by policy.
    pub targets: Targets<'a>,
    /// Traffic to the cluster IP.
    pub internal: Fate,
    /// Traffic to every other frontend.
    pub external: Fate,
}

impl<'a> Routing<'a> {
    /// Decides for one Service.
    pub fn of(service: &'a Service) -> Self {
        let (targets, extras) = (service.targets(), service.extras());
        let internal = Fate::of(&targets, extras.internal_policy);
        let external = Fate::of(&targets, extras.external_policy);
        Self { service, targets, internal, external }
    }

    /// Whether there are rules that translate to the Endpoints of every node.
    pub fn has_cluster_chain(&self) -> bool {
        !self.targets.cluster.is_empty()
    }

    /// Whether there are rules that translate to the Endpoints of this node alone.
    pub fn has_local_chain(&self) -> bool {
        !self.targets.local.is_empty()
    }

    /// Whether traffic from outside may come in at all: if it finds no Endpoint on this node, Pods
    /// of the Cluster still do.
    pub fn has_external_chain(&self) -> bool {
        self.targets.has_any && self.service.extras().is_external()
    }

    /// Whether only some clients may use the load balancers' addresses.
    pub fn has_firewall(&self) -> bool {
        let extras = self.service.extras();
        self.has_external_chain()
            && !extras.load_balancer_ips.is_empty()
            && !extras.source_ranges.is_empty()
    }
}

/// Of the Endpoints that have chains, each with its name, those that are chosen.
pub(crate) fn among<'a, T>(
    all: &'a [(Endpoint, T)],
    chosen: &'a [Endpoint],
) -> impl Iterator<Item = &'a (Endpoint, T)> {
    // Mostly all of them are, and looking for each takes time.
    let is_all = chosen.len() == all.len();
    all.iter().filter(move |(endpoint, _)| is_all || chosen.contains(endpoint))
}

//! What Kubernetes' own end-to-end tests demand (`test/e2e/network` of 1.36) and a check does not
//! try, each with the reason.

use results::check::NotCovered;

const ALL: &[(&str, &str)] = &[
    (
        "health check node port, health and metrics addresses",
        "served by the program kube-proxy itself, which these proxies are not",
    ),
    ("rules that somebody deletes come back", "these proxies have no daemon that looks after them"),
    ("the time-out of CLOSE_WAIT is set", "a setting of the node, not of Services"),
    (
        "packets of invalid conntrack state do not reset a connection",
        "takes packets that no socket sends",
    ),
    ("no disruption during a rolling update", "takes load over many Steps; a check makes one"),
    ("session affinity switched on and off", "no Change does that"),
    ("another node port or target port after an update", "no Change does that"),
    (
        "a UDP Endpoint that becomes ready later, or on the host network's client",
        "no Change does that; a replaced Endpoint is tried",
    ),
    (
        "headless Services, ExternalName, the label of another service proxy",
        "no Service of a Cluster: an import leaves them out",
    ),
    (
        "publishNotReadyAddresses",
        "the control plane marks such Endpoints as ready, and a proxy sees ready ones",
    ),
    ("several slices of one Service", "joined where objects are read, before any proxy"),
    (
        "up and down of Services after the API server restarts",
        "there is no API server; a Service added and one removed are tried",
    ),
    (
        "node port collisions and ranges, status, API life cycle, finalizers",
        "the control plane's, not a proxy's",
    ),
];

/// All of it.
pub fn not_covered() -> Vec<NotCovered> {
    let one = |(behaviour, reason): &(&str, &str)| NotCovered {
        behaviour: (*behaviour).to_owned(),
        reason: (*reason).to_owned(),
    };
    ALL.iter().map(one).collect()
}

//! Where proxies are known to do something else than Kubernetes has it, each with its source.

use crate::descriptor::Deviation;

/// Of kube-proxy's iptables mode.
pub(crate) const IPTABLES: &[Deviation] = &[Deviation {
    subjects: &["no-endpoints", "not-ready"],
    sources: &["node"],
    frontends: &["external IP", "load-balancer IP"],
    came: "nothing came",
    reason: "KUBE-EXTERNAL-SERVICES, which refuses, is reached from INPUT and FORWARD alone, so the node's own packets \
                 go out (iptablesJumpChains in pkg/proxy/iptables/proxier.go, Kubernetes 1.36)",
}];

/// Of kube-proxy's nftables mode as of Kubernetes 1.33.
pub(crate) const NFTABLES_1_33: &[Deviation] = &[Deviation {
    subjects: &["external-local-away"],
    sources: &["node"],
    frontends: &["external IP", "load-balancer IP"],
    came: "nothing came",
    reason: "filter-output, hooked before destinations are translated, drops what is in no-endpoint-services, and \
                 does not tell the node from callers outside (setupNFTables in pkg/proxy/nftables/proxier.go, Kubernetes \
                 1.33; later versions look after the translation)",
}];

/// Frontends that are meant for callers outside.
const EXTERNAL: &[&str] = &["external IP", "load-balancer IP", "node port"];
/// What `ipvs` leaves out.
const ONE_CHOICE: &str = "the proxy has no external policy: it masquerades what comes to these frontends, and sends it to every \
                          Endpoint that may be reached from the node (docs/proxies.md)";

/// A virtual service without real servers.
const NO_REAL_SERVER: Deviation = Deviation {
    subjects: &["internal-local-away"],
    sources: &[],
    frontends: &[],
    came: "refused",
    reason: "a virtual service without real servers is refused by the message that its port is unreachable \
             (ip_vs_leave in net/netfilter/ipvs/ip_vs_core.c, Linux 6.1)",
};
/// What the node itself sends.
const TOO_LONG: Deviation = Deviation {
    subjects: &["large"],
    sources: &["node"],
    frontends: &["cluster IP"],
    came: "Message too long",
    reason: "IPVS takes the node's own packets before they are cut, and refuses those longer than the way's MTU \
             (ensure_mtu_is_adequate in net/netfilter/ipvs/ip_vs_xmit.c, Linux 6.1)",
};
/// Persistence.
const LASTING: Deviation = Deviation {
    subjects: &["affinity-ends"],
    sources: &[],
    frontends: &[],
    came: "0 of ",
    reason: "a template of persistence lives on while connections that it made are remembered, longer than the time that \
             is asked for here (ip_vs_conn_expire in net/netfilter/ipvs/ip_vs_conn.c, Linux 6.1)",
};

/// A caller outside whose own address, which begins the words, is masqueraded.
const fn masqueraded(came: &'static str) -> Deviation {
    Deviation {
        subjects: &["affinity"],
        sources: &["outside"],
        frontends: EXTERNAL,
        came,
        reason: ONE_CHOICE,
    }
}

/// Of IPVS by generic netlink.
pub(crate) const IPVS: &[Deviation] = &[
    Deviation {
        subjects: &["external-local", "external-local-away", "terminating"],
        sources: &[],
        frontends: EXTERNAL,
        came: "an answer by ",
        reason: ONE_CHOICE,
    },
    masqueraded("172.20."),
    masqueraded("2001:db8:20::"),
    Deviation {
        subjects: &["source-ranges"],
        sources: &[],
        frontends: &["load-balancer IP"],
        came: "an answer by ",
        reason: "the proxy admits every client to a load balancer's address (docs/proxies.md)",
    },
    NO_REAL_SERVER,
    TOO_LONG,
    LASTING,
];

/// Of kube-proxy's IPVS mode.
pub(crate) const IPVS_KUBE_PROXY: &[Deviation] = &[
    Deviation {
        subjects: &["terminating"],
        sources: &["pod", "endpoint", "node"],
        frontends: EXTERNAL,
        came: "an answer by ",
        reason: "a virtual service is the same for callers in the cluster and outside: under the external policy Local it \
                 holds the Endpoints here, also where these end and others do not (syncEndpoint in \
                 pkg/proxy/ipvs/proxier.go, Kubernetes 1.36)",
    },
    Deviation {
        subjects: &["external-local-away"],
        sources: &["outside"],
        frontends: EXTERNAL,
        came: "an answer by ",
        reason: "where no Endpoint is here, all are real servers, for callers in the cluster; those outside reach them too, \
                 and get answers where these come back through this node, as they do here (syncEndpoint in \
                 pkg/proxy/ipvs/proxier.go, Kubernetes 1.36)",
    },
    Deviation {
        subjects: &["external-local", "external-local-away"],
        sources: &["node"],
        frontends: &["external IP", "load-balancer IP"],
        came: "an answer by ",
        reason: "the address is one of the node's own, so the node's connections to it come from it; under the external \
                 policy Local they are not masqueraded (KUBE-EXTERNAL-IP-LOCAL and KUBE-LOAD-BALANCER-LOCAL in \
                 writeIptablesRules, pkg/proxy/ipvs/proxier.go, Kubernetes 1.36)",
    },
    NO_REAL_SERVER,
    TOO_LONG,
    LASTING,
];

/// Why no Endpoint of `userspace` sees a client.
pub(crate) const OWN_CONNECTION: &str = "an Endpoint's connection is the proxy's own, from the node: its client is not seen \
                                         (proxyTCP in pkg/proxy/userspace/proxysocket.go, Kubernetes 1.20)";

/// Of a program that copies bytes.
pub(crate) const USERSPACE: &[Deviation] = &[
    Deviation {
        subjects: &["external-local", "external-local-away", "terminating"],
        sources: &[],
        frontends: EXTERNAL,
        came: "an answer by ",
        reason: "a listener is the same for callers in the cluster and outside: under the external policy Local it leads to \
                 Endpoints here, and where none is to all others; kube-proxy had no such policy in this mode \
                 (pkg/proxy/userspace/proxier.go, Kubernetes 1.20)",
    },
    Deviation {
        subjects: &["source-ranges"],
        sources: &[],
        frontends: &["load-balancer IP"],
        came: "an answer by ",
        reason: "the proxy admits every client to a load balancer's address, as kube-proxy did in this mode \
                 (pkg/proxy/userspace/proxier.go, Kubernetes 1.20)",
    },
    Deviation {
        subjects: &["internal-local-away"],
        sources: &[],
        frontends: &[],
        came: "refused",
        reason: "the VIP is local and nobody listens, so the node refuses (tcp_v4_rcv in net/ipv4/tcp_ipv4.c, Linux 6.1)",
    },
];

/// Why every Endpoint of `ebpf` sees its client.
pub(crate) const NO_MASQUERADE: &str = "the socket itself goes to the Endpoint, so nothing needs to be masqueraded, also where an Endpoint \
                                        dials itself (__cgroup_bpf_run_filter_sock_addr in kernel/bpf/cgroup.c, Linux 6.1)";

/// Of translation when a socket connects.
pub(crate) const EBPF: &[Deviation] = &[
    Deviation {
        subjects: &["no-endpoints", "not-ready", "internal-local-away"],
        sources: &[],
        frontends: &[],
        came: "Operation not permitted",
        reason: "a program that refuses makes connect fail with EPERM; other errors are for kernels from 6.1 on \
                 (cgroup_bpf_run_filter in kernel/bpf/cgroup.c, Linux 6.1)",
    },
    Deviation {
        subjects: &["source-ranges"],
        sources: &[],
        frontends: &["load-balancer IP"],
        came: "an answer by ",
        reason: "ranges are for clients outside, whom the proxy does not serve; it admits the node and its pods (docs/proxies.md)",
    },
    Deviation {
        subjects: &["affinity", "affinity-ends"],
        sources: &[],
        frontends: &[],
        came: "",
        reason: "the proxy keeps no session affinity: each connection is given any Endpoint (docs/proxies.md)",
    },
    Deviation {
        subjects: &["udp-replaced"],
        sources: &[],
        frontends: &[],
        came: "before: an answer by ",
        reason: "a socket of UDP that is connected goes on to the Endpoint that it was given (docs/proxies.md)",
    },
];

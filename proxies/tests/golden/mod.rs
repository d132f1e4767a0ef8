//! Clusters whose rules are known from upstream, and those rules as text.
//!
//! Service names, addresses, hashes and rules are those of `TestOverallIPTablesRules` and
//! `TestSyncProxyRulesRepeated` in `pkg/proxy/iptables/proxier_test.go`, Kubernetes 1.35. Used by
//! the unit tests of the iptables backends and by the kernel tests.

use std::net::{Ipv4Addr, SocketAddr};

use generators::{Change, Cluster, Ipv4Net, Protocol, Service};

/// The pod network of the upstream tests.
#[allow(dead_code, reason = "the contract alone does not need it")]
pub const LOCAL_CIDR: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8);

/// The text of a full sync of [`overall`].
#[allow(dead_code, reason = "the kernel tests compare what the kernel holds")]
pub const OVERALL_RESTORE: &str = include_str!("overall.restore");

/// Every rule that `iptables-save` prints after it, `TABLE RULE` a line, sorted.
#[allow(dead_code, reason = "the contract alone does not need it")]
pub const OVERALL_SAVED: &str = include_str!("overall.saved");

/// The text of a partial sync of [`endpoint_replaced`].
#[allow(dead_code, reason = "the kernel tests compare what the kernel holds")]
pub const ENDPOINT_REPLACED_RESTORE: &str = include_str!("endpoint-replaced.restore");

/// Every `add` command of a full sync of [`overall`] by the nftables backends of 1.33, 1.36 and
/// 1.37, sorted: `TestOverallNFTablesRules` in `pkg/proxy/nftables/proxier_test.go`, Kubernetes
/// 1.34, without what its other Services add, and with what the layouts differ in (see
/// `src/nftables/layout.rs`).
#[allow(dead_code, reason = "the kernel tests compare what the kernel holds")]
pub const OVERALL_NFT: [&str; 3] = [
    include_str!("overall.nft-1.33"),
    include_str!("overall.nft-1.36"),
    include_str!("overall.nft-1.37"),
];

/// A TCP Service at port 80.
pub fn service(name: &str, vip: &str, endpoints: &[&str]) -> Service {
    let endpoints =
        endpoints.iter().map(|text| text.parse::<SocketAddr>().expect("ip:port").into()).collect();
    let name = name.parse().expect("namespace/name:port");
    Service::new(name, vip.parse().expect("a VIP"), 80, Protocol::Tcp, endpoints)
        .expect("a Service")
}

/// One Service of each kind: one Endpoint; a NodePort; an external IP and two Endpoints; none.
pub fn overall() -> Cluster {
    let external = vec![Ipv4Addr::new(192, 168, 99, 33).into()];
    Cluster::new(vec![
        service("ns1/svc1:p80", "172.30.0.41", &["10.180.0.1:80"]),
        service("ns3/svc3:p80", "172.30.0.43", &["10.180.0.3:80"])
            .with(|extras| extras.node_port = Some(3003))
            .expect("a NodePort"),
        service("ns4/svc4:p80", "172.30.0.44", &["10.180.0.4:80", "10.180.0.5:80"])
            .with(|extras| extras.external_ips = external)
            .expect("an external IP"),
        service("ns6/svc6:p80", "172.30.0.46", &[]),
    ])
    .expect("a Cluster")
}

/// Three Services, and the Change that replaces the one Endpoint of the third.
pub fn endpoint_replaced() -> (Cluster, Change) {
    let third = service("ns3/svc3:p80", "172.30.0.43", &["10.0.3.1:80"]);
    let change = Change::EndpointReplaced {
        service: third.name().clone(),
        old: third.endpoints()[0],
        new: SocketAddr::from(([10, 0, 3, 2], 80)).into(),
    };
    let before = Cluster::new(vec![
        service("ns1/svc1:p80", "172.30.0.41", &["10.0.1.1:80"]),
        service("ns2/svc2:p80", "172.30.0.42", &["10.0.2.1:80"]),
        third,
    ])
    .expect("a Cluster");
    (before, change)
}

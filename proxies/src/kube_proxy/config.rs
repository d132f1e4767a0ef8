//! The configuration that a kube-proxy is started with: kube-proxy's defaults but for what is
//! written here. Addresses are the same everywhere, since each has a network namespace of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use apiserver::Site;
use generators::NODE;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};

use super::binary::Mode;
use crate::options::Options;

/// Where the API is served.
pub(super) const API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// Where its health is told: by default that would be at any address, which node ports may have.
const HEALTH: &str = "127.0.0.1:10256";
/// Where its metrics are told: kube-proxy's default.
pub(super) const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10249);
/// The shortest time between two syncs, milliseconds. The default, 1 s, would merge Changes that
/// are measured one after the other, or make each wait for it; 0 means the default.
pub(super) const MIN_SYNC_MS: u64 = 10;
/// Addresses of a node that nobody gave any (RFC 5737, RFC 3849): without one kube-proxy waits.
const NODE_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The file of `--config` (`KubeProxyConfiguration` in
/// staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go, Kubernetes 1.36). JSON is YAML.
///
/// JSON over HTTP, since the API has no protobuf; lists that are no streams, as before 1.35;
/// `conntrack` leaves alone what belongs to the machine, not to the namespace.
pub fn configuration(mode: Mode, options: &Options, kubeconfig: &str) -> Value {
    let pods: Vec<String> = options.local_cidrs.iter().map(ToString::to_string).collect();
    let node_ports = node_ports(mode, options);
    let sync = json!({
        "minSyncPeriod": format!("{MIN_SYNC_MS}ms"),
        "masqueradeAll": options.masquerade_all,
    });
    let ipvs = json!({
        "minSyncPeriod": format!("{MIN_SYNC_MS}ms"),
        "scheduler": options.ipvs.scheduler,
    });
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode.as_str(),
        "hostnameOverride": NODE,
        "clientConnection": {
            "kubeconfig": kubeconfig,
            "contentType": "application/json",
            "acceptContentTypes": "application/json",
        },
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": pods.join(","),
        "nodePortAddresses": node_ports,
        "healthzBindAddress": HEALTH,
        "metricsBindAddress": METRICS,
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "iptables": sync,
        "nftables": sync,
        "ipvs": ipvs,
        "featureGates": { "WatchListClient": false },
    })
}

/// Where node ports answer. Of ours an empty list is every local address, as it is of kube-proxy
/// but in mode nftables, whose default is the primary ones.
fn node_ports(mode: Mode, options: &Options) -> Vec<IpNet> {
    let known = &options.node_addresses;
    if known.is_empty() && mode == Mode::Nftables {
        return vec![Ipv4Net::default().into(), Ipv6Net::default().into()];
    }
    known.iter().copied().map(IpNet::from).collect()
}

/// How it finds the API.
pub(super) fn kubeconfig() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "vipbench", "cluster": { "server": format!("http://{API}") } }],
        "users": [{ "name": "kube-proxy", "user": {} }],
        "contexts": [{
            "name": "vipbench", "context": { "cluster": "vipbench", "user": "kube-proxy" },
        }],
        "current-context": "vipbench",
    })
}

/// What the API tells beside Services.
pub(super) fn site(options: &Options) -> Site {
    let known = &options.node_addresses;
    let node_addresses = if known.is_empty() { NODE_ADDRESSES.to_vec() } else { known.clone() };
    Site {
        node_addresses,
        pod_cidrs: options.local_cidrs.clone(),
        service_cidrs: options.nftables.service_cidrs.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_decides_is_in_the_configuration() {
        let options = Options {
            local_cidrs: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/64".parse().unwrap()],
            masquerade_all: true,
            node_addresses: vec!["192.0.2.10".parse().unwrap()],
            ..Options::default()
        };
        let config = configuration(Mode::Nftables, &options, "/tmp/x");
        assert_eq!(config["mode"], "nftables");
        assert_eq!(config["clusterCIDR"], "10.0.0.0/8,fd00::/64");
        assert_eq!(config["nodePortAddresses"], json!(["192.0.2.10/32"]));
        assert_eq!(config["nftables"]["masqueradeAll"], true);
        let everywhere = configuration(Mode::Nftables, &Options::default(), "/tmp/x");
        assert_eq!(everywhere["nodePortAddresses"], json!(["0.0.0.0/0", "::/0"]));
        assert_eq!(site(&options).node_addresses, options.node_addresses);
        assert_eq!(site(&Options::default()).node_addresses.len(), 2, "it waits for one");
    }
}

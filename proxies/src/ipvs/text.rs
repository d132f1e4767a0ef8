//! A Cluster as text for `ipvsadm -R`: what `ipvsadm -S -n` prints of a namespace that implements
//! it.

use std::fmt::Write;

use generators::{Cluster, Protocol};

use super::layout::{served, virtual_services};
use super::options::Forwarding;
use crate::options::Options;

/// The virtual services and real servers of a Cluster as `ipvsadm -S -n` writes them, in the order
/// of the Cluster.
///
/// Node ports need `options.node_addresses`: the addresses that a namespace happens to have are not
/// known here.
pub fn save_text(cluster: &Cluster, options: &Options) -> String {
    let scheduler = options.ipvs.scheduler.as_str();
    let flags = if scheduler == "mh" { " -b mh-port" } else { "" };
    let forwarding = match options.ipvs.forwarding {
        Forwarding::Nat => "-m",
        Forwarding::DirectRoute => "-g",
        Forwarding::Tunnel => "-i --tun-type ipip",
    };
    let mut text = String::new();
    for service in cluster.services() {
        let protocol = match service.protocol() {
            Protocol::Tcp => "-t",
            Protocol::Udp => "-u",
            Protocol::Sctp => "--sctp-service",
        };
        let affinity = service.extras().affinity_s;
        let affinity = affinity.map_or_else(String::new, |seconds| format!(" -p {seconds}"));
        let targets = service.targets();
        let nodes = options.node_addresses.iter().copied();
        for (at, kind) in virtual_services(service, nodes) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "-A {protocol} {at} -s {scheduler}{affinity}{flags}");
            for endpoint in served(service, &targets, kind) {
                let _ = writeln!(text, "-a {protocol} {at} -r {endpoint} {forwarding} -w 1");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use generators::Service;

    use super::*;
    use crate::ipvs::render::tests::{cluster, service};

    #[test]
    fn the_text_is_what_ipvsadm_saves() {
        let udp = service("dns", "10.96.0.10", &["10.128.0.2:53"]);
        let udp =
            Service::new(udp.name().clone(), udp.vip(), 53, Protocol::Udp, udp.endpoints().into());
        let web = service("web", "10.96.0.1", &["10.128.0.1:80", "10.128.0.3:80"]).with(|extras| {
            extras.node_port = Some(30_080);
            extras.external_ips = vec![[198, 51, 100, 7].into()];
        });
        let cluster = cluster(vec![web.expect("a Service"), udp.expect("a Service")]);
        let node_addresses = vec![[192, 0, 2, 1].into()];
        let options = Options { node_addresses, ..Options::default() };
        let expected = "\
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.128.0.1:80 -m -w 1
-a -t 10.96.0.1:80 -r 10.128.0.3:80 -m -w 1
-A -t 198.51.100.7:80 -s rr
-a -t 198.51.100.7:80 -r 10.128.0.1:80 -m -w 1
-a -t 198.51.100.7:80 -r 10.128.0.3:80 -m -w 1
-A -t 192.0.2.1:30080 -s rr
-a -t 192.0.2.1:30080 -r 10.128.0.1:80 -m -w 1
-a -t 192.0.2.1:30080 -r 10.128.0.3:80 -m -w 1
-A -u 10.96.0.10:53 -s rr
-a -u 10.96.0.10:53 -r 10.128.0.2:53 -m -w 1
";
        assert_eq!(save_text(&cluster, &options), expected);
    }
}

//! kube-proxy's IPVS mode: other tools as witnesses of what the kernel holds, real servers that
//! drain, and what a damaged namespace becomes.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use generators::{Change, Cluster, Endpoint};
use proxies::{IptablesVariant, Options, ipvs as backend};

use crate::contract::Server;
use crate::drive::{Drive, full_sync, open};
use crate::golden;
use crate::ipvs::{self, kernel_tests, of_all_kinds};
use crate::netns::{in_new_namespace, make_network_10_local};
use crate::witness::{SYSCTLS, output, state, sysctl};

/// The backend.
pub const NAME: &str = "ipvs-kube-proxy";

/// A node with an address of each family, and iptables-nft.
pub fn options() -> Options {
    let node_addresses = ["192.0.2.10", "2001:db8::10"].map(|ip| ip.parse().expect("an address"));
    Options { node_addresses: node_addresses.into(), ..ipvs::options() }
}

/// The same by iptables-legacy.
fn legacy() -> Options {
    let Options { xtables_lock, .. } = ipvs::local_route();
    let mut options = Options { xtables_lock, ..options() };
    options.ipvs.iptables = IptablesVariant::Legacy;
    options
}

fn lines_of(text: &str) -> BTreeSet<String> {
    text.lines().map(|line| line.trim().to_owned()).collect()
}

kernel_tests! {
    fn the_kernel_has_what_it_needs() {
        open(NAME, &options()).probe().expect("IPVS");
    }

    fn ipvsadm_shows_the_servers_of_both_families() {
        let cluster = of_all_kinds();
        full_sync(&mut *open(NAME, &options()), &cluster);
        let expected = backend::save_text(&cluster, &options());
        assert!(expected.contains(" [2001:db8::10]:30"), "{expected}");
        assert_eq!(lines_of(&output("ipvsadm -S -n")), lines_of(&expected));
    }

    fn there_are_17_sets_a_family_and_as_many_bound_addresses_as_entries() {
        full_sync(&mut *open(NAME, &options()), &of_all_kinds());
        let saved = output("ipset save");
        let count = |start: &str| saved.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((count("create KUBE-6-"), count("create KUBE-")), (17, 34));
        for (family, set) in [("-4", "KUBE-IPVS-IPS"), ("-6", "KUBE-6-IPVS-IPS")] {
            let bound = output(&format!("ip -o {family} addr show dev kube-ipvs0"));
            assert_eq!(count(&format!("add {set} ")), bound.lines().count(), "{bound}");
            assert!(bound.lines().count() >= 20, "{bound}");
        }
        assert!(output("ip -o link show kube-ipvs0").contains("state DOWN"));
    }

    fn settings_are_those_of_the_namespace_and_come_back() {
        let before = SYSCTLS.map(sysctl);
        let mut proxy = open(NAME, &options());
        full_sync(&mut *proxy, &golden::overall());
        assert_eq!(SYSCTLS.map(sysctl), ["1"; 4]);
        let outside = in_new_namespace(|| SYSCTLS.map(sysctl));
        assert_eq!(outside, before, "another namespace is as it was");
        proxy.stop().expect("a teardown");
        assert_eq!(SYSCTLS.map(sysctl), before);
    }

    fn what_is_wrong_is_found_and_repaired() {
        let cluster = golden::overall();
        let mut proxy = open(NAME, &options());
        full_sync(&mut *proxy, &cluster);
        output("ipvsadm -e -t 172.30.0.41:80 -r 10.180.0.1:80 -m -w 0");
        output("ipset del KUBE-IPVS-IPS 172.30.0.43");
        output("ip addr del 172.30.0.44/32 dev kube-ipvs0");
        output("ipvsadm -A -u 10.0.0.9:53 -s rr");
        output("iptables-nft -t filter -F KUBE-IPVS-FILTER");
        let error = proxy.verify(&cluster).expect_err("five differences").to_string();
        for words in ["5 places", "10.0.0.9:53/udp", "real server 10.180.0.1:80", "172.30.0.43 in ipset"] {
            assert!(error.contains(words), "{words}: {error}");
        }
        full_sync(&mut *proxy, &cluster);
        proxy.verify(&cluster).expect("all is well again");
    }

    fn a_full_sync_is_of_both_families_and_a_change_of_its_own() {
        let before = golden::overall();
        let mut proxy = open(NAME, &options());
        full_sync(&mut *proxy, &before);
        assert!(output("ip6tables-nft-save -t nat").contains(":KUBE-SERVICES"));
        output("ipset add KUBE-6-CLUSTER-IP fd00::1,tcp:80");
        output("ipset add KUBE-CLUSTER-IP 10.0.0.9,tcp:80");
        let gone = Change::ServiceRemoved(before.services()[0].id());
        let step = before.step(vec![gone]).expect("it fits");
        proxy.apply(&step).expect("an incremental sync");
        let error = proxy.verify(step.after()).expect_err("nobody looked at IPv6").to_string();
        assert!(error.contains("fd00::1") && !error.contains("10.0.0.9"), "{error}");
        full_sync(&mut *proxy, step.after());
        proxy.verify(step.after()).expect("all is well again");
        output("ipset add KUBE-6-CLUSTER-IP fd00::1,tcp:80");
        let periodic = step.after().step(Vec::new()).expect("it fits");
        proxy.apply(&periodic).expect("the periodic sync");
        proxy.verify(step.after()).expect("it is of both families too");
    }

    fn addresses_of_the_node_are_those_of_every_other_link() {
        for command in [
            "ip link add other0 type dummy",
            "ip addr add 198.51.100.7/24 dev other0",
            "ip link set lo up",
        ] {
            output(command);
        }
        let own = "198.51.100.7".parse().expect("an address");
        let service = golden::service("ns/a:p80", "10.96.0.1", &["10.180.0.1:80"]);
        let service = service.with(|extras| extras.external_ips = vec![own]).expect("it fits");
        let cluster = Cluster::new(vec![service]).expect("a Cluster");
        let mut proxy = open(NAME, &options());
        for _ in 0..2 {
            full_sync(&mut *proxy, &cluster);
            let bound = output("ip -o -4 addr show dev kube-ipvs0");
            assert!(bound.contains("10.96.0.1/32") && !bound.contains("198.51"), "{bound}");
        }
    }

    fn iptables_legacy_holds_the_same_rules() {
        let before = of_all_kinds();
        let mut proxy = open(NAME, &legacy());
        full_sync(&mut *proxy, &before);
        proxy.verify(&before).expect("a full sync is in the kernel");
        let gone = Change::ServiceRemoved(before.services()[0].id());
        let step = before.step(vec![gone]).expect("it fits");
        proxy.apply(&step).expect("an incremental sync");
        proxy.verify(step.after()).expect("a Change is in the kernel");
        proxy.stop().expect("it stops");
        assert_eq!(state(), Vec::<String>::new());
    }

    fn a_quick_start_leads_to_the_same() {
        let cluster = of_all_kinds();
        let options = Options { quick_start: true, ..options() };
        let mut proxy = open(NAME, &options);
        full_sync(&mut *proxy, &cluster);
        proxy.verify(&cluster).expect("the same state");
    }

    fn a_real_server_with_connections_drains_and_may_come_back() {
        make_network_10_local();
        let addresses = ["10.180.2.1:8080", "10.180.2.2:8080"];
        let _servers = addresses.map(|at| Server::start(at.parse().expect("an address")));
        let before = Cluster::new(vec![golden::service("ns/a:p80", "10.96.0.1", &addresses)]);
        let before = before.expect("a Cluster");
        let mut proxy = open(NAME, &options());
        full_sync(&mut *proxy, &before);
        let vip = SocketAddr::from(([10, 96, 0, 1], 80));
        let _open: Vec<TcpStream> = (0..4)
            .map(|_| TcpStream::connect_timeout(&vip, Duration::from_secs(10)).expect("an answer"))
            .collect();
        let at = |text: &str| Endpoint::from(text.parse::<SocketAddr>().expect("ip:port"));
        let replaced = |old: &str, new: &str| Change::EndpointReplaced {
            service: "ns/a:p80".parse().expect("a name"),
            old: at(old),
            new: at(new),
        };
        let weight = |real: &str, weight: u32| {
            let line = format!("-a -t 10.96.0.1:80 -r {real} -m -w {weight}");
            assert!(lines_of(&output("ipvsadm -S -n")).contains(&line), "{line}");
        };
        let step = before.step(vec![replaced("10.180.2.1:8080", "10.180.2.3:8080")]);
        let step = step.expect("it fits");
        proxy.apply(&step).expect("an incremental sync");
        weight("10.180.2.1:8080", 0);
        weight("10.180.2.3:8080", 1);
        proxy.verify(step.after()).expect("one drains");
        proxy.settle(step.after()).expect("it has connections still");
        weight("10.180.2.1:8080", 0);
        let after = step.into_after();
        let back = after.step(vec![replaced("10.180.2.3:8080", "10.180.2.1:8080")]);
        let back = back.expect("it fits");
        proxy.apply(&back).expect("an incremental sync");
        weight("10.180.2.1:8080", 1);
        proxy.verify(back.after()).expect("as before");
        assert!(!output("ipvsadm -S -n").contains("10.180.2.3"), "it never had a connection");
    }
}

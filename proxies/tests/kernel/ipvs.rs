//! The IPVS backend: other tools as witnesses of what the kernel holds, errors that name their
//! cause, and many Services. Connections across namespaces are in `ipvs_reach`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use generators::{
    Change, Cluster, Endpoint, Families, Family, Kinds, Protocol, Service, ServiceName,
    SyntheticSpec, generate,
};
use proxies::ipvs::{self, VipBinding};
use proxies::{IptablesVariant, Options, SyncRequest};

use crate::drive::{Drive, full_sync, open};
use crate::golden;
use crate::netns::in_new_namespace;
use crate::witness::{self, SYSCTLS, output, sysctl};

/// Dummy link and iptables-nft, as by default.
pub fn options() -> Options {
    Options { local_cidrs: vec![golden::LOCAL_CIDR.into()], ..Options::default() }
}

/// A local route for the VIPs of the golden Cluster, and iptables-legacy.
pub fn local_route() -> Options {
    let mut options = options();
    options.ipvs.vip_binding = VipBinding::LocalRoute;
    // Of the golden Cluster, and of synthetic Services of IPv6.
    let ranges = ["172.30.0.0/16", "fd00:10:96::/108"];
    options.ipvs.service_cidrs = ranges.map(|text| text.parse().expect("a network")).into();
    options.ipvs.iptables = IptablesVariant::Legacy;
    // One lock a thread: a test has its own namespace, so it need not wait for another's.
    let lock = format!("vipbench-test-{:?}.lock", std::thread::current().id());
    options.xtables_lock = Some(std::env::temp_dir().join(lock));
    options
}

/// No sets, no rules, no connection tracking.
pub fn bare() -> Options {
    let mut options = options();
    options.ipvs.masquerade = false;
    options
}

/// Services of every kind in both families.
pub fn of_all_kinds() -> Cluster {
    let kinds = Kinds { cluster_ip: 1, ..Kinds::ONE_EACH };
    let (families, remote_endpoints) = (Families::Dual, 0.5);
    let spec =
        SyntheticSpec { services: 20, families, kinds, remote_endpoints, ..Default::default() };
    generate(&spec, 3).expect("a Cluster")
}

fn lines_of(text: &str) -> BTreeSet<&str> {
    text.lines().map(str::trim).collect()
}

/// Runs a test in a namespace of its own.
macro_rules! kernel_tests {
    ($($(#[$doc:meta])* fn $name:ident() $body:block)+) => {
        $(
            $(#[$doc])*
            #[test]
            #[ignore = "needs root and ip_vs; run by scripts/test"]
            fn $name() {
                in_new_namespace(|| $body);
            }
        )+
    };
}
pub(crate) use kernel_tests;

kernel_tests! {
    fn the_kernel_has_ipvs_and_what_it_needs() {
        open("ipvs", &options()).probe().expect("IPVS");
    }

    fn ipvsadm_shows_what_the_text_form_says() {
        let mut options = options();
        options.node_addresses = vec![Ipv4Addr::new(100, 101, 102, 103).into()];
        let cluster = golden::overall();
        full_sync(&mut *open("ipvs", &options), &cluster);
        let expected = ipvs::save_text(&cluster, &options);
        assert!(expected.contains("-A -t 100.101.102.103:3003 -s rr"), "{expected}");
        assert!(expected.contains("-A -t 192.168.99.33:80 -s rr"), "{expected}");
        assert_eq!(lines_of(&output("ipvsadm -S -n")), lines_of(&expected));
    }

    fn ipvsadm_shows_the_servers_of_both_families() {
        let mut options = options();
        options.node_addresses = ["192.0.2.10", "2001:db8::10"]
            .map(|text| text.parse().expect("an address"))
            .into();
        let cluster = of_all_kinds();
        full_sync(&mut *open("ipvs", &options), &cluster);
        let expected = ipvs::save_text(&cluster, &options);
        assert!(expected.contains(" [2001:db8::10]:30"), "{expected}");
        assert_eq!(lines_of(&output("ipvsadm -S -n")), lines_of(&expected));
    }

    fn each_family_has_its_own_sets_addresses_and_rules() {
        full_sync(&mut *open("ipvs", &options()), &of_all_kinds());
        let saved = output("ipset save");
        let count = |start: &str| saved.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((count("create KUBE-6-"), count("create KUBE-")), (7, 14));
        for (family, set) in [("-4", "KUBE-IPVS-IPS"), ("-6", "KUBE-6-IPVS-IPS")] {
            let bound = output(&format!("ip -o {family} addr show dev kube-ipvs0"));
            assert_eq!(count(&format!("add {set} ")), bound.lines().count(), "{bound}");
            assert!(bound.lines().count() >= 20, "{bound}");
        }
        for set in ["KUBE-6-LOOP-BACK fd", "KUBE-6-CLUSTER-IP fd", "KUBE-6-NODE-PORT-TCP 3"] {
            assert!(count(&format!("add {set}")) > 0, "{set}: {saved}");
        }
        let rules = output("ip6tables-nft-save");
        assert!(rules.contains("KUBE-6-CLUSTER-IP dst,dst -j ACCEPT"), "{rules}");
        let refused = "KUBE-6-IPVS-IPS dst -j REJECT --reject-with icmp6-port-unreachable";
        assert!(rules.contains(refused), "{rules}");
    }

    fn one_local_route_a_family_serves_its_range() {
        let mut options = local_route();
        options.ipvs.service_cidrs = Vec::new();
        output("ip link set lo up");
        let cluster = of_all_kinds();
        let mut proxy = open("ipvs", &options);
        full_sync(&mut *proxy, &cluster);
        proxy.verify(&cluster).expect("both families are in the kernel");
        let routes = output("ip -6 route show table local proto 118");
        let vip = cluster.of_family(Family::V6).next().expect("a Service").vip();
        assert!(output(&format!("ip -6 route get {vip}")).contains("local "), "{routes}");
        // One address has no length behind it.
        let is_range = |line: &&str| line.contains('/');
        assert_eq!(routes.lines().filter(is_range).count(), 1, "{routes}");
        proxy.stop().expect("a teardown");
        assert_eq!(witness::state(), Vec::<String>::new());
    }

    fn without_ipv6_services_nothing_is_made_for_them() {
        let cluster = golden::overall();
        let mut proxy = open("ipvs", &options());
        full_sync(&mut *proxy, &cluster);
        assert!(!output("ipset save").contains("KUBE-6-"));
        assert!(!output("ip6tables-nft-save").contains("KUBE-"));
        let six = golden::service("ns8/six:p80", "fd00:96::8", &["[fd00:128::8]:80"]);
        let step = cluster.step(vec![Change::ServiceAdded(six)]).expect("it fits");
        proxy.apply(&step).expect("the first of IPv6");
        proxy.verify(step.after()).expect("it is in the kernel");
        assert!(output("ipset save").contains("add KUBE-6-CLUSTER-IP fd00:96::8,tcp:80"));
        let mut restarted = open("ipvs", &options());
        full_sync(&mut *restarted, &cluster);
        restarted.verify(&cluster).expect("that of IPv6 is gone");
        proxy.stop().expect("a teardown");
        assert_eq!(witness::state(), Vec::<String>::new());
    }

    fn ipset_shows_the_members_that_kube_proxy_would_add() {
        full_sync(&mut *open("ipvs", &options()), &golden::overall());
        let saved = output("ipset save");
        let members: BTreeSet<_> =
            saved.lines().filter_map(|line| line.strip_prefix("add KUBE-")).collect();
        let expected = BTreeSet::from([
            "CLUSTER-IP 172.30.0.41,tcp:80", "CLUSTER-IP 172.30.0.43,tcp:80", "CLUSTER-IP 172.30.0.44,tcp:80", "CLUSTER-IP 172.30.0.46,tcp:80", "EXTERNAL-IP 192.168.99.33,tcp:80",
            "IPVS-IPS 172.30.0.41", "IPVS-IPS 172.30.0.43", "IPVS-IPS 172.30.0.44",
            "IPVS-IPS 172.30.0.46", "IPVS-IPS 192.168.99.33",
            "LOOP-BACK 10.180.0.1,tcp:80,10.180.0.1",
            "LOOP-BACK 10.180.0.3,tcp:80,10.180.0.3", "LOOP-BACK 10.180.0.4,tcp:80,10.180.0.4",
            "LOOP-BACK 10.180.0.5,tcp:80,10.180.0.5", "NODE-PORT-TCP 3003",
        ]);
        assert_eq!(members, expected);
        assert_eq!(saved.lines().filter(|line| line.starts_with("create KUBE-")).count(), 7);
    }

    fn ip_shows_the_addresses_on_a_link_that_is_down() {
        full_sync(&mut *open("ipvs", &options()), &golden::overall());
        assert!(output("ip -o link show kube-ipvs0").contains("state DOWN"));
        let bound = output("ip -o -4 addr show dev kube-ipvs0");
        assert_eq!(bound.lines().count(), 5, "{bound}");
        assert!(bound.contains("172.30.0.41/32"), "{bound}");
        assert!(output("ip route get 172.30.0.41").contains("local 172.30.0.41"));
    }

    fn one_local_route_serves_the_range_and_one_each_address_outside() {
        full_sync(&mut *open("ipvs", &local_route()), &golden::overall());
        let routes = output("ip route show table local proto 118");
        let destinations: BTreeSet<_> =
            routes.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(destinations, BTreeSet::from(["172.30.0.0/16", "192.168.99.33"]), "{routes}");
        assert!(output("ip route get 172.30.0.41").contains("local 172.30.0.41"));
    }

    fn settings_are_those_of_the_namespace_and_come_back() {
        let before = SYSCTLS.map(sysctl);
        let mut proxy = open("ipvs", &options());
        full_sync(&mut *proxy, &golden::overall());
        assert_eq!(SYSCTLS.map(sysctl), ["1"; 4]);
        let outside = in_new_namespace(|| SYSCTLS.map(sysctl));
        assert_eq!(outside, before, "another namespace is as it was");
        proxy.stop().expect("a teardown");
        assert_eq!(SYSCTLS.map(sysctl), before);
    }

    fn a_service_that_is_there_already_is_refused_by_its_name() {
        let error = after_interference("ipvsadm -A -t 172.30.0.47:80 -s rr");
        assert!(error.contains("add virtual service 172.30.0.47:80/tcp of Service ns7/new:p80"), "{error}");
        assert!(error.contains("File exists"), "{error}");
    }

    fn a_set_member_that_is_there_already_is_refused_by_its_address() {
        let error = after_interference("ipset add KUBE-LOOP-BACK 10.180.0.7,tcp:80,10.180.0.7");
        assert!(error.contains("add member 10.180.0.7,6:80,10.180.0.7 of ipset KUBE-LOOP-BACK"), "{error}");
        assert!(error.contains("is there already"), "{error}");
    }

    fn an_address_that_is_there_already_is_refused_by_its_service() {
        let error = after_interference("ip addr add 172.30.0.47/32 dev kube-ipvs0");
        assert!(error.contains("add address 172.30.0.47 of Service ns7/new:p80"), "{error}");
    }

    fn a_scheduler_that_the_kernel_lacks_is_named_with_its_remedy() {
        let mut options = options();
        options.ipvs.scheduler = "nosuch".into();
        let started = open("ipvs", &options).start(&golden::overall());
        let error = started.expect_err("no scheduler");
        let error = error.to_string();
        assert!(error.contains("virtual service 172.30.0.41:80/tcp of Service ns1/svc1:p80"), "{error}");
        assert!(error.contains("ip_vs_SCHEDULER"), "{error}");
    }

    fn a_wrong_weight_is_found_and_repaired() {
        let cluster = golden::overall();
        let mut proxy = open("ipvs", &options());
        full_sync(&mut *proxy, &cluster);
        output("ipvsadm -e -t 172.30.0.41:80 -r 10.180.0.1:80 -m -w 0");
        output("ipset del KUBE-IPVS-IPS 172.30.0.43");
        output("ipvsadm -A -u 10.0.0.9:53 -s rr");
        let error = proxy.verify(&cluster).expect_err("three differences").to_string();
        for words in ["3 places", "real server 10.180.0.1:80", "172.30.0.43 in ipset KUBE-IPVS-IPS", "10.0.0.9:53/udp"] {
            assert!(error.contains(words), "{words}: {error}");
        }
        full_sync(&mut *proxy, &cluster);
        proxy.verify(&cluster).expect("all is well again");
    }

    fn a_restart_onto_the_same_cluster_sends_nothing() {
        let cluster = golden::overall();
        full_sync(&mut *open("ipvs", &options()), &cluster);
        let mut restarted = open("ipvs", &options());
        let request = SyncRequest::Full(&cluster);
        restarted.prepare(&request).expect("prepared");
        let program = restarted.render(&request).expect("rendered");
        assert_eq!(program.size.messages, 0);
    }

    fn every_refusal_of_a_large_send_is_counted() {
        let cluster = many(3_000, 0);
        let (mut first, mut second) =
            (open("ipvs", &bare()), open("ipvs", &bare()));
        let request = SyncRequest::Full(&cluster);
        second.prepare(&request).expect("prepared");
        let program = second.render(&request).expect("rendered");
        full_sync(&mut *first, &cluster);
        let error = second.submit(&program).expect_err("all of it is there").to_string();
        // 2,048 messages go out at once, and nothing follows a send with refusals; 8 are told in
        // words.
        assert!(error.contains("10.96.0.1:80/tcp of Service ns/svc-0:p80"), "{error}");
        assert!(error.contains("2040 more were refused"), "{error}");
        first.verify(&cluster).expect("nothing has changed");
    }

    fn a_program_that_was_rendered_without_a_namespace_is_refused() {
        let cluster = golden::overall();
        let program = open("ipvs", &options())
            .render(&SyncRequest::Full(&cluster))
            .expect("rendering needs no kernel");
        let mut proxy = open("ipvs", &options());
        proxy.prepare(&SyncRequest::Full(&cluster)).expect("prepared");
        let error = proxy.submit(&program).expect_err("it has no numbers").to_string();
        assert!(error.contains("not prepared in this namespace"), "{error}");
        assert_eq!(output("ipvsadm -S -n"), "");
    }

    fn ten_thousand_services_fit_and_go() {
        let cluster = many(10_000, 2);
        for mut options in [options(), local_route()] {
            options.ipvs.service_cidrs = Vec::new();
            let mut proxy = open("ipvs", &options);
            full_sync(&mut *proxy, &cluster);
            proxy.verify(&cluster).expect("all of them are there");
            assert_eq!(output("ipvsadm -S -n").lines().count(), 30_000);
            assert_eq!(output("ipset save KUBE-CLUSTER-IP").lines().count(), 10_001);
            let last = cluster.services().last().expect("a Service");
            let old = last.endpoints()[0];
            let new = Endpoint { port: old.port + 1, ..old };
            let change = Change::EndpointReplaced { service: last.name().clone(), old, new };
            let step = cluster.step(vec![change]).expect("it fits");
            let request = SyncRequest::Incremental(&step);
            proxy.prepare(&request).expect("prepared");
            let program = proxy.render(&request).expect("rendered");
            assert_eq!(program.size.messages, 4, "one real server and one set member each way");
            proxy.submit(&program).expect("submitted");
            proxy.verify(step.after()).expect("only the last Service changed");
            proxy.stop().expect("a teardown");
            assert_eq!(witness::state(), Vec::<String>::new());
        }
    }

    fn a_full_sync_changes_how_vips_are_bound() {
        let cluster = golden::overall();
        let mut by_route = local_route();
        by_route.ipvs.iptables = IptablesVariant::Nft;
        for settings in [options(), by_route, options()] {
            let mut proxy = open("ipvs", &settings);
            full_sync(&mut *proxy, &cluster);
            proxy.verify(&cluster).expect("bound the new way");
            let dummy = settings.ipvs.vip_binding == VipBinding::Dummy;
            assert_eq!(output("ip link").contains("kube-ipvs0"), dummy);
            assert_eq!(output("ip route show table local proto 118").is_empty(), dummy);

        }
    }

    fn vips_are_bound_apart_from_everything_else() {
        let cluster = many(100, 1);
        for (options, count) in [(options(), 100), (local_route(), 100)] {
            let bound = ipvs::bind_vips(&cluster, &options).expect("bound");
            assert_eq!(bound.messages, count);
            for service in cluster.services() {
                let route = output(&format!("ip route get {}", service.vip()));
                assert!(route.starts_with("local "), "{route}");
            }
            assert_eq!(output("ipvsadm -S -n"), "");
            ipvs::unbind_vips().expect("unbound");
            ipvs::unbind_vips().expect("unbound twice");
            assert_eq!(witness::state(), Vec::<String>::new());
        }
    }
}

/// The error of a sync that adds a Service for which somebody else has made the room already.
fn after_interference(command: &str) -> String {
    let before = golden::overall();
    let change =
        Change::ServiceAdded(golden::service("ns7/new:p80", "172.30.0.47", &["10.180.0.7:80"]));
    let step = before.step(vec![change]).expect("it fits");
    let mut proxy = open("ipvs", &options());
    full_sync(&mut *proxy, &before);
    output(command);
    let error = proxy.apply(&step).expect_err("it is there already").to_string();
    full_sync(&mut *proxy, step.after());
    proxy.verify(step.after()).expect("a full sync repairs");
    error
}

/// Services with VIPs from 10.96.0.1 on, and Endpoints of their own.
pub fn many(services: u32, endpoints: u32) -> Cluster {
    let address =
        |base: [u8; 4], at: u32| Ipv4Addr::from_bits(u32::from_be_bytes(base) + at).into();
    let service = |at: u32| {
        let name = ServiceName::new("ns", &format!("svc-{at}"), "p80").expect("a name");
        let endpoints = (0..endpoints)
            .map(|which| Endpoint::new(address([10, 128, 0, 1], at * endpoints + which), 8080));
        Service::new(name, address([10, 96, 0, 1], at), 80, Protocol::Tcp, endpoints.collect())
    };
    let services: Result<_, _> = (0..services).map(service).collect();
    Cluster::new(services.expect("Services")).expect("a Cluster")
}

//! Links, addresses, routes and rules, as `ip` sees them.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use linux::netlink::host::Via;
use linux::netlink::link::{Mac, VethEnd};
use linux::netlink::{LOOPBACK_INDEX, Rtnl};
use linux::netns::Namespace;

use crate::{in_new_namespace, printed};

const INDEX: u32 = 40;

/// A veth pair with its peer in a namespace that is returned; both are up.
fn pair(rtnl: &mut Rtnl) -> Namespace {
    let peer_host = Namespace::new("peer").unwrap();
    let [end, peer] = [1, 2].map(|side| Mac([2, 0, 0, 0, 0, side])).map(|mac| VethEnd {
        name: "v0",
        index: INDEX,
        mac,
        mtu_bytes: None,
    });
    rtnl.add_veth(end, peer, peer_host.as_fd()).unwrap();
    rtnl.set_up(INDEX).unwrap();
    peer_host.enter(|| Rtnl::open().unwrap().set_up(INDEX).unwrap()).unwrap();
    rtnl.wait_up(INDEX, Duration::from_secs(5)).unwrap();
    peer_host
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn ip_shows_addresses_neighbours_routes_and_rules_of_both_families() {
    in_new_namespace(|| {
        let mut rtnl = Rtnl::open().unwrap();
        let _peer_host = pair(&mut rtnl);
        rtnl.set_up(LOOPBACK_INDEX).unwrap();
        for (own, other, prefix, from) in [
            ("192.0.2.1/30", "192.0.2.2", "198.51.100.0/24", "203.0.113.0/24"),
            ("fd00::1/126", "fd00::2", "fd00:1::/64", "fd00:2::/64"),
        ] {
            let other: IpAddr = other.parse().unwrap();
            rtnl.add_address(INDEX, own.parse().unwrap()).unwrap();
            rtnl.add_neighbour(INDEX, other, Mac([2, 0, 0, 0, 0, 2])).unwrap();
            let via = Via::Gateway { address: other, index: INDEX };
            rtnl.add_route(prefix.parse().unwrap(), via).unwrap();
            rtnl.add_route_to(100, prefix.parse().unwrap(), Via::Device { index: INDEX }).unwrap();
            rtnl.add_route(from.parse().unwrap(), Via::Local).unwrap();
            rtnl.add_rule(from.parse().unwrap(), 100, 1000).unwrap();

            let family = if other.is_ipv4() { "-4" } else { "-6" };
            let shown = |what: &str| printed("ip", &format!("{family} {what}"));
            assert!(shown("-o address show dev v0").contains(own));
            let neighbours = shown("neighbour show dev v0");
            let expected = format!("{other} lladdr 02:00:00:00:00:02 PERMANENT");
            assert!(neighbours.contains(&expected), "{neighbours}");
            let routes = shown("route show");
            assert!(routes.contains(&format!("{prefix} via {other} dev v0")), "{routes}");
            let routes = shown("route show table 100");
            assert!(routes.contains(&format!("{prefix} dev v0")), "{routes}");
            let routes = shown("route show table local");
            assert!(routes.contains(&format!("local {from} dev lo")), "{routes}");
            let rules = shown("rule show");
            assert!(rules.contains(&format!("1000:\tfrom {from} lookup 100")), "{rules}");
        }
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_refusal_names_the_object_and_what_the_kernel_says() {
    in_new_namespace(|| {
        let mut rtnl = Rtnl::open().unwrap();
        let _peer_host = pair(&mut rtnl);
        rtnl.add_address(INDEX, "192.0.2.1/30".parse().unwrap()).unwrap();
        let again = rtnl.add_address(INDEX, "192.0.2.1/30".parse().unwrap()).unwrap_err();
        let expected =
            "address 192.0.2.1/30 of link 40: the kernel refuses: File exists (os error 17)";
        assert!(again.to_string().starts_with(expected), "{again}");
        // The socket is as good as before.
        rtnl.set_up(INDEX).unwrap();
        let wide = rtnl.add_route("192.0.2.1/24".parse().unwrap(), Via::Local).unwrap_err();
        assert!(wide.to_string().ends_with("write 192.0.2.0/24"), "{wide}");
    });
}

#[test]
#[ignore = "needs root and the module ipip; run by scripts/test"]
fn ip_shows_an_ipip_tunnel() {
    in_new_namespace(|| {
        let mut rtnl = Rtnl::open().unwrap();
        rtnl.add_ipip("t0", INDEX, [192, 0, 2, 1].into(), [192, 0, 2, 2].into()).unwrap();
        let shown = printed("ip", "-d link show dev t0");
        assert!(
            shown.contains("ipip") && shown.contains("remote 192.0.2.2 local 192.0.2.1"),
            "{shown}"
        );
    });
}

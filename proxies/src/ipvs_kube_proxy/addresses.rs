//! The addresses of the node and of the dummy link, one request each.
//!
//! `pkg/proxy/ipvs/netlink_linux.go`, Kubernetes 1.36. The index of the link, which kube-proxy
//! asks for by rtnetlink before each address, is asked for by `ioctl`.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use generators::Family as AddressFamily;
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, NetlinkError, Socket, route};

use crate::error::ProxyError;
use crate::ipvs::binding::{LINK, link_index};
use crate::ipvs::observe::is_link_local;
use crate::netlink::failed;

/// The addresses of one family in the namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    /// Those of the dummy link.
    pub bound: BTreeSet<IpAddr>,
    /// Those of other links, but for loopback and link-local ones.
    pub own: Vec<IpAddr>,
}

/// Lists the addresses of a family.
pub(super) fn read(family: AddressFamily) -> Result<Addresses, ProxyError> {
    let link = link_index()?;
    let listed = route::addresses_of_both_families().map_err(failed("list", "addresses"))?;
    let mut addresses = Addresses::default();
    for found in listed.into_iter().filter(|found| is_valid(family, found.address)) {
        if Some(found.link) == link {
            addresses.bound.insert(found.address);
        } else {
            addresses.own.push(found.address);
        }
    }
    Ok(addresses)
}

/// `isValidForSet`
fn is_valid(family: AddressFamily, address: IpAddr) -> bool {
    AddressFamily::of(address) == family && !is_link_local(address) && !address.is_loopback()
}

/// Puts an address on the dummy link, if it is not there.
pub(super) fn bind(address: IpAddr) -> Result<(), ProxyError> {
    change(route::NEW_ADDRESS, "add", address, libc::EEXIST)
}

/// Takes an address off the dummy link, if it is there.
pub(super) fn unbind(address: IpAddr) -> Result<(), ProxyError> {
    change(route::DELETE_ADDRESS, "remove", address, libc::EADDRNOTAVAIL)
}

/// Sends one request of a kind; a refusal with `done` says that nothing was to be done.
fn change(
    kind: u16,
    operation: &'static str,
    address: IpAddr,
    done: i32,
) -> Result<(), ProxyError> {
    let link = link_index()?.ok_or_else(|| ProxyError::Netlink {
        operation,
        object: format!("address {address} of {LINK}"),
        source: io::Error::other("the link is gone: something else programs this namespace"),
    })?;
    let mut encoder = Encoder::default();
    route::address(&mut encoder, kind, link, address);
    let sent = Socket::open(Family::Route).and_then(|mut socket| socket.submit(&encoder.finish()));
    match sent {
        Err(NetlinkError::Refused { first, .. })
            if first.iter().all(|refusal| refusal.errno == done) =>
        {
            Ok(())
        }
        other => other.map_err(failed(operation, format!("address {address} of {LINK}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_link_local_addresses_and_those_of_the_other_family_do_not_count() {
        let valid = |family| {
            let all = ["127.0.0.1", "192.0.2.1", "169.254.0.1", "::1", "fe80::1", "2001:db8::1"];
            let counts = |text: &&str| is_valid(family, text.parse().expect("an address"));
            all.into_iter().filter(counts).collect::<Vec<_>>()
        };
        assert_eq!(valid(AddressFamily::V4), ["192.0.2.1", "169.254.0.1"]);
        assert_eq!(valid(AddressFamily::V6), ["2001:db8::1"]);
    }
}

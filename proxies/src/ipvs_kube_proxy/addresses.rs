//! The addresses of the node and of the dummy link, asked for as often as kube-proxy does.
//!
//! `pkg/proxy/ipvs/netlink_linux.go`, Kubernetes 1.36, and what it calls: `net.Interfaces` and
//! `Interface.Addrs` of Go, which list every link, and every address once for each link that is
//! looked at, and `LinkByName` of vishvananda/netlink, which asks for the dummy link before each
//! address that comes or goes.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use generators::Family as AddressFamily;
use linux::netlink::route::{self, Link};
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, NetlinkError, Socket};

use crate::error::ProxyError;
use crate::ipvs::binding::{LINK, make_dummy};
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

/// Makes the dummy link if it is not there (`EnsureDummyDevice`).
pub(super) fn ensure_link() -> Result<(), ProxyError> {
    if dummy_link()?.is_some() { Ok(()) } else { make_dummy() }
}

/// The index of the dummy link, by its name (`LinkByName`).
fn dummy_link() -> Result<Option<u32>, ProxyError> {
    let found = route::link_named(LINK).map_err(failed("find", format!("link {LINK}")))?;
    Ok(found.map(|link| link.index))
}

/// Lists the addresses of a family: those of the dummy link (`GetLocalAddresses`), then link by
/// link those of the others (`GetAllLocalAddressesExcept`).
pub(super) fn read(family: AddressFamily) -> Result<Addresses, ProxyError> {
    let mut addresses = Addresses::default();
    if let Some(dummy) = links()?.iter().find(|link| link.name == LINK) {
        addresses.bound.extend(of_link(family, dummy)?);
    }
    for link in links()?.iter().filter(|link| link.name != LINK) {
        addresses.own.extend(of_link(family, link)?);
    }
    Ok(addresses)
}

fn links() -> Result<Vec<Link>, ProxyError> {
    route::links().map_err(failed("list", "links"))
}

/// Those of a link that count, out of all that there are.
fn of_link(family: AddressFamily, link: &Link) -> Result<Vec<IpAddr>, ProxyError> {
    let listed = route::addresses_of_both_families().map_err(failed("list", "addresses"))?;
    let of_link = listed.into_iter().filter(|found| found.link == link.index);
    Ok(of_link.map(|found| found.address).filter(|address| is_valid(family, *address)).collect())
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
    let link = dummy_link()?.ok_or_else(|| ProxyError::Netlink {
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

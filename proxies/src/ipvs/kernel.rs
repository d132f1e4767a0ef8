//! Questions to this kernel's IPVS, and its table as a whole. Knows no Cluster.

use std::net::Ipv4Addr;

use generators::Protocol;
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, Socket, genl};

use super::netlink_errors::netlink_failed;
use super::options::Timeouts;
use super::wire::{self, Info, Settings, VirtualKey, Writer, WrittenSettings};
use crate::error::ProxyError;

/// Version and table size of this kernel's IPVS.
///
/// # Errors
/// [`ProxyError::Unsupported`] if it has none.
pub fn info() -> Result<Info, ProxyError> {
    let family = family_number()?;
    let mut found = None;
    Socket::open(Family::Generic)
        .and_then(|mut socket| {
            socket.ask(&wire::get_info(family), |message| {
                found = Some(Info::read(message)?);
                Ok(())
            })
        })
        .map_err(netlink_failed("ask for", "the version of IPVS"))?;
    found.ok_or_else(|| ProxyError::Malformed {
        what: "the kernel's answer about IPVS".into(),
        reason: "it is empty".into(),
    })
}

/// The connection timeouts of the namespace.
///
/// # Errors
/// [`ProxyError::Unsupported`] if the kernel has no IPVS.
pub fn timeouts() -> Result<Timeouts, ProxyError> {
    let family = family_number()?;
    let mut found = Timeouts::default();
    Socket::open(Family::Generic)
        .and_then(|mut socket| {
            socket.ask(&wire::get_timeouts(family), |message| {
                found = Timeouts::read(message)?;
                Ok(())
            })
        })
        .map_err(netlink_failed("ask for", "the connection timeouts of IPVS"))?;
    Ok(found)
}

pub(super) fn family_number() -> Result<u16, ProxyError> {
    genl::family_number(wire::FAMILY_NAME).map_err(|error| ProxyError::Unsupported {
        what: "IPVS".into(),
        reason: if error.is_not_found() {
            "this kernel has no generic netlink family of that name".into()
        } else {
            netlink_failed("find", "the generic netlink family IPVS")(error).to_string()
        },
        remedy: "load the module ip_vs, or boot a kernel that has it".into(),
    })
}

/// Removes every virtual service of the namespace; a kernel without IPVS has none.
pub(super) fn flush() -> Result<(), ProxyError> {
    let Ok(family) = family_number() else { return Ok(()) };
    let mut encoder = Encoder::default();
    Writer { encoder: &mut encoder, family }.flush();
    Socket::open(Family::Generic)
        .and_then(|mut socket| socket.submit(&encoder.finish()))
        .map_err(netlink_failed("remove", "all virtual services"))
}

/// Makes a virtual service with this scheduler in the current namespace, and removes it again.
///
/// # Errors
/// [`ProxyError::Unsupported`] without IPVS, [`ProxyError::Netlink`] if the kernel has no such
/// scheduler.
pub fn try_scheduler(name: &str) -> Result<(), ProxyError> {
    let family = family_number()?;
    // An address for documentation (RFC 5737): it is in nobody's way.
    let key = VirtualKey { address: Ipv4Addr::new(192, 0, 2, 1), port: 1, protocol: Protocol::Tcp };
    let settings = WrittenSettings::of(&Settings { scheduler: name, flags: 0, timeout_s: 0 });
    let one = |write: &dyn Fn(&mut Writer<'_>)| {
        let mut encoder = Encoder::default();
        write(&mut Writer { encoder: &mut encoder, family });
        Socket::open(Family::Generic).and_then(|mut socket| socket.submit(&encoder.finish()))
    };
    one(&|writer| writer.new_service(key, &settings))
        .map_err(netlink_failed("use", format!("the scheduler {name}")))?;
    one(&|writer| writer.delete_service(key))
        .map_err(netlink_failed("remove", format!("virtual service {key}")))
}

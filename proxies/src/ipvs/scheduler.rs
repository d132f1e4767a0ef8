//! Whether this kernel has a scheduler: makes a virtual service with it. Knows no Cluster.

use std::net::Ipv4Addr;

use generators::Protocol;
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, Socket};

use super::family_number;
use super::refusal::netlink_failed;
use super::wire::{Settings, VirtualKey, Writer, WrittenSettings};
use crate::error::ProxyError;

/// Makes a virtual service with this scheduler in the current namespace, and removes it again.
///
/// # Errors
/// [`ProxyError::Unsupported`] without IPVS, [`ProxyError::Netlink`] if the kernel has no such scheduler.
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

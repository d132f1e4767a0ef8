//! This kernel's IPVS, and its table as a whole. Knows no Cluster.

use generators::Protocol;
use linux::netlink::genl;
use linux::netlink::socket::Family;

use super::wire::{self, Settings, Verb, VirtualKey, Writer};
use crate::error::ProxyError;
use crate::netlink::{failed, send};

/// The number of the generic netlink family of IPVS in this kernel.
pub(crate) fn family_number() -> Result<u16, ProxyError> {
    genl::family_number(wire::FAMILY_NAME).map_err(|error| ProxyError::Unsupported {
        what: "IPVS".into(),
        reason: if error.is_not_found() {
            "this kernel has no generic netlink family of that name".into()
        } else {
            failed("find", "the generic netlink family IPVS")(error).to_string()
        },
        remedy: "load the module ip_vs, or boot a kernel that has it".into(),
    })
}

/// Removes every virtual service of the namespace; a kernel without IPVS has none.
pub(crate) fn flush() -> Result<(), ProxyError> {
    let Ok(family) = family_number() else { return Ok(()) };
    send(Family::Generic, "remove", "all virtual services", |encoder| {
        Writer { encoder, family }.flush();
    })
}

/// Makes a virtual service with this scheduler in the current namespace, and removes it again.
///
/// # Errors
/// [`ProxyError::Unsupported`] without IPVS, [`ProxyError::Netlink`] if the kernel has no such
/// scheduler.
pub fn try_scheduler(name: &str) -> Result<(), ProxyError> {
    let family = family_number()?;
    // An address for documentation (RFC 5737): it is in nobody's way.
    let address = [192, 0, 2, 1].into();
    let key = VirtualKey { address, port: 1, protocol: Protocol::Tcp };
    let settings = Settings { scheduler: name.into(), ..Settings::default() }.written();
    let one = |verb, operation, object: String| {
        send(Family::Generic, operation, object, |encoder| {
            Writer { encoder, family }.service(verb, key, &settings);
        })
    };
    one(Verb::Add, "use", format!("the scheduler {name}"))?;
    one(Verb::Remove, "remove", format!("virtual service {key}"))
}

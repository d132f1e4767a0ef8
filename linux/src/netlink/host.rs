//! Addresses, neighbours, routes and rules of a host, IPv4 and IPv6, one at a time.

use std::net::IpAddr;

use ipnet::IpNet;
use neli::consts::rtnl::{FrAct, Frattr, Ifa, Nda, RtScope, RtTable, Rta, Rtm, Rtn, Rtprot};

use super::family::AddressFamily;
use super::link::Mac;
use super::numbers::LOOPBACK_INDEX;
use super::rtnl::{Rtnl, RtnlError};

/// `NUD_PERMANENT`: never asked about, never forgotten (include/uapi/linux/neighbour.h, Linux 6.1).
const PERMANENT: u16 = 0x80;
/// `IFA_F_NODAD`: usable at once, without asking the link whether somebody has it already
/// (`include/uapi/linux/if_addr.h`, Linux 6.1). IPv6 only.
const NO_DUPLICATE_DETECTION: u8 = 0x02;

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Delivered here: every address of the prefix belongs to this host
    /// (`ip route add local PREFIX dev lo`).
    Local,
    /// Sent to a neighbour on an interface.
    Gateway {
        /// Address of the neighbour, of the prefix's family.
        address: IpAddr,
        /// Index of the interface.
        index: u32,
    },
    /// Sent into an interface that has one other end, such as a tunnel.
    Device {
        /// Index of the interface.
        index: u32,
    },
}

impl Rtnl {
    /// Gives a link an address and the route to its network: `ip address add ADDRESS dev INDEX`.
    ///
    /// # Errors
    /// [`RtnlError`]: a refusal.
    pub fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), RtnlError> {
        let octets = octets(address.addr());
        let flags = if address.addr().is_ipv6() { NO_DUPLICATE_DETECTION } else { 0 };
        let [a, b, c, d] = index.to_ne_bytes();
        let scope = RtScope::Universe.into();
        self.create(
            || format!("address {address} of link {index}"),
            Rtm::Newaddr,
            |content| {
                let family = AddressFamily::of(address.addr()) as u8;
                content.fixed([family, address.prefix_len(), flags, scope, a, b, c, d]);
                content.bytes(Ifa::Local.into(), &octets);
                content.bytes(Ifa::Address.into(), &octets);
            },
        )
    }

    /// Adds a route of the main table, or a local one: `ip route add PREFIX via ADDRESS dev INDEX`,
    /// `ip route add PREFIX dev INDEX`, or `ip route add local PREFIX dev lo`.
    ///
    /// # Errors
    /// [`RtnlError`]: a refusal, or address bits beyond the prefix.
    pub fn add_route(&mut self, prefix: IpNet, via: Via) -> Result<(), RtnlError> {
        let table = if via == Via::Local { RtTable::Local } else { RtTable::Main };
        self.add_route_to(table.into(), prefix, via)
    }

    /// Adds a route of a table of its own, which [`Rtnl::add_rule`] makes the kernel look into.
    ///
    /// # Errors
    /// As for [`Rtnl::add_route`].
    pub fn add_route_to(&mut self, table: u8, prefix: IpNet, via: Via) -> Result<(), RtnlError> {
        let object = || format!("route to {prefix}");
        check_prefix(prefix).map_err(|reason| RtnlError { object: object(), reason })?;
        let (scope, kind, index) = match via {
            Via::Local => (RtScope::Host, Rtn::Local, LOOPBACK_INDEX),
            Via::Gateway { index, .. } => (RtScope::Universe, Rtn::Unicast, index),
            Via::Device { index } => (RtScope::Link, Rtn::Unicast, index),
        };
        let (family, length) = (AddressFamily::of(prefix.addr()) as u8, prefix.prefix_len());
        let (protocol, scope, kind) = (Rtprot::Static.into(), scope.into(), kind.into());
        self.create(object, Rtm::Newroute, |content| {
            content.fixed([family, length, 0, 0, table, protocol, scope, kind, 0, 0, 0, 0]);
            content.bytes(Rta::Dst.into(), &octets(prefix.addr()));
            content.bytes(Rta::Oif.into(), &index.to_ne_bytes());
            if let Via::Gateway { address, .. } = via {
                content.bytes(Rta::Gateway.into(), &octets(address));
            }
        })
    }

    /// Makes the kernel look into a table for packets from a prefix:
    /// `ip rule add from PREFIX table TABLE priority PRIORITY`.
    ///
    /// # Errors
    /// As for [`Rtnl::add_route`].
    pub fn add_rule(&mut self, from: IpNet, table: u8, priority: u32) -> Result<(), RtnlError> {
        let object = || format!("rule {priority} from {from}");
        check_prefix(from).map_err(|reason| RtnlError { object: object(), reason })?;
        let (family, action) = (AddressFamily::of(from.addr()) as u8, FrAct::FrActToTbl.into());
        self.create(object, Rtm::Newrule, |content| {
            // struct fib_rule_hdr (include/uapi/linux/fib_rules.h, Linux 6.1).
            content.fixed([family, 0, from.prefix_len(), 0, table, 0, 0, action, 0, 0, 0, 0]);
            content.bytes(Frattr::Src.into(), &octets(from.addr()));
            content.bytes(Frattr::Priority.into(), &priority.to_ne_bytes());
        })
    }

    /// Adds a neighbour that never expires:
    /// `ip neighbour add ADDRESS lladdr MAC dev INDEX nud permanent`.
    ///
    /// # Errors
    /// [`RtnlError`]: a refusal.
    pub fn add_neighbour(
        &mut self,
        index: u32,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(), RtnlError> {
        // struct ndmsg (include/uapi/linux/neighbour.h, Linux 6.1).
        let family = AddressFamily::of(address) as u8;
        let mut header = [family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, Rtn::Unicast.into()];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        header[8..10].copy_from_slice(&PERMANENT.to_ne_bytes());
        self.create(
            || format!("neighbour {address} at {mac} on link {index}"),
            Rtm::Newneigh,
            |content| {
                content.fixed(header);
                content.bytes(Nda::Dst.into(), &octets(address));
                content.bytes(Nda::Lladdr.into(), &mac.0);
            },
        )
    }
}

/// Refuses a prefix with address bits beyond its length, as the kernel does.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn check_prefix(prefix: IpNet) -> Result<(), String> {
    if prefix == prefix.trunc() {
        return Ok(());
    }
    Err(format!("address bits beyond the prefix; write {}", prefix.trunc()))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

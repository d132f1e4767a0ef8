//! Hosts that take packets to addresses that are not theirs: what Endpoints behind a proxy that
//! leaves the destination as it is must do.

use ipnet::IpNet;
use linux::netlink::Rtnl;
use linux::netlink::host::Via;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};

use super::error::TopologyError;
use super::member::Member;

/// The device that takes IPIP packets for every address of its host (`net/ipv4/ipip.c`, Linux 6.1).
const TUNNEL_DEVICE: &str = "tunl0";

/// How packets to the addresses come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// As they are, over the link.
    Direct,
    /// Inside IPIP.
    Tunnelled,
}

impl Member {
    /// Makes the host take packets to all of `addresses`, for as long as it is up.
    ///
    /// # Errors
    /// A kernel without the module `ipip`; what it refuses.
    pub fn hold(&self, addresses: IpNet, holding: Holding) -> Result<(), TopologyError> {
        self.namespace.enter(|| take(addresses, holding))?.map_err(|source| TopologyError::Host {
            host: self.namespace.label().to_owned(),
            source,
        })
    }
}

fn take(
    addresses: IpNet,
    holding: Holding,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut rtnl = Rtnl::open()?;
    let first = IpNet::from(addresses.network());
    // An address of a device has such a route already.
    if holding == Holding::Direct || first != addresses {
        rtnl.add_route(addresses, Via::Local)?;
    }
    if holding == Holding::Direct {
        return Ok(());
    }
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let device = name_to_index(any, TUNNEL_DEVICE).map_err(|error| {
        format!("no device {TUNNEL_DEVICE}, which the module ipip makes: {error}")
    })?;
    // A device without an address passes no filter of reverse paths, not even the loose one
    // (`__fib_validate_source` in net/ipv4/fib_frontend.c, Linux 6.1).
    rtnl.add_address(device, first)?;
    Ok(rtnl.set_up(device)?)
}

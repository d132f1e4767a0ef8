//! Reads what the namespace holds: virtual services and real servers, and of one family local
//! addresses and set members.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use generators::Family as AddressFamily;
use ipnet::IpNet;
use linux::netlink::route::LinkAddress;
use linux::netlink::socket::Family;
use linux::netlink::{Socket, ipset, route};

use super::objects::{NO_SERVICE, NodeObject, NodeObjects};
use super::options::VipBinding;
use super::sets::Set;
use super::wire::{self, RealServer, Settings, VirtualKey};
use crate::error::ProxyError;
use crate::netlink::{address_family, failed};

/// How often virtual services are listed at most.
const LISTINGS_MAX: usize = 8;

/// One virtual service and its real servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObservedService {
    /// Which it is.
    pub key: VirtualKey,
    /// How it works.
    pub settings: Settings,
    /// Its real servers.
    pub reals: Vec<RealServer>,
}

/// The part of a namespace that this proxy programs for one family.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Virtual services, in the order of their keys.
    pub services: Vec<ObservedService>,
    /// Local addresses or routes, and the members of the sets, sorted.
    pub objects: NodeObjects,
    /// The sets that exist, and how many members those of hash type can hold.
    pub sets: HashMap<Set, Option<u32>>,
}

impl Observed {
    /// The virtual services by what tells them apart.
    pub fn by_key(&self) -> HashMap<VirtualKey, &ObservedService> {
        self.services.iter().map(|service| (service.key, service)).collect()
    }
}

/// The addresses of a family that links other than `lo` have, but for link-local ones of IPv6,
/// which no VIP and no node port can be at.
pub(super) fn addresses(family: AddressFamily) -> Result<Vec<LinkAddress>, ProxyError> {
    let listed = route::addresses(address_family(family)).map_err(failed("list", "addresses"))?;
    Ok(listed.into_iter().filter(|found| !is_link_local(found.address)).collect())
}

/// Whether it is a link-local address of IPv6.
pub(crate) const fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// What a namespace that has these virtual services and addresses of a family holds besides, for
/// that binding (with the dummy link's index, if it exists) and in the sets.
pub(super) fn read(
    family: AddressFamily,
    services: Vec<ObservedService>,
    binding: VipBinding,
    link: Option<u32>,
    addresses: &[LinkAddress],
) -> Result<Observed, ProxyError> {
    let mut observed = Observed { services, ..Observed::default() };
    let local: Vec<IpNet> = match binding {
        VipBinding::Dummy => {
            let own = addresses.iter().filter(|found| Some(found.link) == link);
            own.map(|found| found.address.into()).collect()
        }
        VipBinding::LocalRoute => {
            route::local_routes(address_family(family)).map_err(failed("list", "local routes"))?
        }
    };
    for prefix in local {
        observed.objects.push(NodeObject::Local(prefix), NO_SERVICE);
    }
    for set in Set::ALL {
        let name = set.name(family);
        let listed = ipset::list(&name).map_err(failed("list", format!("ipset {name}")))?;
        if let Some(listed) = listed {
            observed.sets.insert(set, listed.max_elements);
            for member in listed.members {
                observed.objects.push(NodeObject::Member(set, member), NO_SERVICE);
            }
        }
    }
    observed.objects.sort();
    Ok(observed)
}

/// Every virtual service of the namespace with its real servers, in the order of their keys. Takes
/// time linear in them, save what the kernel takes to find its place again in a long list.
pub(crate) fn services(family: u16) -> Result<Vec<ObservedService>, ProxyError> {
    let mut socket = open()?;
    let mut services = Vec::new();
    for (key, settings) in listed_services(&mut socket, family)? {
        let mut reals = Vec::new();
        let listing = socket.ask(&wire::list_reals(family, key), |message| {
            reals.push(wire::read_real(message, AddressFamily::of(key.address))?);
            Ok(())
        });
        listing.map_err(failed("list", format!("real servers of {key}")))?;
        services.push(ObservedService { key, settings, reals });
    }
    Ok(services)
}

/// Every virtual service of the namespace, listed until a listing brings none that is new.
///
/// The kernel keeps the virtual services of all namespaces in one table and continues a long
/// listing at a place in that table, so that a change in another namespace makes it skip or repeat
/// some of ours (`ip_vs_genl_dump_services`, `net/netfilter/ipvs/ip_vs_ctl.c`, Linux 6.1). Nobody
/// else changes this namespace, so what was seen once is there.
fn listed_services(
    socket: &mut Socket,
    family: u16,
) -> Result<BTreeMap<VirtualKey, Settings>, ProxyError> {
    let mut services = BTreeMap::new();
    for _ in 0..LISTINGS_MAX {
        let known = services.len();
        list(socket, family, |(key, settings)| drop(services.insert(key, settings)))?;
        if services.len() == known {
            break;
        }
    }
    Ok(services)
}

/// Every virtual service of the namespace once, in the order of the kernel's table.
pub(crate) fn keys_as_listed(family: u16) -> Result<Vec<VirtualKey>, ProxyError> {
    let mut keys = Vec::new();
    list(&mut open()?, family, |(key, _)| keys.push(key))?;
    Ok(keys)
}

fn open() -> Result<Socket, ProxyError> {
    Socket::open(Family::Generic).map_err(failed("open", "a socket for IPVS"))
}

fn list(
    socket: &mut Socket,
    family: u16,
    mut each: impl FnMut((VirtualKey, Settings)),
) -> Result<(), ProxyError> {
    let listing = socket.ask(&wire::list_services(family), |message| {
        wire::read_service(message)?.into_iter().for_each(&mut each);
        Ok(())
    });
    listing.map_err(failed("list", "virtual services"))
}

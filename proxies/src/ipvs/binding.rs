//! Makes VIPs local, apart from everything else, so that the two strategies can be compared: the
//! measure `vip_bind`.
//!
//! The backend binds VIPs as part of its sync; this binds nothing but VIPs, with the same messages.

use generators::{Cluster, Family as AddressFamily};
use linux::IoError;
use linux::netlink::route;
use linux::netlink::socket::Family;

use super::layout::Layout;
use super::objects::{NodeObject, NodeObjects};
use super::options::VipBinding;
use super::program::{IpvsProgram, KernelIds};
use super::render::Draft;
use crate::error::ProxyError;
use crate::netlink::{address_family, failed, send};
use crate::options::Options;
use crate::program::Size;

/// The dummy link (`defaultDummyDevice`, pkg/proxy/ipvs/proxier.go, Kubernetes 1.30).
pub(crate) const LINK: &str = "kube-ipvs0";

/// The messages that make VIPs local, ready to be handed over.
#[derive(Debug)]
pub struct VipProgram(Vec<IpvsProgram>);

impl VipProgram {
    /// What binds every VIP and external IP of a Cluster, none of which may be bound yet, by the
    /// strategy in `options.ipvs`; `link` is from [`ready_link`].
    ///
    /// # Errors
    /// [`ProxyError::Unsupported`] if one local route would take the packets of an Endpoint too.
    pub fn render(cluster: &Cluster, options: &Options, link: u32) -> Result<Self, ProxyError> {
        let programs = families_of(cluster).map(|family| {
            let layout = Layout::of(family, cluster, options, Vec::new())?;
            Ok(binding_of(&layout, cluster, link))
        });
        Ok(Self(programs.collect::<Result<_, ProxyError>>()?))
    }

    /// Hands them over, in the namespace of the calling thread. Returns how much that was.
    ///
    /// # Errors
    /// Any refusal by the kernel, with the VIP and the Service.
    pub fn submit(&self) -> Result<Size, ProxyError> {
        self.0.iter().try_for_each(|program| program.submit().map(drop))?;
        Ok(self.0.iter().map(IpvsProgram::size).sum())
    }
}

/// The families that a Cluster has Services of.
fn families_of(cluster: &Cluster) -> impl Iterator<Item = AddressFamily> {
    let is_used = |family: &AddressFamily| cluster.of_family(*family).next().is_some();
    AddressFamily::ALL.into_iter().filter(is_used)
}

/// What binds the VIPs of the layout's family.
fn binding_of(layout: &Layout, cluster: &Cluster, link: u32) -> IpvsProgram {
    let mut draft = Draft::new(layout, KernelIds { family: 0, link }, 0);
    let mut wanted = NodeObjects::default();
    for service in cluster.of_family(layout.family) {
        let label = draft.about(service.name());
        layout.objects(service, |object| {
            if matches!(object, NodeObject::Local(_)) {
                wanted.push(object, label);
            }
        });
    }
    wanted.sort();
    wanted.compare(&NodeObjects::default(), |_, object| draft.add(object));
    draft.finish()
}

/// All of it in one call. Returns how much was handed over.
///
/// # Errors
/// As its three steps.
pub fn bind_vips(cluster: &Cluster, options: &Options) -> Result<Size, ProxyError> {
    let link = ready_link(options.ipvs.vip_binding, cluster)?;
    VipProgram::render(cluster, options, link)?.submit()
}

/// Removes the dummy link and our local routes, whichever there are. Repeatable; goes on after an
/// error.
///
/// # Errors
/// What could not be removed.
pub fn unbind_vips() -> Result<(), ProxyError> {
    ProxyError::gather([unbind_link(), unbind_routes()])
}

/// Readies the namespace for a strategy: removes what the other one has left of the families that
/// the Cluster has, and makes the dummy link if it is wanted and not there. Returns the link's
/// index, or 0 if VIPs are bound by routes.
///
/// # Errors
/// Any refusal by the kernel, such as a missing module `dummy`.
pub fn ready_link(binding: VipBinding, cluster: &Cluster) -> Result<u32, ProxyError> {
    ready_link_of(binding, families_of(cluster))
}

/// The same for these families.
pub(super) fn ready_link_of(
    binding: VipBinding,
    families: impl IntoIterator<Item = AddressFamily>,
) -> Result<u32, ProxyError> {
    if binding == VipBinding::LocalRoute {
        unbind_link()?;
        return Ok(0);
    }
    families.into_iter().try_for_each(unbind_routes_of)?;
    ready_dummy()
}

/// The index of the dummy link, which is made if it is not there. It stays down.
///
/// # Errors
/// Any refusal by the kernel, such as a missing module `dummy`.
fn ready_dummy() -> Result<u32, ProxyError> {
    if let Some(index) = link_index()? {
        return Ok(index);
    }
    make_dummy()?;
    link_index()?.ok_or_else(|| {
        let what = format!("the kernel's answer about link {LINK}");
        ProxyError::malformed(what, "it was just made and is not there")
    })
}

/// Makes the dummy link, which must not be there.
///
/// # Errors
/// Any refusal by the kernel, such as a missing module `dummy`.
pub(crate) fn make_dummy() -> Result<(), ProxyError> {
    send(Family::Route, "make", format!("dummy link {LINK} (module dummy)"), |encoder| {
        route::create_dummy(encoder, LINK);
    })
}

/// The index of the dummy link, if it is there.
pub(crate) fn link_index() -> Result<Option<u32>, ProxyError> {
    Ok(route::link_index(LINK).map_err(IoError::of("find link", LINK))?)
}

/// Removes the dummy link and with it its addresses, if it is there.
fn unbind_link() -> Result<(), ProxyError> {
    match link_index()? {
        None => Ok(()),
        Some(_) => {
            send(Family::Route, "remove link", LINK, |encoder| route::delete_link(encoder, LINK))
        }
    }
}

/// Removes our local routes, if there are any; goes on after an error.
pub(crate) fn unbind_routes() -> Result<(), ProxyError> {
    ProxyError::gather(AddressFamily::ALL.map(unbind_routes_of))
}

fn unbind_routes_of(family: AddressFamily) -> Result<(), ProxyError> {
    let routes =
        route::local_routes(address_family(family)).map_err(failed("remove", "local routes"))?;
    send(Family::Route, "remove", "local routes", |encoder| {
        for prefix in routes {
            route::local_route(encoder, route::DELETE_ROUTE, prefix);
        }
    })
}

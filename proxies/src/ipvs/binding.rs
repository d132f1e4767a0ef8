//! Makes VIPs local, apart from everything else, so that the two strategies can be compared: the
//! measure `vip_bind`.
//!
//! The backend binds VIPs as part of its sync; this binds nothing but VIPs, with the same messages.

use generators::Cluster;
use linux::IoError;
use linux::netlink::route;
use linux::netlink::socket::Family;

use super::layout::Layout;
use super::objects::{NodeObject, NodeObjects};
use super::options::VipBinding;
use super::program::{IpvsProgram, KernelIds};
use super::render::Draft;
use crate::error::ProxyError;
use crate::netlink::{failed, send};
use crate::options::Options;
use crate::program::Size;

/// The dummy link (`defaultDummyDevice`, pkg/proxy/ipvs/proxier.go, Kubernetes 1.30).
pub(crate) const LINK: &str = "kube-ipvs0";

/// The messages that make VIPs local, ready to be handed over.
#[derive(Debug)]
pub struct VipProgram(IpvsProgram);

impl VipProgram {
    /// What binds every VIP and external IP of a Cluster, none of which may be bound yet, by the
    /// strategy in `options.ipvs`; `link` is from [`ready_link`].
    ///
    /// # Errors
    /// [`ProxyError::Unsupported`] if one local route would take the packets of an Endpoint too.
    pub fn render(cluster: &Cluster, options: &Options, link: u32) -> Result<Self, ProxyError> {
        let layout = Layout::of(cluster, options, Vec::new())?;
        let mut draft = Draft::new(&layout, KernelIds { family: 0, link }, 0);
        let mut wanted = NodeObjects::default();
        for service in cluster.services() {
            let label = draft.about(service.name());
            layout.objects(service, |object| {
                if matches!(object, NodeObject::Local(_)) {
                    wanted.push(object, label);
                }
            });
        }
        wanted.sort();
        wanted.compare(&NodeObjects::default(), |_, object| draft.add(object));
        Ok(Self(draft.finish()))
    }

    /// Hands them over, in the namespace of the calling thread. Returns how much that was.
    ///
    /// # Errors
    /// Any refusal by the kernel, with the VIP and the Service.
    pub fn submit(&self) -> Result<Size, ProxyError> {
        self.0.submit()?;
        Ok(self.0.size())
    }
}

/// All of it in one call. Returns how much was handed over.
///
/// # Errors
/// As its three steps.
pub fn bind_vips(cluster: &Cluster, options: &Options) -> Result<Size, ProxyError> {
    let link = ready_link(options.ipvs.vip_binding)?;
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

/// Readies the namespace for a strategy: removes what the other one has left, and makes the dummy
/// link if it is wanted and not there. Returns the link's index, or 0 if VIPs are bound by routes.
///
/// # Errors
/// Any refusal by the kernel, such as a missing module `dummy`.
pub fn ready_link(binding: VipBinding) -> Result<u32, ProxyError> {
    if binding == VipBinding::LocalRoute {
        unbind_link()?;
        return Ok(0);
    }
    unbind_routes()?;
    ready_dummy()
}

/// The index of the dummy link, which is made if it is not there. It stays down.
///
/// # Errors
/// Any refusal by the kernel, such as a missing module `dummy`.
pub(crate) fn ready_dummy() -> Result<u32, ProxyError> {
    if let Some(index) = link_index()? {
        return Ok(index);
    }
    send(Family::Route, "make", format!("dummy link {LINK} (module dummy)"), |encoder| {
        route::create_dummy(encoder, LINK);
    })?;
    link_index()?.ok_or_else(|| {
        let what = format!("the kernel's answer about link {LINK}");
        ProxyError::malformed(what, "it was just made and is not there")
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

/// Removes our local routes, if there are any.
pub(crate) fn unbind_routes() -> Result<(), ProxyError> {
    let routes = route::local_routes().map_err(failed("remove", "local routes"))?;
    send(Family::Route, "remove", "local routes", |encoder| {
        for prefix in routes {
            route::local_route(encoder, route::DELETE_ROUTE, prefix);
        }
    })
}

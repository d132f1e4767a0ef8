//! Makes VIPs local, apart from everything else, so that the two strategies can be compared: the
//! measure `vip_bind`.
//!
//! The backend binds VIPs as part of its sync; this binds nothing but VIPs, with the same messages.

use generators::Cluster;
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, NetlinkError, Socket, route};
use linux::{CpuTime, IoError, usage};

use super::layout::Layout;
use super::netlink_errors::{batch_failed, netlink_failed};
use super::objects::{NodeObject, NodeObjects};
use super::options::VipBinding;
use super::render::{Draft, IpvsProgram, KernelIds};
use crate::error::ProxyError;
use crate::options::Options;
use crate::program::Program;

/// Who refuses the program of another.
const NAME: &str = "ipvs";

/// The dummy link (`defaultDummyDevice`, pkg/proxy/ipvs/proxier.go, Kubernetes 1.30).
pub(super) const LINK: &str = "kube-ipvs0";

/// Binds the VIPs of a Cluster in the namespace of the calling thread: `prepare`, `render`,
/// `submit`, `unbind`.
#[derive(Debug)]
pub struct VipBinder {
    options: Options,
    link: u32,
}

impl VipBinder {
    /// A binder by the strategy in `options.ipvs`. Touches nothing.
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), link: 0 }
    }

    /// Makes the dummy link, if that is the strategy and it is not there, and removes what the
    /// other strategy has left.
    ///
    /// # Errors
    /// Any refusal by the kernel, such as a missing module `dummy`.
    pub fn prepare(&mut self) -> Result<(), ProxyError> {
        self.link = ready_link(self.options.ipvs.vip_binding)?;
        Ok(())
    }

    /// The messages that bind every VIP and external IP, none of which may be bound yet. Pure.
    ///
    /// # Errors
    /// [`ProxyError::Unsupported`] if one local route would take the packets of an Endpoint too.
    pub fn render(&self, cluster: &Cluster) -> Result<Program, ProxyError> {
        let layout = Layout::of(cluster, &self.options, Vec::new())?;
        let mut draft = Draft::new(&layout, KernelIds { family: 0, link: self.link }, 0);
        let mut wanted = NodeObjects::default();
        for service in cluster.services() {
            let label = draft.about(service.name());
            layout.objects(service, &[], |object| {
                if matches!(object, NodeObject::Local(_)) {
                    wanted.push(object, label);
                }
            });
        }
        wanted.sort();
        wanted.compare(&NodeObjects::default(), |_, object| draft.add(object));
        let program = draft.finish(None);
        Ok(Program::of(program.size(), program))
    }

    /// Hands the messages over and returns when the kernel has taken them.
    ///
    /// # Errors
    /// Any refusal, with the VIP and the Service.
    pub fn submit(&self, program: &Program) -> Result<CpuTime, ProxyError> {
        let program: &IpvsProgram = program.private(NAME)?;
        let before = usage::of_this_thread();
        let addresses = &program.addresses;
        if addresses.batch.len() > 0 {
            Socket::open(Family::Route)
                .and_then(|mut socket| socket.submit(&addresses.batch))
                .map_err(|error| batch_failed(error, Family::Route, addresses, &program.names))?;
        }
        Ok(usage::of_this_thread() - before)
    }

    /// Removes the dummy link and the local routes, whichever there are. Repeatable.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn unbind(&mut self) -> Result<(), ProxyError> {
        unbind()
    }
}

/// Readies the namespace for a strategy: removes what the other one has left, and makes the dummy
/// link if it is wanted and not there. Returns the link's index, or 0 if VIPs are bound by routes.
pub(super) fn ready_link(binding: VipBinding) -> Result<u32, ProxyError> {
    if binding == VipBinding::LocalRoute {
        unbind_link()?;
        return Ok(0);
    }
    unbind_routes()?;
    if let Some(index) = link_index()? {
        return Ok(index);
    }
    submit(|encoder| route::create_dummy(encoder, LINK))
        .map_err(netlink_failed("make", format!("dummy link {LINK} (module dummy)")))?;
    link_index()?.ok_or_else(|| ProxyError::Malformed {
        what: format!("the kernel's answer about link {LINK}"),
        reason: "it was just made and is not there".into(),
    })
}

/// The index of the dummy link, if it is there.
pub(super) fn link_index() -> Result<Option<u32>, ProxyError> {
    Ok(route::link_index(LINK).map_err(IoError::of("find link", LINK))?)
}

/// Removes the dummy link and our local routes. Goes on after an error.
pub(super) fn unbind() -> Result<(), ProxyError> {
    let results = [unbind_link(), unbind_routes()];
    ProxyError::gather(results.into_iter().filter_map(Result::err).collect())
}

/// Removes the dummy link and with it its addresses, if it is there.
fn unbind_link() -> Result<(), ProxyError> {
    match link_index()? {
        None => Ok(()),
        Some(_) => submit(|encoder| route::delete_link(encoder, LINK))
            .map_err(netlink_failed("remove link", LINK)),
    }
}

/// Removes our local routes, if there are any.
fn unbind_routes() -> Result<(), ProxyError> {
    route::local_routes()
        .and_then(|routes| {
            submit(|encoder| {
                for prefix in routes {
                    route::local_route(encoder, route::DELETE_ROUTE, prefix);
                }
            })
        })
        .map_err(netlink_failed("remove", "local routes"))
}

fn submit(write: impl FnOnce(&mut Encoder)) -> Result<(), NetlinkError> {
    let mut encoder = Encoder::default();
    write(&mut encoder);
    let batch = encoder.finish();
    if batch.len() == 0 {
        return Ok(());
    }
    Socket::open(Family::Route)?.submit(&batch)
}

//! kube-proxy's IPVS mode by batched netlink: the end state of pkg/proxy/ipvs, Kubernetes 1.30, a few sends a sync.
//!
//! Virtual services and real servers go to the generic netlink family `IPVS`, VIPs become local by rtnetlink, sets are
//! filled by nfnetlink; a handful of iptables rules, which match the sets, is loaded by `iptables-restore`. kube-proxy
//! makes one call each for all of these; what is left out of its state is said in `sets` and `rules`. Removed real
//! servers are removed at once, not drained (see `render`).

mod binding;
mod buckets;
mod fixed;
mod items;
mod layout;
mod observe;
mod options;
mod programmed;
mod refusal;
mod render;
mod rules;
mod scheduler;
mod sets;
mod text;
mod verify;
mod wire;

use generators::Cluster;
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, Socket, genl, route};
use linux::{CpuTime, usage};

use crate::differences::Differences;
use crate::error::ProxyError;
use crate::open::Options;
use crate::proxy::{Payload, Program, Proxy, ProxyKind, SyncRequest};
use fixed::Fixed;
use layout::Layout;
use observe::Observed;
use programmed::Programmed;
use refusal::{batch_failed, netlink_failed};
use render::Numbers;

pub use binding::VipBinder;
pub use buckets::Buckets;
pub use options::{Forwarding, IpvsOptions, Timeouts, VipBinding};
pub(crate) use render::IpvsProgram;
pub use scheduler::try_scheduler;
pub use text::save_text;
pub use wire::Info;

/// The backend `ipvs`.
#[derive(Debug)]
pub(crate) struct Ipvs {
    options: Options,
    fixed: Fixed,
    /// What `prepare` found out; nothing before the first.
    state: Option<State>,
}

/// What a sync needs to know of the namespace.
#[derive(Debug)]
struct State {
    layout: Layout,
    numbers: Numbers,
    /// What the namespace held at the last full request.
    observed: Observed,
    /// The books of what is programmed; made when the first incremental request comes.
    programmed: Option<Programmed>,
}

impl State {
    /// The state of a namespace that nobody has looked at.
    fn imagined(request: &SyncRequest<'_>, options: &Options) -> Result<Self, ProxyError> {
        let (SyncRequest::Full(cluster) | SyncRequest::Incremental { before: cluster, .. }) =
            request;
        let layout = Layout::of(cluster, options, Vec::new())?;
        let programmed = match request {
            SyncRequest::Full(_) => None,
            SyncRequest::Incremental { before, .. } => Some(Programmed::of(before, &layout)),
        };
        let (numbers, observed) = (Numbers::default(), Observed::default());
        Ok(Self { layout, numbers, observed, programmed })
    }
}

impl Ipvs {
    /// A backend with these options. Touches nothing.
    pub(crate) fn new(options: &Options) -> Self {
        Self { options: options.clone(), fixed: Fixed::new(options), state: None }
    }

    /// Reads the namespace and readies fixed state for a Cluster, whatever is there already.
    fn start(&mut self, cluster: &Cluster) -> Result<State, ProxyError> {
        let binding = self.options.ipvs.vip_binding;
        let family = family_number()?;
        let link = binding::ready_link(binding)?;
        let addresses = route::addresses().map_err(netlink_failed("list", "addresses"))?;
        let own = addresses.iter().filter(|found| found.link != link).map(|found| found.address);
        let layout = Layout::of(cluster, &self.options, own.collect())?;
        let observed = observe::read(family, binding, Some(link), &addresses)?;
        self.fixed.ready(family, &layout, &observed, cluster)?;
        Ok(State { layout, numbers: Numbers { family, link }, observed, programmed: None })
    }

    /// Readies the books for Changes of `before`, and the rules that `after` asks for.
    fn resume(&mut self, before: &Cluster, after: &Cluster) -> Result<State, ProxyError> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => self.start(before)?,
        };
        if !state.programmed.as_ref().is_some_and(|programmed| programmed.fits(before)) {
            state.programmed = Some(Programmed::of(before, &state.layout));
        }
        self.fixed.adapt(&state.layout, after)?;
        Ok(state)
    }

    fn hand_over(program: &IpvsProgram) -> Result<(), ProxyError> {
        for (family, messages) in [
            (Family::Netfilter, &program.sets),
            (Family::Generic, &program.services),
            (Family::Route, &program.addresses),
        ] {
            if messages.batch.len() > 0 {
                Socket::open(family)
                    .and_then(|mut socket| socket.submit(&messages.batch))
                    .map_err(|error| batch_failed(error, family, messages, &program.names))?;
            }
        }
        Ok(())
    }
}

impl Proxy for Ipvs {
    fn kind(&self) -> ProxyKind {
        ProxyKind::Ipvs
    }

    /// Asks the kernel for IPVS, and unless masquerading is off for ipset and the rules around it.
    fn probe(&mut self) -> Result<(), ProxyError> {
        info()?;
        self.fixed.probe()
    }

    /// On a full request: sysctls, timeouts, sets, rules and link, and a look at all that the namespace holds. On an
    /// incremental one: the books, if there are none yet, and the rules if there are now other kinds of Services.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        let state = match request {
            SyncRequest::Full(cluster) => self.start(cluster)?,
            SyncRequest::Incremental { before, after, .. } => self.resume(before, after)?,
        };
        self.state = Some(state);
        Ok(())
    }

    /// The netlink messages from what `prepare` found to what is wanted. Without it, those for a namespace that holds
    /// nothing, or `before` and nothing else; they show what would be sent, and `submit` refuses them.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let imagined;
        let State { layout, numbers, observed, programmed } = if let Some(state) = &self.state {
            state
        } else {
            imagined = State::imagined(request, &self.options)?;
            &imagined
        };
        let program = match (request, programmed) {
            (SyncRequest::Full(cluster), _) => render::full(layout, *numbers, cluster, observed)?,
            (SyncRequest::Incremental { changes, .. }, Some(programmed)) => {
                programmed.render(layout, *numbers, changes)?
            }
            (SyncRequest::Incremental { .. }, None) => {
                return Err(ProxyError::Request { reason: "it was not prepared".into() });
            }
        };
        Ok(Program { size: program.size(), payload: Payload::Ipvs(Box::new(program)) })
    }

    /// Sets, then virtual services, then addresses. The kernel takes messages one by one: after a refusal, the messages
    /// before it and the rest of its chunk are in force.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let Payload::Ipvs(program) = &program.payload else {
            return Err(ProxyError::ForeignProgram { proxy: self.kind() });
        };
        if self.state.as_ref().is_none_or(|state| state.numbers != program.numbers) {
            return Err(ProxyError::Request {
                reason: "it was not prepared in this namespace".into(),
            });
        }
        let before = usage::of_this_thread();
        let result = Self::hand_over(program);
        let used = usage::of_this_thread() - before;
        if let Some(state) = &mut self.state {
            match (&result, &program.delta, &mut state.programmed) {
                (Ok(()), Some(delta), Some(programmed)) => programmed.enter(delta),
                // After a full sync or a refusal, the books are made anew from the next `before`.
                _ => state.programmed = None,
            }
        }
        result.map(|()| used)
    }

    /// Lists virtual services, real servers, addresses, sets and rules, and compares them with what they should be.
    fn verify(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        let binding = self.options.ipvs.vip_binding;
        let link = binding::link_index()?;
        let addresses = route::addresses().map_err(netlink_failed("list", "addresses"))?;
        let own = addresses.iter().filter(|found| Some(found.link) != link);
        let own = own.map(|found| found.address).collect();
        let layout = Layout::of(cluster, &self.options, own)?;
        let observed = observe::read(family_number()?, binding, link, &addresses)?;
        let mut differences = Differences::default();
        verify::compare(&layout, cluster, &observed, &mut differences)?;
        self.fixed.compare(&layout, cluster, &mut differences)?;
        differences.into_result()
    }

    /// Removes rules, every virtual service, link, routes and sets, then resets the sysctls. Connection timeouts stay.
    fn teardown(&mut self) -> Result<(), ProxyError> {
        self.state = None;
        let mut errors = Vec::new();
        errors.extend(self.fixed.remove_rules().err());
        errors.extend(flush().err());
        errors.extend(binding::unbind().err());
        errors.extend(self.fixed.remove().err());
        ProxyError::gather(errors)
    }
}

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

fn family_number() -> Result<u16, ProxyError> {
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
fn flush() -> Result<(), ProxyError> {
    let Ok(family) = family_number() else { return Ok(()) };
    let mut encoder = Encoder::default();
    wire::Writer { encoder: &mut encoder, family }.flush();
    Socket::open(Family::Generic)
        .and_then(|mut socket| socket.submit(&encoder.finish()))
        .map_err(netlink_failed("remove", "all virtual services"))
}

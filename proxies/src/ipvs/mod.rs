//! kube-proxy's IPVS mode by batched netlink: the end state of pkg/proxy/ipvs, Kubernetes 1.30, a
//! few sends a sync.
//!
//! Virtual services and real servers go to the generic netlink family `IPVS`, VIPs become local by
//! rtnetlink, sets are filled by nfnetlink; a handful of iptables rules, which match the sets, is
//! loaded by `iptables-restore`. kube-proxy makes one call each for all of these; what is left out
//! of its state is said in `sets` and `rules`. Removed real servers are removed at once, not
//! drained (see `render`).

pub(crate) mod binding;
pub(crate) mod buckets;
pub(crate) mod kernel;
pub(crate) mod layout;
mod objects;
pub(crate) mod observe;
pub mod options;
mod program;
mod programmed;
mod render;
mod rules;
mod sets;
pub(crate) mod setup;
mod text;
pub(crate) mod verify;
pub(crate) mod wire;

use generators::Cluster;
use linux::CpuTime;
use linux::netlink::route;

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{Admin, Descriptor, Format, Spread, Tool};
use crate::deviations;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::iptables::TOOL_NFT;
use crate::modules::{CONNTRACK, NF_TABLES, SCHEDULERS, SETS, XTABLES};
use crate::netlink::failed;
use crate::options::Options;
use crate::program::{Program, SyncRequest};
use kernel::family_number;
use layout::Layout;
use observe::Observed;
use program::{IpvsProgram, KernelIds};
use programmed::{Delta, ProgrammedState};
use setup::NodeSetup;

pub use binding::{VipProgram, bind_vips, ready_link, unbind_vips};
pub use kernel::try_scheduler;
pub use options::{Forwarding, IpvsOptions, VipBinding};
pub use text::save_text;

/// The name of the backend.
const NAME: &str = "ipvs";

/// The tool of the sets that kube-proxy's IPVS mode keeps.
pub(crate) const TOOL_IPSET: Tool = Tool { program: "ipset", package: "ipset", also: &[] };

/// The backend `ipvs`.
pub(crate) static IPVS: Descriptor = Descriptor {
    summary: "kube-proxy's IPVS mode by batched netlink",
    colour: "blue",
    tools: &[TOOL_NFT, TOOL_IPSET],
    modules: &[CONNTRACK, XTABLES, NF_TABLES, SETS, SCHEDULERS],
    admin: Some(Admin {
        formats: &[Format { name: NAME, help: "Input of `ipvsadm -R`", text: admin_text }],
        says_pods: false,
        needs_node_addresses: true,
        // IPVS alone; VIPs by one route, so that addresses do not hide the rest.
        reduce: |options| {
            options.ipvs.masquerade = false;
            options.ipvs.vip_binding = VipBinding::LocalRoute;
        },
        beside: |cluster, options| bind_vips(cluster, options).map(drop),
        ..Admin::new("ipvsadm", "ipvsadm", &["-R"], admin_text)
    }),
    bucket_services: Some(buckets::lengths),
    needs_local_vips: true,
    has_ipv4_alone: true,
    forwarding: &[Forwarding::Nat, Forwarding::DirectRoute, Forwarding::Tunnel],
    // The scheduler `rr`.
    spread: Spread::InTurn,
    deviations: deviations::IPVS,
    ..Descriptor::new(NAME, "ipvs", |_, options| Box::new(Ipvs::new(options)))
};

fn admin_text(cluster: &Cluster, options: &Options) -> Vec<u8> {
    save_text(cluster, options).into_bytes()
}

/// The backend `ipvs`.
#[derive(Debug)]
struct Ipvs {
    options: Options,
    setup: NodeSetup,
    /// What `prepare` found out; nothing before the first.
    state: Option<State>,
}

/// What a sync needs to know of the namespace.
#[derive(Debug)]
struct State {
    layout: Layout,
    ids: KernelIds,
    /// What the namespace held at the last full request.
    observed: Observed,
    /// What is programmed; made when the first incremental request comes.
    programmed: Option<ProgrammedState>,
}

impl State {
    /// The state of a namespace that nobody has looked at.
    fn imagined(request: &SyncRequest<'_>, options: &Options) -> Result<Self, ProxyError> {
        let cluster = match request {
            SyncRequest::Full(cluster) => cluster,
            SyncRequest::Incremental(step) => step.before(),
        };
        let layout = Layout::of(cluster, options, Vec::new())?;
        let programmed = matches!(request, SyncRequest::Incremental(_))
            .then(|| ProgrammedState::of(cluster, &layout));
        let (ids, observed) = (KernelIds::default(), Observed::default());
        Ok(Self { layout, ids, observed, programmed })
    }
}

/// A rendered sync, and what it changes in the state of the backend if it is incremental.
struct Rendered {
    program: IpvsProgram,
    delta: Option<Delta>,
}

impl Ipvs {
    /// A backend with these options. Touches nothing.
    fn new(options: &Options) -> Self {
        Self { options: options.clone(), setup: NodeSetup::new(options), state: None }
    }

    /// What a Cluster needs in this namespace, and what that holds.
    fn read(
        &self,
        cluster: &Cluster,
        family: u16,
        link: Option<u32>,
    ) -> Result<(Layout, Observed), ProxyError> {
        let addresses = route::addresses().map_err(failed("list", "addresses"))?;
        let own = addresses.iter().filter(|found| Some(found.link) != link);
        let own = own.map(|found| found.address).collect();
        let layout = Layout::of(cluster, &self.options, own)?;
        let binding = self.options.ipvs.vip_binding;
        let observed = observe::read(family, binding, link, &addresses)?;
        Ok((layout, observed))
    }

    /// Reads the namespace and readies fixed state for a Cluster, whatever is there already.
    fn look(&mut self, cluster: &Cluster) -> Result<State, ProxyError> {
        let family = family_number()?;
        let link = ready_link(self.options.ipvs.vip_binding)?;
        let (layout, observed) = self.read(cluster, family, Some(link))?;
        self.setup.ready(&layout, &observed, cluster)?;
        Ok(State { layout, ids: KernelIds { family, link }, observed, programmed: None })
    }

    /// Readies what is known of `before` for Changes of it, and the rules that `after` asks for.
    fn resume(&mut self, before: &Cluster, after: &Cluster) -> Result<State, ProxyError> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => self.look(before)?,
        };
        if !state.programmed.as_ref().is_some_and(|programmed| programmed.fits(before)) {
            state.programmed = Some(ProgrammedState::of(before, &state.layout));
        }
        self.setup.adapt(&state.layout, after)?;
        Ok(state)
    }
}

impl Backend for Ipvs {
    /// Asks the kernel for IPVS, and unless masquerading is off for ipset and the rules around it.
    fn probe(&mut self) -> Result<(), ProxyError> {
        // Listing needs the right to, which asking for the family does not.
        observe::keys_as_listed(family_number()?)?;
        self.setup.probe()
    }

    /// Makes the state that incremental syncs start from, which the first after a full sync would
    /// do.
    fn settle(&mut self, programmed: &Cluster) -> Result<(), ProxyError> {
        self.state = Some(self.resume(programmed, programmed)?);
        Ok(())
    }

    /// Removes rules, every virtual service, link, routes and sets, then resets the sysctls.
    fn stop(&mut self) -> Result<(), ProxyError> {
        self.state = None;
        let (rules, services) = (self.setup.remove_rules(), kernel::flush());
        ProxyError::gather([rules, services, unbind_vips(), self.setup.remove()])
    }

    fn staged(&mut self) -> Option<&mut dyn Staged> {
        Some(self)
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Staged for Ipvs {
    /// On a full request: sysctls, sets, rules and link, and a look at all that the
    /// namespace holds. On an incremental one: the state to start from, if there is none yet, and
    /// the rules if there are now other kinds of Services.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        let state = match request {
            SyncRequest::Full(cluster) => self.look(cluster)?,
            SyncRequest::Incremental(step) => self.resume(step.before(), step.after())?,
        };
        self.state = Some(state);
        Ok(())
    }

    /// The netlink messages from what `prepare` found to what is wanted. Without it, those for a
    /// namespace that holds nothing, or the Cluster before and nothing else; they show what would
    /// be sent, and `submit` refuses them.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let imagined;
        let State { layout, ids, observed, programmed } = if let Some(state) = &self.state {
            state
        } else {
            imagined = State::imagined(request, &self.options)?;
            &imagined
        };
        let (program, delta) = match (request, programmed) {
            (SyncRequest::Full(cluster), _) => {
                (render::full(layout, *ids, cluster, observed)?, None)
            }
            (SyncRequest::Incremental(step), Some(programmed)) => {
                let (program, delta) = programmed.render(layout, *ids, step.changes())?;
                (program, Some(delta))
            }
            (SyncRequest::Incremental(_), None) => {
                return Err(ProxyError::Request { reason: "it was not prepared".into() });
            }
        };
        let size = program.size();
        Ok(Program::of(size, Rendered { program, delta }).with_cleanup(request))
    }

    /// Sets, then virtual services, then addresses. The kernel takes messages one by one: after a
    /// refusal, the messages before it and the rest of its chunk are in force.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let whole = program;
        let Rendered { program, delta } = whole.private(NAME)?;
        if self.state.as_ref().is_none_or(|state| state.ids != program.ids) {
            return Err(ProxyError::Request {
                reason: "it was not prepared in this namespace".into(),
            });
        }
        let result = program.submit();
        if let Some(state) = &mut self.state {
            match (&result, delta, &mut state.programmed) {
                (Ok(_), Some(delta), Some(programmed)) => programmed.enter(delta),
                // After a full sync or a refusal it is made anew from the next Cluster before.
                _ => state.programmed = None,
            }
        }
        let taken = result?;
        whole.forget_stale_connections()?;
        Ok(taken)
    }
}

impl Audit for Ipvs {
    /// Lists virtual services, real servers, addresses, kernel parameters, sets and rules, and
    /// compares them with what they should be.
    fn compare(&mut self, cluster: &Cluster, _: Maker<'_>) -> Result<Differences, ProxyError> {
        let (layout, observed) = self.read(cluster, family_number()?, binding::link_index()?)?;
        let mut differences = Differences::default();
        verify::compare(&layout, cluster, &observed, &mut differences)?;
        self.setup.compare(&layout, cluster, &mut differences)?;
        Ok(differences)
    }
}

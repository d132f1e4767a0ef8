//! One family's part of the backend: what it knows of the namespace from one sync to the next, and
//! what it sends.

use generators::{Cluster, Family};
use linux::CpuTime;

use super::layout::Layout;
use super::observe::{self, Observed, ObservedService};
use super::program::{IpvsProgram, KernelIds};
use super::programmed::{Delta, ProgrammedState};
use super::render;
use super::setup::NodeSetup;
use super::verify;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::options::Options;
use crate::program::SyncRequest;

/// The proxier of one family.
#[derive(Debug)]
pub(super) struct Proxier {
    family: Family,
    options: Options,
    setup: NodeSetup,
    /// What a look found out; nothing before the first.
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

/// A rendered sync, and what it changes in the state of the proxier if it is incremental.
#[derive(Debug)]
pub(super) struct Rendered {
    /// The messages.
    pub program: IpvsProgram,
    delta: Option<Delta>,
}

impl State {
    /// The state of a namespace that nobody has looked at.
    fn imagined(
        family: Family,
        request: &SyncRequest<'_>,
        options: &Options,
    ) -> Result<Self, ProxyError> {
        let cluster = match request {
            SyncRequest::Full(cluster) => cluster,
            SyncRequest::Incremental(step) => step.before(),
        };
        let layout = Layout::of(family, cluster, options, Vec::new())?;
        let programmed = matches!(request, SyncRequest::Incremental(_))
            .then(|| ProgrammedState::of(cluster, &layout));
        let (ids, observed) = (KernelIds::default(), Observed::default());
        Ok(Self { layout, ids, observed, programmed })
    }
}

impl Proxier {
    /// A proxier with these options. Touches nothing.
    pub fn new(family: Family, options: &Options) -> Self {
        let setup = NodeSetup::new(family, options);
        Self { family, options: options.clone(), setup, state: None }
    }

    /// Whether the tools and kernel parts around IPVS are there, if they are needed.
    pub fn probe(&mut self) -> Result<(), ProxyError> {
        self.setup.probe()
    }

    /// Whether it has looked at this namespace.
    pub const fn knows_the_namespace(&self) -> bool {
        self.state.is_some()
    }

    /// Reads a namespace that has these virtual services of the family, and readies fixed state for
    /// a Cluster, whatever is there already.
    pub fn look(
        &mut self,
        cluster: &Cluster,
        ids: KernelIds,
        services: Vec<ObservedService>,
    ) -> Result<(), ProxyError> {
        let (layout, observed) = self.read(cluster, Some(ids.link), services)?;
        self.setup.ready(&layout, &observed, cluster)?;
        self.state = Some(State { layout, ids, observed, programmed: None });
        Ok(())
    }

    /// What a Cluster needs in this namespace, and what that holds.
    fn read(
        &self,
        cluster: &Cluster,
        link: Option<u32>,
        services: Vec<ObservedService>,
    ) -> Result<(Layout, Observed), ProxyError> {
        let addresses = observe::addresses(self.family)?;
        let own = addresses.iter().filter(|found| Some(found.link) != link);
        let own = own.map(|found| found.address).collect();
        let layout = Layout::of(self.family, cluster, &self.options, own)?;
        let binding = self.options.ipvs.vip_binding;
        let observed = observe::read(self.family, services, binding, link, &addresses)?;
        Ok((layout, observed))
    }

    /// Readies what a look told of `before` for Changes of it, and the rules that `after` asks for.
    pub fn resume(&mut self, before: &Cluster, after: &Cluster) -> Result<(), ProxyError> {
        // After an error it has to look anew.
        let Some(mut state) = self.state.take() else { return Err(unprepared()) };
        let is_known = |programmed: &ProgrammedState| programmed.fits(before, &state.layout);
        if !state.programmed.as_ref().is_some_and(is_known) {
            state.programmed = Some(ProgrammedState::of(before, &state.layout));
        }
        self.setup.adapt(&state.layout, after)?;
        self.state = Some(state);
        Ok(())
    }

    /// The netlink messages from what was found to what is wanted. Without a look, those for a
    /// namespace that holds nothing, or the Cluster before and nothing else.
    pub fn render(&self, request: &SyncRequest<'_>) -> Result<Rendered, ProxyError> {
        let imagined;
        let State { layout, ids, observed, programmed } = if let Some(state) = &self.state {
            state
        } else {
            imagined = State::imagined(self.family, request, &self.options)?;
            &imagined
        };
        match (request, programmed) {
            (SyncRequest::Full(cluster), _) => {
                let program = render::full(layout, *ids, cluster, observed)?;
                Ok(Rendered { program, delta: None })
            }
            (SyncRequest::Incremental(step), Some(programmed)) => {
                let (program, delta) = programmed.render(layout, *ids, step.changes())?;
                Ok(Rendered { program, delta: Some(delta) })
            }
            (SyncRequest::Incremental(_), None) => Err(unprepared()),
        }
    }

    /// Whether what was rendered can be sent in this namespace.
    pub fn takes(&self, rendered: &Rendered) -> bool {
        self.state.as_ref().is_some_and(|state| state.ids == rendered.program.ids)
    }

    /// Sends the messages.
    pub fn submit(&mut self, rendered: &Rendered) -> Result<CpuTime, ProxyError> {
        let result = rendered.program.submit();
        if let Some(state) = &mut self.state {
            match (&result, &rendered.delta, &mut state.programmed) {
                (Ok(_), Some(delta), Some(programmed)) => programmed.enter(delta),
                // After a full sync or a refusal it is made anew from the next Cluster before.
                _ => state.programmed = None,
            }
        }
        result
    }

    /// Compares what a namespace that has these virtual services of the family holds with what a
    /// Cluster needs.
    pub fn compare(
        &self,
        cluster: &Cluster,
        link: Option<u32>,
        services: Vec<ObservedService>,
        differences: &mut Differences,
    ) -> Result<(), ProxyError> {
        let (layout, observed) = self.read(cluster, link, services)?;
        verify::compare(&layout, cluster, &observed, differences)?;
        self.setup.compare(&layout, cluster, differences)
    }

    /// Forgets what it knows, and removes rules, chains and jumps.
    pub fn remove_rules(&mut self) -> Result<(), ProxyError> {
        self.state = None;
        self.setup.remove_rules()
    }

    /// Destroys the sets, which no rule may name any more.
    pub fn destroy_sets(&mut self) -> Result<(), ProxyError> {
        self.setup.destroy_sets()
    }
}

/// The error of a request that `prepare` has not seen.
fn unprepared() -> ProxyError {
    ProxyError::Request { reason: "it was not prepared".into() }
}

//! Connect-time translation: a program of the kernel's gives a socket an Endpoint when it dials a
//! Service, so that no packet is translated (`bpf_sock.c` of Cilium 1.16 does the same).
//!
//! It acts on sockets of the node and its pods, whose namespaces it is told, and on nothing that
//! comes from outside: packets to a VIP find nobody. Both families, TCP and UDP. What a socket
//! dialled is remembered, so that it sees the Service as its peer.

mod entries;
mod kernel;
mod place;

use generators::Cluster;
use linux::{CpuTime, netns, usage};

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{Acts, Cost, Descriptor, Sees};
use crate::deviations;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::options::Options;
use crate::program::{Program, SyncRequest};
use entries::{Plan, State};
use kernel::{loaded, ready};
use place::words;

/// The name of the backend.
const NAME: &str = "ebpf";

/// The backend `ebpf`.
pub(crate) static EBPF: Descriptor = Descriptor {
    summary: "eBPF programs that translate when a socket connects",
    colour: "crimson",
    acts: Acts::OnSockets,
    refuses_sctp: Some(entries::NO_SCTP),
    endpoints_see: Sees::Client(deviations::NO_MASQUERADE),
    deviations: deviations::EBPF,
    cost: |_, _| Cost { sync: 50, per_1000_endpoints: 20, ..Cost::NOTHING },
    ..Descriptor::new(NAME, NAME, |_, options| Box::new(ConnectTime::new(options)))
};

/// The backend `ebpf`.
#[derive(Debug)]
struct ConnectTime {
    options: Options,
    /// Nothing before the first sync.
    state: Option<State>,
}

impl ConnectTime {
    /// A backend with these options. Touches nothing.
    fn new(options: &Options) -> Self {
        Self { options: options.clone(), state: None }
    }

    /// What the namespace holds; makes it a scope if it is none.
    fn look(&self) -> Result<State, ProxyError> {
        let mut slot = loaded();
        let loaded = ready(&mut slot)?;
        let scope = loaded.enter(netns::cookie()?, &self.options.pod_namespaces)?;
        let (node_ports, entries) = (entries::node_ports(&self.options)?, loaded.read(scope)?);
        Ok(State { node_ports, entries })
    }
}

impl Backend for ConnectTime {
    /// Asks for the namespace's cookie; loads and attaches, unless this process has done so.
    fn probe(&mut self) -> Result<(), ProxyError> {
        netns::cookie()?;
        ready(&mut loaded())?;
        Ok(())
    }

    /// Ends the namespace's scope.
    fn stop(&mut self) -> Result<(), ProxyError> {
        self.state = None;
        let mut slot = loaded();
        let Some(loaded) = &mut *slot else { return Ok(()) };
        if !loaded.leave(netns::cookie()?)? {
            *slot = None;
        }
        Ok(())
    }

    fn staged(&mut self) -> Option<&mut dyn Staged> {
        Some(self)
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Staged for ConnectTime {
    /// On a full request: loads and attaches, and reads what the maps hold.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        if matches!(request, SyncRequest::Full(_)) || self.state.is_none() {
            self.state = Some(self.look()?);
        }
        Ok(())
    }

    /// Which elements are written and removed.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let unread = State::default();
        let state = self.state.as_ref().unwrap_or(&unread);
        let plan = match request {
            SyncRequest::Full(cluster) => state.to(cluster)?,
            SyncRequest::Incremental(step) => state.by(step)?,
        };
        Ok(Program::of(plan.size(), plan))
    }

    /// A call for each element.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let plan: &Plan = program.private(NAME)?;
        let unprepared = || ProxyError::Request { reason: "it was not prepared here".into() };
        let State { entries, .. } = self.state.as_mut().ok_or_else(unprepared)?;
        let before = usage::of_this_thread();
        let mut slot = loaded();
        let loaded = ready(&mut slot)?;
        let scope = loaded.scope(netns::cookie()?).ok_or_else(unprepared)?;
        let mut changed = Vec::new();
        let result =
            loaded.submit(scope, entries, plan, |place, entry| changed.push((place, entry)));
        for (place, entry) in changed {
            match entry {
                Some(entry) => drop(entries.insert(place, entry)),
                None => drop(entries.remove(&place)),
            }
        }
        result.map(|()| usage::of_this_thread() - before)
    }
}

impl Audit for ConnectTime {
    /// Reads every map back.
    fn compare(&mut self, cluster: &Cluster, _: Maker<'_>) -> Result<Differences, ProxyError> {
        let mut differences = Differences::default();
        let slot = loaded();
        let found = slot.as_ref().and_then(|loaded| {
            let scope = loaded.scope(netns::cookie().ok()?)?;
            Some(loaded.read(scope))
        });
        let entries = found.transpose()?.unwrap_or_default();
        let state = State { node_ports: entries::node_ports(&self.options)?, entries };
        let plan = state.to(cluster)?;
        let known = state.entries.len().saturating_sub(plan.remove.len());
        let changed = plan.put.iter().filter(|(place, _)| state.entries.contains_key(place));
        differences.add_same(known.saturating_sub(changed.count()));
        for place in &plan.remove {
            differences.add(|| format!("{} is there and should not be", words(place)));
        }
        for (place, endpoints) in &plan.put {
            let listed =
                |all: &[place::Place]| all.iter().map(words).collect::<Vec<_>>().join(", ");
            let is = state.entries.get(place).map(|entry| listed(&entry.endpoints));
            let is = is.map_or("is missing".to_owned(), |is| format!("has [{is}]"));
            differences.add(|| format!("{} {is}, not [{}]", words(place), listed(endpoints)));
        }
        Ok(differences)
    }
}

//! What kube-proxy was first: a program that accepts connections to VIPs itself and copies bytes to
//! an Endpoint and back (`pkg/proxy/userspace`, Kubernetes 1.0 to 1.25).
//!
//! kube-proxy listened at a port of its own for each Service port and had iptables redirect the
//! VIP's packets there. Here each VIP is made local by a route and the listener is at the VIP
//! itself, so that what is measured is the copying, not the rules. It is a thread that has one task
//! a listener and two sockets a connection.

mod balancer;
mod listeners;
mod plan;
mod site;
mod tcp;
mod udp;
mod verify;
mod worker;

use generators::Cluster;
use linux::netlink::encode::Batch;
use linux::netlink::socket::Family;
use linux::netlink::{AddressFamily, Socket, route};
use linux::{CpuTime, open_files};

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{Cost, Descriptor, Sees, Spread};
use crate::deviations;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::ipvs::binding::unbind_routes;
use crate::netlink::failed;
use crate::options::Options;
use crate::program::{Program, SyncRequest};
use listeners::Node;
use plan::{Plan, State};
use worker::Worker;

/// The name of the backend.
const NAME: &str = "userspace";
/// Files for connections and all else, beside the listeners. A connection takes two. kube-proxy
/// asked for 64,000 in all (`setRLimit` in `NewProxier`, `pkg/proxy/userspace/proxier.go`,
/// Kubernetes 1.20), which a container may not have.
const FILES: u64 = 8_192;

/// The backend `userspace`.
pub(crate) static USERSPACE: Descriptor = Descriptor {
    summary: "a program that copies bytes between clients and Endpoints",
    colour: "gold",
    has_ipv4_alone: true,
    refuses_sctp: Some(listeners::NO_SCTP),
    spread: Spread::InTurn,
    endpoints_see: Sees::Node(deviations::OWN_CONNECTION),
    deviations: deviations::USERSPACE,
    cost: |_, _| Cost { sync: 50, per_1000_endpoints: 60, ..Cost::NOTHING },
    ..Descriptor::new(NAME, NAME, |_, options| Box::new(Userspace::new(options)))
};

/// The backend `userspace`.
#[derive(Debug)]
struct Userspace {
    options: Options,
    /// Nothing before the first full sync.
    worker: Option<Worker>,
    state: State,
}

impl Userspace {
    /// A backend with these options. Touches nothing.
    fn new(options: &Options) -> Self {
        Self { options: options.clone(), worker: None, state: State::default() }
    }

    fn running(&self) -> Result<&Worker, ProxyError> {
        let worker = self.worker.as_ref().filter(|worker| worker.is_running());
        worker.ok_or_else(|| ProxyError::Request {
            reason: "no userspace proxy of ours runs here; a full sync starts one".into(),
        })
    }

    /// What the namespace holds now.
    fn look(&self) -> Result<State, ProxyError> {
        let routes =
            route::local_routes(AddressFamily::V4).map_err(failed("list", "local routes"))?;
        let listeners = match &self.worker {
            Some(worker) if worker.is_running() => worker.listeners()?,
            _ => listeners::Listeners::new(),
        };
        let (node, routes) = (Node::read(&self.options)?, routes.into_iter().collect());
        Ok(State { node, listeners, routes })
    }
}

impl Backend for Userspace {
    /// Asks for the files that connections take; the kernel needs nothing for it.
    fn probe(&mut self) -> Result<(), ProxyError> {
        make_room(0)
    }

    /// Ends the proxy of this namespace, whoever started it, and removes its routes.
    fn stop(&mut self) -> Result<(), ProxyError> {
        self.worker = None;
        self.state = State::default();
        ProxyError::gather([worker::end(), unbind_routes()])
    }

    fn staged(&mut self) -> Option<&mut dyn Staged> {
        Some(self)
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Staged for Userspace {
    /// On a full request: starts the program, if none of ours runs, and reads addresses and routes.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        match request {
            SyncRequest::Full(_) => {
                if self.running().is_err() {
                    self.worker = None;
                    self.worker = Some(Worker::start()?);
                }
                self.state = self.look()?;
            }
            SyncRequest::Incremental(_) => drop(self.running()?),
        }
        Ok(())
    }

    /// Which listeners and routes come and go.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let plan = match request {
            SyncRequest::Full(cluster) => self.state.to(cluster)?,
            SyncRequest::Incremental(step) => self.state.by(step)?,
        };
        Ok(Program::of(plan.size(), plan))
    }

    /// New addresses become local, listeners change, then old addresses go.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let plan: &Plan = program.private(NAME)?;
        make_room(self.state.listeners.len() + plan.open.len())?;
        hand_over(&plan.add)?;
        let taken = self.running()?.change(plan.close.clone(), plan.open.clone())?;
        hand_over(&plan.remove)?;
        self.state.enter(plan);
        Ok(taken)
    }
}

impl Audit for Userspace {
    /// Compares routes, listening sockets, and what the program says of its Endpoints.
    fn compare(&mut self, cluster: &Cluster, _: Maker<'_>) -> Result<Differences, ProxyError> {
        let mut state = self.look()?;
        let wanted = state.node.listeners(cluster)?;
        // One without Endpoints has nobody who could tell of it.
        let silent = wanted.iter().filter(|(_, target)| target.endpoints.is_empty());
        for (at, target) in silent {
            state.listeners.entry(*at).or_insert_with(|| target.clone());
        }
        let plan = state.to(cluster)?;
        let mut differences = Differences::default();
        verify::compare(&state, &wanted, &plan, &verify::bound()?, &mut differences);
        Ok(differences)
    }
}

/// Room for so many listeners, and for connections.
fn make_room(listeners: usize) -> Result<(), ProxyError> {
    open_files::make_room(FILES + listeners as u64).map_err(|error| ProxyError::Unsupported {
        what: format!("{listeners} listeners and their connections"),
        reason: error.to_string(),
        remedy: "run as root, raise the limit (`ulimit -Hn`, fs.nr_open), or take fewer Services"
            .into(),
    })
}

/// Routes that come or go.
fn hand_over(routes: &Batch) -> Result<(), ProxyError> {
    if routes.len() == 0 {
        return Ok(());
    }
    Socket::open(Family::Route)
        .and_then(|mut socket| socket.submit(routes))
        .map_err(failed("change", "local routes"))
}

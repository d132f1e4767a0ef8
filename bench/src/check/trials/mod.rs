//! What single settings of IPVS do: each is programmed by itself with one Service, and dialled.
//!
//! `vip` asks how a node reaches its own VIPs and how these become local, `forwarding` what NAT,
//! direct routing and tunnels can do, and `scheduler` what the law of each scheduler is.

mod forwarding;
mod scheduler;
mod vip;

pub(super) use vip::{ADDRESSES, LOCAL_ROUTE};

use generators::{Cluster, Endpoint, Protocol, Service};
use lab::topology::Source;
use proxies::{Descriptor, Options};
use results::check::{Probe, Skipped, Trial};

use super::client::{self, Came};
use super::lab::{CheckLab, Site};
use super::paths::{Path, to_cluster_ip};
use super::subjects::TARGET;

/// The first VIP of trials, behind those of the subjects.
const VIPS: usize = 500;
/// The port of their Services.
const PORT: u16 = 80;

/// Where trials take place: in the namespace of the node, with nothing programmed.
pub struct Bench<'a> {
    /// The backend whose settings are tried.
    pub proxy: &'a Descriptor,
    /// The hosts.
    pub lab: &'a CheckLab,
    /// Their addresses of IPv4.
    pub site: &'a Site,
    /// What the settings of a trial are added to.
    pub options: &'a Options,
}

/// What trials ask.
struct Question {
    /// Its short name, the subject of its probes.
    name: &'static str,
    /// In words.
    says: &'static str,
}

/// What was tried, and what could not be.
#[derive(Default)]
pub struct Tried {
    /// What came of each setting.
    pub trials: Vec<Trial>,
    /// What the kernel lacks.
    pub skipped: Vec<Skipped>,
}

/// Tries every setting.
///
/// # Errors
/// What the kernel refuses, no namespace to dial from, no descriptors left.
pub fn run(bench: &Bench<'_>) -> anyhow::Result<Tried> {
    let mut tried = Tried::default();
    tried.trials.extend(vip::own(bench)?);
    tried.trials.extend(vip::bindings(bench)?);
    tried.trials.extend(forwarding::ways(bench)?);
    tried.trials.extend(forwarding::other_port(bench)?);
    tried.trials.extend(forwarding::reverse_path(bench)?);
    scheduler::laws(bench, &mut tried)?;
    Ok(tried)
}

impl Question {
    fn answered(&self, setting: &str, probe: Probe) -> Trial {
        let (question, setting) = (self.says.to_owned(), setting.to_owned());
        Trial { question, setting, probe, cost: None }
    }
}

impl Bench<'_> {
    /// A Service of these Endpoints at a VIP of its own.
    fn service(
        &self,
        (number, port): (usize, u16),
        endpoints: Vec<Endpoint>,
    ) -> anyhow::Result<Service> {
        let name = format!("check/trial-{number}").parse()?;
        let vip = self.site.vip(VIPS + number)?;
        Ok(Service::new(name, vip, port, Protocol::Tcp, endpoints)?)
    }

    /// Two Endpoints on this node and one that is not.
    fn endpoints(&self) -> Vec<Endpoint> {
        let here = [0, 1].map(|at| self.site.endpoint(at, TARGET));
        here.into_iter().chain([self.site.endpoint_away(0, TARGET)]).collect()
    }

    /// What `work` finds while a Service is programmed.
    fn programmed<T>(
        &self,
        service: &Service,
        options: &Options,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut backend = self.proxy.open(options);
        backend.probe()?;
        backend.start(&Cluster::new(vec![service.clone()])?)?;
        let found = work();
        backend.stop()?;
        found
    }

    /// A path's dials, one after the other.
    fn dialled(&self, path: &Path, dials: usize) -> anyhow::Result<Vec<Came>> {
        let dialer = self.site.dialer(path.caller.source)?;
        let dial = path.dial;
        client::inside(&dialer.namespace, || async move {
            let mut came = Vec::new();
            for _ in 0..dials {
                came.push(dial.once().await);
            }
            came
        })
    }

    /// The path of a source to the VIP of a Service.
    fn path(&self, source: Source, question: &Question, to: &Service) -> anyhow::Result<Path> {
        to_cluster_ip(self.site, source, question.name, to)
    }

    /// Programs a Service with a setting, dials it, and judges what came.
    fn tried(
        &self,
        (question, setting): (&Question, &str),
        (service, path): (&Service, &Path),
        options: &Options,
    ) -> anyhow::Result<Trial> {
        self.programmed(service, options, || {
            let came = self.dialled(path, path.dials)?;
            Ok(question.answered(setting, path.judged(self.site, &came)))
        })
    }
}

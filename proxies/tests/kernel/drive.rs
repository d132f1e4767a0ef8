//! Opening backends by name and taking their syncs apart, in as few words as tests want.

use generators::Cluster;
use linux::CpuTime;
use proxies::{Backend, Options, Program, ProxyError, Staged, SyncRequest, find};

/// The backend of this name.
pub fn open(name: &str, options: &Options) -> Box<dyn Backend> {
    find(name).expect("a backend").open(options)
}

pub fn full_sync(backend: &mut dyn Backend, cluster: &Cluster) {
    backend.start(cluster).expect("a full sync");
}

/// The stages and the audit of a backend that has both.
pub trait Drive {
    fn stages(&mut self) -> &mut dyn Staged;
    fn verify(&mut self, cluster: &Cluster) -> Result<(), ProxyError>;

    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        self.stages().prepare(request)
    }

    fn render(&mut self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        self.stages().render(request)
    }

    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        self.stages().submit(program)
    }
}

impl Drive for dyn Backend {
    fn stages(&mut self) -> &mut dyn Staged {
        self.staged().expect("it has stages")
    }

    fn verify(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        self.audit().expect("it has an audit").verify(cluster)
    }
}

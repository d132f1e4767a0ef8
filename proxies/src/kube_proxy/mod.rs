//! A kube-proxy that the user names, as a backend: a process in the namespace of the calling thread
//! that works from an API which serves the Cluster there.
//!
//! A full sync is from the start of the process to the end of the first sync of each family that it
//! serves; a Change from the watch event to the end of the sync that has it. Both are read off its
//! log (`log.rs`), at most a millisecond late. Its configuration is kube-proxy's default but for
//! what `config.rs` says.

pub(crate) mod binary;
mod config;
mod known;
mod log;
mod metrics;
mod mode;
mod process;

use std::ffi::OsStr;
use std::fs;

use apiserver::{Edits, Limits, Server};
use generators::{Cluster, Step};
use linux::sysctl::{self, Sysctls};
use linux::{CpuTime, IoError};
use tempfile::TempDir;

pub use binary::{Binary, Mode, PREFIX};
pub use config::configuration;
pub use known::{know, know_by_name, version_of};

use crate::account::Account;
use crate::backend::{Audit, Backend, Maker};
use crate::descriptor::Descriptor;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::options::Options;
use crate::program::SyncRequest;
use log::Awaited;
use metrics::Told;
use process::Process;

/// A backend that is a kube-proxy.
#[derive(Debug)]
struct KubeProxy {
    /// Nothing only if the descriptor is none of a kube-proxy.
    binary: Option<&'static Binary>,
    options: Options,
    process: Option<Process>,
    site: Option<Site>,
    /// What the next Step changes, if it was made ready.
    edits: Option<Edits>,
    /// What the process had told and used when the latest Step was made ready; nothing before.
    before: Option<(Told, CpuTime)>,
    sysctls: Vec<(&'static str, String)>,
}

/// What a process is fed by.
#[derive(Debug)]
struct Site {
    server: Server,
    folder: TempDir,
    /// No process has had it yet.
    is_fresh: bool,
}

impl KubeProxy {
    /// Of a descriptor that has a [`Binary`]. Touches nothing.
    fn new(descriptor: &Descriptor, options: &Options) -> Self {
        let (binary, options) = (descriptor.binary, options.clone());
        let (process, site, edits, before) = (None, None, None, None);
        Self { binary, options, process, site, edits, before, sysctls: Vec::new() }
    }

    fn binary(&self) -> Result<&'static Binary, ProxyError> {
        let reason = || "the backend has no file".into();
        self.binary.ok_or_else(|| ProxyError::Request { reason: reason() })
    }

    /// Serves a Cluster anew, and writes the configuration.
    fn serve(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        let binary = self.binary()?;
        self.process = None;
        self.site = None;
        let site = config::site(&self.options);
        let server = Server::start(config::API, cluster, &site, Limits::default())
            .map_err(|error| fed(&error.to_string()))?;
        let folder = tempfile::Builder::new().prefix("vipbench-kube-proxy-").tempdir();
        let folder = folder.map_err(IoError::of("make", "a temporary folder"))?;
        let kubeconfig = folder.path().join("kubeconfig");
        let place = kubeconfig.display().to_string();
        let config = configuration(binary.mode, &self.options, &place);
        for (path, content) in
            [(kubeconfig, config::kubeconfig()), (folder.path().join("config"), config)]
        {
            let written = fs::write(&path, content.to_string());
            written.map_err(IoError::of("write", path.display().to_string()))?;
        }
        self.site = Some(Site { server, folder, is_fresh: true });
        Ok(())
    }

    /// Remembers the kernel parameters that it is going to set.
    fn remember_sysctls(&mut self) -> Result<(), ProxyError> {
        if self.sysctls.is_empty() {
            for name in self.binary()?.mode.sysctls() {
                // A kernel that lacks one has nothing to put back.
                self.sysctls.extend(sysctl::read(name).ok().map(|value| (*name, value)));
            }
        }
        Ok(())
    }

    fn restore_sysctls(&mut self) -> Result<(), ProxyError> {
        let mut sysctls = Sysctls::default();
        let remembered = self.sysctls.drain(..);
        ProxyError::gather(remembered.map(|(name, value)| Ok(sysctls.change(name, &value)?)))
    }

    fn running(&mut self) -> Result<&mut Process, ProxyError> {
        let reason = || "no kube-proxy runs; a full sync starts one".into();
        self.process.as_mut().ok_or_else(|| ProxyError::Request { reason: reason() })
    }
}

impl Backend for KubeProxy {
    /// Looks at the file, and tries what the mode needs.
    fn probe(&mut self) -> Result<(), ProxyError> {
        let binary = self.binary()?;
        known::check(&binary.path)?;
        binary.ours()?.open(&self.options).probe()
    }

    /// Serves the Cluster of a full sync; before a Step, waits until no sync is under way.
    fn ready(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        match request {
            SyncRequest::Full(cluster) => self.serve(cluster),
            SyncRequest::Incremental(step) => {
                let limit = self.options.sync_limit;
                self.edits = Some(self.edits(step)?);
                let told = Told::ask()?;
                let process = self.running()?;
                process.rest(limit)?;
                self.before = Some((told, process.used()?.0));
                Ok(())
            }
        }
    }

    /// Starts a process and waits for the first sync of each family.
    fn start(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        if !self.site.as_ref().is_some_and(|site| site.is_fresh) {
            self.serve(cluster)?;
        }
        self.remember_sysctls()?;
        let binary = self.binary()?;
        let Some(site) = &mut self.site else { return Err(fed("nothing is served")) };
        site.is_fresh = false;
        let config = site.folder.path().join("config");
        let flags = if binary.mode == Mode::Ipvs { &log::IPVS_FLAGS[..] } else { &log::FLAGS };
        let arguments = [OsStr::new("--config"), config.as_os_str()];
        let arguments = arguments.into_iter().chain(flags.iter().map(OsStr::new));
        let lock = self.options.xtables_lock.as_deref();
        let mut process = Process::start(&binary.name(), &binary.path, arguments, lock)?;
        process.wait(Awaited::first_syncs(), self.options.sync_limit)?;
        self.process = Some(process);
        self.before = None;
        Ok(())
    }

    /// Serves the Cluster after the Step and waits for the syncs that have all of it.
    fn apply(&mut self, step: &Step<'_>) -> Result<(), ProxyError> {
        let edits = match self.edits.take() {
            Some(edits) => edits,
            None => self.edits(step)?,
        };
        let awaited = Awaited::of(step);
        let Some(site) = &self.site else { return Err(fed("nothing is served")) };
        site.server.commit(edits);
        let limit = self.options.sync_limit;
        self.running()?.wait(awaited, limit)
    }

    /// Waits until no sync is under way.
    fn settle(&mut self, _programmed: &Cluster) -> Result<(), ProxyError> {
        let limit = self.options.sync_limit;
        self.running()?.rest(limit)
    }

    fn account(&mut self) -> Result<Option<Account>, ProxyError> {
        let (used, memory_peak_bytes) = self.running()?.used()?;
        let told = Told::ask()?;
        let is_first = self.before.is_none();
        let (earlier, used_before) = self.before.take().unwrap_or_default();
        Ok(Some(Account {
            served: self.site.as_ref().filter(|_| is_first).and_then(|site| site.server.served()),
            syncs: told.since(&earlier),
            cpu: used - used_before,
            memory_peak_bytes,
            heap_bytes: told.heap_bytes,
        }))
    }

    /// Ends the process, lets another one of it clean up, removes what that leaves, then resets the
    /// sysctls.
    fn stop(&mut self) -> Result<(), ProxyError> {
        self.process = None;
        self.site = None;
        self.edits = None;
        let binary = self.binary()?;
        let lock = self.options.xtables_lock.as_deref();
        let cleaned = process::clean_up(&binary.name(), &binary.path, lock);
        // In mode ipvs it fails at chains that jumps of this mode still lead to (seen of 1.36.2:
        // `platformCleanup`, cmd/kube-proxy/app/server_linux.go).
        let cleaned = if binary.mode == Mode::Ipvs { Ok(()) } else { cleaned };
        // `KUBE-FIREWALL`, which kubelets have too, stays there (`CleanupLeftovers`,
        // pkg/proxy/iptables/cleanup.go, Kubernetes 1.36), and the next process would put its
        // other jumps before that one. Ours has the same chains.
        let left = binary.ours()?.open(&self.options).stop();
        ProxyError::gather([cleaned, left, self.restore_sysctls()])
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Audit for KubeProxy {
    /// Compares what is there of the families that it serves with what the backend of ours programs
    /// that ends in the same state.
    fn compare(&mut self, cluster: &Cluster, _: Maker<'_>) -> Result<Differences, ProxyError> {
        let families = self.running()?.families().to_vec();
        let mut ours = self.binary()?.ours()?.open(&self.options);
        let ours = ours.audit().ok_or_else(|| fed("ours has no audit"))?;
        ours.compare(cluster, Maker::KubeProxy(&families))
    }
}

impl KubeProxy {
    fn edits(&self, step: &Step<'_>) -> Result<Edits, ProxyError> {
        let Some(site) = &self.site else { return Err(fed("nothing is served")) };
        site.server.edits(step).map_err(|error| fed(&error.to_string()))
    }
}

/// What feeds it does not work.
fn fed(reason: &str) -> ProxyError {
    ProxyError::Unsupported {
        what: "an API for kube-proxy".into(),
        reason: reason.to_owned(),
        remedy: "it needs a namespace whose loopback device is up and has nobody at port 6443"
            .into(),
    }
}

//! What every backend can do, and what only some can: the contract between backends and measures.
//!
//! The one big decision: a sync of our own is three stages, called one after the other by the
//! measurement so that each can be timed apart. `prepare` reads or readies kernel state, `render`
//! is pure, `submit` hands over.

use generators::{Cluster, Family, Step};
use linux::CpuTime;

use crate::account::Account;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::program::{Program, SyncRequest};

/// Makes the current network namespace implement a Cluster.
///
/// Contract (the tests in `tests/kernel/contract.rs` hold every backend to it): after `start` or
/// `apply` a connection to any VIP reaches one of its Endpoints, a flow of UDP goes on to none that
/// is gone, and an audit succeeds; `start` on a namespace that holds the same Cluster changes
/// nothing that an audit sees; `stop` leaves a namespace like the one `start` met, and may be
/// repeated.
pub trait Backend: Send {
    /// Tries, in the current namespace, whether this kernel and these tools can do it at all.
    ///
    /// # Errors
    /// [`ProxyError`] with what is missing and where it would come from.
    fn probe(&mut self) -> Result<(), ProxyError>;
    /// Gets ready for a sync what is no part of it: what feeds a program of somebody else, and
    /// that the program rests. Called before the clock starts; a sync without it still works.
    ///
    /// # Errors
    /// What cannot be made ready.
    fn ready(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        let _ = request;
        Ok(())
    }
    /// Programs the whole Cluster, whatever the namespace holds already: a full sync, or a restart.
    /// A backend without stages says how.
    ///
    /// # Errors
    /// Any refusal by the kernel or a tool, named.
    fn start(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        sync(self.staged(), &SyncRequest::Full(cluster))
    }
    /// Programs the Changes of a Step, whose Cluster before is programmed. A backend without
    /// stages says how.
    ///
    /// # Errors
    /// Any refusal by the kernel or a tool, named.
    fn apply(&mut self, step: &Step<'_>) -> Result<(), ProxyError> {
        sync(self.staged(), &SyncRequest::Incremental(step))
    }
    /// Finishes what earlier syncs left to later ones, so that the next is not charged for it.
    /// `programmed` is the Cluster in the kernel.
    ///
    /// # Errors
    /// Any refusal by the kernel or a tool, named.
    fn settle(&mut self, programmed: &Cluster) -> Result<(), ProxyError> {
        let _ = programmed;
        Ok(())
    }
    /// What a program of somebody else tells of the latest sync. Called outside of timed windows,
    /// since the program is disturbed. Nothing of our own backends.
    ///
    /// # Errors
    /// It does not answer.
    fn account(&mut self) -> Result<Option<Account>, ProxyError> {
        Ok(None)
    }
    /// Removes everything this backend put into the namespace. Repeatable; goes on after an error
    /// and reports it.
    ///
    /// # Errors
    /// What could not be removed.
    fn stop(&mut self) -> Result<(), ProxyError>;
    /// The stages of its syncs, if they can be taken apart.
    fn staged(&mut self) -> Option<&mut dyn Staged> {
        None
    }
    /// Its own look at the kernel, if it has one.
    fn audit(&mut self) -> Option<&mut dyn Audit> {
        None
    }
}

/// A sync in stages: always `prepare`, `render`, `submit` with one and the same request.
pub trait Staged {
    /// Readies fixed state (sysctls, jumps, sets, devices) and reads what a sync needs to know.
    /// Repeatable.
    ///
    /// # Errors
    /// Any refusal by the kernel or a tool, named.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError>;
    /// Makes the text or messages. Pure: no kernel, no files.
    ///
    /// # Errors
    /// A request this backend cannot express.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError>;
    /// Hands a program over and returns when the kernel has taken it.
    ///
    /// # Errors
    /// Any refusal, matched to the rule or message that caused it where the kernel says so.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError>;
}

/// Who made the state that an audit reads.
#[derive(Debug, Clone, Copy)]
pub enum Maker<'a> {
    /// The backend itself.
    Ours,
    /// A kube-proxy that serves these families. The order of its rules is drawn anew at each sync,
    /// and it counts packets where the kernel has `xt_nfacct`.
    KubeProxy(&'a [Family]),
}

/// Reads the kernel back.
pub trait Audit {
    /// Compares what the namespace holds with what this Cluster needs.
    ///
    /// # Errors
    /// What cannot be read.
    fn compare(&mut self, cluster: &Cluster, maker: Maker<'_>) -> Result<Differences, ProxyError>;
    /// The same of what the backend itself made.
    ///
    /// # Errors
    /// The first differences, in words.
    fn verify(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        self.compare(cluster, Maker::Ours)?.into_result()
    }
}

/// One whole sync by its stages.
fn sync(staged: Option<&mut dyn Staged>, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
    let no_stages = || ProxyError::Request { reason: "the backend has no stages".into() };
    let staged = staged.ok_or_else(no_stages)?;
    staged.prepare(request)?;
    let program = staged.render(request)?;
    staged.submit(&program)?;
    Ok(())
}

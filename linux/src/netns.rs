//! Anonymous network namespaces: made by a short-lived thread, held by a file descriptor, gone when
//! it drops.
//!
//! Nothing is pinned in the file system, so a killed run leaves nothing. What is put into a
//! namespace (links, addresses, sysctls) is the business of `topology`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, scope};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Why a namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The caller may not make or enter network namespaces.
    #[error(
        "network namespace `{label}`: not permitted; run as root, or with the capability CAP_SYS_ADMIN"
    )]
    NotPermitted {
        /// Label of the namespace.
        label: String,
    },
    /// The kernel or its proc file system refused.
    #[error(
        "network namespace `{label}`, {doing}: {source}; see that /proc is mounted and CONFIG_NET_NS is set"
    )]
    Kernel {
        /// Label of the namespace.
        label: String,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("network namespace `{label}`: cannot start a thread: {source}; see `ulimit -u`")]
    Thread {
        /// Label of the namespace.
        label: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A network namespace that lives as long as this value, a thread inside, or a socket opened
/// inside.
///
/// A socket belongs to the namespace of the thread that called `socket(2)`, wherever it is used
/// later (`net/socket.c`, `sock_create`, Linux 6.1).
#[derive(Debug, Clone)]
pub struct Namespace {
    label: Arc<str>,
    fd: Arc<OwnedFd>,
}

impl Namespace {
    /// Makes an empty namespace: only `lo`, which is down. `label` appears in errors and thread
    /// names.
    ///
    /// # Errors
    /// [`NamespaceError`]: not root, no `/proc`, no threads left.
    pub fn new(label: &str) -> Result<Self, NamespaceError> {
        let fd = scope(|threads| {
            let maker = Builder::new()
                .name(format!("netns-{label}"))
                .spawn_scoped(threads, || make(label))
                .map_err(|source| NamespaceError::Thread { label: label.to_owned(), source })?;
            maker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        Ok(Self { label: label.into(), fd: Arc::new(fd) })
    }

    /// The label it was made with.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Runs `work` on a thread of its own inside this namespace and waits for it.
    ///
    /// Child processes and threads started by `work` are inside as well. A panic of `work` goes on
    /// in the caller.
    ///
    /// # Errors
    /// [`NamespaceError`]: the namespace could not be entered, and `work` has not run.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        scope(|threads| {
            let worker = Builder::new()
                .name(self.label.to_string())
                .spawn_scoped(threads, || self.join_current_thread().map(|()| work()))
                .map_err(|source| self.thread_error(source))?;
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Never called on a thread that outlives its work here: there is no way back that could not
    /// fail.
    fn join_current_thread(&self) -> Result<(), NamespaceError> {
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| refused(&self.label, "entering it", errno.into()))
    }

    fn thread_error(&self, source: io::Error) -> NamespaceError {
        NamespaceError::Thread { label: self.label.to_string(), source }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Leaves the calling thread, which must end soon, in a new namespace and returns a descriptor of
/// it.
fn make(label: &str) -> Result<OwnedFd, NamespaceError> {
    // SAFETY: NEWNET does not touch the descriptor table, the only thing that makes `unshare`
    // unsafe.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| refused(label, "making it", errno.into()))?;
    // `thread-self`, because `self` names the process's first thread, which is still in the old
    // namespace.
    File::open("/proc/thread-self/ns/net")
        .map(OwnedFd::from)
        .map_err(|source| refused(label, "opening /proc/thread-self/ns/net", source))
}

fn refused(label: &str, doing: &'static str, source: io::Error) -> NamespaceError {
    let label = label.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => NamespaceError::NotPermitted { label },
        _ => NamespaceError::Kernel { label, doing, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_lack_of_rights_names_the_remedy() {
        let error = refused("node", "making it", io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(
            error.to_string(),
            "network namespace `node`: not permitted; run as root, or with the capability CAP_SYS_ADMIN"
        );
    }

    #[test]
    fn any_other_refusal_names_the_step_and_the_cause() {
        let error = refused("node", "making it", io::Error::from_raw_os_error(libc::ENOSPC));
        let text = error.to_string();
        assert!(text.contains("`node`, making it: No space left on device"), "{text}");
    }
}

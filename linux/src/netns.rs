//! Anonymous network namespaces: made by a short-lived thread, held by a file descriptor, gone when
//! it drops.
//!
//! Nothing is pinned in the file system, so a killed run leaves nothing. What is put into a
//! namespace (links, addresses, sysctls) is the business of `topology`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, scope};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::IoError;

/// Why a namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
#[error("network namespace `{label}`, {doing}: {source}; {}", remedy(source))]
pub struct NamespaceError {
    /// Label of the namespace.
    pub label: String,
    /// What was being done.
    pub doing: &'static str,
    /// What the system says.
    pub source: io::Error,
}

fn remedy(refusal: &io::Error) -> &'static str {
    match refusal.kind() {
        io::ErrorKind::PermissionDenied => "run as root, or with the capability CAP_SYS_ADMIN",
        io::ErrorKind::NotFound => "see `ip netns list`, and that /proc is mounted",
        // No thread left (pthread_create(3)).
        io::ErrorKind::WouldBlock => "see `ulimit -u`",
        _ => "see that /proc is mounted and CONFIG_NET_NS is set",
    }
}

/// For `map_err`: what was being done with the namespace `label`.
fn refused<E: Into<io::Error>>(
    label: &str,
    doing: &'static str,
) -> impl FnOnce(E) -> NamespaceError {
    move |source| NamespaceError { label: label.to_owned(), doing, source: source.into() }
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
        let fd = on_thread(label, || make(label))?;
        Ok(Self { label: label.into(), fd: Arc::new(fd) })
    }

    /// One that there is already, by its file: `/run/netns/NAME` (ip-netns(8)) or
    /// `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// [`NamespaceError`]: no such file, or no right to open it.
    pub fn open(path: &Path) -> Result<Self, NamespaceError> {
        let label = path.to_string_lossy();
        let file = File::open(path).map_err(refused(&label, "opening it"))?;
        Ok(Self { label: label.as_ref().into(), fd: Arc::new(file.into()) })
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
        on_thread(&self.label, || {
            // Never on a thread that outlives its work here: there is no way back that could not
            // fail.
            move_into_link_name_space(self.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(refused(&self.label, "entering it"))?;
            Ok(work())
        })
    }
}

/// The number by which the kernel's programs know the network namespace of the calling thread. It
/// is never used again while the machine runs.
///
/// # Errors
/// A kernel before 5.14, which does not tell.
pub fn cookie() -> Result<u64, IoError> {
    // `SO_NETNS_COOKIE` (include/uapi/asm-generic/socket.h, Linux 5.14), which libc does not have.
    const NETNS_COOKIE: libc::c_int = 71;
    let failed = || IoError::of("ask for", "the cookie of the network namespace");
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(|errno| failed()(errno.into()))?;
    let (mut cookie, mut bytes) = (0_u64, 8);
    // SAFETY: the kernel writes at most `bytes` bytes to `cookie`, which has so many.
    let result = unsafe {
        let to = (&raw mut cookie).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, NETNS_COOKIE, to, &raw mut bytes)
    };
    if result == 0 { Ok(cookie) } else { Err(failed()(io::Error::last_os_error())) }
}

/// Whether the calling thread is in the network namespace of the machine's first process, which is
/// the machine's own, or that of a container that this runs in. Where nobody may look at that
/// process, the namespace that this process was started in counts as such.
///
/// # Errors
/// No `/proc`.
pub fn is_machines_own() -> Result<bool, IoError> {
    let of = |process: &str| {
        let path = format!("/proc/{process}/ns/net");
        std::fs::metadata(&path).map_err(IoError::of("look at", path))
    };
    let (mine, first) = (of("thread-self")?, of("1").or_else(|_| of("self"))?);
    Ok((mine.dev(), mine.ino()) == (first.dev(), first.ino()))
}

/// Runs `work` on a thread called `label` and waits for it.
fn on_thread<T: Send>(
    label: &str,
    work: impl FnOnce() -> Result<T, NamespaceError> + Send,
) -> Result<T, NamespaceError> {
    scope(|threads| {
        let thread = Builder::new().name(label.to_owned()).spawn_scoped(threads, work);
        let thread = thread.map_err(refused(label, "starting a thread"))?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
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
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(refused(label, "making it"))?;
    // `thread-self`, because `self` names the process's first thread, which is still in the old
    // namespace.
    File::open("/proc/thread-self/ns/net")
        .map(OwnedFd::from)
        .map_err(refused(label, "opening /proc/thread-self/ns/net"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_lack_of_rights_names_the_remedy() {
        let error = refused("node", "making it")(io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(
            error.to_string(),
            "network namespace `node`, making it: Operation not permitted (os error 1); \
             run as root, or with the capability CAP_SYS_ADMIN"
        );
    }

    #[test]
    fn any_other_refusal_names_the_step_and_the_cause() {
        let error = refused("node", "making it")(io::Error::from_raw_os_error(libc::ENOSPC));
        let text = error.to_string();
        assert!(text.contains("`node`, making it: No space left on device"), "{text}");
    }
}

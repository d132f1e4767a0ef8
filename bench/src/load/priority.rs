//! How a server's thread and the client's share a processor. Which one a measurement wants is
//! decided by its caller.

use std::io;

/// How a server's thread stands to the client's when both want the same processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// As any thread: whether accepting and cleaning up fall into the client's `connect` and
    /// `close` is up to the scheduler. For throughput, where client and server have processors of
    /// their own.
    Normal,
    /// Never takes the processor from the client, always gives it up to it (`SCHED_IDLE`;
    /// `kernel/sched/fair.c`, `check_preempt_wakeup`, Linux 6.1), so that `connect` and `close`
    /// hold no work of the server's. For latency, on either clock, with client and server on one
    /// processor; on several, waking the other processor is in `connect`. On Linux 6.1 under the
    /// instructions clock, `connect` is 42,900 this way and 55,300 as [`Priority::Normal`].
    Background,
}

impl Priority {
    pub(super) fn apply(self) -> io::Result<()> {
        match self {
            Self::Normal => Ok(()),
            Self::Background => set_policy(libc::SCHED_IDLE, 0),
        }
    }
}

/// Runs `work` on the calling thread as [`Priority::Background`], and then gives the thread what it
/// had before.
///
/// # Errors
/// The system refuses a policy.
pub(super) fn in_background<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let mut parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: thread 0 is the calling one, and the parameters outlive the call.
    let (policy, told) =
        unsafe { (libc::sched_getscheduler(0), libc::sched_getparam(0, &raw mut parameters)) };
    if policy < 0 || told < 0 {
        return Err(io::Error::last_os_error());
    }
    Priority::Background.apply()?;
    let done = work();
    set_policy(policy, parameters.sched_priority)?;
    Ok(done)
}

fn set_policy(policy: libc::c_int, sched_priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: thread 0 is the calling one, and the parameters outlive the call.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! Which processor core of the host a guest gets, among those that this process may use.
//!
//! Keeps count only; who is put there, and with which priority, is decided in `scheduling`. Another
//! process's guests are seen by the name that each takes: an abstract socket, which goes with its
//! process however that ends.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core that one guest uses, given back on drop. With more guests than cores they share.
#[derive(Debug)]
pub(super) struct Core {
    number: usize,
    /// Nothing if a guest has it already.
    _claim: Option<UnixDatagram>,
}

/// Cores that this process may use, and how many of its guests each has; empty until the first.
static GUESTS_BY_CORE: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

impl Core {
    /// A core without a guest of any process, or else the one with the fewest of this process.
    ///
    /// # Errors
    /// The system does not tell which cores may be used.
    pub(super) fn least_used() -> io::Result<Self> {
        let mut cores = GUESTS_BY_CORE.lock().unwrap_or_else(PoisonError::into_inner);
        if cores.is_empty() {
            let allowed = numbers(&sched_getaffinity(None)?);
            *cores = allowed.into_iter().map(|number| (number, 0)).collect();
        }
        cores.sort_by_key(|(number, guests)| (*guests, *number));
        let free = cores.iter().position(|(_, guests)| *guests > 0).unwrap_or(cores.len());
        let claimed = (0..free).find_map(|at| Some((at, claim(cores[at].0)?)));
        let (at, claim) = claimed.map_or((0, None), |(at, claim)| (at, Some(claim)));
        let core = cores.get_mut(at).ok_or_else(|| io::Error::other("no core may be used"))?;
        core.1 += 1;
        Ok(Self { number: core.0, _claim: claim })
    }

    /// Lets a thread run on this core alone.
    ///
    /// # Errors
    /// The thread has ended, or the core is not allowed any more.
    pub(super) fn pin(&self, thread: Option<Pid>) -> io::Result<()> {
        let mut set = CpuSet::new();
        set.set(self.number);
        Ok(sched_setaffinity(thread, &set)?)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let mut cores = GUESTS_BY_CORE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, guests)) = cores.iter_mut().find(|(number, _)| *number == self.number) {
            *guests -= 1;
        }
    }
}

/// The name of a core, unless another guest has it.
fn claim(number: usize) -> Option<UnixDatagram> {
    let name = SocketAddr::from_abstract_name(format!("vipbench-guest-on-core-{number}"));
    UnixDatagram::bind_addr(&name.ok()?).ok()
}

/// The cores of a set by their numbers: in a cpuset or container these need not begin with 0.
fn numbers(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU).filter(|&number| set.is_set(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_called_by_the_numbers_that_the_system_gives_them() {
        let mut set = CpuSet::new();
        set.set(3);
        set.set(70);
        assert_eq!(numbers(&set), [3, 70]);
    }

    #[test]
    fn guests_spread_over_the_cores_that_may_be_used_and_can_be_pinned_there() {
        let allowed = numbers(&sched_getaffinity(None).unwrap());
        let taken: Vec<Core> = allowed.iter().map(|_| Core::least_used().unwrap()).collect();
        let mut found: Vec<usize> = taken.iter().map(|core| core.number).collect();
        found.sort_unstable();
        assert_eq!(found, allowed);
        for number in &allowed {
            assert!(claim(*number).is_none(), "another process sees that core {number} is used");
        }
        let pinned = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                taken[0].pin(None).unwrap();
                numbers(&sched_getaffinity(None).unwrap())
            });
            thread.join().unwrap()
        });
        assert_eq!(pinned, [taken[0].number]);
    }
}

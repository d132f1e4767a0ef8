//! Which processor core of the host a guest gets, among those that this process may use.
//!
//! Keeps count only; who is put there, and with which priority, is decided in `scheduling`.

use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core that one guest uses, given back on drop. With more guests than cores they share.
#[derive(Debug)]
pub(super) struct Core {
    number: usize,
}

/// Cores that this process may use, and how many guests each has; empty until the first guest.
static GUESTS_BY_CORE: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

impl Core {
    /// The core with the fewest guests of this process.
    ///
    /// # Errors
    /// The system does not tell which cores may be used.
    pub(super) fn least_used() -> io::Result<Self> {
        let mut cores = GUESTS_BY_CORE.lock().unwrap_or_else(PoisonError::into_inner);
        if cores.is_empty() {
            let mut allowed = numbers(&sched_getaffinity(None)?);
            // Several runs on one machine, each with a guest or two, do not all begin with the same
            // core.
            let first = std::process::id() as usize % allowed.len().max(1);
            allowed.rotate_left(first);
            *cores = allowed.into_iter().map(|number| (number, 0)).collect();
        }
        let core = cores.iter_mut().min_by_key(|(_, guests)| *guests);
        let (number, guests) = core.ok_or_else(|| io::Error::other("no core may be used"))?;
        *guests += 1;
        Ok(Self { number: *number })
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

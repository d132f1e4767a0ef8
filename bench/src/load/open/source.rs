//! Source addresses and ports of connections: in turns, one worker's apart from another's.

use std::net::SocketAddr;

use super::plan::Origin;
use crate::load::{SourceError, Sources};

/// Where a worker's connections come from.
#[derive(Debug, Clone)]
pub(super) enum Ports {
    /// The kernel chooses.
    Kernel,
    /// Each pair in turn, and from the beginning again.
    Cycle {
        /// Those of one turn.
        all: Sources,
        /// Those that are left of this turn.
        left: Sources,
    },
}

impl Ports {
    /// The part of worker `worker` of `workers`.
    ///
    /// # Errors
    /// There are fewer ports than workers.
    pub(super) fn of(from: &Origin, worker: u16, workers: u16) -> Result<Self, SourceError> {
        let Origin::Chosen { addresses, ports } = from else { return Ok(Self::Kernel) };
        let (first, last) = (u32::from(*ports.start()), u32::from(*ports.end()));
        let count = (last + 1).saturating_sub(first);
        let begins = |worker: u16| first + count * u32::from(worker) / u32::from(workers.max(1));
        let as_port = |port: u32| u16::try_from(port).unwrap_or(u16::MAX);
        let (from, to) = (begins(worker), begins(worker.saturating_add(1)));
        if from == to {
            let prefix = *addresses;
            return Err(SourceError::Empty { prefix, first: *ports.start(), last: *ports.end() });
        }
        let part = as_port(from)..=as_port(to - 1);
        let all = Sources::within(*addresses, part)?;
        Ok(Self::Cycle { left: all.clone(), all })
    }

    /// The next source; nothing where the kernel chooses.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        match self {
            Self::Kernel => None,
            Self::Cycle { all, left } => {
                if left.remaining() == 0 {
                    left.clone_from(all);
                }
                left.take().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(from: &Origin, worker: u16, count: usize) -> Vec<String> {
        let mut ports = Ports::of(from, worker, 2).unwrap();
        (0..count).filter_map(|_| ports.next()).map(|from| from.to_string()).collect()
    }

    #[test]
    fn workers_have_ports_of_their_own_and_begin_anew() {
        let from = Origin::Chosen { addresses: "127.0.0.1/32".parse().unwrap(), ports: 10..=12 };
        assert_eq!(taken(&from, 0, 2), ["127.0.0.1:10", "127.0.0.1:10"]);
        assert_eq!(taken(&from, 1, 3), ["127.0.0.1:11", "127.0.0.1:12", "127.0.0.1:11"]);
        let from = Origin::Chosen { addresses: "10.0.0.0/30".parse().unwrap(), ports: 10..=11 };
        assert_eq!(taken(&from, 1, 3), ["10.0.0.1:11", "10.0.0.2:11", "10.0.0.1:11"]);
    }

    #[test]
    fn the_kernel_chooses_where_nobody_else_does_and_no_ports_are_refused() {
        assert!(Ports::of(&Origin::Kernel, 0, 1).unwrap().next().is_none());
        let one = Origin::Chosen { addresses: "127.0.0.1/32".parse().unwrap(), ports: 10..=10 };
        assert!(Ports::of(&one, 0, 2).is_err() && Ports::of(&one, 1, 2).is_ok());
    }
}

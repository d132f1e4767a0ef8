//! What a load is: whom it dials, what is asked, when and for how long.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use lab::IpNet;

use super::arrivals::Arrivals;
use crate::load::server::REQUEST;

/// A whole load.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whom to dial; each connection draws one.
    pub targets: Vec<Dialled>,
    /// What is opened, and what is said.
    pub question: Question,
    /// Requests on each connection, one after the other.
    pub requests: u32,
    /// When connections begin.
    pub pace: Pace,
    /// For how long connections begin.
    pub duration: Duration,
    /// How long a connection may take from its actual start, all its requests together.
    pub timeout: Duration,
    /// How connections end.
    pub ending: Ending,
    /// Where connections come from.
    pub from: Origin,
    /// Most connections open at a time, all workers together. Those that are due beyond it wait,
    /// and are late.
    pub open_max: u32,
    /// How many threads make connections.
    pub workers: u32,
    /// The processors that they are pinned to, in turns; as the scheduler will have it where there
    /// are none.
    pub cores: Vec<usize>,
    /// Wait for the next connection by looking at the clock again and again, for one that is due
    /// soon: punctual, and takes the processor whole.
    pub spins: bool,
    /// Of so many connections of each worker, the client of bare sockets keeps what became of
    /// each.
    pub journal_max: usize,
    /// Seed of arrivals and targets.
    pub seed: u64,
}

/// Somebody to dial, and who may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// The address.
    pub address: SocketAddr,
    /// Who may answer for it, where answers tell; anybody if there is nobody here.
    pub allowed: Vec<SocketAddr>,
}

/// What is said on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Nothing: a TCP connection is opened and closed.
    Nothing,
    /// A GET over TCP.
    Http {
        /// What is asked for, such as `/`.
        path: String,
        /// Of whom: the header `Host`.
        host: String,
    },
    /// Who answers, over TCP: asked of [`BareServer`](crate::load::BareServer).
    Who,
    /// The same in a datagram: asked of [`DatagramServer`](super::DatagramServer).
    WhoByDatagram,
}

impl Question {
    /// The bytes that are sent. Whoever asks but once says so, and the answer ends with the
    /// connection if it does not tell its length.
    pub(super) fn bytes(&self, requests: u32) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Who | Self::WhoByDatagram => REQUEST.to_vec(),
            Self::Http { path, host } => {
                let close = if requests > 1 { "" } else { "Connection: close\r\n" };
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n").into_bytes()
            }
        }
    }

    /// Datagrams in place of connections.
    pub(super) const fn is_datagram(&self) -> bool {
        matches!(self, Self::WhoByDatagram)
    }
}

/// When connections begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// At planned moments.
    Rate {
        /// How many a second, all workers together.
        per_s: f64,
        /// How they are spread.
        arrivals: Arrivals,
    },
    /// As soon as one of so many ends, all workers together: what comes through at most.
    Saturated {
        /// How many are open all the time.
        open: u32,
    },
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By RST: nothing of it lingers on either side.
    Reset,
    /// By FIN, as programs usually do; the side that closes first keeps its port for a minute
    /// (`TCP_TIMEWAIT_LEN`, include/net/tcp.h, Linux 6.1).
    Finish,
}

/// Source addresses and ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Whatever the kernel finds, which takes longer the more ports are in use.
    Kernel,
    /// Each pair in turn, from the beginning again when all have been used.
    Chosen {
        /// The addresses.
        addresses: IpNet,
        /// The ports.
        ports: RangeInclusive<u16>,
    },
}

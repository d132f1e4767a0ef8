//! What workers count: latencies by phase from the planned and from the actual start, lateness,
//! errors by kind, and how many connections were open; and the little of it that is told while a
//! load runs.

use std::io;

use hdrhistogram::{CreationError, Histogram};
use rustix::io::Errno;
use strum::{EnumCount, IntoStaticStr, VariantArray};

/// Longest latency that is told apart from longer ones: 100 s.
const HIGHEST_NS: u64 = 100_000_000_000;
/// Significant decimal digits.
const DIGITS: u8 = 3;
/// Those of what is told while a load runs: adding it up takes a processor that the load may need.
const SLICE_DIGITS: u8 = 2;

/// Why a connection was not completed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, VariantArray, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum ErrorKind {
    /// Nobody listens there, or a rule rejects it.
    Refused,
    /// The other side ended it before it had answered.
    Reset,
    /// It took longer than it may.
    TimedOut,
    /// No route, or a router said so.
    Unreachable,
    /// No source port is free.
    NoPort,
    /// No descriptor is free.
    NoDescriptor,
    /// Somebody answered who may not.
    WrongEndpoint,
    /// The answer is none, or tells of a failure.
    BadAnswer,
    /// Anything else that the kernel says.
    Other,
}

impl From<Errno> for ErrorKind {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::CONNREFUSED => Self::Refused,
            Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Self::Reset,
            Errno::TIMEDOUT => Self::TimedOut,
            Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN => Self::Unreachable,
            Errno::ADDRINUSE | Errno::ADDRNOTAVAIL => Self::NoPort,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Self::NoDescriptor,
            _ => Self::Other,
        }
    }
}

impl From<io::Error> for ErrorKind {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).map_or(Self::Other, Self::from)
    }
}

/// Latencies of one kind of start, nanoseconds.
#[derive(Debug, Clone)]
pub struct Since {
    /// Until the connection was established.
    pub connect: Histogram<u64>,
    /// Until the first byte of the first answer.
    pub first_byte: Histogram<u64>,
    /// Until all answers were read, and the connection closed.
    pub total: Histogram<u64>,
}

/// What happened in some time. Sums of tallies are tallies.
#[derive(Debug, Clone)]
pub struct Tally {
    /// From the planned start.
    pub planned: Since,
    /// From the actual start.
    pub sent: Since,
    /// From the planned start to the actual one.
    pub lateness: Histogram<u64>,
    /// Closing.
    pub close: Histogram<u64>,
    /// Requests after the first of a connection, from asking to the first byte.
    pub further: Histogram<u64>,
    /// Connections that were due.
    pub due: u64,
    /// Sockets opened for them.
    pub sockets: u64,
    /// Connections with all their answers.
    pub completed: u64,
    /// Answers.
    pub answers: u64,
    /// Connections without, by [`ErrorKind`].
    pub errors: [u64; ErrorKind::COUNT],
    /// Open connections, integrated over time, nanoseconds.
    pub open_ns: u128,
    /// The time that those which ended had been open, nanoseconds.
    pub stay_ns: u128,
}

impl Since {
    fn new() -> Result<Self, CreationError> {
        Ok(Self { connect: histogram()?, first_byte: histogram()?, total: histogram()? })
    }
}

fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS)
}

/// What happened in an interval, in short. Sums of slices are slices.
#[derive(Debug, Clone)]
pub struct Slice {
    /// From the planned start until the connection was closed, nanoseconds.
    pub total: Histogram<u64>,
    /// From the planned start to the actual one, nanoseconds.
    pub lateness: Histogram<u64>,
    /// Connections that were due.
    pub due: u64,
    /// Connections with all their answers.
    pub completed: u64,
    /// Connections without, by [`ErrorKind`].
    pub errors: [u64; ErrorKind::COUNT],
}

impl Slice {
    /// Nothing yet.
    ///
    /// # Errors
    /// No memory for it.
    pub fn new() -> Result<Self, CreationError> {
        let histogram = || Histogram::new_with_bounds(1, HIGHEST_NS, SLICE_DIGITS);
        let (total, lateness) = (histogram()?, histogram()?);
        Ok(Self { total, lateness, due: 0, completed: 0, errors: [0; ErrorKind::COUNT] })
    }

    /// How many were not completed for a reason.
    pub fn failed(&self, kind: ErrorKind) -> u64 {
        self.errors.get(kind as usize).copied().unwrap_or_default()
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so that nothing is refused.
        self.total += &other.total;
        self.lateness += &other.lateness;
        self.due += other.due;
        self.completed += other.completed;
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
    }

    /// Makes it as new, keeping its memory.
    pub(super) fn clear(&mut self) {
        self.total.reset();
        self.lateness.reset();
        (self.due, self.completed) = (0, 0);
        self.errors = [0; ErrorKind::COUNT];
    }
}

/// Counts one more of a kind.
pub(super) fn count(errors: &mut [u64; ErrorKind::COUNT], kind: ErrorKind) {
    if let Some(count) = errors.get_mut(kind as usize) {
        *count += 1;
    }
}

impl Tally {
    /// Nothing yet.
    ///
    /// # Errors
    /// No memory for it.
    pub fn new() -> Result<Self, CreationError> {
        Ok(Self {
            planned: Since::new()?,
            sent: Since::new()?,
            lateness: histogram()?,
            close: histogram()?,
            further: histogram()?,
            due: 0,
            sockets: 0,
            completed: 0,
            answers: 0,
            errors: [0; ErrorKind::COUNT],
            open_ns: 0,
            stay_ns: 0,
        })
    }

    /// How many were not completed for a reason.
    pub fn failed(&self, kind: ErrorKind) -> u64 {
        self.errors.get(kind as usize).copied().unwrap_or_default()
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.histograms_mut().into_iter().zip(other.histograms()) {
            // All have the same bounds, so that nothing is refused.
            *mine += theirs;
        }
        self.due += other.due;
        self.sockets += other.sockets;
        self.completed += other.completed;
        self.answers += other.answers;
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
        self.open_ns += other.open_ns;
        self.stay_ns += other.stay_ns;
    }

    fn histograms(&self) -> [&Histogram<u64>; 9] {
        let Self { planned, sent, lateness, close, further, .. } = self;
        [
            &planned.connect,
            &planned.first_byte,
            &planned.total,
            &sent.connect,
            &sent.first_byte,
            &sent.total,
            lateness,
            close,
            further,
        ]
    }

    fn histograms_mut(&mut self) -> [&mut Histogram<u64>; 9] {
        let Self { planned, sent, lateness, close, further, .. } = self;
        [
            &mut planned.connect,
            &mut planned.first_byte,
            &mut planned.total,
            &mut sent.connect,
            &mut sent.first_byte,
            &mut sent.total,
            lateness,
            close,
            further,
        ]
    }
}

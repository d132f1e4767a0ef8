//! Load that keeps coming: connections at moments planned beforehand, however slowly those before
//! them are answered.
//!
//! A client that waits for an answer before it asks again asks less of whoever is slow, and its
//! percentiles do not see the slowness (coordinated omission). Here latency counts from the planned
//! start; that from the actual start is kept beside it, and so is how late the client itself was.

mod answer;
mod arrivals;
mod datagrams;
mod hyper_client;
mod journal;
mod kernel;
mod ledger;
mod plan;
mod run;
mod sockets;
mod source;
mod tally;
#[cfg(test)]
mod tests;

pub use arrivals::Arrivals;
pub use datagrams::DatagramServer;
pub use journal::Ended;
pub use plan::{Dialled, Ending, Origin, Pace, Plan, Question};
pub use run::{Client, OpenError, Outcome, run};
pub use tally::{ErrorKind, Since, Slice, Tally};

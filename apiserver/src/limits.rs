//! What bounds a server's work, memory and waits.

use std::time::Duration;

/// Bounds of a [`Server`](crate::Server). The defaults are far above what a handful of clients
/// needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; the next one waits to be accepted.
    pub connections: usize,
    /// Watches at a time; the next one is refused (429).
    pub watches: usize,
    /// Watch events that are kept. A client that asks for older ones is told to list anew (410).
    pub history: usize,
    /// Events that clients recorded; beyond, the oldest goes.
    pub recorded: usize,
    /// Length of a request's body, bytes.
    pub body_bytes: usize,
    /// How long a client may take to send a request, to take more of an answer, and to come back on
    /// an open connection.
    pub idle: Duration,
    /// How long a watch lasts at most; clients then start another one.
    pub watch: Duration,
    /// Time between bookmarks of a watch.
    pub bookmark: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            watches: 128,
            history: 100_000,
            recorded: 1_000,
            body_bytes: 64 << 10,
            idle: Duration::from_mins(1),
            watch: Duration::from_mins(30),
            bookmark: Duration::from_mins(1),
        }
    }
}

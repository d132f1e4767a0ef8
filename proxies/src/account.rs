//! What a sync took of a program of somebody else, by its own word and by the kernel's.

use std::time::Duration;

use apiserver::Served;
use linux::CpuTime;

/// Of one sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Of the first sync of a process: when it asked for what to program, and had it.
    pub served: Option<Served>,
    /// How long its syncs took by its own clock, each with what it calls it: `ipv4.partial`.
    pub syncs: Vec<(String, Duration)>,
    /// What all of its threads used, without tools that it calls. Of the first sync of a process,
    /// since it began.
    pub cpu: CpuTime,
    /// The most memory that it ever had at a time, bytes.
    pub memory_peak_bytes: u64,
    /// The part of its heap that is in use, bytes.
    pub heap_bytes: u64,
}

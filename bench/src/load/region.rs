//! The numbers by which the profiler knows the timed parts of connections and syncs.
//!
//! Marking a region costs one instruction without effect, beside a timed window or between two
//! parts of a sync, whether a profiler is there or not.

/// `connect()`.
pub const CONNECT: u8 = 1;
/// Request and first byte of the answer.
pub const REQUEST: u8 = 2;
/// `close()`.
pub const CLOSE: u8 = 3;
/// The parts of a sync. A probing connection inside [`EFFECTIVE`] counts for its own phases.
pub const PREPARE: u8 = 4;
/// User space makes text or messages.
pub const RENDER: u8 = 5;
/// The kernel takes them.
pub const SUBMIT: u8 = 6;
/// Until a new connection is answered.
pub const EFFECTIVE: u8 = 7;
/// What the kernel still does for a sync afterwards. Here and in [`DISTURBANCE`] only the kernel
/// counts: user space does nothing but watch.
pub const AFTERMATH: u8 = 8;
/// What an idle node interrupts a program with.
pub const DISTURBANCE: u8 = 9;

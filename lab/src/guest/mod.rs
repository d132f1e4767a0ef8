//! Guest kernels: a virtual machine that boots a stock kernel with this binary as PID 1, and what
//! passes between them.
//!
//! One binary everywhere: on the host, [`run`](fn@run) and [`save`] drive QEMU; inside,
//! [`run_pid1`] is PID 1. Getting kernels and making the initramfs is in `image`.

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "guests are x86-64 machines and talk to QEMU through its I/O ports; build on x86-64"
);

mod firmware_file;
mod host_core;
mod init;
mod io_port;
mod machine;
pub mod mark;
mod paths;
mod patience;
mod profile;
mod programs;
mod qmp;
mod run;
mod scheduling;
mod snapshot;
mod splat;
mod symbols;
mod watch;
mod wire;

pub use init::{is_pid1, run_pid1};
pub use machine::{Accelerator, Machine, QEMU};
pub use paths::{MODULE_LIST, PATH};
pub use patience::Limit;
pub use profile::{BlockCount, Only, Profile, ProfileError, ProfiledSample, Profiler};
pub use programs::files_of;
pub use run::{Bounds, GuestError, GuestReport, run, run_profiled};
pub use snapshot::{Snapshot, save};
pub use symbols::{Function, Symbols, SymbolsError};
pub use wire::{Job, Task, WireError};

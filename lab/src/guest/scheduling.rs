//! Where the threads of one QEMU process run, and which of them goes first.
//!
//! Which core that is, `host_core` decides; when it is done, `run`.

use std::fs;
use std::io;

use rustix::process::Pid;

use super::host_core::Core;

/// Puts both threads of an emulated guest, its processor and QEMU's main loop, on one core, and
/// lets the loop go first (with real-time priority; if that is not allowed, last). When the guest
/// goes idle, it wakes the loop, which moves the guest's clock to the next timer. Should the loop
/// look again, still busy with the time before, between the guest's last instruction and the moment
/// it is accounted for, the clock lands that much too far (`softmmu/icount.c`,
/// `icount_start_warp_timer`, and `accel/tcg/tcg-accel-ops-rr.c`, QEMU 7.2). A loop that goes first
/// is asleep by the time the guest goes on, whatever else the machine does. One that goes last runs
/// only while the guest waits, unless a third program takes the core from the guest: on a busy
/// machine 3 of 13 cells differed by some instructions.
///
/// # Errors
/// A thread or core that is gone.
pub(super) fn order(core: &Core, qemu: u32) -> io::Result<()> {
    let qemu = libc::pid_t::try_from(qemu).map_err(io::Error::other)?;
    for task in fs::read_dir(format!("/proc/{qemu}/task"))? {
        let thread = task?.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        core.pin(Pid::from_raw(thread))?;
    }
    let schedule = |policy, sched_priority| {
        let parameters = libc::sched_param { sched_priority };
        // SAFETY: the call reads `parameters`; `qemu` names the main thread of our own child.
        unsafe { libc::sched_setscheduler(qemu, policy, &raw const parameters) == 0 }
    };
    // What the loop starts later (a snapshot's writer) has no such privilege.
    let first = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    if schedule(first, 1) || schedule(libc::SCHED_IDLE, 0) {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

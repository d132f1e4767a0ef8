//! x86 I/O ports from user space: how PID 1 talks to QEMU's simplest devices.
//!
//! A device register is not memory: nothing here can be used on another architecture, or without
//! root. Which port means what is known to the callers.

use std::arch::asm;
use std::io;

/// Permission to use one I/O port, given back on drop.
///
/// It is dropped before anything is measured: while a thread holds it, the kernel copies its port
/// bitmap at each context switch (`arch/x86/kernel/process.c`, `native_tss_update_io_bitmap`, Linux
/// 6.1), and threads inherit it.
#[derive(Debug)]
pub(super) struct Port(u16);

impl Port {
    /// Asks for it, and for the one after it, which a write of two bytes needs too.
    pub(super) fn open(number: u16) -> io::Result<Self> {
        set_permission(number, true)?;
        Ok(Self(number))
    }

    /// Writes one byte.
    pub(super) fn write_u8(&self, value: u8) {
        // SAFETY: the kernel gave this thread the port; `out` touches no memory.
        unsafe {
            asm!("out dx, al", in("dx") self.0, in("al") value, options(nomem, nostack, preserves_flags));
        };
    }

    /// Writes two bytes, little endian.
    pub(super) fn write_u16(&self, value: u16) {
        // SAFETY: as above.
        unsafe {
            asm!("out dx, ax", in("dx") self.0, in("ax") value, options(nomem, nostack, preserves_flags));
        };
    }

    /// Writes all of `bytes`, by a string instruction.
    pub(super) fn write_all(&self, bytes: &[u8]) {
        // SAFETY: `rep outsb` reads exactly `bytes.len()` bytes from `bytes`; the kernel gave this
        // thread the port.
        unsafe {
            asm!("rep outsb", in("dx") self.0, inout("rsi") bytes.as_ptr() => _, inout("rcx") bytes.len() => _,
                options(readonly, nostack, preserves_flags));
        }
    }

    /// Fills `bytes`, by a string instruction.
    pub(super) fn read_exact(&self, bytes: &mut [u8]) {
        // SAFETY: `rep insb` writes exactly `bytes.len()` bytes into `bytes`; the kernel gave this
        // thread the port.
        unsafe {
            asm!("rep insb", in("dx") self.0, inout("rdi") bytes.as_mut_ptr() => _, inout("rcx") bytes.len() => _,
                options(nostack, preserves_flags));
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Taking away a right that this thread holds cannot fail, and nothing could be done if it
        // did.
        let _ = set_permission(self.0, false);
    }
}

fn set_permission(first: u16, on: bool) -> io::Result<()> {
    // SAFETY: `ioperm` takes plain numbers and changes only this thread's port bitmap.
    match unsafe { libc::ioperm(first.into(), 2, on.into()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! x86 I/O ports from user space: how PID 1 talks to QEMU's simplest devices.
//!
//! A device register is not memory: nothing here can be used on another architecture, or without
//! root. Which port means what is known to the callers.

use std::arch::asm;
use std::io;

/// Permission to use a range of I/O ports, given back on drop.
///
/// It is dropped before anything is measured: while a thread holds it, the kernel copies its port
/// bitmap at each context switch (`arch/x86/kernel/process.c`, `native_tss_update_io_bitmap`, Linux
/// 6.1), and threads inherit it.
#[derive(Debug)]
pub(super) struct Ports {
    first: u16,
    count: u16,
}

impl Ports {
    /// Asks for `count` ports from `first` on.
    pub(super) fn open(first: u16, count: u16) -> io::Result<Self> {
        set_permission(first, count, true)?;
        Ok(Self { first, count })
    }

    fn assert_held(&self, port: u16) -> io::Result<()> {
        if port >= self.first && port - self.first < self.count {
            return Ok(());
        }
        Err(io::Error::other(format!("I/O port {port:#x} is outside the range asked for")))
    }

    /// Writes one byte.
    pub(super) fn write_u8(&self, port: u16, value: u8) -> io::Result<()> {
        self.assert_held(port)?;
        // SAFETY: the kernel gave this thread the port; `out` touches no memory.
        unsafe {
            asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags));
        };
        Ok(())
    }

    /// Writes two bytes, little endian.
    pub(super) fn write_u16(&self, port: u16, value: u16) -> io::Result<()> {
        self.assert_held(port)?;
        // SAFETY: as above.
        unsafe {
            asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags));
        };
        Ok(())
    }

    /// Writes all of `bytes` to one port, by a string instruction.
    pub(super) fn write_all(&self, port: u16, bytes: &[u8]) -> io::Result<()> {
        self.assert_held(port)?;
        // SAFETY: `rep outsb` reads exactly `bytes.len()` bytes from `bytes`; the kernel gave this
        // thread the port.
        unsafe {
            asm!("rep outsb", in("dx") port, inout("rsi") bytes.as_ptr() => _, inout("rcx") bytes.len() => _,
                options(readonly, nostack, preserves_flags));
        }
        Ok(())
    }

    /// Fills `bytes` from one port, by a string instruction.
    pub(super) fn read_exact(&self, port: u16, bytes: &mut [u8]) -> io::Result<()> {
        self.assert_held(port)?;
        // SAFETY: `rep insb` writes exactly `bytes.len()` bytes into `bytes`; the kernel gave this
        // thread the port.
        unsafe {
            asm!("rep insb", in("dx") port, inout("rdi") bytes.as_mut_ptr() => _, inout("rcx") bytes.len() => _,
                options(nostack, preserves_flags));
        }
        Ok(())
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        // Taking away a right that this thread holds cannot fail, and nothing could be done if it
        // did.
        let _ = set_permission(self.first, self.count, false);
    }
}

fn set_permission(first: u16, count: u16, on: bool) -> io::Result<()> {
    // SAFETY: `ioperm` takes plain numbers and changes only this thread's port bitmap.
    match unsafe { libc::ioperm(first.into(), count.into(), on.into()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

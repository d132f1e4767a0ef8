//! Marks for the profiler: one instruction that does nothing, with a code in its operand.
//!
//! They cost one instruction whether a profiler looks on or not, so a profiled run gives the same
//! digits as any other. What codes mean to the profiler is decided in `lab/plugin/profile.c`; what
//! regions and labels stand for, by the caller.

use std::arch::asm;

/// Regions, labels and the beginning share one byte.
const KEEP: u32 = 0x10;
const BEGIN: u32 = 0x20;
const DROP: u32 = 0x21;
/// "VIP" backwards, above the code.
const MAGIC: u32 = 0x5049_5600;

/// Number of a region that is not profiled.
pub const OUTSIDE: u8 = 0;
/// From this region on, only the kernel's own instructions count: in them, user space does nothing
/// but wait.
pub const KERNEL_ONLY: u8 = 8;
/// Regions are numbered below this.
pub const REGIONS: u8 = 10;
/// Labels are numbered below this.
pub const LABELS: u8 = 16;

/// Marks with a number added to a code. A constant expression of a parameter cannot be passed on;
/// the match of a constant is decided when compiling.
macro_rules! mark_one {
    ($number:expr, $code:expr; $($known:literal)*) => {
        match $number {
            $($known => mark::<{ $code + $known }>(),)*
            _ => {}
        }
    };
}

/// Forgets what was counted since the last sample was kept.
#[inline]
pub fn begin() {
    mark::<BEGIN>();
}

/// Forgets what was counted since the last mark.
#[inline]
pub fn drop() {
    mark::<DROP>();
}

/// From here on, instructions count for region `R`.
#[expect(clippy::inline_always, reason = "a call would be beside every timed window")]
#[inline(always)]
pub fn enter<const R: u8>() {
    const { assert!(R < REGIONS, "no such region") };
    mark_one!(R, 0; 0 1 2 3 4 5 6 7 8 9);
}

/// Adds all that was counted since [`begin`] to `label`, as one sample. Labels from [`LABELS`] on
/// are ignored.
pub fn keep(label: u8) {
    mark_one!(label, KEEP; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

#[expect(clippy::inline_always, reason = "a call would be beside every timed window")]
#[inline(always)]
fn mark<const CODE: u32>() {
    // SAFETY: `nopl MAGIC|CODE(%rax)` computes an address and does nothing with it.
    unsafe {
        asm!(".byte 0x0f, 0x1f, 0x80", ".long {code}", code = const MAGIC | CODE, options(nostack, preserves_flags));
    }
}

//! Memory of a cell in a guest: as steady as that of a process that has run for long, and laid out
//! as the seed draws it.
//!
//! Otherwise the first use of a page falls into whatever is being timed, and where that happens is
//! up to the build: the same render of 10,000 Services took 8 or 36 million instructions.

use std::hint::black_box;

use anyhow::ensure;
use generators::SplitMix64;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::system::sysinfo;

use super::spec::CellSpec;

/// What every cell's heap is given, bytes.
const HEAP: usize = 48 << 20;
/// And for each Service and each Endpoint.
const HEAP_A_SERVICE: usize = 12 << 10;
const HEAP_AN_ENDPOINT: usize = 2 << 10;
/// The most that a heap is given, and which share of what is free.
const HEAP_MAX: usize = 512 << 20;
const HEAP_SHARE: usize = 8;
/// The seed moves what comes into the heap by less than this.
const SHIFT_MAX: usize = 1 << 20;
/// And leaves so many holes before it, each smaller than this and as far apart.
const HOLES: usize = 64;
const HOLE_MAX: usize = 16 << 10;

/// Makes the memory of this process steady for the cell, and draws its layout.
///
/// # Errors
/// The system refuses to lock memory.
pub(super) fn arrange(spec: &CellSpec) -> anyhow::Result<()> {
    keep_what_is_freed()?;
    // Pages of the program and of its libraries that were not touched yet.
    mlockall(MlockAllFlags::CURRENT)?;
    let labels = &spec.labels;
    let mut draws = draws(labels.seed);
    leave_holes(&mut draws);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let heap = HEAP
        .saturating_add(count(labels.services).saturating_mul(HEAP_A_SERVICE))
        .saturating_add(count(labels.endpoints).saturating_mul(HEAP_AN_ENDPOINT));
    let free = count(sysinfo().freeram) / HEAP_SHARE;
    drop(black_box(vec![1_u8; heap.min(HEAP_MAX).min(free)]));
    Ok(())
}

/// One heap for all threads, from which nothing goes back to the system (mallopt(3)).
fn keep_what_is_freed() -> anyhow::Result<()> {
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX)]
    {
        // SAFETY: takes two numbers.
        ensure!(unsafe { libc::mallopt(parameter, value) } == 1, "mallopt({parameter}, {value})");
    }
    Ok(())
}

/// Draws that nothing else shifts.
fn draws(seed: u64) -> SplitMix64 {
    const PURPOSE: u64 = 0x6c61_796f_7574;
    SplitMix64::stream(seed, PURPOSE)
}

/// Shifts the heap and leaves it with holes of drawn sizes, as a process that has run for long.
fn leave_holes(draws: &mut SplitMix64) {
    let mut block = |end: usize| {
        let size = usize::try_from(draws.below(end as u64)).unwrap_or(end);
        vec![1_u8; size]
    };
    std::mem::forget(black_box(block(SHIFT_MAX)));
    for _ in 0..HOLES {
        let (kept, freed) = (block(HOLE_MAX), block(HOLE_MAX));
        std::mem::forget(black_box(kept));
        drop(black_box(freed));
    }
}

//! The clock of a measurement, and what reading it costs.
//!
//! Two clocks, never mixed: nanoseconds of the machine, or instructions of a guest. What is timed
//! is not known here.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, _rdtsc};
use std::hint::black_box;

use results::Clock;
use rustix::time::{ClockId, clock_gettime};

use super::client::Timing;

/// What QEMU's TCG answers to CPUID leaf `0x4000_0000` (`target/i386/cpu.c`, `TCGTCGTCGTCG`, QEMU
/// 7.2).
const TCG_SIGNATURE: [u8; 12] = *b"TCGTCGTCGTCG";
/// Turns of the loop that probes the counter, two instructions each.
const PROBE_TURNS: u64 = 10_000;
/// What the counter may show beyond the loop's own instructions: reading it, and setting up the
/// loop.
const PROBE_SLACK: u64 = 50;
/// A timer interrupt may hit some probes, never all.
const PROBES: usize = 8;

/// Why a clock cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClockError {
    /// The time stamp counter does not count instructions.
    #[error(
        "no instructions clock: {reason}; it exists only in a guest under QEMU with `-accel tcg -icount shift=0` \
         (`--place guest --clock instructions`)"
    )]
    NotCounting {
        /// What was seen.
        reason: String,
    },
}

/// A clock that is known to work here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureClock {
    kind: Clock,
}

impl MeasureClock {
    /// Opens a clock: `CLOCK_MONOTONIC` in nanoseconds, or the time stamp counter as a count of
    /// instructions.
    ///
    /// Under QEMU's TCG with `-icount shift=0`, one nanosecond of guest time passes an instruction
    /// executed, and the counter shows guest time (`softmmu/cpus.c`, `cpus_get_elapsed_ticks`, QEMU
    /// 7.2). Whether it really does is tried here, by a loop of known length.
    ///
    /// # Errors
    /// [`ClockError`] for [`Clock::Instructions`] anywhere but in such a guest.
    pub fn open(kind: Clock) -> Result<Self, ClockError> {
        if kind == Clock::Instructions {
            let counted = (0..PROBES).map(|_| count_probe()).min().unwrap_or_default();
            judge(hypervisor_signature(), counted)?;
        }
        Ok(Self { kind })
    }

    /// What it counts.
    pub fn kind(self) -> Clock {
        self.kind
    }

    /// The present reading. Only differences mean anything.
    #[expect(clippy::inline_always, reason = "a call would be inside every timed window")]
    #[inline(always)]
    pub fn now(self) -> u64 {
        match self.kind {
            Clock::Wall => {
                let now = clock_gettime(ClockId::Monotonic);
                now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
            }
            Clock::Instructions => time_stamp(),
        }
    }

    /// Pairs of readings with nothing between them: what every timing contains. Metric
    /// `harness.clock`.
    pub fn pair_costs(self, samples: usize) -> Vec<u64> {
        let mut costs = Vec::with_capacity(samples);
        for _ in 0..samples {
            let before = self.now();
            costs.push(self.now().saturating_sub(before));
        }
        costs
    }

    /// All that a client does around one connection but the connection: six readings, three
    /// differences, and `record`. Metric `harness.sample`.
    pub fn sample_costs(self, samples: usize, mut record: impl FnMut(Timing)) -> Vec<u64> {
        let mut costs = Vec::with_capacity(samples);
        for _ in 0..samples {
            let before = self.now();
            let phase = || {
                let started = black_box(self.now());
                black_box(self.now()).saturating_sub(started)
            };
            record(Timing { connect: phase(), request: phase(), close: phase() });
            costs.push(self.now().saturating_sub(before));
        }
        costs
    }
}

fn judge(signature: [u8; 12], counted: u64) -> Result<(), ClockError> {
    if signature != TCG_SIGNATURE {
        let name = String::from_utf8_lossy(&signature).trim_matches('\0').to_owned();
        let reason = match name.as_str() {
            "" => "this is no virtual machine".to_owned(),
            name => format!("this machine runs under `{name}`"),
        };
        return Err(ClockError::NotCounting { reason });
    }
    let instructions = 2 * PROBE_TURNS;
    if (instructions..=instructions + PROBE_SLACK).contains(&counted) {
        return Ok(());
    }
    let reason =
        format!("the time stamp counter rose by {counted} over {instructions} instructions");
    Err(ClockError::NotCounting { reason })
}

/// Zero bytes where no hypervisor shows itself (CPUID leaf 1, ECX bit 31).
fn hypervisor_signature() -> [u8; 12] {
    const HYPERVISOR: u32 = 1 << 31;
    if __cpuid(1).ecx & HYPERVISOR == 0 {
        return [0; 12];
    }
    let leaf = __cpuid(0x4000_0000);
    let mut signature = [0; 12];
    for (to, from) in signature.chunks_exact_mut(4).zip([leaf.ebx, leaf.ecx, leaf.edx]) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    signature
}

fn count_probe() -> u64 {
    let before = time_stamp();
    count_down(PROBE_TURNS);
    time_stamp().wrapping_sub(before)
}

/// Two instructions a step, at least one step; they always take the same unless somebody
/// interrupts.
#[expect(clippy::inline_always, reason = "it must take the same wherever it is")]
#[inline(always)]
pub(super) fn count_down(steps: u64) {
    // SAFETY: the loop counts a register down to zero and touches nothing else.
    unsafe {
        asm!("2:", "dec {steps}", "jnz 2b", steps = inout(reg) steps => _, options(nomem, nostack));
    }
}

#[expect(clippy::inline_always, reason = "a call would be inside every timed window")]
#[inline(always)]
fn time_stamp() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets user space run it.
    unsafe { _rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_never_runs_backwards() {
        let clock = MeasureClock::open(Clock::Wall).unwrap();
        let readings: Vec<u64> = (0..1000).map(|_| clock.now()).collect();
        assert!(readings.is_sorted());
        assert!(readings[0] > 0);
    }

    #[test]
    fn costs_come_one_a_sample_and_every_sample_is_recorded() {
        let clock = MeasureClock::open(Clock::Wall).unwrap();
        assert_eq!(clock.pair_costs(100).len(), 100);
        let mut recorded = 0;
        let costs = clock.sample_costs(100, |_| recorded += 1);
        assert_eq!((costs.len(), recorded), (100, 100));
    }

    #[test]
    fn a_counter_that_counts_instructions_is_accepted() {
        assert_eq!(judge(TCG_SIGNATURE, 20_004), Ok(()));
    }

    #[test]
    fn a_counter_that_counts_time_is_refused() {
        let error = judge(TCG_SIGNATURE, 31_337).unwrap_err().to_string();
        assert!(error.contains("rose by 31337 over 20000 instructions"), "{error}");
        assert!(judge(TCG_SIGNATURE, 19_999).is_err());
    }

    #[test]
    fn a_machine_without_tcg_is_refused_by_name() {
        let error = judge(*b"KVMKVMKVM\0\0\0", 20_004).unwrap_err().to_string();
        assert!(error.contains("this machine runs under `KVMKVMKVM`"), "{error}");
        assert!(judge([0; 12], 20_004).unwrap_err().to_string().contains("no virtual machine"));
    }
}

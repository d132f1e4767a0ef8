//! What host and guest say to each other: one job in, JSON lines out.
//!
//! The job is a file of the firmware configuration device. The answer goes through QEMU's debug
//! console, a byte sink at one I/O port without interrupts or a driver, after the measuring is
//! over. Guest output is untrusted: the host bounds it and demands exactly one closing line.

use serde::{Deserialize, Serialize};

/// Name of the firmware file that holds the job.
pub(super) const JOB_FILE: &str = "opt/vipbench/job";
/// I/O port of the debug console; not 0x402, where the firmware writes its own.
pub(super) const CONSOLE_PORT: u16 = 0xe9;
/// I/O port of the exit device: a write ends QEMU at once.
pub(super) const EXIT_PORT: u16 = 0xf4;
/// I/O port of the pvpanic device: a write pauses QEMU at exactly this instruction.
pub(super) const PAUSE_PORT: u16 = 0x505;
/// Value for [`PAUSE_PORT`]: "guest panicked" (`docs/specs/pvpanic.rst`, QEMU 7.2).
pub(super) const PAUSE_VALUE: u8 = 1;
/// Kernel command line word that asks PID 1 to stop at the snapshot point.
pub(super) const SNAPSHOT_WORD: &str = "vipbench.snapshot";

/// Longest line accepted from a guest.
const LINE_BYTES_MAX: usize = 64 << 20;

/// What the guest is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Hand `payload` to the handler that PID 1 was started with.
    Call {
        /// Opaque to the lab.
        payload: String,
    },
    /// Run a program of the initramfs and send what it prints.
    Exec {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// Send the kernel's functions and their addresses, as `/proc/kallsyms` has them.
    Symbols,
}

/// A task, the seed of the guest's random pool while it runs, and the time it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Stirred into the kernel's random pool before the task: hash seeds, sequence numbers and
    /// user-space randomness follow from it alone.
    pub seed: u64,
    /// Guest time that the task may take, seconds; the guest ends itself at that instruction.
    #[serde(with = "fixed_width")]
    pub limit_s: Option<u32>,
    /// What to do.
    pub task: Task,
}

/// A limit as text that is as long for any value, so that no limit moves a guest's counts: a longer
/// job takes longer to read. 0 is none.
mod fixed_width {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference to the field"
    )]
    pub(super) fn serialize<S: Serializer>(
        limit: &Option<u32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        format!("{:010}", limit.unwrap_or(0)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u32>, D::Error> {
        let limit: u32 = String::deserialize(deserializer)?.parse().map_err(D::Error::custom)?;
        Ok((limit > 0).then_some(limit))
    }
}

/// One line from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// PID 1 runs; the kernel's release.
    Hello { release: String },
    /// Something an executed program printed (lossy text).
    Output { text: String },
    /// Warnings and worse from the kernel's log.
    KernelLog { lines: Vec<String> },
    /// The handler's answer.
    Answer { payload: String },
    /// The task's time is up: it was ended at the job's `limit_s`.
    LimitReached,
    /// The task is over; `error` is empty when it succeeded.
    End { error: Option<String> },
}

/// [`Line::LimitReached`] as it is sent, made beforehand: it is written by a signal handler.
pub(super) const LIMIT_REACHED: &[u8] = b"\"limit_reached\"\n";

impl Line {
    /// The line as bytes, newline included.
    pub(super) fn encode(&self) -> Vec<u8> {
        // Plain strings always serialise; an empty line would be refused by the host, loudly.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// All complete lines of `bytes`, and how many bytes they took.
    pub(super) fn decode_all(bytes: &[u8]) -> Result<(Vec<Self>, usize), WireError> {
        let mut lines = Vec::new();
        let mut taken = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if line.len() > LINE_BYTES_MAX {
                return Err(WireError::TooLong);
            }
            let Some(text) = line.strip_suffix(b"\n") else { break };
            lines.push(serde_json::from_slice(text).map_err(|source| WireError::Malformed {
                line: String::from_utf8_lossy(&text[..text.len().min(120)]).into_owned(),
                source,
            })?);
            taken += line.len();
        }
        Ok((lines, taken))
    }
}

/// Guest output that is not what PID 1 of this build writes.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A line beyond all bounds.
    #[error(
        "the guest wrote a line of more than {LINE_BYTES_MAX} bytes; its memory may be corrupt"
    )]
    TooLong,
    /// Not JSON, or not a line we know.
    #[error("the guest wrote a line that is not understood: `{line}`")]
    Malformed {
        /// Its beginning.
        line: String,
        /// What the parser says.
        source: serde_json::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_a_torn_one_waits() {
        let mut bytes = Line::Hello { release: "6.1".into() }.encode();
        bytes.extend(Line::End { error: None }.encode());
        let whole = bytes.len();
        bytes.extend(b"{\"answ");
        let (lines, taken) = Line::decode_all(&bytes).unwrap();
        assert_eq!(lines, [Line::Hello { release: "6.1".into() }, Line::End { error: None }]);
        assert_eq!(taken, whole);
    }

    #[test]
    fn the_line_made_beforehand_is_the_one_that_is_understood() {
        assert_eq!(LIMIT_REACHED, Line::LimitReached.encode());
    }

    #[test]
    fn a_job_is_as_long_for_any_limit() {
        let job = |limit_s| {
            let task = Task::Call { payload: "x".into() };
            serde_json::to_string(&Job { seed: 1, limit_s, task }).unwrap()
        };
        let texts = [None, Some(1), Some(86_400)].map(|limit| (limit, job(limit)));
        for (limit, text) in &texts {
            assert_eq!(text.len(), texts[0].1.len());
            assert_eq!(serde_json::from_str::<Job>(text).unwrap().limit_s, *limit);
        }
    }

    #[test]
    fn garbage_is_an_error_that_shows_it() {
        let error = Line::decode_all(b"Oops\n").unwrap_err();
        assert!(error.to_string().contains("`Oops`"), "{error}");
    }
}

//! The virtual machine as QEMU is told of it: every option that makes instruction counts
//! repeatable, with its reason.
//!
//! Describes only; starting and stopping it is in `run`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::profile::Profiler;
use super::wire::{CONSOLE_PORT, EXIT_PORT, JOB_FILE, SNAPSHOT_WORD};

/// The emulator's program name.
pub const QEMU: &str = "qemu-system-x86_64";

/// How guest instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Emulated, one nanosecond of guest time an instruction: repeatable to the last digit.
    Tcg,
    /// Hardware virtualisation: real time.
    Kvm,
}

/// A guest's hardware and kernel: all that decides what an instruction count means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// How it is executed.
    pub accelerator: Accelerator,
    /// Uncompressed kernel with a PVH entry, or a `vmlinuz`.
    pub kernel: PathBuf,
    /// Initial RAM file system with this crate's PID 1 as `/init`.
    pub initramfs: PathBuf,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// More words for the kernel's command line.
    pub kernel_arguments: Vec<String>,
}

/// Files of one QEMU process, all in one private directory.
pub(super) const JOB: &str = "job.json";
pub(super) const OUTPUT: &str = "output.jsonl";
pub(super) const CONSOLE: &str = "console.log";
pub(super) const MONITOR: &str = "qmp";
pub(super) const PROFILE: &str = "profile";

/// What a QEMU process is started for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    /// Boot, run the job, end.
    Boot,
    /// Boot and stop at the snapshot point.
    BootToSnapshot,
    /// Continue from a saved snapshot, profiled if so wished.
    Restore(&'a Path, Option<&'a Profiler>),
}

impl Machine {
    /// The CPU model. Off, each for a measured reason: `rdrand`, `rdseed`: entropy from the host
    /// would differ from run to run. `cx16`: QEMU 7.2 corrupts flags in `cmpxchg16b %gs:`, on which
    /// Linux 6.12 panics under load. `erms`, `fsrm`: with them the kernel clears and copies by `rep
    /// movsb`, one "instruction" a byte.
    pub fn cpu_model(&self) -> &'static str {
        match self.accelerator {
            Accelerator::Tcg => "max,-rdrand,-rdseed,-cx16,-erms,-fsrm",
            Accelerator::Kvm => "host",
        }
    }

    /// The kernel's command line.
    ///
    /// `percpu_alloc=page`: with the default, a kernel of one CPU gives per-CPU memory in chunks of
    /// 2 MiB, and each allocation searches what is left of its chunk (`pcpu_next_md_free_region`,
    /// `mm/percpu.c`, Linux 6.1): 19,700 of the 31,900 instructions that IPVS took a Service at
    /// 10,000 Services. Nodes have many CPUs and so smaller chunks (2 MiB divided by their number,
    /// rounded); with pages, one CPU has them too, and a connection costs what it did.
    pub fn command_line(&self) -> String {
        let fixed = "console=ttyS0 quiet panic=-1 oops=panic nokaslr tsc=reliable random.trust_cpu=0 nowatchdog \
                     percpu_alloc=page";
        let words = [fixed].into_iter().chain(self.kernel_arguments.iter().map(String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn qemu_arguments(&self, dir: &Path, start: Start<'_>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut push = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        push(&["-nodefaults", "-no-user-config", "-display", "none", "-net", "none", "-no-reboot"]);
        match self.accelerator {
            // `sleep=off`: waiting costs no host time. `clock=vm`: the guest's date follows its
            // instructions.
            Accelerator::Tcg => push(&["-accel", "tcg", "-icount", "shift=0,sleep=off"]),
            Accelerator::Kvm => push(&["-accel", "kvm"]),
        }
        push(&["-rtc", "clock=vm,base=2020-01-01", "-cpu", self.cpu_model(), "-smp", "1"]);
        push(&["-m", &self.memory_mib.to_string()]);
        push(&["-chardev", &file_chardev("out", &dir.join(OUTPUT))]);
        push(&["-device", &format!("isa-debugcon,iobase={CONSOLE_PORT:#x},chardev=out")]);
        push(&["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=4")]);
        push(&["-device", "pvpanic", "-chardev", &file_chardev("console", &dir.join(CONSOLE))]);
        push(&["-serial", "chardev:console"]);
        let mut command_line = self.command_line();
        if !matches!(start, Start::Boot) {
            command_line = format!("{command_line} {SNAPSHOT_WORD}");
        }
        // PID 1 stops the boot at its snapshot point as if by a panic; any other is one, and ends
        // QEMU.
        let action = if matches!(start, Start::BootToSnapshot) { "pause" } else { "shutdown" };
        push(&["-action", &format!("panic={action}")]);
        // Stopped, until its threads are where they belong.
        push(&["-S", "-qmp"]);
        push(&[&format!("unix:{},server=on,wait=off", comma_escaped(&dir.join(MONITOR)))]);
        push(&["-append", &command_line]);
        push(&["-fw_cfg", &format!("name={JOB_FILE},file={}", comma_escaped(&dir.join(JOB)))]);
        if let Start::Restore(snapshot, profiler) = start {
            push(&["-incoming", &format!("exec:cat {}", shell_quoted(snapshot))]);
            arguments.extend(
                profiler.into_iter().flat_map(|one| one.qemu_arguments(&dir.join(PROFILE))),
            );
        }
        arguments.extend(["-kernel".into(), self.kernel.clone().into_os_string()]);
        arguments.extend(["-initrd".into(), self.initramfs.clone().into_os_string()]);
        arguments
    }
}

fn file_chardev(id: &str, path: &Path) -> String {
    format!("file,id={id},path={}", comma_escaped(path))
}

/// QEMU's option parser takes a doubled comma for a plain one.
pub(super) fn comma_escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

pub(super) fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            accelerator: Accelerator::Tcg,
            kernel: "vmlinux".into(),
            initramfs: "initramfs".into(),
            memory_mib: 1024,
            kernel_arguments: vec!["a=b".into()],
        }
    }

    #[test]
    fn restoring_differs_from_booting_to_a_snapshot_in_where_the_state_comes_from_and_in_what_a_panic_does()
     {
        let dir = Path::new("/d");
        let boot = machine().qemu_arguments(dir, Start::BootToSnapshot);
        let restore = machine().qemu_arguments(dir, Start::Restore(Path::new("/s"), None));
        let extra: Vec<_> = restore.iter().filter(|word| !boot.contains(word)).collect();
        assert_eq!(extra, ["panic=shutdown", "-incoming", "exec:cat '/s'"]);
    }

    #[test]
    fn a_kvm_guest_counts_time_not_instructions_and_waits_to_be_pinned() {
        let machine = Machine { accelerator: Accelerator::Kvm, ..machine() };
        let words = machine.qemu_arguments(Path::new("/d"), Start::Boot);
        let follows = |one: &str, other: &str| words.windows(2).any(|pair| pair == [one, other]);
        assert!(follows("-accel", "kvm") && follows("-cpu", "host") && follows("-smp", "1"));
        assert!(follows("-qmp", "unix:/d/qmp,server=on,wait=off"));
        assert!(words.contains(&"-S".into()) && !words.contains(&"-icount".into()));
        assert!(!machine.command_line().contains(SNAPSHOT_WORD), "each cell is a boot of its own");
    }

    #[test]
    fn odd_paths_reach_qemu_and_the_shell_unharmed() {
        assert_eq!(comma_escaped(Path::new("/a,b")), "/a,,b");
        assert_eq!(shell_quoted(Path::new("/it's")), r"'/it'\''s'");
    }
}

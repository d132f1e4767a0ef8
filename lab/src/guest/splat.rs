//! Recognises a kernel that has hurt itself: a splat makes every number of its guest worthless.
//!
//! Looks at text only; which log to read is the caller's business.

/// Parts of the messages that Linux prints when something is broken. Texts as in Linux 6.1
/// (`arch/x86/kernel/dumpstack.c`, `kernel/panic.c`, `kernel/rcu/tree_stall.h`,
/// `kernel/watchdog*.c`, `kernel/hung_task.c`, `mm/oom_kill.c`, `mm/page_alloc.c`,
/// `net/core/dev.c`, `lib/ubsan.c`).
const MARKERS: [&str; 21] = [
    "kernel BUG at",
    "Call Trace:",
    "general protection fault",
    "unable to handle",
    "Oops:",
    " [#1]",
    "Kernel panic",
    "stack-protector:",
    "unchecked MSR access error",
    "UBSAN:",
    "INFO: rcu",
    "kthread starved for",
    "self-detected stall",
    "detected stalls on CPUs/tasks",
    "hard LOCKUP",
    "INFO: task ",
    "invoked oom-killer",
    "ut of memory:",
    "page allocation failure",
    "unregister_netdevice: waiting for",
    "nobody cared",
];
/// Subjects of warnings of the lock and RCU checkers (`kernel/locking/lockdep.c`, Linux 6.1).
const CHECKERS: [&str; 6] =
    ["possible ", "suspicious ", "inconsistent ", "bad unlock", "held lock", "Nested lock"];

/// The first lines of the first splat in `log`, or `None`.
pub(super) fn find<'a>(log: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    const LINES: usize = 4;
    let mut lines = log.map(message).filter(|line| !line.is_empty());
    let first = lines.find(|line| is_splat(line))?;
    let more = lines.filter(|line| line.chars().any(char::is_alphanumeric)).take(LINES - 1);
    Some(std::iter::once(first).chain(more).collect::<Vec<_>>().join(" | "))
}

/// A console line without its time stamp.
pub(super) fn message(line: &str) -> &str {
    let stamped = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match stamped {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest.trim(),
        _ => line.trim(),
    }
}

fn is_splat(line: &str) -> bool {
    // A fault of a user program, such as `traps: x[7] general protection fault ip:...`.
    if line.starts_with("traps:") {
        return false;
    }
    is_bug(line) || is_warning(line) || MARKERS.iter().any(|marker| line.contains(marker))
}

/// `BUG: ...`, also of KASAN, KFENCE and the soft lockup detector; but no `DEBUG: ...`.
fn is_bug(line: &str) -> bool {
    line.match_indices("BUG:").any(|(at, _)| {
        line.get(..at).is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric()))
    })
}

/// `WARNING: CPU: 0 PID: 1 at FILE.c:1 ...` (`kernel/panic.c`, `__warn`, up to Linux 6.16),
/// `WARNING: FILE.c:1 at ...` (later), or a report of the lock and RCU checkers. Other lines that
/// begin so tell of settings.
fn is_warning(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("WARNING: ") else { return false };
    let place = [".c:", ".h:"].iter().any(|suffix| rest.contains(suffix)) && rest.contains(" at ");
    place || rest.starts_with("CPU:") || CHECKERS.iter().any(|start| rest.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splat_is_shown_from_its_first_line_on_without_time_stamps_and_rules() {
        let log = "[    3.1] ip_vs: loaded\r\n[    4.250001] ------------[ cut here ]------------\r\n\
                   [    4.250002] WARNING: CPU: 0 PID: 1 at net/x.c:1 f+0x1/0x2\r\n[    4.3] -----\r\n\
                   [    4.3] Modules linked in:\r\n[    4.4] CPU: 0 PID: 1\r\n[    4.5] RIP: 0010:f\r\n[    4.6] Code: 00\r\n";
        assert_eq!(
            find(log.lines()).unwrap(),
            "WARNING: CPU: 0 PID: 1 at net/x.c:1 f+0x1/0x2 | Modules linked in: | CPU: 0 PID: 1 | RIP: 0010:f"
        );
    }

    #[test]
    fn every_kind_of_splat_is_known() {
        for line in [
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
            "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "BUG: unable to handle page fault for address: ffffffffdeadbeef",
            "Oops: 0002 [#1] PREEMPT SMP NOPTI",
            "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
            "general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP",
            "invalid opcode: 0000 [#1] PREEMPT SMP",
            "divide error: 0000 [#1] SMP",
            "kernel BUG at mm/slub.c:435!",
            "BUG: KASAN: slab-out-of-bounds in ip_vs_conn_new+0x1/0x2 [ip_vs]",
            "BUG: KFENCE: use-after-free read in nf_ct_destroy+0x1/0x2",
            "BUG: scheduling while atomic: iptables/123/0x00000002",
            "UBSAN: array-index-out-of-bounds in net/netfilter/x.c:12:3",
            "WARNING: CPU: 0 PID: 1 at net/core/dev.c:6100 f+0x1/0x2",
            "WARNING: net/core/dev.c:6100 at f+0x1/0x2, CPU#0: swapper/0",
            "WARNING: possible circular locking dependency detected",
            "WARNING: suspicious RCU usage",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [vipbench:1]",
            "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0",
            "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
            "rcu: rcu_preempt kthread starved for 5250 jiffies! g1 f0x0 RCU_GP_WAIT_FQS(5)",
            "INFO: task iptables-restor:321 blocked for more than 120 seconds.",
            "iptables-restor invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE), order=0",
            "Out of memory: Killed process 321 (iptables-restor) total-vm:1kB",
            "Memory cgroup out of memory: Killed process 321 (x)",
            "kworker/0:1: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL)",
            "unregister_netdevice: waiting for lo to become free. Usage count = 2",
            "irq 11: nobody cared (try booting with the \"irqpoll\" option)",
        ] {
            assert!(find([line].into_iter()).is_some(), "{line}");
        }
    }

    #[test]
    fn a_notice_is_no_splat() {
        for line in [
            "process 'x' started with executable stack",
            "MODULE_DEBUG: loaded",
            "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
            "WARNING: Support for this is going away",
            "traps: iptables[7] general protection fault ip:55d0 sp:7ffd error:0",
            "nf_conntrack: nf_conntrack: table full, dropping packet",
            "clocksource: tsc: mask: 0xffffffffffffffff",
            "------------[ cut here ]------------",
        ] {
            assert_eq!(find([line].into_iter()), None, "{line}");
        }
    }
}

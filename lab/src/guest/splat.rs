//! Recognises a kernel that has hurt itself: a splat makes every number of its guest worthless.
//!
//! Looks at text only; which log to read is the caller's business.

/// Beginnings of the messages that Linux prints when something is broken (`lib/bug.c`, `kernel/panic.c`,
/// `kernel/rcu/tree_stall.h`, `kernel/watchdog.c`, `kernel/hung_task.c`, `mm/oom_kill.c`, Linux 6.1).
const MARKERS: [&str; 16] = [
    "BUG:",
    "BUG at",
    "Call Trace:",
    "general protection fault",
    "INFO: rcu",
    "INFO: task",
    "invoked oom-killer",
    "Kernel panic",
    "Oops:",
    "Out of memory:",
    "rcu_preempt self-detected stall",
    "rcu_sched self-detected stall",
    "stack-protector:",
    "unable to handle",
    "unchecked MSR access error",
    "WARNING: CPU:",
];

/// The first lines of the first splat in `log`, or `None`.
pub(super) fn find<'a>(log: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    const LINES: usize = 4;
    let at = log.clone().position(|line| MARKERS.iter().any(|marker| line.contains(marker)))?;
    let shown: Vec<&str> = log.skip(at).take(LINES).map(str::trim_end).collect();
    Some(shown.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_with_a_trace_is_a_splat_and_a_notice_is_none() {
        let log = "ip_vs: loaded\nWARNING: CPU: 0 PID: 1 at net/x.c:1\nModules linked in:\n";
        assert_eq!(
            find(log.lines()).unwrap(),
            "WARNING: CPU: 0 PID: 1 at net/x.c:1 | Modules linked in:"
        );
        assert_eq!(find("process 'x' started with executable stack\n".lines()), None);
    }
}

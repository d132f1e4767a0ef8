//! The most memory that a program had which a proxy starts, such as `iptables-restore`: processes
//! come and go in a sync, and their parent learns of it nothing that is not its own too
//! (`ru_maxrss` of a child begins with what its parent had, `setmax_mm_hiwater_rss` in fs/exec.c,
//! Linux 6.1).

use std::fs;

use anyhow::Context;

/// Most memory of any child so far, bytes; nothing where there was none.
///
/// Only children of this process are seen, not theirs.
///
/// # Errors
/// `/proc` does not show this process.
pub(super) fn largest_child(so_far: u64) -> anyhow::Result<u64> {
    let tasks = fs::read_dir("/proc/self/task").context("listing /proc/self/task")?;
    let children = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
    // A thread may have ended since it was listed, and a child since it was named.
    let children: String = children.flatten().collect();
    let peaks = children.split_ascii_whitespace().filter_map(peak);
    Ok(peaks.fold(so_far, u64::max))
}

/// The most that a child had since it executed its program: before, it has our memory.
fn peak(child: &str) -> Option<u64> {
    let program = fs::read_link(format!("/proc/{child}/exe")).ok()?;
    if program == fs::read_link("/proc/self/exe").ok()? {
        return None;
    }
    high_water_mark(&fs::read_to_string(format!("/proc/{child}/status")).ok()?)
}

/// `VmHWM` of `proc_pid_status(5)`, bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    field.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_mark_is_read_in_bytes() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t    1200 kB\n"), Some(1_200 << 10));
        assert_eq!(high_water_mark("Name:\tx\n"), None);
    }

    #[test]
    fn a_child_shows_what_it_has_and_the_most_is_kept() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut seen = 0;
        for _ in 0..1_000 {
            seen = largest_child(seen).unwrap();
            if seen > 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!((1..64 << 20).contains(&seen), "{seen} bytes of cat");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(largest_child(1 << 40).unwrap(), 1 << 40);
    }
}

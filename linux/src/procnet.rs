//! Reads the tables below `/proc/net` of the calling thread's namespace.
//!
//! `/proc/net` is that of the process's first thread; `thread-self` is the caller
//! (`fs/proc/proc_net.c`, `proc_tgid_net_lookup`, and fs/proc/base.c, Linux 6.1).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::IoError;

/// The longest table that is read, bytes: far above a connection table of a million entries.
const TABLE_BYTES_MAX: u64 = 1 << 30;

/// The text of a table, such as `snmp` or `ip_vs_stats`.
///
/// # Errors
/// No such table in this kernel, or none that may be read.
pub fn read(table: &str) -> Result<String, IoError> {
    let path = Path::new("/proc/thread-self/net").join(table);
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(TABLE_BYTES_MAX).read_to_string(&mut text))
        .map_err(IoError::of("read", path.to_string_lossy()))?;
    Ok(text)
}

/// A counter of `snmp` or `netstat`, whose rows come in pairs: names, then values. Nothing if this
/// kernel does not count it.
///
/// # Errors
/// As for [`read`].
pub fn counter(table: &str, row: &str, name: &str) -> Result<Option<u64>, IoError> {
    Ok(find_counter(&read(table)?, row, name))
}

fn find_counter(text: &str, row: &str, name: &str) -> Option<u64> {
    let of_row = |line: &&str| line.split_once(':').is_some_and(|(start, _)| start == row);
    let mut rows = text.lines().filter(of_row).map(str::split_whitespace);
    let column = rows.next()?.position(|found| found == name)?;
    rows.next()?.nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_row_and_name() {
        let text = "Ip: Forwarding DefaultTTL\nIp: 1 64\nIcmp: InMsgs\nIcmp: 7\n";
        assert_eq!(find_counter(text, "Ip", "DefaultTTL"), Some(64));
        assert_eq!(find_counter(text, "Icmp", "InMsgs"), Some(7));
        for (row, name) in [("Ip", "InMsgs"), ("Tcp", "InSegs"), ("Ic", "InMsgs")] {
            assert_eq!(find_counter(text, row, name), None);
        }
    }

    #[test]
    fn a_missing_table_is_named() {
        let error = read("no_such_table").unwrap_err().to_string();
        assert!(error.starts_with("cannot read /proc/thread-self/net/no_such_table: "), "{error}");
    }
}

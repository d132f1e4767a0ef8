//! What the kernel counted in a namespace while a load ran: connections opened, segments sent again,
//! conntrack entries that could not be made.

use linux::procnet;

/// Counters of a namespace. Those that this kernel does not have, as without conntrack, are
/// nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelCounts {
    /// Connections that sockets of this namespace opened (`Tcp ActiveOpens` of `/proc/net/snmp`).
    pub opened: Option<u64>,
    /// Segments sent again (`Tcp RetransSegs`).
    pub sent_again: Option<u64>,
    /// SYN and SYN-ACK sent again (`TcpExt TCPSynRetrans` of `/proc/net/netstat`).
    pub syn_sent_again: Option<u64>,
    /// Conntrack entries that there are now (`entries` of `/proc/net/stat/nf_conntrack`).
    pub conntrack: Option<u64>,
    /// Those that could not be made (`insert_failed`).
    pub conntrack_failed: Option<u64>,
    /// Packets dropped since no entry could be had (`drop`).
    pub conntrack_dropped: Option<u64>,
}

impl KernelCounts {
    /// Those of the calling thread's namespace.
    pub fn read() -> Self {
        let tcp = |name| procnet::counter("snmp", "Tcp", name).ok().flatten();
        let conntrack = procnet::read("stat/nf_conntrack").unwrap_or_default();
        Self {
            opened: tcp("ActiveOpens"),
            sent_again: tcp("RetransSegs"),
            syn_sent_again: procnet::counter("netstat", "TcpExt", "TCPSynRetrans").ok().flatten(),
            conntrack: entries(&conntrack),
            conntrack_failed: of_all_processors(&conntrack, "insert_failed"),
            conntrack_dropped: of_all_processors(&conntrack, "drop"),
        }
    }

    /// What was counted since `before`; of conntrack entries how many there are now.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let less = |after: Option<u64>, before: Option<u64>| {
            Some(after?.saturating_sub(before.unwrap_or_default()))
        };
        Self {
            opened: less(self.opened, before.opened),
            sent_again: less(self.sent_again, before.sent_again),
            syn_sent_again: less(self.syn_sent_again, before.syn_sent_again),
            conntrack: self.conntrack,
            conntrack_failed: less(self.conntrack_failed, before.conntrack_failed),
            conntrack_dropped: less(self.conntrack_dropped, before.conntrack_dropped),
        }
    }
}

/// Values of a column, one a processor, in hexadecimal (`ct_cpu_seq_show`,
/// `net/netfilter/nf_conntrack_standalone.c`, Linux 6.1).
fn column<'t>(text: &'t str, name: &str) -> Option<impl Iterator<Item = u64> + use<'t>> {
    let mut lines = text.lines();
    let at = lines.next()?.split_whitespace().position(|found| found == name)?;
    Some(
        lines
            .filter_map(move |line| u64::from_str_radix(line.split_whitespace().nth(at)?, 16).ok()),
    )
}

fn of_all_processors(text: &str, name: &str) -> Option<u64> {
    column(text, name).map(Iterator::sum)
}

/// The number of entries stands in each line.
fn entries(text: &str) -> Option<u64> {
    column(text, "entries")?.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_processors_are_added_and_the_entries_are_not() {
        let text = "entries  insert insert_failed drop\n\
                    0000000a 00000001 00000002 0000000f\n\
                    0000000a 00000001 00000001 00000001\n";
        assert_eq!(entries(text), Some(10));
        assert_eq!(of_all_processors(text, "insert_failed"), Some(3));
        assert_eq!(of_all_processors(text, "drop"), Some(16));
        assert_eq!(of_all_processors(text, "no_such"), None);
        assert_eq!(entries(""), None);
    }

    #[test]
    fn what_was_before_is_taken_off_and_a_loaded_module_counts_from_nothing() {
        let before = KernelCounts { opened: Some(5), ..KernelCounts::default() };
        let after = KernelCounts {
            opened: Some(7),
            conntrack: Some(3),
            conntrack_failed: Some(1),
            ..KernelCounts::default()
        };
        let since = after.since(before);
        assert_eq!(
            (since.opened, since.conntrack, since.conntrack_failed),
            (Some(2), Some(3), Some(1))
        );
        assert_eq!(since.sent_again, None);
    }
}

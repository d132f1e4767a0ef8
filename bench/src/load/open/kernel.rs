//! What the kernel counted in a namespace while a load ran: connections opened, segments sent again,
//! conntrack entries that could not be made.

use linux::procnet;
use results::load::Kernel;

/// Those of the calling thread's namespace: `Tcp ActiveOpens` and `RetransSegs` of
/// `/proc/net/snmp`, `TcpExt TCPSynRetrans` of `/proc/net/netstat`, and `entries`, `insert_failed`
/// and `drop` of `/proc/net/stat/nf_conntrack`.
pub(super) fn read() -> Kernel {
    let tcp = |name| procnet::counter("snmp", "Tcp", name).ok().flatten();
    let conntrack = procnet::read("stat/nf_conntrack").unwrap_or_default();
    Kernel {
        opened: tcp("ActiveOpens"),
        sent_again: tcp("RetransSegs"),
        syn_sent_again: procnet::counter("netstat", "TcpExt", "TCPSynRetrans").ok().flatten(),
        conntrack: entries(&conntrack),
        conntrack_failed: of_all_processors(&conntrack, "insert_failed"),
        conntrack_dropped: of_all_processors(&conntrack, "drop"),
    }
}

/// What was counted since `before`; of conntrack entries how many there are now.
pub(super) fn since(after: Kernel, before: Kernel) -> Kernel {
    let less = |after: Option<u64>, before: Option<u64>| {
        Some(after?.saturating_sub(before.unwrap_or_default()))
    };
    Kernel {
        opened: less(after.opened, before.opened),
        sent_again: less(after.sent_again, before.sent_again),
        syn_sent_again: less(after.syn_sent_again, before.syn_sent_again),
        conntrack: after.conntrack,
        conntrack_failed: less(after.conntrack_failed, before.conntrack_failed),
        conntrack_dropped: less(after.conntrack_dropped, before.conntrack_dropped),
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
        let before = Kernel { opened: Some(5), ..Kernel::default() };
        let after = Kernel {
            opened: Some(7),
            conntrack: Some(3),
            conntrack_failed: Some(1),
            ..Kernel::default()
        };
        let since = since(after, before);
        assert_eq!(
            (since.opened, since.conntrack, since.conntrack_failed),
            (Some(2), Some(3), Some(1))
        );
        assert_eq!(since.sent_again, None);
    }
}

//! What comes through at most, told as what one takes.

use crate::metrics::{THROUGHPUT_BULK, THROUGHPUT_CONNECTION, THROUGHPUT_REQUEST};
use crate::tables::{Table, Timing, by_size};
use crate::view::Group;

/// New connections, requests on open ones, bytes.
pub(crate) fn throughput(group: &Group<'_>) -> Option<Table> {
    let column = |head: &str, metric| -> Timing<'_> { (head.to_owned(), metric, "last", 0.5) };
    let columns = [
        column("a new connection", THROUGHPUT_CONNECTION.name),
        column("a request on an open one", THROUGHPUT_REQUEST.name),
        column("a MiB", THROUGHPUT_BULK.name),
    ];
    let note = "Median of five loads with 32 connections open all the time; client, node and server share the processors. A \
                second over this is what comes through. Requests and bytes on open connections meet no rules: what a proxy adds \
                there is the translation of each packet.";
    by_size(group, "What one takes when as many come as can", note, &columns)
}

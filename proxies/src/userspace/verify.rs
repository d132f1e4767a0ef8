//! What the namespace holds against what a Cluster needs: routes and listening sockets as the
//! kernel tells of them, Endpoints as the proxy does.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use linux::procnet;

use super::listeners::{At, Listeners, Transport};
use super::plan::{Plan, State};
use crate::differences::Differences;
use crate::error::ProxyError;

/// States in `/proc/net` (`include/net/tcp_states.h`, Linux 6.1): a listener of TCP, and a socket
/// of UDP that is connected to nobody.
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// Every IPv4 listener in the namespace of the calling thread.
///
/// # Errors
/// A table that cannot be read or understood.
pub(super) fn bound() -> Result<BTreeSet<At>, ProxyError> {
    let mut all = BTreeSet::new();
    for (table, transport, state) in
        [("tcp", Transport::Tcp, LISTEN), ("udp", Transport::Udp, UNCONNECTED)]
    {
        let text = procnet::read(table)?;
        for line in text.lines().skip(1) {
            let unclear = || ProxyError::malformed(format!("/proc/net/{table}"), line.trim());
            let (local, found) = fields(line).ok_or_else(unclear)?;
            if found == state {
                all.insert(at(local, transport).ok_or_else(unclear)?);
            }
        }
    }
    Ok(all)
}

/// Adds what `plan` would have to change, were it submitted, and who does not listen.
pub(super) fn compare(
    state: &State,
    wanted: &Listeners,
    plan: &Plan,
    bound: &BTreeSet<At>,
    differences: &mut Differences,
) {
    for at in &plan.close {
        differences.add(|| format!("{at} is served and should not be"));
    }
    for (at, target) in &plan.open {
        let is = state.listeners.get(at).map(|is| &is.endpoints);
        differences
            .add(|| format!("{at} should be served by {:?}, is by {is:?}", target.endpoints));
    }
    let mut wrong = plan.open.len();
    for (at, target) in wanted {
        let listens = bound.contains(at);
        if listens == target.endpoints.is_empty() {
            let words = if listens { "listens" } else { "does not listen" };
            differences
                .add(|| format!("{at} has {} Endpoints and {words}", target.endpoints.len()));
            wrong += 1;
        }
    }
    differences.add_same(wanted.len().saturating_sub(wrong));
    let (missing, extra) = (plan.add.len(), plan.remove.len());
    if missing + extra > 0 {
        differences.add(|| format!("{missing} local routes are missing, {extra} should not be"));
    }
}

/// Local address and state of a line.
fn fields(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    Some((local, fields.nth(1)?))
}

/// `0100007F:0050`, the address as the number that its bytes are on this machine
/// (`get_tcp4_sock` in `net/ipv4/tcp_ipv4.c`, Linux 6.1).
fn at(text: &str, transport: Transport) -> Option<At> {
    let (address, port) = text.split_once(':')?;
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    Some(At { address, port: u16::from_str_radix(port, 16).ok()?, transport })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_read_off_its_line() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0";
        let (local, state) = fields(line).expect("a line of tcp");
        assert_eq!(state, LISTEN);
        let found = at(local, Transport::Tcp).expect("an address");
        assert_eq!(found.to_string(), "127.0.0.1:8080/tcp");
        for line in ["", "0: 0100007F:1F90", "0: 1F90 0:0 0A"] {
            let read = fields(line).and_then(|(local, _)| at(local, Transport::Tcp));
            assert_eq!(read, None, "{line}");
        }
    }
}

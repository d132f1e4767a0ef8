//! What the node knows of a connection: entries of connection tracking and of IPVS, in words.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use generators::Protocol;
use linux::IoError;
use linux::netlink::NetlinkError;
use linux::netlink::conntrack::{Connection, Of, Tuple, connections};

/// Entries of connection tracking to what was dialled.
///
/// # Errors
/// The kernel does not list them.
pub(super) fn conntrack(dialled: SocketAddr) -> Result<Vec<String>, NetlinkError> {
    let is_own = |one: &Connection| {
        let Tuple { destination, destination_port, .. } = one.original;
        SocketAddr::new(destination, destination_port) == dialled
    };
    let words = |one: &Connection| {
        let transport = Protocol::of_number(one.original.transport);
        let transport = transport.map_or("other", Protocol::as_str);
        format!("{transport} {}, answers {}", ways(&one.original), ways(&one.reply))
    };
    Ok(connections(Of::Both, is_own)?.iter().map(words).collect())
}

fn ways(tuple: &Tuple) -> String {
    let from = SocketAddr::new(tuple.source, tuple.source_port);
    let to = SocketAddr::new(tuple.destination, tuple.destination_port);
    format!("{from} > {to}")
}

/// Entries of IPVS to what was dialled; none where the kernel has no IPVS.
///
/// # Errors
/// The kernel does not list them.
pub(super) fn ipvs(dialled: SocketAddr) -> Result<Vec<String>, IoError> {
    match linux::procnet::read("ip_vs_conn") {
        Ok(text) => Ok(text.lines().filter_map(|line| entry(line, dialled)).collect()),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A line of `/proc/net/ip_vs_conn`: protocol, then client, virtual and real address, each with its
/// port, then the state (`ip_vs_conn_seq_show`, `net/netfilter/ipvs/ip_vs_conn.c`, Linux 6.1).
fn entry(line: &str, dialled: SocketAddr) -> Option<String> {
    let mut words = line.split_whitespace();
    let protocol = words.next()?.to_lowercase();
    let mut socket = || Some(SocketAddr::new(address(words.next()?)?, port(words.next()?)?));
    let [client, vip, real] = [socket()?, socket()?, socket()?];
    let state = words.next()?;
    (vip == dialled).then(|| format!("{protocol} {client} > {vip} > {real}, {state}"))
}

/// Eight hexadecimal digits, or an IPv6 address, which may stand between brackets.
fn address(text: &str) -> Option<IpAddr> {
    match u32::from_str_radix(text, 16) {
        Ok(bits) if text.len() == 8 => Some(Ipv4Addr::from(bits).into()),
        _ => text.trim_matches(['[', ']']).parse().ok(),
    }
}

fn port(text: &str) -> Option<u16> {
    u16::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_ipvs_is_read_and_others_are_left_out() {
        let line = "TCP AC140001 9C40 0A600001 0050 0A800005 1F90 ESTABLISHED     899";
        let dialled = "10.96.0.1:80".parse().unwrap();
        let expected = "tcp 172.20.0.1:40000 > 10.96.0.1:80 > 10.128.0.5:8080, ESTABLISHED";
        assert_eq!(entry(line, dialled).as_deref(), Some(expected));
        assert_eq!(entry(line, "10.96.0.1:81".parse().unwrap()), None);
        for line in
            ["", "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires", "TCP x"]
        {
            assert_eq!(entry(line, dialled), None);
        }
    }
}

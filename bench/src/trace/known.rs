//! What the node knows of a connection: entries of connection tracking and of IPVS, in words.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use generators::Protocol;
use linux::IoError;
use linux::netlink::NetlinkError;
use linux::netlink::conntrack::{Connection, Tuple, connections};

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
    Ok(connections(None, is_own)?.iter().map(words).collect())
}

fn ways(tuple: &Tuple) -> String {
    let from = SocketAddr::new(tuple.source, tuple.source_port);
    let to = SocketAddr::new(tuple.destination, tuple.destination_port);
    format!("{from} > {to}")
}

/// What IPVS has of what was dialled: its real servers, then the connections; nothing where the
/// kernel has no IPVS.
///
/// # Errors
/// The kernel does not list them.
pub(super) fn ipvs(dialled: SocketAddr) -> Result<Vec<String>, IoError> {
    let mut all = real_servers(&listed("ip_vs")?, dialled);
    let connections = listed("ip_vs_conn")?;
    all.extend(connections.lines().filter_map(|line| connection(line, dialled)));
    Ok(all)
}

/// A file of `/proc/net`; empty where there is none.
fn listed(name: &'static str) -> Result<String, IoError> {
    match linux::procnet::read(name) {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// The real servers of a virtual service in `/proc/net/ip_vs`, a line each: of a service protocol,
/// address with port, scheduler; below it of each real server an arrow, address with port, how
/// packets get there, weight (`ip_vs_info_seq_show`, `net/netfilter/ipvs/ip_vs_ctl.c`, Linux 6.1).
fn real_servers(text: &str, dialled: SocketAddr) -> Vec<String> {
    let mut service = None;
    let mut all = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["->", real, way, weight, ..] => {
                let real = service.as_ref().and_then(|service| Some((service, socket(real)?)));
                all.extend(
                    real.map(|(service, real)| {
                        format!("{service} > {real}, {way}, weight {weight}")
                    }),
                );
            }
            [protocol, vip, scheduler, ..] => {
                let is_it = socket(vip) == Some(dialled);
                service =
                    is_it.then(|| format!("{} {dialled} by {scheduler}", protocol.to_lowercase()));
            }
            _ => {}
        }
    }
    all
}

/// An address and its port, joined by a colon.
fn socket(text: &str) -> Option<SocketAddr> {
    let (host, number) = text.rsplit_once(':')?;
    Some(SocketAddr::new(address(host)?, port(number)?))
}

/// A line of `/proc/net/ip_vs_conn`: protocol, then client, virtual and real address, each with its
/// port, then the state (`ip_vs_conn_seq_show`, `net/netfilter/ipvs/ip_vs_conn.c`, Linux 6.1).
fn connection(line: &str, dialled: SocketAddr) -> Option<String> {
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
        assert_eq!(connection(line, dialled).as_deref(), Some(expected));
        assert_eq!(connection(line, "10.96.0.1:81".parse().unwrap()), None);
        for line in
            ["", "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires", "TCP x"]
        {
            assert_eq!(connection(line, dialled), None);
        }
        let line = "UDP fd00:0010:0128:0000:0000:0000:0000:0002 4C94 \
                    fd00:0010:0096:0000:0000:0000:0000:000a 0050 \
                    fd00:0010:0128:0000:0000:0000:0080:0006 1F90 UDP             299";
        let expected =
            "udp [fd00:10:128::2]:19604 > [fd00:10:96::a]:80 > [fd00:10:128::80:6]:8080, UDP";
        let dialled = "[fd00:10:96::a]:80".parse().unwrap();
        assert_eq!(connection(line, dialled).as_deref(), Some(expected));
    }

    #[test]
    fn real_servers_are_those_of_the_service_that_was_dialled() {
        let text = "IP Virtual Server version 1.2.1 (size=4096)\n\
                    Prot LocalAddress:Port Scheduler Flags\n  \
                    -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
                    TCP  0A60000A:0050 rr  \n  \
                    -> 0A800005:1F90      Masq    1      0          1         \n  \
                    -> 0AC00006:1F90      Tunnel  2      0          0         \n\
                    TCP  [fd00:0010:0096:0000:0000:0000:0000:000a]:0050 wrr \n  \
                    -> [fd00:0010:0128:0000:0000:0000:0080:0006]:1F90      Masq    1      0   1 \n\
                    FWM  00000001 rr \n  -> 0A800007:1F90      Route   1      0          1\n";
        let of = |dialled: &str| real_servers(text, dialled.parse().unwrap());
        assert_eq!(
            of("10.96.0.10:80"),
            [
                "tcp 10.96.0.10:80 by rr > 10.128.0.5:8080, Masq, weight 1",
                "tcp 10.96.0.10:80 by rr > 10.192.0.6:8080, Tunnel, weight 2",
            ]
        );
        assert_eq!(
            of("[fd00:10:96::a]:80"),
            ["tcp [fd00:10:96::a]:80 by wrr > [fd00:10:128::80:6]:8080, Masq, weight 1"]
        );
        assert!(of("10.96.0.11:80").is_empty());
    }
}

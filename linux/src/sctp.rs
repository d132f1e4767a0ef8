//! Sockets of SCTP in the one-to-one style (RFC 6458, section 4): they listen, connect, read and
//! write like those of TCP, as whose types they are handed out.
//!
//! A socket is bound to one address, and so names no other to its peer: a translator of addresses
//! knows only those in IP headers.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Whether this kernel has such sockets.
///
/// # Errors
/// What the kernel says to one: without the module `sctp`, that it has no such protocol.
pub fn probe() -> io::Result<()> {
    open(true).map(drop)
}

/// A socket that waits for clients at an address; it does not block.
///
/// # Errors
/// A kernel without SCTP, an address that is not this host's, or is taken.
pub fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(at.is_ipv4())?;
    bind(&socket, &at)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A socket that is neither bound nor connected yet, for an address of the family of `to`; it does
/// not block.
///
/// It is told of ICMP messages. SCTP would otherwise keep to itself that nothing listens, and go on
/// trying (`sctp_v4_err_handle`, net/sctp/input.c, Linux 6.1).
///
/// # Errors
/// A kernel without SCTP.
pub fn client(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = open(to.is_ipv4())?;
    if to.is_ipv4() {
        setsockopt(&socket, Ipv4RecvErr, &true)?;
    } else {
        setsockopt(&socket, Ipv6RecvErr, &true)?;
    }
    Ok(socket.into())
}

fn open(is_ipv4: bool) -> io::Result<OwnedFd> {
    let family = if is_ipv4 { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, Some(ipproto::SCTP))?)
}

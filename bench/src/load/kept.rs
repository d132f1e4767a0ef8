//! Connections of TCP and flows of UDP that stay open, and are asked now and then who answers them.
//! The other sides are in `server` and `open::datagrams`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_timeout};
use rustix::net::{
    RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with,
};

use super::server::{ANSWER_BYTES_MAX, REQUEST, answer_bytes, decode_answer, family_of};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is kept.
#[derive(Debug)]
pub struct Kept {
    socket: OwnedFd,
    to: SocketAddr,
    before: SocketAddr,
}

impl Kept {
    /// Opens one in the namespace of the calling thread, and asks once.
    ///
    /// # Errors
    /// What the kernel refuses, or nobody answers within two seconds.
    pub fn open(kind: SocketType, from: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = socket_with(family_of(to), kind, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        if kind == SocketType::STREAM {
            // Nothing of it lingers when it is closed.
            set_socket_linger(&socket, Some(Duration::ZERO))?;
        }
        bind(&socket, &from)?;
        connect(&socket, &to)?;
        let before = ask(&socket, to)?;
        Ok(Self { socket, to, before })
    }

    /// Whom it dials.
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Who answered at first.
    pub fn before(&self) -> SocketAddr {
        self.before
    }

    /// Who answers now.
    ///
    /// # Errors
    /// It is broken, or nobody answers within two seconds.
    pub fn ask(&self) -> io::Result<SocketAddr> {
        ask(&self.socket, self.to)
    }
}

/// Both kinds of sockets are asked alike: an answer is one datagram, or comes in pieces.
fn ask(socket: &OwnedFd, to: SocketAddr) -> io::Result<SocketAddr> {
    send(socket, &REQUEST, SendFlags::NOSIGNAL)?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let wanted = answer_bytes(to);
    let mut there = 0;
    while let Some(room) = answer.get_mut(there..wanted).filter(|room| !room.is_empty()) {
        match recv(socket, room, RecvFlags::empty())? {
            (_, 0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (_, count) => there += count,
        }
    }
    let who = answer.get(..wanted).and_then(decode_answer);
    who.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::open::DatagramServer;
    use crate::load::{BareServer, Priority, listen};

    #[test]
    fn what_is_kept_tells_who_answers_as_long_as_somebody_does() {
        let listeners = listen(&["127.71.0.1:0".parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let connections = BareServer::start(listeners, Priority::Normal).unwrap();
        let datagrams = DatagramServer::start(&[address], Priority::Normal).unwrap();
        let from = "127.71.0.2:0".parse().unwrap();
        let kept = [SocketType::STREAM, SocketType::DGRAM]
            .map(|kind| Kept::open(kind, from, address).unwrap());
        for one in &kept {
            assert_eq!((one.before(), one.ask().unwrap()), (address, address));
        }
        connections.stop().unwrap();
        drop(datagrams);
        assert!(kept.iter().all(|one| one.ask().is_err()));
        assert!(Kept::open(SocketType::STREAM, from, address).is_err());
    }
}

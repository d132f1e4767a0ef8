//! The other side of [`Question::WhoByDatagram`](super::Question): answers each datagram with the
//! address it was sent to.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use crate::load::ServerError;
use crate::load::background::Background;
use crate::load::priority::Priority;
use crate::load::server::{REQUEST, answer_bytes, encode_answer};

/// A running server. It stops when it drops.
#[derive(Debug)]
pub struct DatagramServer {
    _thread: Background,
}

impl DatagramServer {
    /// Serves these addresses, in the namespace of the calling thread, on a thread of its own.
    ///
    /// # Errors
    /// [`ServerError`]: an address is taken or not of this host, no descriptor or thread left.
    pub fn start(addresses: &[SocketAddr], priority: Priority) -> Result<Self, ServerError> {
        let mut sockets = Vec::new();
        for &address in addresses {
            let refused = |source| ServerError::Listen { address, source };
            let socket = UdpSocket::bind(address).map_err(refused)?;
            socket.set_nonblocking(true)?;
            sockets.push((socket.local_addr()?, socket));
        }
        let thread = Background::start("datagram-server", move |stopped| {
            // Without the priority it serves all the same, and the client sees how late.
            let _ = priority.apply();
            serve(&sockets, &stopped);
        })?;
        Ok(Self { _thread: thread })
    }
}

fn serve(sockets: &[(SocketAddr, UdpSocket)], stop: &OwnedFd) {
    let mut fds: Vec<PollFd<'_>> =
        sockets.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)).collect();
    fds.push(PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN));
    loop {
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        if fds.last().is_some_and(|stop| !stop.revents().is_empty()) {
            return;
        }
        for ((address, socket), _) in
            sockets.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty())
        {
            answer_all(*address, socket);
        }
    }
}

/// Answers what waits at a socket. One that asks too fast to be answered loses its answer, as
/// datagrams do.
fn answer_all(address: SocketAddr, socket: &UdpSocket) {
    let mut request = [0; REQUEST.len()];
    let answer = encode_answer(address);
    let answer = answer.get(..answer_bytes(address)).unwrap_or_default();
    loop {
        match socket.recv_from(&mut request) {
            Ok((_, client)) => drop(socket.send_to(answer, client)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

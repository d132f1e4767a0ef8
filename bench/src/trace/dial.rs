//! The one connection, or datagram: a client that asks once, an Endpoint that answers once. Every
//! wait has an end.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use generators::Protocol;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getsockname, socket_with};

/// What the client sends, and what it gets.
const REQUEST: &[u8] = b"who are you?";
const ANSWER: &[u8] = b"the Endpoint";
/// Longest wait for one system call. A lost SYN is sent again after 1 s, a datagram never.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the client does when no answer comes.
const WAITING: &str = "waiting for the answer";

/// Where the client was, and how it ended.
pub(super) struct Dialled {
    pub(super) from: Option<SocketAddr>,
    pub(super) failure: Option<String>,
}

/// The Endpoint's socket.
pub(super) enum Listener {
    /// Of TCP.
    Tcp(TcpListener),
    /// Of UDP.
    Udp(UdpSocket),
}

impl Listener {
    /// Listens in the calling thread's namespace.
    pub(super) fn open(at: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        match protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(at)?;
                // Holds for `accept` too.
                set_socket_timeout(&listener, Timeout::Recv, Some(2 * PATIENCE))?;
                Ok(Self::Tcp(listener))
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(at)?;
                socket.set_read_timeout(Some(2 * PATIENCE))?;
                Ok(Self::Udp(socket))
            }
            Protocol::Sctp => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Answers once; tells from where to where the request came.
    pub(super) fn answer(&self) -> io::Result<[SocketAddr; 2]> {
        match self {
            Self::Tcp(listener) => answer_connection(listener),
            Self::Udp(socket) => {
                let (_, from) = socket.recv_from(&mut [0; REQUEST.len()])?;
                // One that cannot be sent is a finding: the client tells of it.
                let _ = socket.send_to(ANSWER, from);
                Ok([from, socket.local_addr()?])
            }
        }
    }
}

/// Answers one connection and closes it.
fn answer_connection(listener: &TcpListener) -> io::Result<[SocketAddr; 2]> {
    let (mut stream, from) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let to = stream.local_addr()?;
    // A client that has gone is a finding, and shows in the packets.
    let mut request = [0; REQUEST.len()];
    if stream.read_exact(&mut request).is_ok() {
        let _ = stream.write_all(ANSWER);
    }
    Ok([from, to])
}

/// Dials from the calling thread's namespace, from the address that the kernel chooses, as programs
/// do.
pub(super) fn dial(to: SocketAddr, protocol: Protocol) -> io::Result<Dialled> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // Holds for `connect` too (socket(7)).
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    let connected = connect(&socket, &to);
    let from = getsockname(&socket).ok().and_then(|address| SocketAddr::try_from(address).ok());
    let failure = match connected {
        Err(rustix::io::Errno::INPROGRESS) => {
            Some(format!("connecting: no answer within {} s", PATIENCE.as_secs()))
        }
        Err(errno) => Some(format!("connecting: {}", io::Error::from(errno))),
        Ok(()) => ask(socket, protocol).err(),
    };
    Ok(Dialled { from, failure })
}

fn ask(socket: OwnedFd, protocol: Protocol) -> Result<(), String> {
    match protocol {
        Protocol::Udp => exchange_datagrams(&UdpSocket::from(socket)),
        _ => exchange(&mut TcpStream::from(socket)),
    }
}

fn exchange_datagrams(socket: &UdpSocket) -> Result<(), String> {
    socket.send(REQUEST).map_err(failed("sending"))?;
    let mut answer = [0; ANSWER.len() + 1];
    let length = socket.recv(&mut answer).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => format!("no answer within {} s", PATIENCE.as_secs()),
        _ => failed(WAITING)(error),
    })?;
    must_be_answer(&answer[..length])
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

fn must_be_answer(answer: &[u8]) -> Result<(), String> {
    if answer == ANSWER { Ok(()) } else { Err("the answer is not the Endpoint's".to_owned()) }
}

fn exchange(stream: &mut TcpStream) -> Result<(), String> {
    stream.write_all(REQUEST).map_err(failed("sending"))?;
    let mut answer = Vec::new();
    let limit = ANSWER.len() as u64 + 1;
    stream.take(limit).read_to_end(&mut answer).map_err(failed(WAITING))?;
    must_be_answer(&answer)?;
    stream.shutdown(Shutdown::Both).map_err(failed("closing"))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

    fn place(listener: &Listener) -> SocketAddr {
        match listener {
            Listener::Tcp(listener) => listener.local_addr().unwrap(),
            Listener::Udp(socket) => socket.local_addr().unwrap(),
        }
    }

    #[test]
    fn both_ends_tell_of_the_same_connection() {
        for protocol in BOTH {
            let listener = Listener::open(ANYWHERE, protocol).unwrap();
            let to = place(&listener);
            let (dialled, accepted) = std::thread::scope(|threads| {
                let server = threads.spawn(|| listener.answer().unwrap());
                (dial(to, protocol).unwrap(), server.join().unwrap())
            });
            assert_eq!(dialled.failure, None);
            assert_eq!([dialled.from, Some(to)], accepted.map(Some));
        }
    }

    #[test]
    fn a_refusal_is_told() {
        let words =
            ["connecting: Connection refused", "waiting for the answer: Connection refused"];
        for (protocol, words) in BOTH.into_iter().zip(words) {
            let to = place(&Listener::open(ANYWHERE, protocol).unwrap());
            let refused = dial(to, protocol).unwrap().failure.unwrap();
            assert!(refused.starts_with(words), "{refused}");
        }
    }
}

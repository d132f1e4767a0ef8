//! The one connection: a client that asks once, an Endpoint that answers once. Every wait has an
//! end.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getsockname, socket_with};

/// What the client sends, and what it gets.
const REQUEST: &[u8] = b"who are you?";
const ANSWER: &[u8] = b"the Endpoint";
/// Longest wait for one system call. A lost SYN is sent again after 1 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the client was, and how it ended.
pub(super) struct Dialled {
    pub(super) from: Option<SocketAddr>,
    pub(super) failure: Option<String>,
}

/// Listens at every address of the calling thread's namespace.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let any =
        if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let listener = TcpListener::bind(SocketAddr::new(any, at.port()))?;
    // Holds for `accept` too.
    set_socket_timeout(&listener, Timeout::Recv, Some(2 * PATIENCE))?;
    Ok(listener)
}

/// Answers one connection and closes it; tells from where to where it was.
pub(super) fn answer(listener: &TcpListener) -> io::Result<[SocketAddr; 2]> {
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
pub(super) fn dial(to: SocketAddr) -> io::Result<Dialled> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
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
        Ok(()) => exchange(&mut TcpStream::from(socket)).err(),
    };
    Ok(Dialled { from, failure })
}

fn exchange(stream: &mut TcpStream) -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    stream.write_all(REQUEST).map_err(failed("sending"))?;
    let mut answer = Vec::new();
    let limit = ANSWER.len() as u64 + 1;
    stream.take(limit).read_to_end(&mut answer).map_err(failed("waiting for the answer"))?;
    if answer != ANSWER {
        return Err("the answer is not the Endpoint's".to_owned());
    }
    stream.shutdown(Shutdown::Both).map_err(failed("closing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_tell_of_the_same_connection() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listener.local_addr().unwrap().port());
        let (dialled, accepted) = std::thread::scope(|threads| {
            let server = threads.spawn(|| answer(&listener).unwrap());
            (dial(to).unwrap(), server.join().unwrap())
        });
        assert_eq!(dialled.failure, None);
        assert_eq!([dialled.from, Some(to)], accepted.map(Some));
    }

    #[test]
    fn a_refusal_is_told() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = dial(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).unwrap();
        assert!(refused.failure.unwrap().starts_with("connecting: Connection refused"));
    }
}

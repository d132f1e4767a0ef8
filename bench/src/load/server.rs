//! The bare server: answers each request with its own address and port, at a small and constant
//! cost.
//!
//! One thread, level-triggered epoll, no allocation once it runs. Which request belongs to which
//! measurement is not known here. The other side of the protocol is in `bare`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname,
    listen as start_listening, recv, send, socket_with,
};

use super::priority::Priority;

/// A request: any bytes of this length.
pub(super) const REQUEST: [u8; 16] = *b"who answers me?\n";
/// The longest answer: an IPv6 address (16 bytes) and a port (2), in network order; IPv4 takes 6.
pub(super) const ANSWER_BYTES_MAX: usize = 18;
const PORT_BYTES: usize = 2;
/// More than any client here opens; what comes beyond is closed at once.
const CONNECTIONS_MAX: usize = 1024;
const EVENTS_MAX: usize = 64;
/// The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// Tokens of the epoll set: the stop signal, then listeners, then connections.
const STOP: u64 = 0;

/// How long the answer of a server at an address of this family is.
pub(super) fn answer_bytes(of: SocketAddr) -> usize {
    if of.is_ipv4() { 4 + PORT_BYTES } else { ANSWER_BYTES_MAX }
}

/// The bytes of an answer, of which the first [`answer_bytes`] count.
pub(super) fn encode_answer(address: SocketAddr) -> [u8; ANSWER_BYTES_MAX] {
    let mut answer = [0; ANSWER_BYTES_MAX];
    let (ip, port) = match address.ip() {
        IpAddr::V4(ip) => (&ip.octets()[..], address.port()),
        IpAddr::V6(ip) => (&ip.octets()[..], address.port()),
    };
    let bytes = ip.iter().copied().chain(port.to_be_bytes());
    answer.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    answer
}

/// The address that an answer of its length tells.
pub(super) fn decode_answer(answer: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = answer.split_last_chunk::<PORT_BYTES>()?;
    let ip = match <[u8; 4]>::try_from(ip) {
        Ok(octets) => Ipv4Addr::from(octets).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// The family of sockets for an address.
pub(super) fn family_of(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; see that no other server does, and `ulimit -n`")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The server's thread, or what it waits with.
    #[error("the endpoint server cannot go on: {source}; see `ulimit -n` and `ulimit -u`")]
    Run {
        /// What the system says.
        source: io::Error,
    },
}

impl From<io::Error> for ServerError {
    fn from(source: io::Error) -> Self {
        Self::Run { source }
    }
}

impl From<Errno> for ServerError {
    fn from(errno: Errno) -> Self {
        Self::Run { source: errno.into() }
    }
}

/// Listening sockets in the namespace of the calling thread, where they stay wherever they are
/// served.
///
/// # Errors
/// [`ServerError::Listen`]: an address is taken, or not of this host.
pub fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ServerError> {
    let open = |address: &SocketAddr| -> Result<TcpListener, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family_of(*address), SocketType::STREAM, flags, None)?;
        set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, address)?;
        start_listening(&socket, BACKLOG)?;
        Ok(socket.into())
    };
    addresses
        .iter()
        .map(|address| {
            open(address)
                .map_err(|errno| ServerError::Listen { address: *address, source: errno.into() })
        })
        .collect()
}

/// A running server. It stops when it drops.
#[derive(Debug)]
pub struct BareServer {
    stop: OwnedFd,
    thread: Option<JoinHandle<Result<u64, ServerError>>>,
}

impl BareServer {
    /// Serves `listeners` on a thread of its own.
    ///
    /// # Errors
    /// [`ServerError::Run`]: no descriptor or thread left.
    pub fn start(listeners: Vec<TcpListener>, priority: Priority) -> Result<Self, ServerError> {
        Self::start_slowed(listeners, priority, Duration::ZERO)
    }

    /// The same, working for `delay` before each answer: a slowdown put in on purpose, which shows
    /// in `request`.
    ///
    /// # Errors
    /// [`ServerError::Run`]: no descriptor or thread left.
    pub fn start_slowed(
        listeners: Vec<TcpListener>,
        priority: Priority,
        delay: Duration,
    ) -> Result<Self, ServerError> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let mut serving = Serving::new(listeners, &stop, delay)?;
        let thread = Builder::new().name("bare-server".to_owned()).spawn(move || {
            priority.apply()?;
            serving.run()
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it: listeners and connections are closed when this returns. Returns how many requests
    /// it has answered.
    ///
    /// # Errors
    /// [`ServerError::Run`]: it had ended before, and why.
    pub fn stop(mut self) -> Result<u64, ServerError> {
        self.end()
    }

    fn end(&mut self) -> Result<u64, ServerError> {
        let Some(thread) = self.thread.take() else { return Ok(0) };
        rustix::io::write(&self.stop, &1_u64.to_ne_bytes())?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.end();
    }
}

/// One accepted connection.
struct Connection {
    socket: OwnedFd,
    answer: [u8; ANSWER_BYTES_MAX],
    answer_bytes: usize,
    /// Bytes of the present request that have come.
    received: usize,
}

/// What the server's thread works with; everything is allocated before it starts.
struct Serving {
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    answered: u64,
    delay: Duration,
}

impl Serving {
    fn new(
        listeners: Vec<TcpListener>,
        stop: &OwnedFd,
        delay: Duration,
    ) -> Result<Self, ServerError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, stop, EventData::new_u64(STOP), EventFlags::IN)?;
        for (listener, token) in listeners.iter().zip(STOP + 1..) {
            listener.set_nonblocking(true)?;
            epoll::add(&epoll, listener, EventData::new_u64(token), EventFlags::IN)?;
        }
        let connections = std::iter::repeat_with(|| None).take(CONNECTIONS_MAX).collect();
        Ok(Self {
            epoll,
            listeners,
            connections,
            free: (0..CONNECTIONS_MAX).rev().collect(),
            answered: 0,
            delay,
        })
    }

    /// Serves until the stop signal, and returns how many requests have been answered.
    fn run(&mut self) -> Result<u64, ServerError> {
        let none = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(STOP) };
        let mut events = [none; EVENTS_MAX];
        loop {
            let count = match epoll::wait(&self.epoll, &mut events[..], None) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            for event in events.iter().take(count) {
                let token = event.data.u64();
                if token == STOP {
                    return Ok(self.answered);
                }
                self.handle(usize::try_from(token - STOP - 1).unwrap_or(usize::MAX))?;
            }
        }
    }

    /// `at` counts listeners first, then connections.
    fn handle(&mut self, at: usize) -> Result<(), ServerError> {
        if let Some(listener) = self.listeners.get(at) {
            return match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => self.admit(socket),
                // The client has given up, or another signal came first.
                Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(()),
                Err(errno) => Err(errno.into()),
            };
        }
        let slot = at - self.listeners.len();
        let Some(place) = self.connections.get_mut(slot) else { return Ok(()) };
        let Some(connection) = place else { return Ok(()) };
        if let Ok(answered) = connection.serve(self.delay) {
            self.answered += u64::from(answered);
        } else {
            // Closed or reset by the client: closing the socket also takes it out of the epoll set.
            *place = None;
            self.free.push(slot);
        }
        Ok(())
    }

    fn admit(&mut self, socket: OwnedFd) -> Result<(), ServerError> {
        // A connection that is reset already, or one too many, is closed by dropping it.
        let Ok(Ok(local)) = getsockname(&socket).map(SocketAddr::try_from) else { return Ok(()) };
        let Some(slot) = self.free.pop() else { return Ok(()) };
        let Some(place) = self.connections.get_mut(slot) else { return Ok(()) };
        let token = STOP + 1 + u64::try_from(self.listeners.len() + slot).unwrap_or(u64::MAX);
        epoll::add(&self.epoll, &socket, EventData::new_u64(token), EventFlags::IN)?;
        *place = Some(Connection {
            socket,
            answer: encode_answer(local),
            answer_bytes: answer_bytes(local),
            received: 0,
        });
        Ok(())
    }
}

impl Connection {
    /// Takes what has come; `true` if a request is complete and has been answered, after `delay`.
    fn serve(&mut self, delay: Duration) -> Result<bool, Errno> {
        let mut request = REQUEST;
        let wanted = request.get_mut(self.received..).unwrap_or_default();
        match recv(&self.socket, wanted, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(Errno::PIPE),
            Ok((_, count)) => self.received += count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(errno) => return Err(errno),
        }
        if self.received < REQUEST.len() {
            return Ok(false);
        }
        self.received = 0;
        work_for(delay);
        // Never partial: a client has one request in flight, so the send buffer is empty.
        let answer = self.answer.get(..self.answer_bytes).unwrap_or_default();
        send(&self.socket, answer, SendFlags::NOSIGNAL)?;
        Ok(true)
    }
}

/// Keeps the processor busy: a sleep of a microsecond takes fifty.
fn work_for(delay: Duration) {
    if delay.is_zero() {
        return;
    }
    let started = Instant::now();
    while started.elapsed() < delay {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn loopback() -> (BareServer, SocketAddr) {
        let listeners = listen(&["127.66.0.1:0".parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        (BareServer::start(listeners, Priority::Normal).unwrap(), address)
    }

    fn dial(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn answer(stream: &mut TcpStream) -> SocketAddr {
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).unwrap();
        decode_answer(&answer).unwrap()
    }

    #[test]
    fn an_answer_survives_the_wire() {
        let address: SocketAddr = "10.128.3.4:8080".parse().unwrap();
        assert_eq!(encode_answer(address)[..6], [10, 128, 3, 4, 31, 144]);
        for text in ["10.128.3.4:8080", "[fd00:10:128::9]:443"] {
            let address: SocketAddr = text.parse().unwrap();
            let answer = &encode_answer(address)[..answer_bytes(address)];
            assert_eq!(decode_answer(answer), Some(address));
            assert_eq!(decode_answer(&answer[1..]), None);
        }
        assert_eq!(decode_answer(&[1]), None);
    }

    #[test]
    fn every_request_of_a_connection_is_answered_even_in_pieces() {
        let (server, address) = loopback();
        let mut stream = dial(address);
        for _ in 0..3 {
            let (head, tail) = REQUEST.split_at(5);
            stream.write_all(head).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            stream.write_all(tail).unwrap();
            assert_eq!(answer(&mut stream), address);
        }
        assert_eq!(server.stop().unwrap(), 3);
    }

    #[test]
    fn a_reset_does_not_disturb_the_next_client() {
        let (server, address) = loopback();
        for _ in 0..2 * CONNECTIONS_MAX {
            let stream = dial(address);
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
        let mut stream = dial(address);
        stream.write_all(&REQUEST).unwrap();
        assert_eq!(answer(&mut stream), address);
        server.stop().unwrap();
    }

    #[test]
    fn a_stopped_server_has_let_go_of_its_port() {
        let (server, address) = loopback();
        let _open = dial(address);
        let started = Instant::now();
        server.stop().unwrap();
        assert!(TcpStream::connect(address).is_err());
        assert!(started.elapsed() < LIMIT);
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let (server, address) = loopback();
        let error = listen(&[address]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        server.stop().unwrap();
    }

    #[test]
    fn a_server_in_the_background_answers_too() {
        let listeners = listen(&["127.66.0.2:0".parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let server = BareServer::start(listeners, Priority::Background).unwrap();
        let mut stream = dial(address);
        stream.write_all(&REQUEST).unwrap();
        assert_eq!(answer(&mut stream), address);
        server.stop().unwrap();
    }
}

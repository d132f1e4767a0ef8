//! The bare client: one blocking TCP connection at a time by plain system calls, each phase timed
//! apart.
//!
//! Nothing but the system calls of a phase is inside its timed window: no allocation, no lock, no
//! runtime. The other side is in `server`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use lab::guest::mark;
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_timeout, set_tcp_nodelay};
use rustix::net::{
    RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with,
};

use super::client::{LoadClient, LoadError, Target, Timing};
use super::clock::MeasureClock;
use super::region;
use super::server::{ANSWER_BYTES_MAX, REQUEST, answer_bytes, decode_answer, family_of};
use super::source::Sources;

/// Dials from the namespace of the thread it is used on.
#[derive(Debug, Clone, Copy)]
pub struct BareClient {
    clock: MeasureClock,
    timeout: Duration,
}

impl BareClient {
    /// A client that gives up a system call after `timeout`.
    pub fn new(clock: MeasureClock, timeout: Duration) -> Self {
        Self { clock, timeout }
    }

    /// The control that should show nothing of the proxy: `requests` further requests on one open
    /// connection, each timed as [`Timing::request`] and handed to `record`. The connection's first
    /// request is not among them.
    ///
    /// # Errors
    /// [`LoadError`]: as for a new connection.
    pub fn keep_alive(
        &self,
        sources: &mut Sources,
        target: &Target<'_>,
        requests: u32,
        mut record: impl FnMut(u64),
    ) -> Result<(), LoadError> {
        let (connection, _) = self.dial(sources, target)?;
        self.exchange(&connection, target)?;
        for _ in 0..requests {
            record(self.exchange(&connection, target)?);
        }
        Ok(())
    }

    /// Opens a connection; the second value is what `connect()` took.
    fn dial(
        &self,
        sources: &mut Sources,
        target: &Target<'_>,
    ) -> Result<(Connection, u64), LoadError> {
        let (from, to) = (sources.take()?, target.vip);
        let opened = self.open(from);
        let socket = opened.map_err(|errno| failed(from, to, "opening the socket", errno))?;
        // The family is chosen before anything is timed.
        let (connected, taken) = match to {
            SocketAddr::V4(to) => self.timed_connect(&socket, &to),
            SocketAddr::V6(to) => self.timed_connect(&socket, &to),
        };
        connected.map_err(|errno| failed(from, to, "connecting", errno))?;
        Ok((Connection { socket, from, to }, taken))
    }

    fn timed_connect(&self, socket: &OwnedFd, to: &impl SocketAddrArg) -> (Result<(), Errno>, u64) {
        mark::enter::<{ region::CONNECT }>();
        let started = self.clock.now();
        let connected = connect(socket, to);
        let taken = self.clock.now() - started;
        mark::enter::<{ mark::OUTSIDE }>();
        (connected, taken)
    }

    /// A socket that is bound, sends at once, and ends by RST.
    fn open(&self, from: SocketAddr) -> Result<OwnedFd, Errno> {
        let family = family_of(from);
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_linger(&socket, Some(Duration::ZERO))?;
        set_tcp_nodelay(&socket, true)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(self.timeout))?;
        // `connect()` waits no longer than this either (`net/ipv4/af_inet.c`,
        // `inet_stream_connect`).
        set_socket_timeout(&socket, Timeout::Send, Some(self.timeout))?;
        bind(&socket, &from)?;
        Ok(socket)
    }

    /// One request and its verified answer; what it took until the first byte of the answer.
    fn exchange(&self, connection: &Connection, target: &Target<'_>) -> Result<u64, LoadError> {
        let mut answer = [0; ANSWER_BYTES_MAX];
        let answer = answer.get_mut(..answer_bytes(connection.to)).unwrap_or_default();
        mark::enter::<{ region::REQUEST }>();
        let started = self.clock.now();
        let sent = send(&connection.socket, &REQUEST, SendFlags::NOSIGNAL);
        let first = recv(&connection.socket, &mut *answer, RecvFlags::empty());
        let taken = self.clock.now() - started;
        mark::enter::<{ mark::OUTSIDE }>();
        sent.map_err(|errno| connection.failed("sending the request", errno))?;
        let (_, received) =
            first.map_err(|errno| connection.failed("waiting for the answer", errno))?;
        connection.read_rest(answer, received)?;
        let unknown = || connection.failed("reading the answer", Errno::PROTO);
        target.verify(decode_answer(answer).ok_or_else(unknown)?)?;
        Ok(taken)
    }
}

impl LoadClient for BareClient {
    fn connection(
        &mut self,
        sources: &mut Sources,
        target: &Target<'_>,
    ) -> Result<Timing, LoadError> {
        let (connection, connect) = self.dial(sources, target)?;
        let request = self.exchange(&connection, target)?;
        mark::enter::<{ region::CLOSE }>();
        let started = self.clock.now();
        drop(connection.socket);
        let close = self.clock.now() - started;
        mark::enter::<{ mark::OUTSIDE }>();
        Ok(Timing { connect, request, close })
    }
}

/// An established connection, and its ends for error messages.
struct Connection {
    socket: OwnedFd,
    from: SocketAddr,
    to: SocketAddr,
}

impl Connection {
    /// An answer is one segment and comes whole, unless something on the way is very odd.
    fn read_rest(&self, answer: &mut [u8], mut received: usize) -> Result<(), LoadError> {
        while received < answer.len() {
            let rest = answer.get_mut(received..).unwrap_or_default();
            match recv(&self.socket, rest, RecvFlags::empty()) {
                Ok((_, 0)) => return Err(self.failed("reading the answer", Errno::CONNRESET)),
                Ok((_, count)) => received += count,
                Err(errno) => return Err(self.failed("reading the answer", errno)),
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, errno: Errno) -> LoadError {
        failed(self.from, self.to, doing, errno)
    }
}

/// A socket timeout shows as "try again" (reading) or "in progress" (connecting); say what it is.
fn failed(from: SocketAddr, to: SocketAddr, doing: &'static str, errno: Errno) -> LoadError {
    let source = match errno {
        Errno::AGAIN | Errno::INPROGRESS => io::ErrorKind::TimedOut.into(),
        errno => errno.into(),
    };
    LoadError::Connection { from, to, doing, source }
}

#[cfg(test)]
mod tests {
    use results::Clock;

    use super::super::{BareServer, Priority, Rounds, SOURCE_PORTS, listen, measure};
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn client(timeout: Duration) -> BareClient {
        BareClient::new(MeasureClock::open(Clock::Wall).unwrap(), timeout)
    }

    fn sources(prefix: &str) -> Sources {
        Sources::new(prefix.parse().unwrap(), SOURCE_PORTS).unwrap()
    }

    fn serve(address: &str) -> (BareServer, SocketAddr) {
        let listeners = listen(&[address.parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        (BareServer::start(listeners, Priority::Normal).unwrap(), address)
    }

    #[test]
    fn every_connection_is_verified_and_the_measured_ones_are_recorded() {
        let (server, address) = serve("127.67.0.1:0");
        let targets = [Target { vip: address, allowed: &[address] }];
        let mut count = 0;
        let rounds = Rounds { warmup: 3, measured: 50, seed: 1, pause: Duration::ZERO };
        let record = |at, timing: Timing| {
            assert_eq!(at, 0);
            assert!(timing.connect > 0 && timing.request > 0 && timing.close > 0);
            count += 1;
        };
        let verified =
            measure(&mut client(TIMEOUT), &mut sources("127.67.1.0/24"), &targets, rounds, record);
        assert_eq!((verified.unwrap(), count, server.stop().unwrap()), (53, 50, 53));
    }

    #[test]
    fn ipv6_is_dialled_answered_and_verified_alike() {
        let (server, address) = serve("[::1]:0");
        let target = Target { vip: address, allowed: &[address] };
        let mut sources = Sources::within(address.ip().into(), SOURCE_PORTS).unwrap();
        let timing = client(TIMEOUT).connection(&mut sources, &target).unwrap();
        assert!(timing.connect > 0 && timing.request > 0 && timing.close > 0);
        let other = Target { vip: address, allowed: &["[::1]:1".parse().unwrap()] };
        let error = client(TIMEOUT).connection(&mut sources, &other).unwrap_err();
        assert!(
            matches!(error, LoadError::WrongEndpoint { answered, .. } if answered == address),
            "{error}"
        );
        assert_eq!(server.stop().unwrap(), 2);
    }

    #[test]
    fn keep_alive_takes_one_source_and_records_each_further_request() {
        let (server, address) = serve("127.67.0.2:0");
        let target = Target { vip: address, allowed: &[address] };
        let mut sources = sources("127.67.2.0/24");
        let (before, mut count) = (sources.remaining(), 0);
        client(TIMEOUT).keep_alive(&mut sources, &target, 20, |_| count += 1).unwrap();
        assert_eq!((before - sources.remaining(), count, server.stop().unwrap()), (1, 20, 21));
    }

    #[test]
    fn an_answer_from_a_foreign_endpoint_is_refused() {
        let (server, address) = serve("127.67.0.3:0");
        let other = "127.67.0.99:80".parse().unwrap();
        let target = Target { vip: address, allowed: &[other] };
        let error = client(TIMEOUT).connection(&mut sources("127.67.3.0/24"), &target).unwrap_err();
        assert!(
            matches!(error, LoadError::WrongEndpoint { answered, .. } if answered == address),
            "{error}"
        );
        server.stop().unwrap();
    }

    #[test]
    fn a_port_that_nobody_serves_is_refused_with_both_ends_named() {
        let (server, address) = serve("127.67.0.4:0");
        server.stop().unwrap();
        let target = Target { vip: address, allowed: &[address] };
        let error = client(TIMEOUT)
            .connection(&mut sources("127.67.4.0/24"), &target)
            .unwrap_err()
            .to_string();
        let begin = format!(
            "connection 127.67.4.1:10000 -> {address}, while connecting: Connection refused"
        );
        assert!(error.starts_with(&begin), "{error}");
    }

    #[test]
    fn a_server_that_is_silent_is_given_up() {
        let silent = listen(&["127.67.0.5:0".parse().unwrap()]).unwrap();
        let address = silent[0].local_addr().unwrap();
        let target = Target { vip: address, allowed: &[address] };
        let mut client = client(Duration::from_millis(50));
        let error =
            client.connection(&mut sources("127.67.5.0/24"), &target).unwrap_err().to_string();
        assert!(error.contains("while waiting for the answer: timed out"), "{error}");
    }
}

//! The HTTP client and its server: a real HTTP/1.1 GET on a new connection each, by tokio and
//! hyper.
//!
//! One request in flight on a runtime of one thread: with more, a timing would contain the wait for
//! the others. The runtime's own work is inside the timed windows, as it is in any program built on
//! it; `bare` has none.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::client::{LoadClient, LoadError, Target, Timing};
use super::clock::MeasureClock;
use super::priority::Priority;
use super::server::ServerError;
use super::source::Sources;

/// The longest answer: an IPv6 address in brackets, and a port.
const ANSWER_BYTES_MAX: usize = 47;
/// More than any client here opens; the next one waits in the accept queue.
const CONNECTIONS_MAX: usize = 1024;

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

/// Dials from the namespace of the thread it is used on.
#[derive(Debug)]
pub struct HttpClient {
    clock: MeasureClock,
    timeout: Duration,
    runtime: Runtime,
}

impl HttpClient {
    /// A client that gives up a connection, all of it, after `timeout`.
    ///
    /// # Errors
    /// [`LoadError::Client`]: no descriptor left.
    pub fn new(clock: MeasureClock, timeout: Duration) -> Result<Self, LoadError> {
        let runtime = runtime().map_err(|source| LoadError::Client { source })?;
        Ok(Self { clock, timeout, runtime })
    }
}

impl LoadClient for HttpClient {
    fn connection(
        &mut self,
        sources: &mut Sources,
        target: &Target<'_>,
    ) -> Result<Timing, LoadError> {
        let (from, to) = (sources.take()?, target.vip);
        let doing = Cell::new("opening the socket");
        let clock = self.clock;
        let attempt =
            async { tokio::time::timeout(self.timeout, get(clock, from, to, &doing)).await };
        let done =
            self.runtime.block_on(attempt).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (timing, answered) =
            done.map_err(|source| LoadError::Connection { from, to, doing: doing.get(), source })?;
        target.verify(answered)?;
        Ok(timing)
    }
}

/// One connection with one GET; the second value is what the server says it is. `doing` tells how
/// far it has come.
async fn get(
    clock: MeasureClock,
    from: SocketAddr,
    to: SocketAddr,
    doing: &Cell<&'static str>,
) -> io::Result<(Timing, SocketAddr)> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_zero_linger()?;
    socket.set_nodelay(true)?;
    socket.bind(from)?;
    doing.set("connecting");
    let started = clock.now();
    let connected = socket.connect(to).await;
    let connect = clock.now() - started;

    doing.set("asking by HTTP");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connected?))
        .await
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(connection.without_shutdown());
    let question = Request::get("/").header(HOST, to.to_string()).body(Empty::<Bytes>::new());
    let question = question.map_err(io::Error::other)?;
    let started = clock.now();
    let head = sender.send_request(question).await;
    let request = clock.now() - started;

    let head = head.map_err(io::Error::other)?;
    doing.set("reading the answer");
    let answered = read_answer(head).await?;
    drop(sender);
    let parts = driver.await?.map_err(io::Error::other)?;
    let stream: TcpStream = parts.io.into_inner();
    let started = clock.now();
    drop(stream);
    let close = clock.now() - started;
    Ok((Timing { connect, request, close }, answered))
}

async fn read_answer(response: Response<hyper::body::Incoming>) -> io::Result<SocketAddr> {
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("the server answers {}", response.status())));
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(io::Error::other)?;
    let bytes = body.to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    text.parse()
        .map_err(|_| io::Error::other(format!("the server answers `{text}`, which is no address")))
}

/// A running server: answers every request with its own address and port as text. It stops when it
/// drops.
#[derive(Debug)]
pub struct HttpServer {
    stop: Option<oneshot::Sender<()>>,
    answered: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<Result<(), ServerError>>>,
}

impl HttpServer {
    /// Serves `listeners` (see [`listen`](super::listen)) on a thread of its own.
    ///
    /// # Errors
    /// [`ServerError::Run`]: no thread left.
    pub fn start(listeners: Vec<TcpListener>, priority: Priority) -> Result<Self, ServerError> {
        let (stop, stopped) = oneshot::channel();
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        let thread = thread::Builder::new().name("http-server".to_owned()).spawn(move || {
            priority.apply()?;
            runtime()?.block_on(serve(listeners, stopped, counter))
        })?;
        Ok(Self { stop: Some(stop), answered, thread: Some(thread) })
    }

    /// Ends it: listeners and connections are closed when this returns. Returns how many requests
    /// it has answered.
    ///
    /// # Errors
    /// [`ServerError::Run`]: it had ended before, and why.
    pub fn stop(mut self) -> Result<u64, ServerError> {
        self.end()?;
        Ok(self.answered.load(Ordering::Relaxed))
    }

    fn end(&mut self) -> Result<(), ServerError> {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.end();
    }
}

/// Serves until `stopped` resolves; every task ends with the runtime.
async fn serve(
    listeners: Vec<TcpListener>,
    stopped: oneshot::Receiver<()>,
    answered: Arc<AtomicU64>,
) -> Result<(), ServerError> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        accepting.spawn(accept(listener, Arc::clone(&room), Arc::clone(&answered)));
    }
    tokio::select! {
        _ = stopped => Ok(()),
        Some(ended) = accepting.join_next() => Err(ended.unwrap_or_else(io::Error::from).into()),
    }
}

/// Accepts until that fails for a reason of this host's own, and returns the reason.
async fn accept(
    listener: tokio::net::TcpListener,
    room: Arc<Semaphore>,
    answered: Arc<AtomicU64>,
) -> io::Error {
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return io::ErrorKind::BrokenPipe.into();
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = Arc::clone(&answered);
                tokio::spawn(async move {
                    // A client that resets its connection, as ours do, ends it here; nothing is
                    // left to say.
                    let _ = answer(stream, &answered).await;
                    drop(place);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return error,
        }
    }
}

async fn answer(
    stream: TcpStream,
    answered: &AtomicU64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let body = Bytes::from(stream.local_addr()?.to_string());
    let service = service_fn(|_| {
        answered.fetch_add(1, Ordering::Relaxed);
        let response = Response::new(Full::new(body.clone()));
        async { Ok::<_, Infallible>(response) }
    });
    hyper::server::conn::http1::Builder::new()
        // Its text is made anew once a second: a cost that some request would bear.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use results::Clock;
    use std::io::{Read, Write};

    use super::super::{BareServer, Rounds, SOURCE_PORTS, listen, measure};
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn client(timeout: Duration) -> HttpClient {
        HttpClient::new(MeasureClock::open(Clock::Wall).unwrap(), timeout).unwrap()
    }

    fn sources(prefix: &str) -> Sources {
        Sources::new(prefix.parse().unwrap(), SOURCE_PORTS).unwrap()
    }

    fn bound(address: &str) -> (Vec<TcpListener>, SocketAddr) {
        let listeners = listen(&[address.parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        (listeners, address)
    }

    fn serve(address: &str) -> (HttpServer, SocketAddr) {
        let (listeners, address) = bound(address);
        (HttpServer::start(listeners, Priority::Normal).unwrap(), address)
    }

    #[test]
    fn every_connection_is_verified_and_the_measured_ones_are_recorded() {
        let (server, address) = serve("127.68.0.1:0");
        let targets = [Target { vip: address, allowed: &[address] }];
        let mut count = 0;
        let rounds = Rounds { warmup: 3, measured: 50, seed: 1, pause: Duration::ZERO };
        let record = |at, timing: Timing| {
            assert_eq!(at, 0);
            assert!(timing.connect > 0 && timing.request > 0 && timing.close > 0);
            count += 1;
        };
        let verified =
            measure(&mut client(TIMEOUT), &mut sources("127.68.1.0/24"), &targets, rounds, record);
        assert_eq!((verified.unwrap(), count, server.stop().unwrap()), (53, 50, 53));
    }

    #[test]
    fn ipv6_is_dialled_answered_and_verified_alike() {
        let (server, address) = serve("[::1]:0");
        let target = Target { vip: address, allowed: &[address] };
        let mut sources = Sources::within(address.ip().into(), SOURCE_PORTS).unwrap();
        client(TIMEOUT).connection(&mut sources, &target).unwrap();
        assert_eq!(server.stop().unwrap(), 1);
    }

    #[test]
    fn any_http_client_is_answered() {
        let (server, address) = serve("127.68.0.2:0");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: vip\r\nconnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.ends_with(&format!("\r\n\r\n{address}")), "{said}");
        server.stop().unwrap();
    }

    #[test]
    fn an_answer_from_a_foreign_endpoint_is_refused() {
        let (server, address) = serve("127.68.0.3:0");
        let target = Target { vip: address, allowed: &["127.68.0.99:80".parse().unwrap()] };
        let error = client(TIMEOUT).connection(&mut sources("127.68.3.0/24"), &target).unwrap_err();
        assert!(
            matches!(error, LoadError::WrongEndpoint { answered, .. } if answered == address),
            "{error}"
        );
        server.stop().unwrap();
    }

    #[test]
    fn a_server_that_speaks_no_http_is_refused() {
        let (listeners, address) = bound("127.68.0.4:0");
        let server = BareServer::start(listeners, Priority::Normal).unwrap();
        let target = Target { vip: address, allowed: &[address] };
        let error = client(TIMEOUT)
            .connection(&mut sources("127.68.4.0/24"), &target)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("-> {address}, while asking by HTTP: ")), "{error}");
        server.stop().unwrap();
    }

    #[test]
    fn a_server_that_is_silent_is_given_up() {
        let (_silent, address) = bound("127.68.0.5:0");
        let target = Target { vip: address, allowed: &[address] };
        let mut client = client(Duration::from_millis(50));
        let error =
            client.connection(&mut sources("127.68.5.0/24"), &target).unwrap_err().to_string();
        assert!(error.contains("while asking by HTTP: timed out"), "{error}");
    }

    #[test]
    fn a_stopped_server_has_let_go_of_its_port_and_its_connections() {
        let (server, address) = serve("127.68.0.6:0");
        let mut open = std::net::TcpStream::connect(address).unwrap();
        open.set_read_timeout(Some(TIMEOUT)).unwrap();
        server.stop().unwrap();
        assert!(std::net::TcpStream::connect(address).is_err());
        assert!(matches!(open.read(&mut [0]), Ok(0) | Err(_)));
    }
}

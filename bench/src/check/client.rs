//! Clients: one dial is one new connection, or one datagram and its answer, with a deadline.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context;
use generators::Protocol;
use linux::netns::Namespace;
use linux::sctp;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::Answer;

/// How long silence is waited for where silence must come.
const SILENCE: Duration = Duration::from_millis(300);
/// How long an answer or a refusal is waited for: machines may be busy, and a refusal comes within
/// a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// Dials of one namespace at a time.
const AT_A_TIME: usize = 64;
/// The ports to dial from, in turn. A node remembers a connection for some seconds after its end,
/// and under IPVS another one from the same port to the same Endpoint, by another VIP or by none,
/// is taken for the first. The kernel's own choice goes by whom it dials, so two may get one port.
/// They lie between those of servers, a kube-proxy's own among them, and node ports.
const PORTS: Range<u16> = 12_000..30_000;
static DIALLED: AtomicU16 = AtomicU16::new(0);
/// How often a datagram is sent that does not fit into one packet. The first meets the smaller MTU
/// of a tunnel; the message of ICMP that says so reaches the socket as `EMSGSIZE`
/// (`__udp6_lib_err`, net/ipv6/udp.c, Linux 6.1), and the next is cut by what was learned. A path
/// has few such steps.
const SENDS_MAX: usize = 4;
/// Longest answer of a server.
const ANSWER_BYTES_MAX: usize = 256;

/// One dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    /// The address to dial from; nothing: the one that the kernel chooses.
    pub from: Option<IpAddr>,
    /// Whom to dial.
    pub to: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// How much is sent.
    pub request_bytes: usize,
    /// Whether nothing is to come, which is waited for a shorter time.
    pub for_silence: bool,
}

/// What came of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// An answer.
    Answer(Answer),
    /// A refusal: RST, or the ICMP message that a port is unreachable.
    Refusal,
    /// Nothing until the deadline.
    Nothing,
    /// Anything else, in words.
    Fault(String),
}

impl Came {
    /// The Endpoint that answered.
    pub fn answered_by(&self) -> Option<SocketAddr> {
        match self {
            Self::Answer(answer) => Some(answer.endpoint),
            _ => None,
        }
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(Answer { endpoint, peer, .. }) => {
                write!(f, "an answer by {endpoint}, which saw {peer}")
            }
            Self::Refusal => f.write_str("refused"),
            Self::Nothing => f.write_str("nothing came"),
            Self::Fault(words) => f.write_str(words),
        }
    }
}

impl Dial {
    /// Dials, from the namespace of this thread.
    pub async fn once(self) -> Came {
        let limit = if self.for_silence { SILENCE } else { PATIENCE };
        let dialled = async {
            match self.protocol {
                Protocol::Tcp => self.tcp().await,
                Protocol::Udp => self.udp().await,
                Protocol::Sctp => self.sctp().await,
            }
        };
        came(timeout(limit, dialled).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
    }

    async fn tcp(self) -> io::Result<Vec<u8>> {
        let socket = if self.to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        self.connection(socket, self.source(self.from)).await
    }

    /// A socket of SCTP that is bound to no address names all of its host's, each VIP among them
    /// (RFC 9260, section 3.3.2.1): it is bound to the one from which a datagram would go.
    async fn sctp(self) -> io::Result<Vec<u8>> {
        let from = if let Some(from) = self.from {
            from
        } else {
            let socket = UdpSocket::bind(self.source(None)).await?;
            socket.connect(self.to).await?;
            socket.local_addr()?.ip()
        };
        let socket = TcpSocket::from_std_stream(sctp::client(self.to)?);
        self.connection(socket, self.source(Some(from))).await
    }

    /// A request and its answer over a new connection.
    async fn connection(self, socket: TcpSocket, from: SocketAddr) -> io::Result<Vec<u8>> {
        // Ends by RST, of SCTP by ABORT, so that nothing of the connection is left.
        set_socket_linger(&socket, Some(Duration::ZERO))?;
        socket.bind(from)?;
        let mut server = socket.connect(self.to).await?;
        let length = u32::try_from(self.request_bytes).map_err(io::Error::other)?;
        server.write_u32(length).await?;
        server.write_all(&vec![0; self.request_bytes]).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    async fn udp(self) -> io::Result<Vec<u8>> {
        let socket = UdpSocket::bind(self.source(self.from)).await?;
        socket.connect(self.to).await?;
        until_it_fits(|| self.exchange(&socket)).await
    }

    /// One datagram and its answer.
    async fn exchange(self, socket: &UdpSocket) -> io::Result<Vec<u8>> {
        let sent = socket.send(&vec![0; self.request_bytes.max(1)]).await;
        // A rule that takes the node's own packet away says so here, whether it refuses or drops;
        // only a refusal is told again by what comes back.
        if let Err(error) = sent
            && error.kind() != io::ErrorKind::PermissionDenied
        {
            return Err(error);
        }
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        let length = socket.recv(&mut answer).await?;
        answer.truncate(length);
        Ok(answer)
    }

    /// The next port of an address, or of any.
    fn source(&self, from: Option<IpAddr>) -> SocketAddr {
        let any = if self.to.is_ipv4() { [0; 4].into() } else { IpAddr::from([0; 16]) };
        let port =
            PORTS.start + DIALLED.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        SocketAddr::new(from.unwrap_or(any), port)
    }
}

/// A UDP client that goes on asking from one port.
#[derive(Debug)]
pub struct Asker(std::net::UdpSocket);

impl Asker {
    /// Opens it in the namespace of this thread.
    ///
    /// # Errors
    /// An address that is not this host's, no way to the other.
    pub fn open(dial: &Dial) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(dial.source(dial.from))?;
        socket.connect(dial.to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Asks, and waits for an answer.
    pub fn ask(&self) -> Came {
        let mut answer = [0; ANSWER_BYTES_MAX];
        let asked = self.0.send(&[0]).and_then(|_| self.0.recv(&mut answer));
        came(asked.map(|length| answer[..length].to_vec()))
    }
}

/// Asks again while the way turns out to be narrower than was known, which ends an attempt without
/// anything having been lost.
async fn until_it_fits<T, F: Future<Output = io::Result<T>>>(
    mut ask: impl FnMut() -> F,
) -> io::Result<T> {
    for _ in 1..SENDS_MAX {
        match ask().await {
            Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {}
            ended => return ended,
        }
    }
    ask().await
}

fn came(answer: io::Result<Vec<u8>>) -> Came {
    match answer {
        Ok(text) => Answer::parse(&text).map_or_else(
            || Came::Fault(format!("an answer that is none: {}", text.escape_ascii())),
            Came::Answer,
        ),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Came::Refusal,
        // A socket's own time-out is told as `WouldBlock`.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
        {
            Came::Nothing
        }
        Err(error) => Came::Fault(error.to_string()),
    }
}

/// Runs `work` in a namespace, on a thread of its own.
///
/// # Errors
/// The namespace cannot be entered, no descriptors left.
pub fn inside<F: Future>(
    namespace: &Namespace,
    work: impl FnOnce() -> F + Send,
) -> anyhow::Result<F::Output>
where
    F::Output: Send,
{
    namespace.enter(|| {
        let runtime = Builder::new_current_thread().enable_all().build().context("clients")?;
        Ok(runtime.block_on(work()))
    })?
}

/// All these dials, some at a time; what came stands in their order.
///
/// # Errors
/// A dial that panicked.
pub async fn all(dials: Vec<Dial>) -> anyhow::Result<Vec<Came>> {
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for (at, dial) in dials.iter().copied().enumerate() {
        let room = Arc::clone(&room);
        tasks.spawn(async move {
            // Silence takes its time and nothing else: it need not wait for room.
            let _room = if dial.for_silence { None } else { room.acquire_owned().await.ok() };
            (at, dial.once().await)
        });
    }
    let mut came = vec![Came::Nothing; dials.len()];
    while let Some(done) = tasks.join_next().await {
        let (at, one) = done.context("a client")?;
        came[at] = one;
    }
    Ok(came)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it was asked where these errors come first, and how it ended.
    fn asked(errors: &[Errno]) -> (usize, io::Result<()>) {
        let mut times = 0;
        let ended = Builder::new_current_thread().build().unwrap().block_on(until_it_fits(|| {
            let answer = errors.get(times).map_or(Ok(()), |error| Err((*error).into()));
            times += 1;
            std::future::ready(answer)
        }));
        (times, ended)
    }

    #[test]
    fn a_datagram_is_sent_again_when_the_way_is_narrower_and_not_for_ever() {
        assert!(matches!(asked(&[]), (1, Ok(()))));
        assert!(matches!(asked(&[Errno::MSGSIZE]), (2, Ok(()))));
        let (times, ended) = asked(&[Errno::MSGSIZE; 100]);
        assert_eq!(times, SENDS_MAX);
        assert_eq!(ended.unwrap_err().raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
        assert!(matches!(asked(&[Errno::CONNREFUSED]), (1, Err(_))));
    }
}

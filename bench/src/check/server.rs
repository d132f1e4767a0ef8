//! Servers of Endpoints: each says which Endpoint it is and whose address it sees.
//!
//! Sockets are opened in the namespace of their Endpoint; one thread serves them all.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use generators::Protocol;
use linux::sctp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Largest request that is read.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// How long a server waits for a client.
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket that waits for clients.
#[derive(Debug)]
pub enum Listening {
    /// Of connections: TCP, or SCTP, whose sockets are used alike.
    Connections(std::net::TcpListener),
    /// Of datagrams: UDP.
    Datagrams(std::net::UdpSocket),
}

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Who answered.
    pub endpoint: SocketAddr,
    /// Whose address it saw.
    pub peer: IpAddr,
    /// How much of the request it got.
    pub request_bytes: usize,
}

impl Answer {
    fn text(self) -> String {
        format!("{} {} {}", self.endpoint, self.peer, self.request_bytes)
    }

    /// The answer in such a text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        Some(Self {
            endpoint: words.next()?.parse().ok()?,
            peer: words.next()?.parse().ok()?,
            request_bytes: words.next()?.parse().ok()?,
        })
    }
}

impl Listening {
    /// Listens in the namespace of this thread.
    ///
    /// # Errors
    /// An address that is not this host's, or is taken.
    pub fn open(address: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        let opened = match protocol {
            Protocol::Tcp => std::net::TcpListener::bind(address).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(Self::Connections(socket))
            }),
            Protocol::Udp => std::net::UdpSocket::bind(address).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(Self::Datagrams(socket))
            }),
            Protocol::Sctp => sctp::listener(address).map(Self::Connections),
        };
        opened.with_context(|| format!("a server at {address}/{protocol}"))
    }
}

/// Servers at work; they stop when this drops.
#[derive(Debug)]
pub struct Servers {
    /// Dropping it tells the thread to end.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    /// Serves these sockets.
    ///
    /// # Errors
    /// No thread, no descriptors left.
    pub fn start(sockets: Vec<Listening>) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().context("servers")?;
        let tasks = started(&runtime, sockets)?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            // Ends when the sender is dropped, which is an error by its name alone.
            let _ = runtime.block_on(stopped);
            drop(tasks);
        };
        let thread = std::thread::Builder::new().name("check-servers".into()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

fn started(runtime: &Runtime, sockets: Vec<Listening>) -> io::Result<JoinSet<()>> {
    let _inside = runtime.enter();
    let mut tasks = JoinSet::new();
    for socket in sockets {
        match socket {
            Listening::Connections(socket) => {
                tasks.spawn(serve_connections(TcpListener::from_std(socket)?))
            }
            Listening::Datagrams(socket) => {
                tasks.spawn(serve_datagrams(UdpSocket::from_std(socket)?))
            }
        };
    }
    Ok(tasks)
}

async fn serve_connections(listener: TcpListener) {
    let mut clients = JoinSet::new();
    loop {
        if let Ok((client, peer)) = listener.accept().await {
            // What becomes of one client is seen by that client.
            clients.spawn(async move {
                let _ = timeout(PATIENCE, answer(client, peer)).await;
            });
        }
        while clients.try_join_next().is_some() {}
    }
}

/// A request is its length and so many bytes.
async fn answer(mut client: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let length = client.read_u32().await?;
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(REQUEST_BYTES_MAX);
    let mut request = vec![0; length];
    client.read_exact(&mut request).await?;
    let answer =
        Answer { endpoint: client.local_addr()?, peer: peer.ip(), request_bytes: request.len() };
    client.write_all(answer.text().as_bytes()).await?;
    client.shutdown().await?;
    // The client ends the connection, so that nothing of it is left here.
    client.read(&mut [0]).await.map(drop)
}

async fn serve_datagrams(socket: UdpSocket) {
    let mut request = vec![0; REQUEST_BYTES_MAX.min(usize::from(u16::MAX))];
    let Ok(endpoint) = socket.local_addr() else { return };
    loop {
        // An earlier answer that was refused is told here, and is of no interest.
        if let Ok((request_bytes, peer)) = socket.recv_from(&mut request).await {
            let answer = Answer { endpoint, peer: peer.ip(), request_bytes };
            let _ = socket.send_to(answer.text().as_bytes(), peer).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        for (endpoint, peer) in [("10.0.0.1:80", "10.0.0.2"), ("[fd00::1]:80", "fd00::2")] {
            let (endpoint, peer) = (endpoint.parse().unwrap(), peer.parse().unwrap());
            let answer = Answer { endpoint, peer, request_bytes: 7 };
            assert_eq!(Answer::parse(answer.text().as_bytes()), Some(answer));
        }
        for text in [&b"10.0.0.1:80 10.0.0.2"[..], b"", b"\xff", b"10.0.0.1 10.0.0.2 7"] {
            assert_eq!(Answer::parse(text), None);
        }
    }
}

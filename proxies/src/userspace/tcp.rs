//! Connections: each is accepted, an Endpoint is dialled, and bytes are copied both ways until both
//! have ended.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::site::{Shared, lock};

/// How long each attempt to reach an Endpoint may take (`EndpointDialTimeouts` in
/// `pkg/proxy/userspace/proxysocket.go`, Kubernetes 1.20).
const DIALS: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// After a connection that could not be accepted: mostly there is no file left for it.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens at an address that is local already.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections that have ended there a moment ago are in nobody's way.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// Accepts for ever.
pub(super) async fn serve(listener: TcpListener, balancer: Shared) {
    loop {
        match listener.accept().await {
            Ok((client, address)) => {
                tokio::spawn(carry(client, address.ip(), Shared::clone(&balancer)));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// One connection, to its end. What cannot be carried on is reset, as the other side's was.
async fn carry(mut client: TcpStream, from: IpAddr, balancer: Shared) {
    let Some(mut endpoint) = dial(from, &balancer).await else {
        // Nobody is left to be told of a refusal.
        let _ = client.set_zero_linger();
        return;
    };
    // What has come is sent on at once.
    let _ = (client.set_nodelay(true), endpoint.set_nodelay(true));
    if copy_bidirectional(&mut client, &mut endpoint).await.is_err() {
        let _ = (client.set_zero_linger(), endpoint.set_zero_linger());
    }
}

/// A connection to the Endpoint whose turn it is, or to the next that can be reached.
async fn dial(from: IpAddr, balancer: &Shared) -> Option<TcpStream> {
    for (at, limit) in DIALS.into_iter().enumerate() {
        let endpoint = lock(balancer).choose(from, Instant::now(), at > 0)?;
        if let Ok(Ok(stream)) = timeout(limit, TcpStream::connect(endpoint)).await {
            return Some(stream);
        }
    }
    None
}

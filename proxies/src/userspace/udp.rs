//! Datagrams: each client has a socket of its own towards its Endpoint for as long as it is used,
//! and what comes back there is sent to the client from the address that it dialled.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, sockopt};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::site::{Shared, lock};

/// How long a flow lasts without a datagram (`--udp-timeout`, default 250 ms, of kube-proxy 1.20).
const IDLE: Duration = Duration::from_millis(250);
/// The longest datagram there is.
pub(super) const DATAGRAM_MAX: usize = 1 << 16;

/// What waits to be received, bytes with the kernel's own: a listener has the clients of all
/// Endpoints.
const WAITING_BYTES: usize = 4 << 20;

/// Room for one datagram, which every flow uses while it hands one on.
pub(super) type Buffer = Arc<Mutex<Vec<u8>>>;

/// The flows of one listener by client.
type Flows = Arc<Mutex<HashMap<SocketAddr, Flow>>>;

/// One client's way to its Endpoint. Its answers end with it.
#[derive(Debug)]
struct Flow {
    endpoint: SocketAddr,
    socket: Arc<UdpSocket>,
    used: Instant,
    answers: AbortHandle,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// Listens at an address that is local already.
pub(super) fn listen(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(at)?;
    sockopt::set_socket_recv_buffer_size_force(&socket, WAITING_BYTES)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Receives for ever.
pub(super) async fn serve(listener: UdpSocket, balancer: Shared, buffer: Buffer) {
    let (listener, flows) = (Arc::new(listener), Flows::default());
    let _ends_flows = EndFlows(Arc::clone(&flows));
    loop {
        if listener.readable().await.is_err() {
            continue;
        }
        let mut datagram = lock(&buffer);
        // An error is of an earlier answer that did not arrive, or says that nothing is there.
        let Ok((bytes, client)) = listener.try_recv_from(&mut datagram) else { continue };
        let flow = current(&flows, client, &balancer)
            .or_else(|| begin(&listener, &flows, client, &balancer, &buffer).ok().flatten());
        if let (Some(socket), Some(datagram)) = (flow, datagram.get(..bytes)) {
            // What does not fit is lost, as on any way of datagrams. A new socket is ready, and the
            // runtime does not know yet.
            let _ = rustix::net::send(&*socket, datagram, SendFlags::DONTWAIT);
        }
    }
}

/// Ends what tasks of flows hold of each other.
struct EndFlows(Flows);

impl Drop for EndFlows {
    fn drop(&mut self) {
        lock(&self.0).clear();
    }
}

/// The way of a client that has one, unless its Endpoint is gone.
fn current(flows: &Flows, client: SocketAddr, balancer: &Shared) -> Option<Arc<UdpSocket>> {
    let mut flows = lock(flows);
    let flow = flows.get_mut(&client)?;
    if !lock(balancer).has(flow.endpoint) {
        flows.remove(&client);
        return None;
    }
    flow.used = Instant::now();
    Some(Arc::clone(&flow.socket))
}

/// A new way; nothing where there is no Endpoint.
fn begin(
    listener: &Arc<UdpSocket>,
    flows: &Flows,
    client: SocketAddr,
    balancer: &Shared,
    buffer: &Buffer,
) -> io::Result<Option<Arc<UdpSocket>>> {
    let used = Instant::now();
    let Some(endpoint) = lock(balancer).choose(client.ip(), used, false) else { return Ok(None) };
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UdpSocket::from_std(socket)?);
    let (from, to) = (Arc::clone(&socket), Arc::clone(listener));
    let (flows_too, buffer) = (Arc::clone(flows), Arc::clone(buffer));
    let answers = tokio::spawn(async move {
        answer(&from, &to, client, &flows_too, &buffer).await;
        // Ends the guard that would end this task.
        lock(&flows_too).remove(&client);
    });
    let answers = answers.abort_handle();
    let flow = Flow { endpoint, socket: Arc::clone(&socket), used, answers };
    lock(flows).insert(client, flow);
    Ok(Some(socket))
}

/// Hands answers to the client until nothing goes either way.
async fn answer(
    from: &UdpSocket,
    to: &UdpSocket,
    client: SocketAddr,
    flows: &Flows,
    buffer: &Buffer,
) {
    loop {
        match timeout(IDLE, from.readable()).await {
            Ok(Ok(())) => {
                let mut datagram = lock(buffer);
                match from.try_recv(&mut datagram) {
                    Ok(bytes) => {
                        let _ = datagram.get(..bytes).map(|all| to.try_send_to(all, client));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // The Endpoint refuses.
                    Err(_) => return,
                }
                if let Some(flow) = lock(flows).get_mut(&client) {
                    flow.used = Instant::now();
                }
            }
            Ok(Err(_)) => return,
            Err(_) => {
                let used = lock(flows).get(&client).map(|flow| flow.used);
                if used.is_none_or(|used| used.elapsed() >= IDLE) {
                    return;
                }
            }
        }
    }
}

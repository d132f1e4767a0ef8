//! The running server: a thread of its own that accepts connections, and the handle by which what
//! is served is changed.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use generators::{Cluster, Step};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::api::Api;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::model::{self, Site};
use crate::moments::{Moments, Served};
use crate::place;
use crate::store::{Edit, Store};

/// Longest head of a request, and what hyper keeps of a connection at a time, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// What a Step changes of what is served, ready to be.
#[derive(Debug)]
pub struct Edits(Vec<Edit>);

/// A Cluster that is served. It stops when it drops.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    store: Arc<Store>,
    moments: Arc<Moments>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Serves `cluster` at `address` (port 0: any free one), in the network namespace of the
    /// calling thread.
    ///
    /// # Errors
    /// [`ApiError::NotLoopback`] and [`ApiError::Listen`] name what to do; [`ApiError::Export`] if
    /// Kubernetes could not have the Cluster; [`ApiError::Run`] without a thread left.
    pub fn start(
        address: SocketAddr,
        cluster: &Cluster,
        site: &Site,
        limits: Limits,
    ) -> Result<Self, ApiError> {
        let listener = place::listen(address)?;
        let address = listener.local_addr().map_err(ApiError::Run)?;
        let store = Arc::new(Store::new(model::objects(cluster, site)?, limits.history));
        let moments = Arc::<Moments>::default();
        let api = Arc::new(Api::new(Arc::clone(&store), Arc::clone(&moments), limits));
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_io().enable_time().build()?;
            runtime.block_on(serve(listener, &api, limits, stopped))
        };
        let thread = Builder::new().name("apiserver".to_owned()).spawn(serve);
        let thread = Some(thread.map_err(ApiError::Run)?);
        Ok(Self { address, store, moments, stop: Some(stop), thread })
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The resource version of what is served: how many changes of objects there were.
    pub fn version(&self) -> u64 {
        self.store.version()
    }

    /// Serves the Cluster after `step` from now on, and tells those who watch: one event for each
    /// Kubernetes object that the Step, as a whole, changes. The Cluster before the Step must be
    /// the one that is served. Returns the resource version after it.
    ///
    /// Takes time linear in the Services of the Cluster; no client is waited for.
    ///
    /// # Errors
    /// [`ApiError::Export`]: Kubernetes could not have the Cluster after the Step. Nothing has
    /// changed then.
    pub fn apply(&self, step: &Step<'_>) -> Result<u64, ApiError> {
        Ok(self.commit(self.edits(step)?))
    }

    /// The first half of [`Self::apply`]: what it would change. Nothing has changed yet, and
    /// nothing may before these are committed.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn edits(&self, step: &Step<'_>) -> Result<Edits, ApiError> {
        Ok(Edits(model::edits(step, &self.store)?))
    }

    /// The second half: takes time linear in the objects that change.
    pub fn commit(&self, edits: Edits) -> u64 {
        self.store.commit(edits.0)
    }

    /// When a client asked for the first time, and had then listed all Services and Endpoints;
    /// nothing before that.
    pub fn served(&self) -> Option<Served> {
        self.moments.served()
    }

    /// Whether it has ended by itself; [`Server::stop`] tells why.
    pub fn is_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it: the port is free and connections are closed when this returns.
    ///
    /// # Errors
    /// [`ApiError::Run`]: it had ended before, and why.
    pub fn stop(mut self) -> Result<(), ApiError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ApiError> {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| resume_unwind(panic)).map_err(ApiError::Run)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.end();
    }
}

/// Accepts until it is stopped, or until that fails for a reason of this host's own.
async fn serve(
    listener: TcpListener,
    api: &Arc<Api>,
    limits: Limits,
    mut stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            Ok((listener.accept().await?.0, place))
        };
        let accepted = tokio::select! {
            _ = &mut stopped => return Ok(()),
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                tokio::spawn(connection(stream, place, Arc::clone(api), limits));
            }
            Err(error) if is_of_client(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_of_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// One connection, until the client ends it, is idle for too long or reads nothing for too long.
async fn connection(stream: TcpStream, place: OwnedSemaphorePermit, api: Arc<Api>, limits: Limits) {
    let idle_ms = u32::try_from(limits.idle.as_millis()).unwrap_or(u32::MAX);
    // Without these the connection works, more slowly or for longer.
    let _ = stream.set_nodelay(true);
    let _ = set_tcp_user_timeout(&stream, idle_ms);
    let service = service_fn(|request| async {
        let answer = api.answer(request).await;
        Ok::<_, Infallible>(answer)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_buf_size(HEAD_BYTES_MAX);
    // A client that goes away, or says what is no HTTP, ends its connection here.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
    drop(place);
}

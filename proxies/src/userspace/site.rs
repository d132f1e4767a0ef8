//! What one proxy has open: a task a listener, all on one thread.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::balancer::Balancer;
use super::listeners::{At, Listeners, Target, Transport};
use super::udp::{Buffer, DATAGRAM_MAX};
use super::{tcp, udp};
use crate::error::ProxyError;

/// How long an address may be taken before somebody else is said to have it.
const FREED_LIMIT: Duration = Duration::from_secs(1);

/// The choice of a listener, which its connections share.
pub(super) type Shared = Arc<Mutex<Balancer>>;

/// Takes a lock that nobody holds while it waits.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listeners that are open.
#[derive(Debug)]
pub(super) struct Site {
    open: BTreeMap<At, Listener>,
    buffer: Buffer,
}

#[derive(Debug)]
struct Listener {
    balancer: Shared,
    task: JoinHandle<()>,
}

impl Site {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { open: BTreeMap::new(), buffer: Arc::new(Mutex::new(vec![0; DATAGRAM_MAX])) }
    }

    /// Closes and opens. Connections that are there go on.
    ///
    /// # Errors
    /// The first address at which it cannot listen.
    pub async fn change(
        &mut self,
        close: &[At],
        open: Vec<(At, Target)>,
    ) -> Result<(), ProxyError> {
        for at in close {
            self.close(at).await;
        }
        for (at, target) in open {
            if target.endpoints.is_empty() {
                self.close(&at).await;
            } else if let Some(listener) = self.open.get(&at) {
                lock(&listener.balancer).point_to(target);
            } else {
                let listener =
                    self.listener(at, target).await.map_err(|error| refused(at, &error))?;
                self.open.insert(at, listener);
            }
        }
        Ok(())
    }

    /// What it works by.
    pub fn listeners(&self) -> Listeners {
        let target = |listener: &Listener| lock(&listener.balancer).target().clone();
        self.open.iter().map(|(at, listener)| (*at, target(listener))).collect()
    }

    /// Returns when the socket is closed.
    async fn close(&mut self, at: &At) {
        if let Some(listener) = self.open.remove(at) {
            listener.task.abort();
            // It was told to end, which is no news.
            let _ = listener.task.await;
        }
    }

    async fn listener(&self, at: At, target: Target) -> io::Result<Listener> {
        let balancer = Arc::new(Mutex::new(Balancer::new(target)));
        let shared = Shared::clone(&balancer);
        let task = match at.transport {
            Transport::Tcp => {
                let socket = bound(|| tcp::listen(at.socket())).await?;
                tokio::spawn(tcp::serve(socket, shared))
            }
            Transport::Udp => {
                let buffer = Buffer::clone(&self.buffer);
                let socket = bound(|| udp::listen(at.socket())).await?;
                tokio::spawn(udp::serve(socket, shared, buffer))
            }
        };
        Ok(Listener { balancer, task })
    }
}

/// A socket at its address. A closed one leaves that taken for a moment where a child process was
/// forked meanwhile: it holds every file until it executes its program.
async fn bound<T>(listen: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let began = Instant::now();
    loop {
        match listen() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && began.elapsed() < FREED_LIMIT => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            other => return other,
        }
    }
}

fn refused(at: At, error: &io::Error) -> ProxyError {
    ProxyError::Unsupported {
        what: format!("a listener at {at}"),
        reason: error.to_string(),
        remedy: "end what listens there, or leave the Service out".into(),
    }
}

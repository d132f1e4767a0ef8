//! What one proxy has open: a task a listener, all on one thread.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use super::balancer::Balancer;
use super::listeners::{At, Listeners, Target, Transport};
use super::udp::{Buffer, DATAGRAM_MAX};
use super::{tcp, udp};
use crate::error::ProxyError;

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
                let listener = self.listener(at, target).map_err(|error| refused(at, &error))?;
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

    fn listener(&self, at: At, target: Target) -> io::Result<Listener> {
        let balancer = Arc::new(Mutex::new(Balancer::new(target)));
        let shared = Shared::clone(&balancer);
        let task = match at.transport {
            Transport::Tcp => tokio::spawn(tcp::serve(tcp::listen(at.socket())?, shared)),
            Transport::Udp => {
                let buffer = Buffer::clone(&self.buffer);
                tokio::spawn(udp::serve(udp::listen(at.socket())?, shared, buffer))
            }
        };
        Ok(Listener { balancer, task })
    }
}

fn refused(at: At, error: &io::Error) -> ProxyError {
    ProxyError::Unsupported {
        what: format!("a listener at {at}"),
        reason: error.to_string(),
        remedy: "end what listens there, or leave the Service out".into(),
    }
}

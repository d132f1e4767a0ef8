//! When its first client came, and when it had what kube-proxy waits for before it syncs.

use std::sync::OnceLock;
use std::time::Instant;

use crate::resource::Resource;

/// What kube-proxy lists before its first sync.
const NEEDED: [Resource; 2] = [Resource::Services, Resource::EndpointSlices];

/// When a server was asked for the first time, and had then answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The first request came.
    pub asked: Instant,
    /// The end of the later of the first lists of Services and of their slices was handed over.
    pub listed: Instant,
}

/// The same while it is being found out.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    asked: OnceLock<Instant>,
    listed: [OnceLock<Instant>; NEEDED.len()],
}

impl Moments {
    /// A request came.
    pub(crate) fn ask(&self) {
        self.asked.get_or_init(Instant::now);
    }

    /// The end of a list was handed over.
    pub(crate) fn list(&self, resource: Resource) {
        let needed = NEEDED.iter().position(|needed| *needed == resource);
        if let Some(listed) = needed.and_then(|at| self.listed.get(at)) {
            listed.get_or_init(Instant::now);
        }
    }

    /// All of it, once it is over.
    pub(crate) fn served(&self) -> Option<Served> {
        let [services, slices] = &self.listed;
        let listed = *services.get()?.max(slices.get()?);
        Some(Served { asked: *self.asked.get()?, listed })
    }
}

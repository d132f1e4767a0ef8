//! The programs and maps in the kernel: loaded and attached once in a process, and gone with it.
//!
//! A program that translates sockets is of a cgroup, not of a network namespace. So it is attached
//! to the root of all cgroups and looks at the namespace of each socket first: those of one node
//! have the same scope. What is programmed stays when a backend drops, as rules do, until it is
//! stopped; the last scope that ends takes the programs with it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{HashMap, Map, MapData};
use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use aya::{Ebpf, include_bytes_aligned};
use linux::{IoError, cgroup};

use super::entries::{Entry, Plan};
use super::place::{Key, Place, Slot, Value, key, of_scope};
use crate::error::ProxyError;

/// `connect.bpf.c`, built.
static OBJECT: &[u8] = include_bytes_aligned!("connect.bpf.o");

/// What this process has in the kernel.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// Programs that are attached, and their maps.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Holds the programs and their links.
    _programs: Ebpf,
    namespaces: HashMap<MapData, u64, u32>,
    services: HashMap<MapData, Key, Value>,
    endpoints: HashMap<MapData, Slot, Place>,
    /// Scopes by the cookie of their node's namespace.
    scopes: BTreeMap<u64, u32>,
    /// The last number that was given to a scope, and to a Service.
    last: (u32, u32),
}

/// What this process has in the kernel, for nobody else meanwhile.
pub(super) fn loaded() -> MutexGuard<'static, Option<Loaded>> {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads and attaches, if that is not done.
///
/// # Errors
/// A kernel that cannot do it.
pub(super) fn ready(slot: &mut Option<Loaded>) -> Result<&mut Loaded, ProxyError> {
    if slot.is_none() {
        *slot = Some(Loaded::new().map_err(|error| unsupported(error.as_ref()))?);
    }
    slot.as_mut().ok_or_else(|| ProxyError::Request { reason: "nothing was loaded".into() })
}

type Reason = Box<dyn std::error::Error>;

impl Loaded {
    fn new() -> Result<Self, Reason> {
        let mut programs = Ebpf::load(OBJECT)?;
        let group = cgroup::root()?;
        for (_, program) in programs.programs_mut() {
            let program: &mut CgroupSockAddr = program.try_into()?;
            program.load()?;
            // A link takes no flag and bears others beside it (`cgroup_bpf_link_attach`,
            // kernel/bpf/cgroup.c, Linux 6.1).
            program.attach(&group, CgroupAttachMode::Single)?;
        }
        let mut map = |name: &str| -> Result<Map, Reason> {
            Ok(programs.take_map(name).ok_or("a map is missing in the object")?)
        };
        Ok(Self {
            namespaces: map("namespaces")?.try_into()?,
            services: map("services")?.try_into()?,
            endpoints: map("endpoints")?.try_into()?,
            _programs: programs,
            scopes: BTreeMap::new(),
            last: (0, 0),
        })
    }

    /// The scope of a node, if it has one.
    pub fn scope(&self, node: u64) -> Option<u32> {
        self.scopes.get(&node).copied()
    }

    /// The scope of a node, which its pods' namespaces have too.
    ///
    /// # Errors
    /// A refusal by the kernel.
    pub fn enter(&mut self, node: u64, pods: &[u64]) -> Result<u32, ProxyError> {
        let scope = self.scope(node).unwrap_or_else(|| {
            self.last.0 += 1;
            self.last.0
        });
        self.scopes.insert(node, scope);
        for namespace in pods.iter().chain([&node]) {
            let written = self.namespaces.insert(namespace, scope, 0);
            written.map_err(refused("write", "a network namespace"))?;
        }
        Ok(scope)
    }

    /// Ends a node's scope. Returns whether another is left.
    ///
    /// # Errors
    /// A refusal by the kernel.
    pub fn leave(&mut self, node: u64) -> Result<bool, ProxyError> {
        let Some(scope) = self.scopes.remove(&node) else { return Ok(true) };
        let own = self.namespaces.iter().filter_map(Result::ok).filter(|(_, of)| *of == scope);
        let own: Vec<u64> = own.map(|(namespace, _)| namespace).collect();
        for namespace in own {
            let removed = self.namespaces.remove(&namespace);
            removed.map_err(refused("remove", "a network namespace"))?;
        }
        let entries = self.read(scope)?;
        let remove = entries.keys().copied().collect();
        self.submit(scope, &entries, &Plan { put: Vec::new(), remove }, |_, _| {})?;
        Ok(!self.scopes.is_empty())
    }

    /// All that a scope holds.
    ///
    /// # Errors
    /// A refusal by the kernel; a Service whose Endpoints are not there.
    pub fn read(&self, scope: u32) -> Result<BTreeMap<Place, Entry>, ProxyError> {
        let mut all = BTreeMap::new();
        for found in &self.services {
            let (key, value) = found.map_err(refused("read", "Services"))?;
            let Some(place) = of_scope(&key, scope) else { continue };
            let [id, count] = value;
            let endpoint = |number| self.endpoints.get(&[id, number], 0);
            let endpoints = (0..count).map(endpoint).collect::<Result<_, _>>();
            let endpoints = endpoints.map_err(refused("read", "an Endpoint"))?;
            all.insert(place, Entry { id, endpoints });
        }
        Ok(all)
    }

    /// Does what a plan says to a scope that holds `entries`, and tells each entry that is there
    /// afterwards, or none. At any moment a Service has Endpoints that it had or gets.
    ///
    /// # Errors
    /// A refusal by the kernel, such as a map that is full.
    pub fn submit(
        &mut self,
        scope: u32,
        entries: &BTreeMap<Place, Entry>,
        plan: &Plan,
        mut each: impl FnMut(Place, Option<Entry>),
    ) -> Result<(), ProxyError> {
        for place in &plan.remove {
            if let Some(entry) = entries.get(place) {
                let removed = self.services.remove(&key(place, scope));
                removed.map_err(refused("remove", "a Service"))?;
                self.shorten(entry.id, 0, entry.endpoints.len())?;
            }
            each(*place, None);
        }
        for (place, endpoints) in &plan.put {
            let (id, before) = if let Some(entry) = entries.get(place) {
                (entry.id, entry.endpoints.len())
            } else {
                self.last.1 += 1;
                (self.last.1, 0)
            };
            for (number, endpoint) in (0..).zip(endpoints) {
                let written = self.endpoints.insert([id, number], endpoint, 0);
                written.map_err(refused("write", "an Endpoint"))?;
            }
            let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
            let written = self.services.insert(key(place, scope), [id, count], 0);
            written.map_err(refused("write", "a Service"))?;
            self.shorten(id, endpoints.len(), before)?;
            each(*place, Some(Entry { id, endpoints: endpoints.clone() }));
        }
        Ok(())
    }

    /// Removes Endpoints that a Service has no more.
    fn shorten(&mut self, id: u32, to: usize, from: usize) -> Result<(), ProxyError> {
        for number in to..from {
            let slot = [id, u32::try_from(number).unwrap_or(u32::MAX)];
            self.endpoints.remove(&slot).map_err(refused("remove", "an Endpoint"))?;
        }
        Ok(())
    }
}

fn unsupported(reason: &dyn std::error::Error) -> ProxyError {
    let mut words = reason.to_string();
    let mut source = reason.source();
    while let Some(deeper) = source {
        words = format!("{words}: {deeper}");
        source = deeper.source();
    }
    ProxyError::Unsupported {
        what: "connect-time translation".into(),
        reason: words,
        remedy: "it needs root and a kernel with CONFIG_CGROUP_BPF, 5.14 or later".into(),
    }
}

fn refused<E: std::error::Error + Send + Sync + 'static>(
    operation: &'static str,
    object: &'static str,
) -> impl FnOnce(E) -> ProxyError {
    move |error| IoError::of(operation, format!("{object} of eBPF"))(io::Error::other(error)).into()
}

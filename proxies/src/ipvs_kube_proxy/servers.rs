//! Brings virtual and real servers to what is wanted, with a look at each of them in every sync.
//!
//! `syncService`, `syncEndpoint` and `cleanLegacyService` in pkg/proxy/ipvs/proxier.go, and
//! `pkg/proxy/ipvs/graceful_termination.go`, Kubernetes 1.36.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use generators::{Family, Protocol};

use super::addresses;
use super::calls::{Calls, Listed};
use super::desired::{Desired, VirtualServer};
use crate::error::ProxyError;
use crate::ipvs::wire::{RealServer, Settings, Verb, VirtualKey};

/// Real servers that take no new connections and wait for the end of those they have, each with
/// its virtual server.
#[derive(Debug, Default)]
pub(super) struct Draining(BTreeSet<(VirtualKey, SocketAddr)>);

impl Draining {
    /// Removes those that have no connections left. kube-proxy tries once a minute
    /// (`rsCheckDeleteInterval`).
    pub fn finish(&mut self, calls: &mut Calls) -> Result<(), ProxyError> {
        for (key, socket) in std::mem::take(&mut self.0) {
            if calls.get(key)?.is_some() && !remove_if_idle(calls, key, socket)? {
                self.0.insert((key, socket));
            }
        }
        Ok(())
    }
}

/// Brings every virtual server, its address and its real servers to what is wanted. `bound` are the
/// addresses that were there when the sync began; `is_first` tells the first sync of a process.
pub(super) fn sync(
    calls: &mut Calls,
    desired: &Desired,
    bound: &BTreeSet<IpAddr>,
    draining: &mut Draining,
    is_first: bool,
) -> Result<(), ProxyError> {
    for server in &desired.servers {
        sync_server(calls, server, bound).map_err(|error| error.of_service(&server.service))?;
        sync_reals(calls, server, draining, is_first)
            .map_err(|error| error.of_service(&server.service))?;
    }
    Ok(())
}

/// One look, and what it says is missing; then the address, whose own list was made before the
/// sync, so that a second port of a VIP tries once more.
fn sync_server(
    calls: &mut Calls,
    server: &VirtualServer,
    bound: &BTreeSet<IpAddr>,
) -> Result<(), ProxyError> {
    match calls.get(server.key)? {
        None => calls.server(Verb::Add, server.key, &server.settings)?,
        Some(there) if there != server.settings => {
            calls.server(Verb::Change, server.key, &server.settings)?;
        }
        Some(_) => {}
    }
    if server.is_bound && !bound.contains(&server.key.address) {
        addresses::bind(server.key.address)?;
    }
    Ok(())
}

/// A second look at the virtual server and one at its real servers; then those that are missing
/// come, and those that are not wanted go.
fn sync_reals(
    calls: &mut Calls,
    server: &VirtualServer,
    draining: &mut Draining,
    is_first: bool,
) -> Result<(), ProxyError> {
    let key = server.key;
    if calls.get(key)?.is_none() {
        return Err(ProxyError::Request { reason: format!("virtual service {key} is gone") });
    }
    let there = calls.reals(key)?;
    for wanted in &server.reals {
        if has(&there, wanted) {
            if is_first {
                reset_weights(calls, key, wanted, &there)?;
            }
            if !draining.0.remove(&(key, wanted.socket())) {
                continue;
            }
            // One that comes back while it drains is removed and made anew.
            calls.real(Verb::Remove, key, wanted)?;
        }
        calls.real(Verb::Add, key, wanted)?;
    }
    let is_wanted =
        |real: &RealServer| server.reals.iter().any(|one| one.socket() == real.socket());
    for (real, _) in there.iter().filter(|(real, _)| !is_wanted(real)) {
        retire(calls, key, real, draining)?;
    }
    Ok(())
}

fn has(there: &[Listed], wanted: &RealServer) -> bool {
    there.iter().any(|(real, _)| real.socket() == wanted.socket())
}

/// An earlier process may have left weights of 0.
fn reset_weights(
    calls: &mut Calls,
    key: VirtualKey,
    wanted: &RealServer,
    there: &[Listed],
) -> Result<(), ProxyError> {
    for _ in there.iter().filter(|(real, _)| real.weight != wanted.weight) {
        calls.real(Verb::Change, key, wanted)?;
    }
    Ok(())
}

/// Removes a real server, or gives it weight 0 while it has connections.
fn retire(
    calls: &mut Calls,
    key: VirtualKey,
    real: &RealServer,
    draining: &mut Draining,
) -> Result<(), ProxyError> {
    let entry = (key, real.socket());
    if draining.0.contains(&entry) || remove_if_idle(calls, key, real.socket())? {
        return Ok(());
    }
    calls.real(Verb::Change, key, &RealServer { weight: 0, ..*real })?;
    draining.0.insert(entry);
    Ok(())
}

/// Removes a real server unless it has connections of TCP, open or just ended. Tells whether it is
/// gone.
fn remove_if_idle(
    calls: &mut Calls,
    key: VirtualKey,
    socket: SocketAddr,
) -> Result<bool, ProxyError> {
    let there = calls.reals(key)?;
    let Some((real, connections)) = there.iter().find(|(real, _)| real.socket() == socket) else {
        return Ok(true);
    };
    if drains(key) && *connections != 0 {
        return Ok(false);
    }
    calls.real(Verb::Remove, key, real)?;
    Ok(true)
}

/// Whether real servers of a virtual server end gracefully (`IsRsGracefulTerminationNeeded`).
pub(super) fn drains(key: VirtualKey) -> bool {
    key.protocol == Protocol::Tcp
}

/// Removes the virtual servers of a family that are not wanted. The kernel's list is asked for
/// once.
pub(super) fn clean(calls: &mut Calls, desired: &Desired) -> Result<(), ProxyError> {
    let wanted: BTreeSet<VirtualKey> = desired.servers.iter().map(|server| server.key).collect();
    for key in calls.list()? {
        if Family::of(key.address) == desired.family && !wanted.contains(&key) {
            calls.server(Verb::Remove, key, &Settings::default())?;
        }
    }
    Ok(())
}

//! What this backend has programmed, so that an incremental sync costs what changes and not what
//! exists.
//!
//! A VIP may serve several Services, an Endpoint too, so the users of each address and set member
//! are counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use generators::{Change, Cluster, Endpoint, Service, ServiceName};

use super::layout::Layout;
use super::objects::{LabelledObject, NodeObject};
use super::program::{IpvsProgram, KernelIds};
use super::render::Draft;
use crate::error::ProxyError;

/// A Service with the Endpoints it has now.
#[derive(Debug, Clone)]
struct Placed {
    service: Service,
    endpoints: Vec<Endpoint>,
}

impl Placed {
    fn of(service: &Service) -> Self {
        Self { service: service.clone(), endpoints: service.endpoints().to_vec() }
    }
}

/// What is in the kernel.
#[derive(Debug)]
pub(super) struct ProgrammedState {
    services: HashMap<ServiceName, Placed>,
    uses: HashMap<NodeObject, u32>,
}

/// What a sync changes in the state once the kernel has taken it: the entries that are touched, as
/// they are after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Delta {
    services: HashMap<ServiceName, Option<Placed>>,
    uses: HashMap<NodeObject, u32>,
    /// The touched objects, in the order in which they were first touched, each with the label of
    /// who did.
    order: Vec<LabelledObject>,
}

impl ProgrammedState {
    /// The state of a Cluster that is in the kernel. Takes time linear in Services and Endpoints.
    pub fn of(cluster: &Cluster, layout: &Layout) -> Self {
        let mut services = HashMap::with_capacity(cluster.services().len());
        let mut uses = HashMap::new();
        for service in cluster.services() {
            layout.objects(service, service.endpoints(), |object| {
                *uses.entry(object).or_insert(0) += 1;
            });
            services.insert(service.name().clone(), Placed::of(service));
        }
        Self { services, uses }
    }

    /// Whether this may be the state of this Cluster. Looks at its size alone.
    pub fn fits(&self, cluster: &Cluster) -> bool {
        self.services.len() == cluster.services().len()
    }

    /// The messages for these Changes, in their order, and what to enter when they are taken.
    ///
    /// # Errors
    /// [`ProxyError::Request`] if a Change does not fit what is programmed, or what the layout
    /// refuses.
    pub fn render(
        &self,
        layout: &Layout,
        ids: KernelIds,
        changes: &[Change],
    ) -> Result<(IpvsProgram, Delta), ProxyError> {
        let mut draft = Draft::new(layout, ids, 2 * changes.len());
        let mut delta = Delta::default();
        for change in changes {
            let name = change.service_name();
            let label = draft.about(name);
            let before = self.service(&delta, name).cloned();
            let after = match (change, &before) {
                (Change::EndpointReplaced { old, new, .. }, Some(placed)) => {
                    Some(replace(&mut draft, placed, *old, *new)?)
                }
                (Change::ServiceAdded(service), None) => {
                    for key in layout.virtual_services(service) {
                        draft.create(key, service, service.endpoints())?;
                    }
                    Some(Placed::of(service))
                }
                (Change::ServiceRemoved(_), Some(placed)) => {
                    for key in layout.virtual_services(&placed.service) {
                        draft.delete(key);
                    }
                    None
                }
                (_, None) => return Err(contradiction(name, "it is not programmed")),
                (_, Some(_)) => return Err(contradiction(name, "it is programmed already")),
            };
            self.count(&mut delta, label, layout, before.as_ref(), after.as_ref());
            delta.services.insert(name.clone(), after);
        }
        for &object in &delta.order {
            let before = self.uses.contains_key(&object.0);
            match (before, delta.uses.get(&object.0).is_some_and(|users| *users > 0)) {
                (false, true) => draft.add(object),
                (true, false) => draft.remove(object),
                _ => {}
            }
        }
        Ok((draft.finish(), delta))
    }

    /// Enters what the kernel has taken.
    pub fn enter(&mut self, delta: &Delta) {
        for (name, placed) in &delta.services {
            match placed {
                Some(placed) => self.services.insert(name.clone(), placed.clone()),
                None => self.services.remove(name),
            };
        }
        for (object, users) in &delta.uses {
            match users {
                0 => self.uses.remove(object),
                users => self.uses.insert(*object, *users),
            };
        }
    }

    /// Whether these are the same state, but for the order of Endpoints.
    #[cfg(test)]
    pub fn equals(&self, other: &Self) -> bool {
        let endpoints = |placed: &Placed| {
            let mut endpoints = placed.endpoints.clone();
            endpoints.sort_unstable();
            endpoints
        };
        let same = |(name, placed): (&ServiceName, &Placed)| {
            other.services.get(name).is_some_and(|other| endpoints(other) == endpoints(placed))
        };
        self.uses == other.uses
            && self.services.len() == other.services.len()
            && self.services.iter().all(same)
    }

    fn service<'a>(&'a self, delta: &'a Delta, name: &ServiceName) -> Option<&'a Placed> {
        match delta.services.get(name) {
            Some(placed) => placed.as_ref(),
            None => self.services.get(name),
        }
    }

    /// Counts the users of what a Service needed before and needs after.
    fn count(
        &self,
        delta: &mut Delta,
        label: u32,
        layout: &Layout,
        before: Option<&Placed>,
        after: Option<&Placed>,
    ) {
        let mut step = |object: NodeObject, up: bool| {
            let users = match delta.uses.entry(object) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    delta.order.push((object, label));
                    entry.insert(self.uses.get(&object).copied().unwrap_or(0))
                }
            };
            // Whoever goes was counted when it came.
            debug_assert!(up || *users > 0, "nobody uses {object:?}");
            *users = if up { *users + 1 } else { users.saturating_sub(1) };
        };
        if let Some(placed) = after {
            layout.objects(&placed.service, &placed.endpoints, |object| step(object, true));
        }
        if let Some(placed) = before {
            layout.objects(&placed.service, &placed.endpoints, |object| step(object, false));
        }
    }
}

fn replace(
    draft: &mut Draft<'_>,
    placed: &Placed,
    old: Endpoint,
    new: Endpoint,
) -> Result<Placed, ProxyError> {
    let mut after = placed.clone();
    let name = placed.service.name();
    if after.endpoints.contains(&new) {
        return Err(contradiction(name, &format!("it has Endpoint {new} already")));
    }
    let slot = after.endpoints.iter_mut().find(|endpoint| **endpoint == old);
    *slot.ok_or_else(|| contradiction(name, &format!("it has no Endpoint {old}")))? = new;
    draft.replace(&placed.service, old, new)?;
    Ok(after)
}

fn contradiction(name: &ServiceName, what: &str) -> ProxyError {
    ProxyError::Request { reason: format!("Service {name}: {what}") }
}

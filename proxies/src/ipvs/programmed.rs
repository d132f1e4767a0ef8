//! What this backend has programmed, so that an incremental sync costs what changes and not what
//! exists.
//!
//! A VIP may serve several Services, an Endpoint too, so the users of each address and set member
//! are counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use generators::{Change, Cluster, ClusterError, Service, ServiceName};

use super::layout::{Layout, served};
use super::objects::{LabelledObject, NodeObject};
use super::program::{IpvsProgram, KernelIds};
use super::render::Draft;
use crate::error::ProxyError;

/// What is in the kernel.
#[derive(Debug)]
pub(super) struct ProgrammedState {
    services: HashMap<ServiceName, Service>,
    uses: HashMap<NodeObject, u32>,
}

/// What a sync changes in the state once the kernel has taken it: the entries that are touched, as
/// they are after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Delta {
    services: HashMap<ServiceName, Option<Service>>,
    uses: HashMap<NodeObject, u32>,
    /// The touched objects, in the order in which they were first touched, each with the label of
    /// who did.
    order: Vec<LabelledObject>,
}

impl ProgrammedState {
    /// The state of the layout's family of a Cluster that is in the kernel. Takes time linear in
    /// Services and Endpoints.
    pub fn of(cluster: &Cluster, layout: &Layout) -> Self {
        let mut services = HashMap::with_capacity(cluster.services().len());
        let mut uses = HashMap::new();
        for service in cluster.of_family(layout.family) {
            layout.objects(service, |object| *uses.entry(object).or_insert(0) += 1);
            services.insert(service.name().clone(), service.clone());
        }
        Self { services, uses }
    }

    /// Whether this may be the state of this Cluster. Looks at its size alone.
    pub fn fits(&self, cluster: &Cluster, layout: &Layout) -> bool {
        self.services.len() == cluster.of_family(layout.family).count()
    }

    /// The messages for those of these Changes that are of the layout's family, in their order, and
    /// what to enter when they are taken.
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
            let id = change.service_id();
            if id.family != layout.family {
                continue;
            }
            let name = &id.name;
            let label = draft.about(name);
            let before = self.service(&delta, name).cloned();
            let after = match (change, &before) {
                (Change::EndpointReplaced { old, new, .. }, Some(placed)) => {
                    let after = placed.with_endpoint_replaced(*old, *new);
                    Some(served_by(&mut draft, placed, after)?)
                }
                (Change::EndpointsSet { endpoints, .. }, Some(placed)) => {
                    let after = placed.with_endpoints(endpoints.clone());
                    Some(served_by(&mut draft, placed, after)?)
                }
                (Change::ServiceAdded(service), None) => {
                    let targets = service.targets();
                    for (key, kind) in layout.virtual_services(service) {
                        draft.create(key, service, served(service, &targets, kind))?;
                    }
                    Some(service.clone())
                }
                (Change::ServiceRemoved(_), Some(placed)) => {
                    for (key, _) in layout.virtual_services(placed) {
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

    /// Whether these are the same state.
    #[cfg(test)]
    pub fn equals(&self, other: &Self) -> bool {
        self.uses == other.uses && self.services == other.services
    }

    fn service<'a>(&'a self, delta: &'a Delta, name: &ServiceName) -> Option<&'a Service> {
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
        before: Option<&Service>,
        after: Option<&Service>,
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
            layout.objects(placed, |object| step(object, true));
        }
        if let Some(placed) = before {
            layout.objects(placed, |object| step(object, false));
        }
    }
}

/// A Service whose real servers are changed to those of `after`.
fn served_by(
    draft: &mut Draft<'_>,
    placed: &Service,
    after: Result<Service, ClusterError>,
) -> Result<Service, ProxyError> {
    let after = after.map_err(|error| contradiction(placed.name(), &error.to_string()))?;
    draft.change_servers(placed, &after)?;
    Ok(after)
}

fn contradiction(name: &ServiceName, what: &str) -> ProxyError {
    ProxyError::Request { reason: format!("Service {name}: {what}") }
}

//! The books of what this proxy has programmed, so that an incremental sync costs what changes and not what exists.
//!
//! A VIP may serve several Services, an Endpoint too; the books count the users of each address and set member.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use generators::{Change, Cluster, Endpoint, Service, ServiceName};

use super::items::{Item, Labelled};
use super::layout::Layout;
use super::render::{Draft, IpvsProgram, Numbers};
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
pub(super) struct Programmed {
    services: HashMap<ServiceName, Placed>,
    uses: HashMap<Item, u32>,
}

/// What a sync changes in the books once the kernel has taken it: the entries that are touched, as they are after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Delta {
    services: HashMap<ServiceName, Option<Placed>>,
    uses: HashMap<Item, u32>,
    /// The touched items, in the order in which they were first touched, each with the label of who did.
    order: Vec<Labelled>,
}

impl Programmed {
    /// The books of a Cluster that is in the kernel. Takes time linear in Services and Endpoints.
    pub fn of(cluster: &Cluster, layout: &Layout) -> Self {
        let mut services = HashMap::with_capacity(cluster.services().len());
        let mut uses = HashMap::new();
        for service in cluster.services() {
            layout.items(service, service.endpoints(), |item| *uses.entry(item).or_insert(0) += 1);
            services.insert(service.name().clone(), Placed::of(service));
        }
        Self { services, uses }
    }

    /// Whether they may be the books of this Cluster. Looks at its size alone.
    pub fn fits(&self, cluster: &Cluster) -> bool {
        self.services.len() == cluster.services().len()
    }

    /// The messages for these Changes, in their order.
    ///
    /// # Errors
    /// [`ProxyError::Request`] if a Change does not fit what is programmed, or what the layout refuses.
    pub fn render(
        &self,
        layout: &Layout,
        numbers: Numbers,
        changes: &[Change],
    ) -> Result<IpvsProgram, ProxyError> {
        let mut draft = Draft::new(layout, numbers, 2 * changes.len());
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
            self.count(&mut delta, label, layout, before.as_ref(), after.as_ref())?;
            delta.services.insert(name.clone(), after);
        }
        for &item in &delta.order {
            let before = self.uses.contains_key(&item.0);
            match (before, delta.uses.get(&item.0).is_some_and(|users| *users > 0)) {
                (false, true) => draft.add(item),
                (true, false) => draft.remove(item),
                _ => {}
            }
        }
        Ok(draft.finish(Some(delta)))
    }

    /// Enters what the kernel has taken.
    pub fn enter(&mut self, delta: &Delta) {
        for (name, placed) in &delta.services {
            match placed {
                Some(placed) => self.services.insert(name.clone(), placed.clone()),
                None => self.services.remove(name),
            };
        }
        for (item, users) in &delta.uses {
            match users {
                0 => self.uses.remove(item),
                users => self.uses.insert(*item, *users),
            };
        }
    }

    /// Whether these are the same books, but for the order of Endpoints.
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
    ) -> Result<(), ProxyError> {
        let mut underflow = None;
        let mut step = |item: Item, up: bool| {
            let users = match delta.uses.entry(item) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    delta.order.push((item, label));
                    entry.insert(self.uses.get(&item).copied().unwrap_or(0))
                }
            };
            match if up { users.checked_add(1) } else { users.checked_sub(1) } {
                Some(count) => *users = count,
                None => underflow = Some(item),
            }
        };
        if let Some(placed) = after {
            layout.items(&placed.service, &placed.endpoints, |item| step(item, true));
        }
        if let Some(placed) = before {
            layout.items(&placed.service, &placed.endpoints, |item| step(item, false));
        }
        match underflow {
            None => Ok(()),
            Some(item) => Err(ProxyError::Request { reason: format!("nobody uses {item}") }),
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

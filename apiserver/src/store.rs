//! Everything that is served, and how it came to be so: objects by resource, and the latest events.
//!
//! Versions count changes of all resources together, as etcd's revisions do. Each event holds the
//! object before and after it, so that earlier states can be told from the present one.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::object::{Draft, Key, Object};
use crate::resource::Resource;

type Objects = BTreeMap<Key, Arc<Object>>;

/// One wish to change what is served.
#[derive(Debug)]
pub(crate) enum Edit {
    /// An object appears, or gives way to this one.
    Put(Resource, Draft),
    /// An object goes.
    Remove(Resource, Key),
}

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub version: u64,
    resource: Resource,
    key: Key,
    pub before: Option<Arc<Object>>,
    pub after: Option<Arc<Object>>,
}

/// What was asked for is older than what is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// The oldest version that can still be told.
    pub oldest: u64,
}

/// Objects of one resource as of one version, by key.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub version: u64,
    pub objects: Vec<Arc<Object>>,
}

/// Shared by the server's thread and whoever changes what is served.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    history_max: usize,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    /// The version before the first event of `history`.
    oldest: u64,
    objects: [Objects; Resource::ALL.len()],
    history: VecDeque<Arc<Event>>,
}

impl Store {
    /// A store of these objects, without a history; `history_max` events will be kept.
    pub(crate) fn new(objects: Vec<(Resource, Draft)>, history_max: usize) -> Self {
        let mut state = State::default();
        let now = now();
        for (resource, draft) in objects {
            state.version += 1;
            let version = state.version;
            let object = Object { draft, version, born: version, created: Arc::clone(&now) };
            state.of(resource).insert(Arc::clone(&object.draft.key), object.into());
        }
        state.oldest = state.version;
        let version = watch::Sender::new(state.version);
        Self { state: Mutex::new(state), version, history_max }
    }

    /// Makes these edits as one: no reader sees some of them. What changes nothing is no event.
    /// Returns the version after them.
    pub(crate) fn commit(&self, edits: Vec<Edit>) -> u64 {
        let mut state = self.state();
        let now = now();
        for edit in edits {
            state.edit(edit, &now);
        }
        let surplus = state.history.len().saturating_sub(self.history_max);
        let forgotten = state.history.drain(..surplus).next_back();
        if let Some(last) = forgotten {
            state.oldest = last.version;
        }
        let version = state.version;
        drop(state);
        self.version.send_replace(version);
        version
    }

    /// The present version, and how to wait for the next.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn version(&self) -> u64 {
        self.state().version
    }

    pub(crate) fn get(&self, resource: Resource, key: &str) -> Option<Arc<Object>> {
        self.state().of(resource).get(key).cloned()
    }

    /// Objects whose key begins so.
    pub(crate) fn beginning(&self, resource: Resource, prefix: &str) -> Vec<Arc<Object>> {
        let mut state = self.state();
        beginning(state.of(resource), prefix)
    }

    /// Objects whose key begins so, now or at a version of the past.
    ///
    /// # Errors
    /// [`Gone`]: the version is too long ago.
    pub(crate) fn snapshot(
        &self,
        resource: Resource,
        prefix: &str,
        at: Option<u64>,
    ) -> Result<Snapshot, Gone> {
        let mut state = self.state();
        let version = at.unwrap_or(state.version);
        let objects = if version < state.version {
            beginning(&state.past(resource, version)?, prefix)
        } else {
            beginning(state.of(resource), prefix)
        };
        Ok(Snapshot { version, objects })
    }

    /// At most `most` events of a resource after a version, and the version up to which these are
    /// all.
    ///
    /// # Errors
    /// [`Gone`]: later events are forgotten already.
    pub(crate) fn after(
        &self,
        resource: Resource,
        version: u64,
        most: usize,
    ) -> Result<(Vec<Arc<Event>>, u64), Gone> {
        let state = self.state();
        if version < state.oldest {
            return Err(Gone { oldest: state.oldest });
        }
        let start = state.history.partition_point(|event| event.version <= version);
        let later = state.history.range(start..);
        let events: Vec<_> =
            later.filter(|event| event.resource == resource).take(most).cloned().collect();
        let up_to = match events.last() {
            Some(last) if events.len() == most => last.version,
            _ => state.version.max(version),
        };
        Ok((events, up_to))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&mut self, resource: Resource) -> &mut Objects {
        &mut self.objects[resource as usize]
    }

    fn edit(&mut self, edit: Edit, now: &Arc<str>) {
        let (resource, key, draft) = match edit {
            Edit::Put(resource, draft) => (resource, Arc::clone(&draft.key), Some(draft)),
            Edit::Remove(resource, key) => (resource, key, None),
        };
        let before = self.of(resource).get(&key).cloned();
        if before.as_ref().map(|before| &before.draft) == draft.as_ref() {
            return;
        }
        self.version += 1;
        let version = self.version;
        let after = draft.map(|draft| {
            let (born, created) = before
                .as_ref()
                .map_or_else(|| (version, now), |before| (before.born, &before.created));
            Arc::new(Object { draft, version, born, created: Arc::clone(created) })
        });
        match &after {
            Some(object) => self.of(resource).insert(Arc::clone(&key), Arc::clone(object)),
            None => self.of(resource).remove(&key),
        };
        self.history.push_back(Arc::new(Event { version, resource, key, before, after }));
    }

    /// The objects as they were, by taking back what came later.
    fn past(&mut self, resource: Resource, version: u64) -> Result<Objects, Gone> {
        if version < self.oldest {
            return Err(Gone { oldest: self.oldest });
        }
        let mut objects = self.of(resource).clone();
        let later = self.history.iter().rev().take_while(|event| event.version > version);
        for event in later.filter(|event| event.resource == resource) {
            match &event.before {
                Some(before) => objects.insert(Arc::clone(&event.key), Arc::clone(before)),
                None => objects.remove(&event.key),
            };
        }
        Ok(objects)
    }
}

fn beginning(objects: &Objects, prefix: &str) -> Vec<Arc<Object>> {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    let from = objects.range::<str, _>(from);
    from.take_while(|(key, _)| key.starts_with(prefix)).map(|(_, object)| object.clone()).collect()
}

/// The time as Kubernetes writes it.
fn now() -> Arc<str> {
    format!("{:.0}", Timestamp::now()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft(name: &str, port: u16) -> Draft {
        Draft::new(json!({ "metadata": { "name": name, "namespace": "ns" }, "port": port }))
            .unwrap()
    }

    fn put(name: &str, port: u16) -> Edit {
        Edit::Put(Resource::Services, draft(name, port))
    }

    fn remove(name: &str) -> Edit {
        Edit::Remove(Resource::Services, crate::object::key("ns", name))
    }

    fn store(history_max: usize) -> Store {
        Store::new(
            vec![(Resource::Services, draft("a", 1)), (Resource::Services, draft("b", 1))],
            history_max,
        )
    }

    fn names(store: &Store, at: Option<u64>) -> Vec<String> {
        let snapshot = store.snapshot(Resource::Services, "", at).unwrap();
        snapshot
            .objects
            .iter()
            .map(|object| object.value(0)["port"].to_string() + object.name())
            .collect()
    }

    #[test]
    fn every_state_since_the_start_can_be_told() {
        let store = store(100);
        assert_eq!(store.commit(vec![put("a", 2), remove("b"), put("c", 1)]), 5);
        assert_eq!(store.commit(vec![put("b", 9)]), 6);
        let states: Vec<_> = (2..=6).map(|at| names(&store, Some(at)).join(" ")).collect();
        assert_eq!(states, ["1a 1b", "2a 1b", "2a", "2a 1c", "2a 9b 1c"]);
        assert_eq!(names(&store, None).join(" "), "2a 9b 1c");
        assert_eq!(
            store.snapshot(Resource::Services, "", Some(1)).unwrap_err(),
            Gone { oldest: 2 }
        );
    }

    #[test]
    fn what_changes_nothing_is_no_event() {
        let store = store(100);
        assert_eq!(store.commit(vec![put("a", 1), remove("z")]), 2);
        assert_eq!(store.after(Resource::Services, 2, 10).unwrap().1, 2);
    }

    #[test]
    fn a_changed_object_keeps_its_uid_and_one_that_comes_again_gets_another() {
        let store = store(100);
        store.commit(vec![put("a", 2)]);
        let a = store.get(Resource::Services, "ns/a").unwrap();
        assert_eq!((a.born, a.version), (1, 3));
        store.commit(vec![remove("a"), put("a", 2)]);
        let a = store.get(Resource::Services, "ns/a").unwrap();
        assert_eq!((a.born, a.version), (5, 5));
    }

    #[test]
    fn events_come_in_parts_and_old_ones_are_forgotten() {
        let store = store(3);
        store.commit(vec![put("c", 1), put("d", 1)]);
        let (events, up_to) = store.after(Resource::Services, 2, 1).unwrap();
        assert_eq!((events.len(), up_to), (1, 3));
        assert_eq!(store.after(Resource::Nodes, 2, 1).unwrap().1, 4);
        store.commit(vec![put("e", 1), put("f", 1)]);
        assert_eq!(store.after(Resource::Services, 2, 9).unwrap_err(), Gone { oldest: 3 });
        assert_eq!(store.after(Resource::Services, 3, 9).unwrap().0.len(), 3);
    }

    #[test]
    fn a_prefix_is_a_namespace() {
        let store = store(3);
        assert_eq!(store.beginning(Resource::Services, "ns/").len(), 2);
        assert_eq!(store.beginning(Resource::Services, "n/").len(), 0);
        assert_eq!(store.beginning(Resource::Services, "ns/b").len(), 1);
    }
}

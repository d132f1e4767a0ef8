//! What a client sees of Steps: a list, then a watch from its version on, is the Cluster after.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use std::collections::BTreeMap;

use apiserver::{Limits, Server, Site};
use client::{Client, SERVICES, SLICES, Watch, name, run, version};
use generators::{
    Change, ChangeKind, Cluster, EndpointCount, Families, Kinds, OnBadObject, Position,
    SyntheticSpec, changes, from_k8s, generate,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What a client has of one resource, by name.
type Cache = BTreeMap<String, Value>;

fn cache(list: &Value) -> Cache {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|object| (name(object), object.clone())).collect()
}

/// Takes an event of a watch in. It must change something, and be later than the one before.
fn take(cache: &mut Cache, (kind, object): (String, Value), seen: &mut u64) {
    assert!(version(&object) > *seen, "{kind} {object}");
    *seen = version(&object);
    let name = name(&object);
    let before = cache.get(&name);
    match kind.as_str() {
        "ADDED" => assert_eq!(before, None, "{name}"),
        "MODIFIED" => assert_ne!(without_version(before.unwrap()), without_version(&object)),
        "DELETED" => assert_eq!(without_version(before.unwrap()), without_version(&object)),
        other => panic!("{other}: {object}"),
    }
    if kind == "DELETED" {
        cache.remove(&name);
    } else {
        cache.insert(name, object);
    }
}

fn without_version(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = Value::Null;
    object
}

/// The Cluster that the objects of both resources are, by vipbench's own import.
fn imported(services: &Cache, slices: &Cache) -> Cluster {
    let items: Vec<&Value> = services.values().chain(slices.values()).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    from_k8s(list.as_bytes(), OnBadObject::Refuse).unwrap().cluster
}

fn assert_same(one: &Cluster, other: &Cluster) {
    assert_eq!(one.services().len(), other.services().len());
    for service in one.services() {
        assert_eq!(other.get(&service.id()), Some(service));
    }
}

/// What Changes can do to objects.
fn effects(changes: &[Change]) -> Vec<(&'static str, &'static str)> {
    let of = |change: &Change| match change {
        Change::EndpointReplaced { .. } => vec![("MODIFIED", "EndpointSlice")],
        Change::EndpointsSet { .. } => {
            ["ADDED", "MODIFIED", "DELETED"].map(|kind| (kind, "EndpointSlice")).into()
        }
        Change::ServiceAdded(_) => vec![("ADDED", "Service"), ("ADDED", "EndpointSlice")],
        Change::ServiceRemoved(_) => vec![("DELETED", "Service"), ("DELETED", "EndpointSlice")],
    };
    changes.iter().flat_map(of).collect()
}

/// Both resources as a client has them, and its watches.
struct Both {
    caches: [Cache; 2],
    watches: [Watch; 2],
    seen: [u64; 2],
}

impl Both {
    async fn list(client: &Client) -> Self {
        let lists = [client.get(SERVICES).await, client.get(SLICES).await];
        let watch = async |path: &str, list: &Value| {
            client.watch(&format!("{path}?watch=true&resourceVersion={}", version(list))).await
        };
        let watches = [watch(SERVICES, &lists[0]).await, watch(SLICES, &lists[1]).await];
        Self {
            caches: [cache(&lists[0]), cache(&lists[1])],
            seen: lists.each_ref().map(version),
            watches,
        }
    }

    /// Reads events until there is what lists tell now; each must be one of the effects of a Step.
    async fn follow(&mut self, client: &Client, effects: &[(&str, &str)]) {
        for (at, path) in [SERVICES, SLICES].into_iter().enumerate() {
            let now = cache(&client.get(path).await);
            while self.caches[at] != now {
                let event = self.watches[at].next().await.unwrap();
                let effect = (&*event.0, event.1["kind"].as_str().unwrap());
                assert!(effects.contains(&effect), "{effect:?} is none of {effects:?}");
                take(&mut self.caches[at], event, &mut self.seen[at]);
            }
        }
    }
}

fn any_spec() -> impl Strategy<Value = SyntheticSpec> {
    let families = prop::sample::select(&[Families::Ipv4, Families::Ipv6, Families::Dual][..]);
    let kinds = prop_oneof![Just(Kinds::default()), Just(Kinds::ONE_EACH)];
    (5..30_u32, 0..5_u32, families, kinds).prop_map(|(services, more, families, kinds)| {
        SyntheticSpec {
            services,
            endpoints: EndpointCount::Uniform { min: 1, max: 1 + more * 60 },
            families,
            kinds,
            remote_endpoints: 0.3,
            ..SyntheticSpec::default()
        }
    })
}

/// Removals of whole Kubernetes Services: a generated stream takes families one by one.
fn removals(cluster: &Cluster, position: Position) -> Vec<Change> {
    let index = position.index(cluster.services().len(), 7);
    let name = cluster.services()[index].name();
    let of_name = cluster.services().iter().filter(|service| service.name() == name);
    of_name.map(|service| Change::ServiceRemoved(service.id())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_watch_tells_exactly_the_changes_of_steps_and_a_list_is_the_cluster_after(
        spec in any_spec(),
        seed: u64,
        steps in prop::collection::vec((0..3_usize, 1..4_u32, any::<bool>()), 1..5),
    ) {
        run(async {
            let mut cluster = generate(&spec, seed).unwrap();
            let address = "127.0.0.1:0".parse().unwrap();
            let server = Server::start(address, &cluster, &Site::default(), Limits::default()).unwrap();
            let client = Client(server.address());
            let mut both = Both::list(&client).await;
            assert_same(&imported(&both.caches[0], &both.caches[1]), &cluster);
            for (number, (kind, count, is_first)) in (0..).zip(steps) {
                let position = if is_first { Position::First } else { Position::Last };
                let kind = ChangeKind::ALL[kind];
                let count = if kind == ChangeKind::ServiceAdd { 2 * count } else { count };
                let changes = match kind {
                    ChangeKind::ServiceRemove => removals(&cluster, position),
                    _ => changes(&cluster, &spec, seed ^ number, kind, position, count).unwrap(),
                };
                let effects = effects(&changes);
                let step = cluster.step(changes).unwrap();
                server.apply(&step).unwrap();
                cluster = step.into_after();
                both.follow(&client, &effects).await;
                assert_same(&imported(&both.caches[0], &both.caches[1]), &cluster);
            }
            server.stop().unwrap();
        });
    }
}

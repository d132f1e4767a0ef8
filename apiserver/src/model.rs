//! From a Cluster to the objects that are served, and from a Step to what changes of them.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use generators::{
    Change, Cluster, ExportError, IpNet, NODE, Service, ServiceId, Step, ZONE, k8s_objects,
};
use serde_json::{Value, json};

use crate::object::{Draft, Key};
use crate::resource::Resource;
use crate::store::{Edit, Store};

/// What a cluster has beside its Services: the node that it is seen from, and its ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Addresses of the node.
    pub node_addresses: Vec<IpAddr>,
    /// Ranges of the node's Pods.
    pub pod_cidrs: Vec<IpNet>,
    /// Ranges of the VIPs.
    pub service_cidrs: Vec<IpNet>,
}

/// Namespaces that are there without Services, too.
const NAMESPACES: [&str; 2] = ["default", "kube-system"];

/// Everything that is served at first.
///
/// # Errors
/// The Cluster is none that Kubernetes could have.
pub(crate) fn objects(
    cluster: &Cluster,
    site: &Site,
) -> Result<Vec<(Resource, Draft)>, ExportError> {
    let of_services = cluster.services().iter().map(|service| service.name().namespace());
    let namespaces: BTreeSet<&str> = of_services.chain(NAMESPACES).collect();
    let mut objects: Vec<_> = namespaces.into_iter().filter_map(namespace).collect();
    objects.extend(drafted(node(site)));
    objects.extend(service_cidr(site).and_then(drafted));
    objects.extend(of(cluster.services())?);
    Ok(objects)
}

/// What a Step changes: one edit for each object that is not the same before and after it. Objects
/// go before others come, so that an address which moves is never in two.
///
/// # Errors
/// The Cluster after the Step is none that Kubernetes could have.
pub(crate) fn edits(step: &Step<'_>, store: &Store) -> Result<Vec<Edit>, ExportError> {
    let ids: Vec<ServiceId> = step.changes().iter().map(Change::service_id).collect();
    let names: BTreeSet<&str> = ids.iter().map(|id| id.name.namespaced_name()).collect();
    let is_touched = |service: &&Service| names.contains(service.name().namespaced_name());
    let after = of(step.after().services().iter().filter(is_touched))?;
    let stays: HashSet<(Resource, &Key)> =
        after.iter().map(|(resource, draft)| (*resource, &draft.key)).collect();
    let before = names.iter().flat_map(|name| of_service(store, name));
    let goes = before.filter(|(resource, key)| !stays.contains(&(*resource, key)));
    let mut edits: Vec<Edit> = goes.map(|(resource, key)| Edit::Remove(resource, key)).collect();
    let namespaces: BTreeSet<&str> =
        after.iter().filter_map(|(_, draft)| Some(draft.key.split_once('/')?.0)).collect();
    let namespaces: Vec<_> = namespaces.into_iter().filter_map(namespace).collect();
    let puts = namespaces.into_iter().chain(after);
    edits.extend(puts.map(|(resource, draft)| Edit::Put(resource, draft)));
    Ok(edits)
}

/// The objects of some Services.
fn of<'a>(
    services: impl IntoIterator<Item = &'a Service>,
) -> Result<Vec<(Resource, Draft)>, ExportError> {
    let mut objects = Vec::new();
    k8s_objects(services, |object| {
        objects.extend(drafted(object));
        Ok(())
    })?;
    Ok(objects)
}

fn drafted(object: Value) -> Option<(Resource, Draft)> {
    let resource = Resource::of_kind(object.get("kind")?.as_str()?)?;
    Some((resource, Draft::new(object)?))
}

/// The objects that there are of a Kubernetes Service, by `namespace/name`. Its slices are named
/// after it, as may be those of others.
fn of_service(store: &Store, service: &str) -> Vec<(Resource, Key)> {
    let name = service.split_once('/').map_or(service, |(_, name)| name);
    let is_its_own = |draft: &Draft| {
        draft.labels.iter().any(|(key, value)| key == "kubernetes.io/service-name" && value == name)
    };
    let slices = store.beginning(Resource::EndpointSlices, &format!("{service}-"));
    let slices = slices.into_iter().filter(|slice| is_its_own(&slice.draft));
    let own = store.get(Resource::Services, service);
    let own = own.map(|object| (Resource::Services, Key::clone(&object.draft.key)));
    own.into_iter()
        .chain(slices.map(|slice| (Resource::EndpointSlices, Key::clone(&slice.draft.key))))
        .collect()
}

fn namespace(name: &str) -> Option<(Resource, Draft)> {
    drafted(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    }))
}

fn node(site: &Site) -> Value {
    let address = |address: &IpAddr| json!({ "type": "InternalIP", "address": address });
    let mut addresses: Vec<Value> = site.node_addresses.iter().map(address).collect();
    addresses.push(json!({ "type": "Hostname", "address": NODE }));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE,
            "labels": { "kubernetes.io/hostname": NODE, "topology.kubernetes.io/zone": ZONE },
        },
        "spec": { "podCIDR": site.pod_cidrs.first(), "podCIDRs": site.pod_cidrs },
        "status": {
            "addresses": addresses,
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

/// The object that kube-apiserver makes of its flag `--service-cluster-ip-range`.
fn service_cidr(site: &Site) -> Option<Value> {
    (!site.service_cidrs.is_empty()).then(|| {
        json!({
            "apiVersion": Resource::ServiceCidrs.api_version(),
            "kind": "ServiceCIDR",
            "metadata": { "name": "kubernetes" },
            "spec": { "cidrs": site.service_cidrs },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        })
    })
}

#[cfg(test)]
mod tests {
    use generators::{SyntheticSpec, generate};

    use super::*;
    use crate::object::key;

    #[test]
    fn a_cluster_has_a_node_ranges_and_namespaces_beside_its_services() {
        let spec = SyntheticSpec { services: 2, ..SyntheticSpec::default() };
        let site = Site {
            node_addresses: vec!["192.0.2.1".parse().unwrap()],
            pod_cidrs: vec![],
            service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        };
        let objects = objects(&generate(&spec, 1).unwrap(), &site).unwrap();
        let count = |wanted| objects.iter().filter(|(resource, _)| *resource == wanted).count();
        assert_eq!(count(Resource::Services), 2);
        assert_eq!(count(Resource::EndpointSlices), 2);
        assert_eq!(count(Resource::Namespaces), 4);
        assert_eq!((count(Resource::Nodes), count(Resource::ServiceCidrs)), (1, 1));
    }

    #[test]
    fn slices_of_a_service_are_told_from_those_of_one_whose_name_is_longer() {
        let slice = |name: &str, service: &str| {
            drafted(json!({ "kind": "EndpointSlice", "metadata": {
                "namespace": "ns", "name": name,
                "labels": { "kubernetes.io/service-name": service },
            }}))
            .unwrap()
        };
        let store =
            Store::new(vec![slice("a-0", "a"), slice("a-1", "a"), slice("a-1-0", "a-1")], 9);
        let of_a = of_service(&store, "ns/a").into_iter().map(|(_, key)| key);
        assert_eq!(of_a.collect::<Vec<_>>(), [key("ns", "a-0"), key("ns", "a-1")]);
    }
}
